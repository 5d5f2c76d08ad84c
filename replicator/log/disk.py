"""The system calls that a log needs, as a port: `Disk`, and the real one, `PosixDisk`.

No policy: every call does one thing and raises OSError. `testing.SimDisk` is the other implementation. Platform
differences are in this module only.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from replicator.errors import LogError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Not on every platform. O_NONBLOCK: opening a FIFO that stands in the log's place must not block for ever.
_CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_SURPRISE = _CLOSE_ON_EXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
READ = os.O_RDONLY | _NO_SURPRISE
APPEND = os.O_RDWR | os.O_APPEND | _NO_SURPRISE
"""Readable too: the last byte tells whether the log ends in a torn tail."""
CREATE = APPEND | os.O_CREAT | os.O_EXCL

LOCK_PAUSE_S_FIRST = 0.0002
LOCK_PAUSE_S_MAX = 0.005
"""A writer holds the lock for one write, without a sync: tens of microseconds."""
_NO_LOCKS_HERE = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_NO_DIRECTORY_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


class FileFacts(NamedTuple):
    """What stat says about a file, as far as a log is concerned."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    mode: int
    links: int = 1
    """Names that the file has; 0: it was removed or replaced, and only descriptors hold it."""


class Disk(Protocol):
    """The port. All calls raise OSError; none follows a symlink at the path's end."""

    def open(self, path: str, flags: int) -> int:
        """A descriptor; a created file has mode 0600."""

    def close(self, fd: int) -> None:
        """Close it, without unlocking what a forked parent still holds."""

    def fstat(self, fd: int) -> FileFacts:
        """The open file's facts."""

    def stat(self, path: str) -> FileFacts:
        """The facts of what the path names now."""

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """Up to `length` bytes; fewer only at the end of the file."""

    def write(self, fd: int, piece: bytes) -> int:
        """Append; how many bytes were taken, perhaps fewer than given."""

    def tell(self, fd: int) -> int:
        """Where the last write through this descriptor ended."""

    def ftruncate(self, fd: int, size: int) -> None:
        """Cut the file."""

    def fdatasync(self, fd: int) -> None:
        """Make the file's bytes and size durable."""

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""

    def lock(self, fd: int, path: str, wait_s: float) -> int | None:
        """Take the writers' lock of this log: what `unlock` needs; None if another process kept it for `wait_s`."""

    def unlock(self, held: int) -> None:
        """Give the lock back."""


class PosixDisk:
    """The real disk. On Windows (not tested there) a file beside the log carries the lock."""

    def open(self, path: str, flags: int) -> int:
        return os.open(path, flags, 0o600)

    def close(self, fd: int) -> None:
        os.close(fd)

    def fstat(self, fd: int) -> FileFacts:
        return _facts(os.fstat(fd))

    def stat(self, path: str) -> FileFacts:
        return _facts(os.lstat(path))

    def write(self, fd: int, piece: bytes) -> int:
        return os.write(fd, piece)

    def tell(self, fd: int) -> int:
        return os.lseek(fd, 0, os.SEEK_CUR)

    def ftruncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    if sys.platform == "win32":

        def pread(self, fd: int, length: int, offset: int) -> bytes:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.read(fd, length)

        def fdatasync(self, fd: int) -> None:
            os.fsync(fd)

        def sync_directory(self, path: str) -> None:
            """Nothing to do: NTFS journals names."""

        def lock(self, fd: int, path: str, wait_s: float) -> int | None:  # noqa: ARG002 (a file of its own is locked)
            held = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | _CLOSE_ON_EXEC, 0o600)
            if _within(wait_s, lambda: _byte_locked(held)):
                return held
            os.close(held)
            return None

        def unlock(self, held: int) -> None:
            os.lseek(held, 0, os.SEEK_SET)
            msvcrt.locking(held, msvcrt.LK_UNLCK, 1)
            os.close(held)

    else:

        def pread(self, fd: int, length: int, offset: int) -> bytes:
            piece = os.pread(fd, length, offset)
            if len(piece) in (0, length):
                return piece
            pieces = [piece]
            while piece:
                offset += len(piece)
                length -= len(piece)
                piece = os.pread(fd, length, offset)
                pieces.append(piece)
            return b"".join(pieces)

        def fdatasync(self, fd: int) -> None:
            # macOS has no fdatasync.
            getattr(os, "fdatasync", os.fsync)(fd)

        def sync_directory(self, path: str) -> None:
            try:
                fd = os.open(path or ".", os.O_RDONLY | _CLOSE_ON_EXEC)
            except PermissionError:
                # A directory that may be entered but not listed: there is no way to sync it.
                return
            try:
                os.fsync(fd)
            except OSError as error:
                # Some file systems (FUSE, SMB) know no such call for directories.
                if error.errno not in _NO_DIRECTORY_SYNC:
                    raise
            finally:
                os.close(fd)

        def lock(self, fd: int, path: str, wait_s: float) -> int | None:  # noqa: ARG002 (the log carries the lock)
            # Never lockf: any close of this file anywhere in the process would drop it.
            return fd if _within(wait_s, lambda: _flocked(fd)) else None

        def unlock(self, held: int) -> None:
            fcntl.flock(held, fcntl.LOCK_UN)


