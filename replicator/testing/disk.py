"""A disk in memory that can be cut off, filled and made to fail.

The log's reader and writer run on it unchanged. All chance comes from the given `random.Random`, so a seed names a
run. Not thread-safe: whoever runs several writers on it decides who is next.
"""

from __future__ import annotations

import errno
import os
import random
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from replicator.log.disk import FileFacts

PAGE_BYTES = 4096


@dataclass(slots=True, eq=False)
class SimFile:
    """One inode: what programs see, and what the disk would hold after a power cut."""

    inode: int
    seen: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    rewritten: bool = False
    """Bytes that were durable already have changed: the next sync is one of the whole file."""
    name_durable: bool = False
    mtime_ns: int = 0
    mode: int = stat.S_IFREG | 0o600
    locked_by: int | None = None
    dropped: list[slice] = field(default_factory=list)
    """Bytes that the disk once failed to take, and which Linux then holds to be clean."""


@dataclass(slots=True)
class _Descriptor:
    file: SimFile
    place: int = 0


@dataclass(slots=True)
class _Fault:
    code: int
    times: int


class SimDisk:
    """A `log.Disk` in memory.

    Between `write` and `fdatasync` bytes are seen by all but not durable; `power_cut` loses, tears or blanks
    them page by page. `fail` makes calls raise; after a failed `fdatasync` the next one succeeds although the
    bytes never reach the disk, as Linux does it. `between_pages` is called while a longer write is half visible.
    """

    def __init__(self, rng: random.Random, *, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.short_write_chance = 0.0
        self.between_pages: Callable[[], None] | None = None
        self.calls: Counter[str] = Counter()
        """How often each call was made."""
        self._rng = rng
        self._files: dict[str, SimFile] = {}
        self._open: dict[int, _Descriptor] = {}
        self._faults: dict[str, _Fault] = {}
        self._inodes = 0
        self._descriptors = 100
        self._ticks = 0

    # ------------------------------------------------------------ what tests and simulations do to it

    def fail(self, call: str, code: int, *, times: int = 1) -> None:
        """Let the next `times` calls of this name raise this errno."""
        assert hasattr(self, call)
        self._faults[call] = _Fault(code, times)

    def content(self, path: str) -> bytes:
        """What programs see in the file; empty if there is none."""
        return bytes(self._files[path].seen) if path in self._files else b""

    def durable(self, path: str) -> bytes:
        """What is certain to be there after a power cut."""
        return bytes(self._files[path].durable) if path in self._files else b""

    def piece(self, path: str, offset: int, length: int) -> bytes:
        """What programs see at one place of the file; `content` copies all of it."""
        return bytes(self._files[path].seen[offset : offset + length]) if path in self._files else b""

    def size(self, path: str) -> int:
        """How many bytes programs see; 0 if there is no file."""
        return len(self._files[path].seen) if path in self._files else 0

    def append_unlocked(self, path: str, piece: bytes) -> None:
        """As an old writer does it: one write, no lock, no sync."""
        self._put(self._files.get(path) or self._create(path), piece)

    def overwrite(self, path: str, content: bytes) -> None:
        """Truncate the file and write it again: the same inode."""
        file = self._files.get(path) or self._create(path)
        file.seen[:] = content
        file.rewritten = True
        file.dropped.clear()
        self._touch(file)

    def replace(self, path: str, content: bytes, *, same_inode: bool = False) -> None:
        """Rename another file over this one, durably; `same_inode`: its number was free and is used again."""
        old = self._files.get(path)
        file = self._create(path)
        if same_inode and old is not None:
            file.inode = old.inode
        file.seen[:] = content
        file.durable[:] = content
        file.name_durable = True

    def remove(self, path: str) -> None:
        """Unlink."""
        self._files.pop(path, None)

    def plant(self, path: str, kind: int) -> None:
        """Put a directory or symlink (`stat.S_IFDIR`, `stat.S_IFLNK`) there."""
        self._create(path).mode = kind | 0o700

    def process_dies(self) -> None:
        """All descriptors are closed and their locks dropped; what was written stays seen."""
        for fd in list(self._open):
            self._release(fd)

    def power_cut(self) -> None:
        """The machine loses power: unsynced bytes survive, vanish, are torn, or come back as NULs."""
        self.process_dies()
        for path, file in list(self._files.items()):
            if not file.name_durable and self._rng.random() < 0.5:
                del self._files[path]
                continue
            file.seen[:] = self._survivor(file)
            file.durable[:] = file.seen
            file.rewritten = False
            file.dropped.clear()
            file.name_durable = True

    # ------------------------------------------------------------ the port

    def open(self, path: str, flags: int) -> int:
        """As `os.open`."""
        self._call("open")
        file = self._files.get(path)
        if file is not None and flags & os.O_CREAT and flags & os.O_EXCL:
            raise _error(errno.EEXIST)
        if file is None:
            if not flags & os.O_CREAT:
                raise _error(errno.ENOENT)
            file = self._create(path)
        if stat.S_ISLNK(file.mode):
            raise _error(errno.ELOOP)
        if stat.S_ISDIR(file.mode) and flags & os.O_RDWR:
            raise _error(errno.EISDIR)
        self._descriptors += 1
        self._open[self._descriptors] = _Descriptor(file)
        return self._descriptors

    def close(self, fd: int) -> None:
        """As `os.close`; drops the lock."""
        self.calls["close"] += 1
        self._release(fd)

    def fstat(self, fd: int) -> FileFacts:
        """As `os.fstat`."""
        self._call("fstat")
        return self._facts(self._open[fd].file)

    def stat(self, path: str) -> FileFacts:
        """As `os.lstat`."""
        self._call("stat")
        if path not in self._files:
            raise _error(errno.ENOENT)
        return self._facts(self._files[path])

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """As `os.pread`."""
        self._call("pread")
        return bytes(self._open[fd].file.seen[offset : offset + length])

    def write(self, fd: int, piece: bytes) -> int:
        """As `os.write` on an append-only descriptor: short when the disk fills up, or by chance."""
        self._call("write")
        taken = len(piece)
        if taken > 1 and self._rng.random() < self.short_write_chance:
            taken = self._rng.randrange(1, taken)
        if self.capacity_bytes is not None:
            free = self.capacity_bytes - sum(len(file.seen) for file in self._files.values())
            if free <= 0:
                raise _error(errno.ENOSPC)
            taken = min(taken, free)
        descriptor = self._open[fd]
        for start in range(0, taken, PAGE_BYTES):
            if start and self.between_pages is not None:
                self.between_pages()
            self._put(descriptor.file, piece[start : min(start + PAGE_BYTES, taken)])
        descriptor.place = len(descriptor.file.seen)
        return taken

    def tell(self, fd: int) -> int:
        """As `os.lseek(fd, 0, SEEK_CUR)`."""
        self._call("tell")
        return self._open[fd].place

    def ftruncate(self, fd: int, size: int) -> None:
        """As `os.ftruncate`, to a smaller size."""
        self._call("ftruncate")
        file = self._open[fd].file
        del file.seen[size:]
        file.rewritten = file.rewritten or size < len(file.durable)
        file.dropped = [slice(lost.start, min(lost.stop, size)) for lost in file.dropped if lost.start < size]
        self._touch(file)

    def fdatasync(self, fd: int) -> None:
        """As `os.fdatasync`."""
        file = self._open[fd].file
        try:
            self._call("fdatasync")
        except OSError:
            file.dropped.append(slice(len(file.durable), len(file.seen)))
            raise
        start = 0 if file.rewritten else len(file.durable)
        file.durable[start:] = file.seen[start:]
        for lost in file.dropped:
            file.durable[lost] = bytes(len(file.durable[lost]))
        file.dropped.clear()
        file.rewritten = False

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        self._call("sync_directory")
        for name, file in self._files.items():
            if os.path.dirname(name) == path:
                file.name_durable = True

    def lock(self, fd: int, path: str, wait_s: float) -> int | None:  # noqa: ARG002 (the port names all)
        """As `flock`. Nobody waits here: a lock that is held is held for as long as anybody would wait."""
        self._call("lock")
        file = self._open[fd].file
        if file.locked_by not in (None, fd):
            return None
        file.locked_by = fd
        return fd

    def unlock(self, held: int) -> None:
        """As `flock(LOCK_UN)`."""
        self.calls["unlock"] += 1
        self._open[held].file.locked_by = None

    # ------------------------------------------------------------ inside

    def _call(self, name: str) -> None:
        self.calls[name] += 1
        fault = self._faults.get(name)
        if fault is not None:
            fault.times -= 1
            if fault.times == 0:
                del self._faults[name]
            raise _error(fault.code)

    def _facts(self, file: SimFile) -> FileFacts:
        links = sum(one is file for one in self._files.values())
        return FileFacts(1, file.inode, len(file.seen), file.mtime_ns, file.mode, links)

    def _create(self, path: str) -> SimFile:
        self._inodes += 1
        file = self._files[path] = SimFile(self._inodes)
        self._touch(file)
        return file

    def _touch(self, file: SimFile) -> None:
        self._ticks += 1
        file.mtime_ns = self._ticks

    def _put(self, file: SimFile, piece: bytes) -> None:
        file.seen += piece
        self._touch(file)

    def _release(self, fd: int) -> None:
        file = self._open.pop(fd).file
        if file.locked_by == fd:
            file.locked_by = None

    def _survivor(self, file: SimFile) -> bytes:
        seen = bytes(file.seen)
        if seen == file.durable or self._rng.random() < 0.25:
            return seen
        if not seen.startswith(file.durable):
            return bytes(file.durable)
        end = self._rng.randrange(len(file.durable), len(seen) + 1)
        survivor = bytearray(seen[:end])
        for start in range(len(file.durable) // PAGE_BYTES * PAGE_BYTES, end, PAGE_BYTES):
            if self._rng.random() < 0.25:
                lost = slice(max(start, len(file.durable)), min(start + PAGE_BYTES, end))
                survivor[lost] = bytes(lost.stop - lost.start)
        return bytes(survivor)


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
