"""The lease: the right to replicate one log, held by at most one process of a machine.

It is a kernel lock on a file beside the log, so a holder that dies in any way gives it back at once; nobody looks at
pids. The file's text is for people. On disks that do not carry such locks between machines two may hold it: that is
wasteful, never wrong, because the cloud decides what is appended.

Asks and answers, waits for nothing. When to ask is the business of `loop`. A leader that is stopped (SIGSTOP, a
debugger) keeps its lock and sends nothing: then `StoppedLeader` stands in for the lease until it goes on.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from replicator.companions import companion_path
from replicator.errors import SidecarError
from replicator.lease.other_processes import is_stopped

_TEXT_BYTES_MAX = 4096
_PROBES_MAX = 20
"""How often an acquisition yields to a probe (`Lease.holder`) before it reports that the lease is taken."""
_PROBE_S = 0.001
_NO_LOCKS_HERE = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of the lease, as it wrote it; None for fields that cannot be read."""

    pid: int | None = None
    host: str | None = None
    since: str | None = None
    unlocked: bool = False
    """The disk has no file locks: only the text says who holds the lease, and its process is alive."""

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine: only then its pid is meaningful."""
        import socket  # for the host's name only

        return self.pid is not None and self.pid > 0 and self.host == socket.gethostname()


class LeasePort(Protocol):
    """The part of a lease that the loop uses; `replicator.testing.FreeLease` is the fake."""

    def acquire(self) -> bool: ...
    def holds(self) -> bool: ...
    def release(self) -> None: ...
    def abandon(self) -> None: ...


def lease_path(log_path: str) -> str:
    """The path of a log's lease: beside the log, and its own."""
    return companion_path(log_path, "lock")


class Lease:
    """The lease of one log, for one thread. Makes the file (0600, no symlink followed); never deletes it.

    Invariant: while `holds()` is true, no other process of this machine gets True from `acquire` for this path. With
    `locks_optional` a disk that knows no such locks (ENOLCK, ENOSYS: some NFS and Lustre mounts) gives the lease to
    whoever asks; `unlocked` says so.
    """

    def __init__(self, path: str, *, wall: Callable[[], float] = time.time, locks_optional: bool = False) -> None:
        self.path = path
        self.unlocked = False
        self._wall = wall
        self._locks_optional = locks_optional
        self._descriptor: int | None = None
        self._pid = 0

    def acquire(self) -> bool:
        """Take the lease if it is free. True if this process holds it now. Safe to repeat.

        Raises SidecarError if there can be no lease here: a symlink in its place, a read-only directory, or a disk
        without locks unless they are optional.
        """
        if self.holds():
            return True
        self.release()
        for _ in range(3):
            descriptor = _open(self.path, os.O_RDWR | os.O_CREAT)
            try:
                taken = _lock(descriptor, self.path)
            except NoLocksError as error:
                if not self._locks_optional:
                    os.close(descriptor)
                    raise _unusable(self.path, error.cause) from error
                self.unlocked = taken = True
            except SidecarError:
                os.close(descriptor)
                raise
            if not taken:
                os.close(descriptor)
                return False
            self._descriptor, self._pid = descriptor, os.getpid()
            if self.holds():
                self._sign()
                return True
            self.release()  # the file was replaced between opening and locking
        return False

    def holds(self) -> bool:
        """Whether this process still holds the lease, and its file is the one at the path."""
        if self._descriptor is None or self._pid != os.getpid():
            return False
        try:
            there = os.lstat(self.path)
        except OSError:  # deleted, moved, unreadable: whoever asks next may get a lock on another file
            return False
        ours = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        """Release the lease. Safe to repeat; in a forked child it only closes the parent's descriptor."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if self._pid == os.getpid() and not self.unlocked:
            _unlock(descriptor)  # not by closing alone: a forked child may have the descriptor still
        os.close(descriptor)

    def abandon(self) -> None:
        """In a forked child: close the descriptor without unlocking, which would free the parent's lease."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @staticmethod
    def holder(path: str) -> Holder | None:
        """The present holder of the lease at `path`, or None. For display: it may have changed already.

        Never creates the file. Takes the lock shared for microseconds; `acquire` yields to that.
        """
        try:
            descriptor = _open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            try:
                free = _lock(descriptor, path, shared=True)
            except NoLocksError:
                return _alive(_holder(os.read(descriptor, _TEXT_BYTES_MAX)))
            if free:
                _unlock(descriptor)
                return None
            return _holder(os.read(descriptor, _TEXT_BYTES_MAX))
        finally:
            os.close(descriptor)

    def _sign(self) -> None:
        import socket  # for the host's name only; loaded already wherever something is sent

        since = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}) + "\n"
        assert self._descriptor is not None
        try:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, text.encode())
        except OSError:
            return  # a full disk: the text is only for people, the lock holds without it


