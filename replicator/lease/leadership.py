"""Who leads: this process with the lease, or, while the process that holds it is stopped, without it.

For one thread, which asks `take` now and then. What is unusual about an answer is told once.
"""

from __future__ import annotations

from replicator.lease.lease import Lease, StoppedLeader

STOPPED_LOOKS_MIN = 5
"""A leader that was seen stopped so often in a row, a second apart, is passed over. A debugger's step is shorter."""


class Leadership:
    """The lease of the log whose lease file is at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._stopped_looks = 0
        self._told = ""

    def take(self) -> Lease | StoppedLeader | None:
        """What gives the right to lead as long as it `holds()`; None: another process leads.

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
        """What a person should know of how `lease` came to be, in words; empty where there is nothing new."""
        text = ""
        if isinstance(lease, StoppedLeader):
            pid = lease.holder.pid if lease.holder is not None else None
            text = f"the process that leads (pid {pid}) is stopped: this one replicates until it goes on"
        elif lease.unlocked:
            text = "this disk has no file locks: several processes may replicate this log at once, which costs requests"
        new, self._told = text != self._told, text
        return text if new else ""
