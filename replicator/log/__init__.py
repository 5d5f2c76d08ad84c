"""The log on disk: appended to, and read at a cursor with the evidence that it is still the same log.

`disk` is the port: the few calls of the operating system that a log needs. `scan` knows what one open
log holds: records, holes, anchors. `reading` is the replicator's side (`LogReader`), `appending` that of every
writer of ours (`LogWriter`); `replacing` puts a restored file in a log's place. None decides what follows from what
it finds: that is `progress`.

Other programs write to the same log, some without any lock: so content is trusted, never locks, inodes or times.
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
    """The others, loaded when first asked for: who only appends, as a hook does, starts in half the time."""
    if name == "LogReader":
        from replicator.log.reading import LogReader

        return LogReader
    if name == "replace_log":
        from replicator.log.replacing import replace_log

        return replace_log
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
