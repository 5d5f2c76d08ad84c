"""Who may replicate a log, and which other processes keep its locks.

`lease` is the right to replicate one log, `leadership` who has it.
`other_processes` tells what the system knows of the process that holds the
lease or the writers' lock: whether it is stopped. Nothing here waits for longer than a quarter of a second.
"""

from __future__ import annotations

from replicator.lease.leadership import Leadership
from replicator.lease.lease import LEASE_NAME, Holder, Lease, LeasePort, StoppedLeader, lease_path

__all__ = ["LEASE_NAME", "Holder", "Leadership", "Lease", "LeasePort", "StoppedLeader", "lease_path"]
