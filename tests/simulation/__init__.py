"""The simulation: the real engine, log and ingest code in a world of faults, one seed a run (see `run`)."""
