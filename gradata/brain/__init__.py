"""The `Brain`: appends corrections to the log, and owns the thread that replicates it."""
