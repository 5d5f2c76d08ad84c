"""Verify that the cloud holds the log, repair what it lost, and restore a log from the cloud."""
