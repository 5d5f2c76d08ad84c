"""The local auth log: when the cloud rejected the key, and when it accepted one again.

A person who finds replication paused can see since when in `<brain>/logs/replication-auth.log`, without a server. It
has one line per state change and mode 0600; no symlink is followed. Each line is one write on an O_APPEND descriptor,
and rotation happens under a lock, so no line of any process is lost. It never contains a key or header: whatever looks
like a key is masked.

Partner: `brain` passes `AuthLog` to its replicator as `on_notice`. It runs in that thread, never blocks and never
raises.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import stat
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from replicator.status import Notice
from replicator.wire import plain

DIRECTORY_NAME = "logs"
LOG_NAME = "replication-auth.log"
BYTES_MAX = 1024 * 1024
"""Size from which the log is rotated."""
KEPT = 3
"""Number of rotated logs that are kept: `.1` (newest) to `.3`."""
LINE_CHARACTERS_MAX = 1_000
LOCK_TRIES, LOCK_TRY_S = 20, 0.002
OPEN_TRIES = 5
FAILURES = frozenset({"denied", "no_key"})

_KEY = re.compile(r"(?i)\bg[dk]{0,2}_live_[\w\-]+|\bbearer\s+\S+|\bauthorization\s*[:=]\s*\S+")

log = logging.getLogger("gradata")


def auth_log_path(brain_dir: str) -> str:
    """The path of a brain's auth log."""
    return os.path.join(brain_dir, DIRECTORY_NAME, LOG_NAME)


def masked(text: str, key: str | None = None) -> str:
    """The text on one line without control characters, with `key` and anything that looks like a key masked."""
    if key:
        text = text.replace(key, "[key]")
    return plain(_KEY.sub("[key]", text), LINE_CHARACTERS_MAX)


class AuthLog:
    """A callback for notices that logs those about the key. One per replicator.

    `read_key` returns the present key, so that it can be masked. Safe from any thread and beside other processes. A
    write that fails is logged once by the logger `gradata`, and replication continues.
    """

    def __init__(
        self,
        brain_dir: str,
        *,
        read_key: Callable[[], str | None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.path = auth_log_path(brain_dir)
        self._read_key = read_key
        self._now = now
        self._refused = False
        self._told = False

    def __call__(self, notice: Notice) -> None:
        """Log the notice if a key was rejected, or if replication resumes after that."""
        if notice.code in FAILURES:
            self._refused = True
        elif notice.code == "recovered" and self._refused:
            self._refused = False
        else:
            return
        at = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = masked(f"{notice.text}; {notice.hint}" if notice.hint else notice.text, self._read_key())
        try:
            append(self.path, f"{at} pid={os.getpid()} {notice.code}: {said}\n".encode())
        except OSError as error:
            if not self._told:
                log.warning("the auth log %s cannot be written: %s", self.path, error.strerror or error)
            self._told = True


def append(path: str, line: bytes, *, bytes_max: int = BYTES_MAX) -> None:
    """Append one line with one write to the log at `path`, after rotating it if necessary. OSError on failure."""
    with _directory(os.path.dirname(path)) as at:
        for attempt in range(OPEN_TRIES):
            descriptor = at.open(os.path.basename(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                locked = _lock(descriptor)
                # While we waited for the lock, its holder may have moved this very file away.
                if locked and attempt < OPEN_TRIES - 1 and not at.names(os.path.basename(path), descriptor):
                    continue
                if locked and os.fstat(descriptor).st_size >= bytes_max and attempt < OPEN_TRIES - 1:
                    at.rotate(os.path.basename(path))
                    continue
                os.write(descriptor, line)
                return
            finally:
                os.close(descriptor)  # gives the lock back, too


class _directory:  # noqa: N801  (used as a function)
    """The directory of the log, made with mode 0700, open as a descriptor: no symlink in its place is followed."""

    _beside = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> _directory:
        with contextlib.suppress(FileExistsError):  # the usual case
            os.mkdir(self._path, 0o700)
        if self._beside:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def open(self, name: str, flags: int) -> int:
        for option in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # as far as this system has them
            flags |= getattr(os, option, 0)
        descriptor = os.open(self._place(name), flags, 0o600, dir_fd=self._descriptor)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            os.close(descriptor)
            raise OSError(errno.ELOOP, "it is no regular file, or has a second name", name)
        if found.st_mode & 0o077 and sys.platform != "win32":
            os.fchmod(descriptor, 0o600)
        return descriptor

    def names(self, name: str, descriptor: int) -> bool:
        """Whether the open file is still the one of this name."""
        try:
            there = os.stat(self._place(name), dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        ours = os.fstat(descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def rotate(self, name: str) -> None:
        """`name` becomes `name.1`, `name.1` becomes `name.2`, …; the last one goes."""
        names = [name, *(f"{name}.{number}" for number in range(1, KEPT + 1))]
        for older, newer in reversed(list(zip(names[1:], names[:-1], strict=True))):
            with contextlib.suppress(FileNotFoundError):  # not that many yet
                os.replace(
                    self._place(newer), self._place(older), src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor
                )

    def _place(self, name: str) -> str:
        return name if self._descriptor is not None else os.path.join(self._path, name)


def _lock(descriptor: int) -> bool:
    """Whether the lock was acquired. Without it the line is still written (one write), but nothing is rotated."""
    if sys.platform == "win32":  # no rotation there: a file that is open elsewhere cannot be renamed
        return False
    import fcntl

    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(LOCK_TRY_S)
        else:
            return True
    return False
