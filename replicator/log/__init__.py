"""The log on disk: durable appends, and reads at a cursor with the evidence that it is still the same log.

`disk` is the port: the few system calls that a log needs. `scan` finds records, holes and anchors in one open log.
`reading` is the replicator's side (`LogReader`), `appending` the writers' side (`LogWriter`); `replacing` puts a
restored file in a log's place. What follows from a finding is decided in `progress`.

Other programs write to the same log, some without a lock: so the content is trusted, never locks, inodes or times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicator.log.appending import Appended, LogTail, LogWriter
from replicator.log.disk import POSIX, Disk, FileFacts, PosixDisk

if TYPE_CHECKING:
    from replicator.log.reading import LogReader as LogReader
    from replicator.log.replacing import replace_log as replace_log

__all__ = ["POSIX", "Appended", "Disk", "FileFacts", "LogReader", "LogTail", "LogWriter", "PosixDisk", "replace_log"]


def __getattr__(name: str) -> object:
    """Load the other names when first used: a process that only appends, such as a hook, starts in half the time."""
    if name == "LogReader":
        from replicator.log.reading import LogReader

        return LogReader
    if name == "replace_log":
        from replicator.log.replacing import replace_log

        return replace_log
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
