"""The lease: who may replicate a log, and which other processes hold its locks.

`lease` is the right to replicate one log; `leadership` decides whether this process leads; `other_processes` finds out
whether the holder of the lease or of the writers' lock is stopped. Nothing here blocks for longer than a quarter of a
second.
"""

from __future__ import annotations

from replicator.lease.leadership import Leadership
from replicator.lease.lease import Holder, Lease, LeasePort, StoppedLeader, lease_path

__all__ = ["Holder", "Leadership", "Lease", "LeasePort", "StoppedLeader", "lease_path"]
