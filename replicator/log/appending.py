"""Appends records to the log, durably; used by every writer of this library.

An append ends a torn record of another writer, never leaves one itself, and reports whether the record is durable. The
lock keeps these writers (and those of 0.7.x) from truncating or ending one another's work. Old writers take no lock, so
every step also holds when one of them appends in between.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from replicator.errors import AppendError, LogError, NotDurableError
from replicator.log.disk import (
    APPEND,
    CREATE,
    POSIX,
    Disk,
    check_regular,
    hint_for,
    in_words,
    unusable,
)

REOPENS_MAX = 100
LOCK_WAIT_S = 1.0
"""Seconds to wait for the lock. A writer holds it for one write; one that holds it longer is stopped, and must not stop
the others.
"""
log = logging.getLogger("replicator")
_NO_LOG_AT_ALL = frozenset({errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.ENOENT, errno.ENOTDIR})


@dataclass(frozen=True, slots=True)
class Appended:
    """The place of the record. `ended_torn_tail`: a piece left by a crashed writer is now a record of its own."""

    offset: int
    length: int
    ended_torn_tail: bool


@dataclass(frozen=True, slots=True)
class LogTail:
    """The log while its writer holds the lock: its size in bytes, which file it is (device, inode), and what it holds:
    `read(offset, length)`, which raises OSError."""

    size: int
    identity: tuple[int, int]
    read: Callable[[int, int], bytes]


Unless = Callable[[LogTail], bool]


def _never(_: LogTail) -> bool:
    return False


@dataclass(slots=True)
class _Opened:
    """One open log of this process. Closed when it is no longer the current one and nobody syncs through it."""

    fd: int
    device: int
    inode: int
    name_synced: bool = False
    """Whether the directory was synced since it was opened: who created the log may not have done so."""
    users: int = 0


class LogWriter:
    """Appends to one log. Safe to use from several threads, and in a forked child.

    `suspect` is the reason if the disk once failed to make a record durable. `lock_missed`: another process held the
    writers' lock for LOCK_WAIT_S, so records are appended without it, as old writers do; from then on the lock is tried
    without waiting until it is free.
    """

    def __init__(self, path: str, disk: Disk = POSIX) -> None:
        self.path = path
        self.suspect: str | None = None
        self.lock_missed = False
        self._disk = disk
        self._mutex = threading.Lock()
        self._pid = os.getpid()
        self._current: _Opened | None = None

    def append(self, record: bytes) -> Appended:
        """Append one record and make it durable.

        AppendError: no part of it is in the log. NotDurableError: it is in the log and will be replicated, but the disk
        did not confirm that it is durable; do not append it again. LogError: this path is no log. ValueError: it is not
        one record, which has exactly one newline, at its end; nothing was written.
        """
        appended = self.append_unless(record, _never)
        assert appended is not None
        return appended

    def append_unless(self, record: bytes, unless: Unless) -> Appended | None:
        """As `append`, but first ask `unless`, under the log's lock, whether to leave the record out.

        None: it was left out, and what the log holds is durable. A torn tail is ended then, too, since that may be
        what was found. What `unless` raises is raised on, and nothing is appended.
        """
        if record.find(b"\n") != len(record) - 1 or not record:
            raise ValueError("a record has exactly one newline, at its end")
        return self._append(record, unless)

    def append_run(self, records: bytes) -> Appended:
        """Append whole records in one write: as `append`, all of them or none."""
        if not records.endswith(b"\n"):
            raise ValueError("whole records end with a newline")
        appended = self._append(records, _never)
        assert appended is not None
        return appended

    def _append(self, record: bytes, unless: Unless) -> Appended | None:
        if self._pid != os.getpid():
            self._begin_anew_in_child()
        opened = None
        try:
            with self._mutex:
                opened, held = self._locked()
                opened.users += 1
                try:
                    appended = None
                    if unless is _never or not unless(self._tail(opened)):
                        appended = self._write(opened.fd, record)
                    elif self._ends_torn(opened.fd):
                        self._write(opened.fd, b"")
                finally:
                    self._unlock(opened, held)
            # Outside the lock, so that writers who wait for the disk share one flush.
            self._make_durable(opened)
        finally:
            if opened is not None:
                with self._mutex:
                    opened.users -= 1
                    self._close_if_unused(opened)
        return appended

    def close(self) -> None:
        """Close the descriptor. A later append opens the log again."""
        with self._mutex:
            opened, self._current = self._current, None
            if opened is not None:
                self._close_if_unused(opened)

    def _locked(self) -> tuple[_Opened, int | None]:
        """The log that the path names now, and its lock, if it can be had."""
        try:
            for _ in range(REOPENS_MAX):
                opened = self._current or self._open()
                self._current = opened
                held = self._disk.lock(opened.fd, self.path, 0.0 if self.lock_missed else LOCK_WAIT_S)
                self._note_lock(missed=held is None)
                current = False
                try:
                    current = self._is_current(opened)
                finally:
                    if not current:
                        self._unlock(opened, held)
                if current:
                    return opened, held
                self._current = None
                self._close_if_unused(opened)
        except OSError as error:
            if error.errno in _NO_LOG_AT_ALL:
                raise unusable(error, self.path) from error
            raise self._not_appended(error) from error
        raise LogError(
            f"the log {self.path} was replaced {REOPENS_MAX} times while it was opened",
            hint="stop the program that replaces it",
        )

    def _note_lock(self, *, missed: bool) -> None:
        if missed and not self.lock_missed:
            log.warning("the lock of the log is kept by another process, which may be stopped; appending without it")
        self.lock_missed = missed

    def _is_current(self, opened: _Opened) -> bool:
        try:
            facts = self._disk.stat(self.path)
        except FileNotFoundError:
            return False
        except OSError:
            # The path cannot be looked at now (EACCES, EIO): the log that is open is the best there is, unless it
            # has no name any more. Then another one took its place, and nobody would ever read what is put here.
            return self._disk.fstat(opened.fd).links > 0
        return (facts.device, facts.inode) == (opened.device, opened.inode)

    def _open(self) -> _Opened:
        try:
            fd = self._disk.open(self.path, APPEND)
        except FileNotFoundError:
            try:
                fd = self._disk.open(self.path, CREATE)
            except FileExistsError:
                fd = self._disk.open(self.path, APPEND)
        try:
            facts = self._disk.fstat(fd)
            check_regular(facts, self.path)
        except OSError:
            self._close(fd)
            raise
        return _Opened(fd, facts.device, facts.inode)

    def _write(self, fd: int, record: bytes) -> Appended:
        written = 0
        torn = False
        try:
            torn = self._ends_torn(fd)
            piece = b"\n" + record if torn else record
            while written < len(piece):
                # A full disk takes a part of it without an error; only the next write tells.
                taken = self._disk.write(fd, piece[written:] if written else piece)
                if taken == 0:
                    raise OSError(errno.EIO, "the disk took nothing")
                written += taken
        except OSError as error:
            # The newline that ended another's torn tail stays: a reader may have sent that record already.
            remains = self._cut_back(fd, written - 1 if torn else written)
            raise self._not_appended(error, remains=remains) from error
        try:
            return Appended(self._disk.tell(fd) - len(record), len(record), torn)
        except OSError as error:
            raise self._not_durable(error) from error

    def _tail(self, opened: _Opened) -> LogTail:
        def read(offset: int, length: int) -> bytes:
            return self._disk.pread(opened.fd, length, offset)

        return LogTail(self._disk.fstat(opened.fd).size, (opened.device, opened.inode), read)

    def _ends_torn(self, fd: int) -> bool:
        size = self._disk.fstat(fd).size
        return size > 0 and self._disk.pread(fd, 1, size - 1) != b"\n"

    def _cut_back(self, fd: int, length: int) -> bool:
        """Take back the last `length` bytes written here; whether some remain, as a torn tail."""
        if length <= 0:
            return False
        try:
            end = self._disk.tell(fd)
            if self._disk.fstat(fd).size != end:
                # A writer without the lock appended behind it: cutting would take its record.
                return True
            self._disk.ftruncate(fd, end - length)
        except OSError:
            # The error of the write is the one that is told; the next append ends the torn tail.
            return True
        return False

    def _make_durable(self, opened: _Opened) -> None:
        try:
            self._disk.fdatasync(opened.fd)
            if not opened.name_synced:
                self._disk.sync_directory(os.path.dirname(self.path))
                opened.name_synced = True
        except OSError as error:
            raise self._not_durable(error) from error

    def _not_durable(self, error: OSError) -> NotDurableError:
        self.suspect = f"the disk refused to make the log durable: {in_words(error)}"
        return NotDurableError(
            f"the record is in the log {self.path}, but may not survive a power cut: {in_words(error)}",
            hint=hint_for(error),
        )

    def _unlock(self, opened: _Opened, held: int | None) -> None:
        """Give the lock back, whatever happens: what was written stands, and its caller must be told so."""
        if held is None:
            return
        try:
            self._disk.unlock(held)
        except OSError:
            # Closing gives it back too, at the latest when nobody syncs through this descriptor any more.
            if opened is self._current:
                self._current = None

    def _not_appended(self, error: OSError, *, remains: bool = False) -> AppendError:
        rest = "; a torn piece remains and is ended by the next append" if remains else ""
        return AppendError(
            f"the record was not appended to the log {self.path}: {in_words(error)}{rest}", hint=hint_for(error)
        )

    def _close_if_unused(self, opened: _Opened) -> None:
        if opened is not self._current and opened.users == 0:
            self._close(opened.fd)

    def _close(self, fd: int) -> None:
        # The descriptor is gone even so, and what a failing close could tell of the data, fdatasync told before.
        with contextlib.suppress(OSError):
            self._disk.close(fd)

    def _begin_anew_in_child(self) -> None:
        """In a forked child: the inherited mutex may be held for ever, and the descriptor shares its lock.

        Closing does not unlock what the parent holds.
        """
        opened, self._current = self._current, None
        self._mutex = threading.Lock()
        self._pid = os.getpid()
        if opened is not None:
            self._close(opened.fd)