POSIX = PosixDisk()


def _within(wait_s: float, take: Callable[[], bool]) -> bool:
    """Whether the lock was taken in time. It is asked for again and again: no call of the system waits for so long."""
    deadline = time.monotonic() + wait_s
    pause_s = LOCK_PAUSE_S_FIRST
    while not take():
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 2, LOCK_PAUSE_S_MAX)
    return True


if sys.platform == "win32":

    def _byte_locked(held: int) -> bool:
        try:
            msvcrt.locking(held, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _flocked(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            # Some network disks have no locks. Single appends do not interleave without one.
            if error.errno not in _NO_LOCKS_HERE:
                raise
        return True


def _facts(found: os.stat_result) -> FileFacts:
    return FileFacts(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode, found.st_nlink)


def check_regular(facts: FileFacts, path: str) -> None:
    """Raise OSError unless this is a regular file."""
    if stat.S_ISDIR(facts.mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if stat.S_ISLNK(facts.mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    if not stat.S_ISREG(facts.mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def code_of(error: OSError) -> str:
    """The errno's name, such as ENOSPC."""
    return errno.errorcode.get(error.errno or 0, "UNKNOWN")


def in_words(error: OSError) -> str:
    """What happened, without paths: `no space left on device (ENOSPC)`."""
    return f"{(error.strerror or 'input/output error').lower()} ({code_of(error)})"


def hint_for(error: OSError) -> str:
    """What a person can do about it."""
    return _HINTS.get(code_of(error), "look at the log's path, its owner and its disk")


def unusable(error: OSError, path: str) -> LogError:
    """The exception for a log that cannot be used as one."""
    return LogError(f"the log {path} cannot be used: {in_words(error)}", hint=hint_for(error))


_HINTS = {
    "ENOENT": "create the directory of the log first",
    "ENOTDIR": "a part of the log's path is a file: name a directory that can hold the log",
    "EISDIR": "this is a directory: name the file inside it",
    "ELOOP": "this is a symlink: put the log itself there, or name the file that it points to",
    "EINVAL": "the log must be a regular file on a disk",
    "EACCES": "make the log and its directory accessible to this user (ls -ld shows owner and mode)",
    "EPERM": "the file is protected: look at its attributes (lsattr)",
    "EROFS": "the disk is mounted read-only: remount it for writing",
    "ENOSPC": "free some space on the disk, then try again",
    "EDQUOT": "the disk quota is used up: free some space, then try again",
    "EFBIG": "raise the limit on file sizes (ulimit -f)",
    "EMFILE": "this process has too many files open: close some or raise the limit (ulimit -n)",
    "ENFILE": "the machine has too many files open: close some",
    "EIO": "the disk reports errors: look at the kernel's log (dmesg) and save the data",
}
