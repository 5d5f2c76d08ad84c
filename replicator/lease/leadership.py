"""Decides whether this process leads: with the lease, or without it while its holder is stopped.

For one thread that calls `take` from time to time. A change is reported once.
"""

from __future__ import annotations

from replicator.lease.lease import Lease, StoppedLeader

STOPPED_LOOKS_MIN = 5
"""A leader seen stopped this many times in a row, a second apart, is passed over. A debugger's step is shorter."""


class Leadership:
    """The lease of the log whose lease file is at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._stopped_looks = 0
        self._told = ""

    def take(self) -> Lease | StoppedLeader | None:
        """The right to lead as long as it `holds()`; None: another process leads.

        Raises SidecarError, as `Lease.acquire`.
        """
        lease = Lease(self.path, locks_optional=True)
        if lease.acquire():
            self._stopped_looks = 0
            return lease
        stopped = StoppedLeader(self.path)
        self._stopped_looks = self._stopped_looks + 1 if stopped.acquire() else 0
        return stopped if self._stopped_looks >= STOPPED_LOOKS_MIN else None

    def news(self, lease: Lease | StoppedLeader) -> str:
        """A message about how the lease was obtained; empty if there is nothing new."""
        text = ""
        if isinstance(lease, StoppedLeader):
            pid = lease.holder.pid if lease.holder is not None else None
            text = f"the process that leads (pid {pid}) is stopped: this one replicates until it goes on"
        elif lease.unlocked:
            text = "this disk has no file locks: several processes may replicate this log at once, which costs requests"
        new, self._told = text != self._told, text
        return text if new else ""
