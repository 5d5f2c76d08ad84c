"""How much of a store is only in its WAL, read from the WAL's index without a checkpoint.

The index is SQLite's own file (`-shm`), and POSIX takes all locks that a process has on a file away when the process
closes *any* descriptor of it (SQLite, "How To Corrupt An SQLite Database File", 2.2). Without its lock the store looks
abandoned: the next process that opens it, `gradata keys create` for one, cuts the index to nothing under the server's
feet, which dies of SIGBUS. So it is opened once, and closed behind the store's last connection, never before.
"""

from __future__ import annotations

import os
import sys

_HEADER_BYTES = 136


class WalIndex:
    """The index of the store at `path`. `close` only when this process has no connection to the store any more."""

    def __init__(self, path: str) -> None:
        self._path = f"{path}-shm"
        self._descriptor: int | None = None

    def unfolded_pages(self) -> int:
        """How many pages are in the WAL and not yet in the file; 0 if there is no index.

        SQLite's "WAL-mode File Format": mxFrame is at byte 16, nBackfill at byte 96, each 32 bits of this machine.
        Asking SQLite itself would be a checkpoint, and the WAL's size says nothing once it was large.
        """
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            except FileNotFoundError:
                return 0
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        header = os.read(self._descriptor, _HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            return 0
        written, folded = (int.from_bytes(header[at : at + 4], sys.byteorder) for at in (16, 96))
        return max(0, written - folded)

    def close(self) -> None:
        """Let go of the file. Safe to repeat."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
