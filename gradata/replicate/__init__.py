"""Runs replication for a brain: wires settings to the engine, runs it once or as a daemon, reports its state."""
