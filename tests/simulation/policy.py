"""Policies of simulated clients: the documented one with small batches, so that logs of few records have many."""

from dataclasses import replace

from replicator.model import Policy

POLICY = Policy(
    batch_bytes=8 * 1024,
    batch_bytes_first=2 * 1024,
    batch_bytes_min=1024,
    read_bytes_max=24 * 1024,
    record_bytes_max=64 * 1024,
    ceiling_successes=4,
)
LARGE_BATCHES = replace(POLICY, batch_bytes=128 * 1024, batch_bytes_first=64 * 1024, read_bytes_max=128 * 1024)
"""Over-long records travel among others, so that the cloud refuses them within a batch."""