class StoppedLeader:
    """Stands in for the lease at `path` while the process that holds it is stopped: two leaders at worst.

    Two leaders are wasteful, never wrong: the cloud decides what is appended.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.holder: Holder | None = None

    def acquire(self) -> bool:
        """Whether the lease is held by a process of this machine that is stopped. Never raises."""
        try:
            self.holder = Lease.holder(self.path)
        except SidecarError:
            self.holder = None
        return self.holds()

    def holds(self) -> bool:
        """Whether that process is still stopped."""
        return self.holder is not None and self.holder.is_here and is_stopped(self.holder.pid or 0)

    def release(self) -> None:
        """Nothing is held."""

    def abandon(self) -> None:
        """Nothing is held."""


class NoLocksError(Exception):
    """The disk knows no such locks. Stays within this module."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _alive(holder: Holder) -> Holder | None:
    """Without locks only the text says who holds the lease: its process must be alive."""
    if not holder.is_here or holder.pid is None:
        return None
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # there, and another user's
    return replace(holder, unlocked=True)


def _open(path: str, flags: int) -> int:
    """FileNotFoundError only for a missing file that was not to be made; all else is a SidecarError."""
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # as far as this system has them
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags, 0o600)
        found = os.fstat(descriptor)
    except FileNotFoundError as error:
        if not flags & os.O_CREAT:
            raise
        raise _unusable(path, error) from error
    except OSError as error:
        raise _unusable(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise SidecarError(f"the lease {path} is no regular file", hint=f"ls -l '{path}', remove it")
    if flags & os.O_CREAT and stat.S_IMODE(found.st_mode) & 0o077 and sys.platform != "win32":
        with contextlib.suppress(PermissionError):  # another user's file: it locks all the same, and holds no secret
            os.fchmod(descriptor, 0o600)
    return descriptor


def _unusable(path: str, error: OSError) -> SidecarError:
    if error.errno == errno.ELOOP:
        return SidecarError(f"the lease {path} is a symlink; it is not followed", hint=f"ls -l '{path}', remove it")
    hint = f"let this user write there: ls -ld '{os.path.dirname(path)}'; df '{os.path.dirname(path)}'"
    return SidecarError(f"the lease {path} cannot be used: {error.strerror}", hint=hint)


def _holder(text: bytes) -> Holder:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return Holder()
    if not isinstance(found, dict):
        return Holder()
    pid, host, since = found.get("pid"), found.get("host"), found.get("since")
    return Holder(
        pid if isinstance(pid, int) else None,
        host if isinstance(host, str) else None,
        since if isinstance(since, str) else None,
    )


if sys.platform == "win32":
    import msvcrt

    _BYTE = 1 << 30
    """The byte that is locked: far behind the text, so that the text can be read while it is held."""

    def _lock(descriptor: int, path: str, *, shared: bool = False) -> bool:  # noqa: ARG001  (as below)
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, path: str, *, shared: bool = False) -> bool:
        for _ in range(_PROBES_MAX):
            if _flock(descriptor, path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
                return True
            if shared or not _flock(descriptor, path, fcntl.LOCK_SH):
                return False
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # only probes are there
            time.sleep(_PROBE_S)
        return False

    def _flock(descriptor: int, path: str, how: int) -> bool:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _NO_LOCKS_HERE:
                raise NoLocksError(error) from error
            raise _unusable(path, error) from error
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
