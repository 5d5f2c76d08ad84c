"""Settings: configuration files, environment, and the brain directory they select. Starts nothing."""
