"""The files of a sidecar: paths, creation without following links, opening, checks, setting aside, error texts.

Knows the ways in which SQLite and the system fail; `store` only decides when to call.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import time
import weakref
from urllib.parse import quote

from replicator.companions import companion_path
from replicator.errors import SidecarError
from replicator.sidecar.port import DEAD_LETTERS_READ_MAX
from replicator.sidecar.rows import (
    SCHEMA,
    SCHEMA_VERSION,
    Unusable,
    one_row,
    read_asked,
    read_letters,
    read_standing,
    read_status,
    version_of,
)

BUSY_S = 2.0
"""Seconds that a call waits for another process's transaction before it raises."""
SET_ASIDE_MAX = 9
"""Maximum number of unusable files that are kept; the last one is replaced by a newer one."""

PARTS = ("-wal", "-shm", "-journal", "")
"""The files of one database. The database itself last: moved first, it would leave its WAL to its successor."""
CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def sidecar_path(log_path: str) -> str:
    """Where the sidecar of a log is: beside it, and its own."""
    return companion_path(log_path, "db")


def connect(path: str, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode that waits at most BUSY_S for others."""
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?{mode}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Bring a connection to the present schema and see that everything in the file can be read."""
    version = version_of(connection)
    if version > SCHEMA_VERSION:
        raise Unusable(f"it is of schema {version}, this version knows {SCHEMA_VERSION}")
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 1048576")
    if version == 0:
        connection.execute("BEGIN IMMEDIATE")
        if version_of(connection) == 0:  # nobody else was faster
            if one_row(connection, "SELECT count(*) FROM sqlite_master")[0]:
                connection.execute("ROLLBACK")
                raise Unusable("it is another program's database")
            for statement in SCHEMA:
                connection.execute(statement)
        connection.execute("COMMIT")
    verdict = one_row(connection, "PRAGMA quick_check(1)")[0]
    if verdict != "ok":
        raise Unusable(f"quick_check: {verdict}")
    try:
        read_standing(connection)
        read_status(connection)
        read_asked(connection)
        read_letters(connection, "id > ?", 0, DEAD_LETTERS_READ_MAX)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            raise Unusable(str(error)) from error
        raise


def _use_wal(connection: sqlite3.Connection) -> None:
    """A file system without shared memory stays with a rollback journal: slower, as safe."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:  # SQLite does not wait here when two open a new file at once
            if error.sqlite_errorcode & 0xFF not in BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.002)


def create(path: str) -> None:
    """Make an empty file with mode 0600; SQLite would make it 0644. An existing one is never opened here:
    closing it again would drop the POSIX locks that other connections of this process hold on it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        return


def refuse_planted(path: str, *, tighten: bool = False) -> None:
    """SidecarError if one of the database files is a link, or no plain file; `tighten`: mend its mode."""
    for part in PARTS:
        try:
            found = os.lstat(path + part)
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode):
            raise unusable_error(
                path + part, "it is no regular file but a link or a device", f"ls -l '{path + part}', remove it"
            )
        if tighten and stat.S_IMODE(found.st_mode) & 0o077 and sys.platform != "win32":
            os.chmod(path + part, 0o600)


def identity(path: str) -> tuple[int, int] | None:
    """Device and inode of the file; None if there is none."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def wal_bytes(path: str) -> int:
    """Size of the WAL in bytes."""
    return os.path.getsize(path + "-wal") if os.path.exists(path + "-wal") else 0


def free_name(path: str) -> str:
    """The first free name for a file that is set aside."""
    names = [f"{path}.set-aside-{number}" for number in range(1, SET_ASIDE_MAX + 1)]
    return next((name for name in names if not os.path.lexists(name)), names[-1])


class only_one:  # noqa: N801  (used as a function)
    """Between processes that found the same file unusable, one moves it; the others then see that it moved."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._descriptor = -1

    def __enter__(self) -> None:
        if sys.platform == "win32":  # an open file cannot be moved there: the loser of the race gets an OSError
            return
        import fcntl

        self._descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(self._descriptor)
                    raise
            time.sleep(0.002)

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def close_with(owner: object, connection: sqlite3.Connection) -> weakref.finalize[..., object]:
    """Close it with its owner. Detach the result once it is closed.

    From Python 3.13 on a connection that nobody closed is a ResourceWarning. In a forked child it is never closed, and
    neither at the interpreter's end: a daemon thread may be inside SQLite then, which closing would pull from under it.
    """
    finalizer = weakref.finalize(owner, _close_own, connection, os.getpid())
    finalizer.atexit = False
    return finalizer


def _close_own(connection: sqlite3.Connection, pid: int) -> None:
    if pid == os.getpid():
        connection.close()
    else:
        leak(connection)


def leak(connection: sqlite3.Connection) -> None:
    """Never close this connection, not even when the interpreter ends: another file or process would suffer."""
    import ctypes  # only here, where it is rare

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


class translated:  # noqa: N801  (used as a function)
    """Foreign errors become SidecarError, with the file's name and what helps."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            hint, code = _hint(error, self._path), ""
            if not hint:
                hint, code = "look at the disk and at this file", "sidecar_unusable"
            raise unusable_error(self._path, str(error), hint, code) from error
        if isinstance(error, Unusable):
            raise unusable_error(
                self._path, str(error), "the replicator sets it aside by itself when it starts"
            ) from error
        if isinstance(error, OSError):
            hint = f"look at its directory: ls -ld '{os.path.dirname(self._path)}'; df"
            raise unusable_error(self._path, error.strerror or str(error), hint) from error


def _hint(error: sqlite3.Error, path: str) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in BUSY:
        return f"another process holds it; which one: fuser '{path}'. It is tried again"
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return f"make room on this disk: df '{os.path.dirname(path)}'. Replication goes on without it"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"let this user write there: ls -ld '{os.path.dirname(path)}'"
    return ""


def unusable_error(path: str, reason: str, hint: str, code: str = "") -> SidecarError:
    """The error for people: which file, why, and what to do."""
    return SidecarError(f"the sidecar {path} cannot be used: {reason}", hint=hint, code=code)
