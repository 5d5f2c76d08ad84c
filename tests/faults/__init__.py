"""Faults of the real world, injected on real processes, file systems and hosts; long campaigns run by argument."""
