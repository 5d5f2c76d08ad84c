"""Settings: the configuration files, the environment, and the brain directory they name. Starts nothing."""
