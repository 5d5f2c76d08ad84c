"""The projection system.db: every event of the log once, in the tables that older versions read and write.

The cursor (`gradata_projection`) is in system.db and moves in the same transaction as the rows, so the two always
agree. Opening costs O(new records). If the log no longer continues what was projected, the cursor goes back to 0 and
everything is projected again; rows are never deleted, least of all those that others wrote. Partners: `schema`
(tables), `replicator.log` (reads), `brain` (queries).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, cast

from gradata.brain.fork_safe import PerProcess
from gradata.brain.projection.rows import COLUMNS_SHOWN, Projector, shown
from gradata.brain.projection.schema import prepare
from gradata.config.private_directories import make_private
from gradata.errors import ProjectionError
from replicator.errors import LogError
from replicator.log import POSIX, LogReader
from replicator.log.disk import READ
from replicator.model import Batch, Hole
from replicator.sidecar.file import close_with

BATCH_BYTES = 1024 * 1024
"""What one transaction takes in; other writers of system.db get their turn in between."""
BATCH_BYTES_HASTY = 64 * 1024
"""The same when the caller has a deadline."""
RECORD_BYTES_MAX = 16 * 1024 * 1024
"""A longer record is skipped and counted: it is no event that anyone could query."""
ANCHOR_BYTES_MAX = 4096
BUSY_TIMEOUT_S = 0.25
RETRY_S = 0.005
QUERY_ROWS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class ProjectionPlace:
    """The position of the projection: `size` records before `offset`, of which `skipped` are no events.

    `anchor` is the SHA-256 of the last `anchor_length` bytes before the offset.
    """

    offset: int = 0
    size: int = 0
    skipped: int = 0
    anchor_length: int = 0
    anchor: bytes = b""


class Projection:
    """The projection of one brain's log. Thread-safe; each process gets a connection of its own, kept open.

    `db_path` is asked before each use: the SDK may begin to encrypt the brain, and then the place is another one.

    Every method raises ProjectionError when system.db cannot be used now, and then has changed nothing.
    """

    def __init__(
        self, db_path: Callable[[], str], log_path: str, *, brain_id: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._db_path = db_path
        self._log_path = log_path
        self._reader = LogReader(log_path)
        self._projector = Projector(brain_id)
        self._clock = clock
        self._process = PerProcess(_Open)

    def catch_up(self, limit_s: float | None = None) -> int:
        """Project the records after the cursor. Returns how many were processed.

        With a limit it stops at the first batch that ends after it; at least one batch is processed, so repeated calls
        make progress. Safe to repeat. Memory is bounded by one batch, or one record.
        """
        deadline_s = None if limit_s is None else self._clock() + limit_s
        bytes_max = BATCH_BYTES if limit_s is None else BATCH_BYTES_HASTY
        passed = 0
        with self._connection() as connection:
            while count := self._step(connection, bytes_max):
                passed += count
                if deadline_s is not None and self._clock() >= deadline_s:
                    break
        return passed

    @property
    def caught_up(self) -> bool:
        """Whether there is no whole record after the cursor, as of the last `catch_up` in this process."""
        return self._process.own().caught_up

    def row_of(self, event_id: str) -> int | None:
        """The row of the event, if it is the one that was added last by this object."""
        newest_id, row = self._projector.newest
        return row if newest_id == event_id else None

    def place(self) -> ProjectionPlace:
        """Where the projection stands."""
        with self._connection() as connection:
            return _place(connection)

    def query(
        self, event_type: str | None, session: int | None, last_n_sessions: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """Events, last projected first, as dicts; at most QUERY_ROWS_MAX. Does not catch up by itself."""
        with self._connection() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS_SHOWN} FROM events e LEFT JOIN gradata_identity g ON g.event_row = e.id"  # noqa: S608 -- constants
                " WHERE (?1 IS NULL OR e.type = ?1) AND (?2 IS NULL OR e.session = ?2)"
                " AND (?3 IS NULL OR e.session > (SELECT max(session) - ?3 FROM events))"
                " ORDER BY e.id DESC LIMIT ?4",
                (event_type, session, last_n_sessions, min(limit, QUERY_ROWS_MAX)),
            )
            return [shown(row) for row in rows]

    def last_ended_session(self) -> int:
        """The highest session that a SESSION_END closed; 0: none."""
        with self._connection() as connection:
            (last,) = connection.execute("SELECT max(session) FROM events WHERE type = 'SESSION_END'").fetchone()
        return last if isinstance(last, int) and last > 0 else 0

    def count(self, event_type: str, session: int) -> int:
        """How many events of a type a session has."""
        with self._connection() as connection:
            found = connection.execute(
                "SELECT count(*) FROM events WHERE type = ? AND session = ?", (event_type, session)
            )
            return int(found.fetchone()[0])

    def close(self) -> None:
        """Close this process's connection. Safe to repeat; the next call opens another."""
        own = self._process.own()
        with own.lock:
            own.close()

    # ------------------------------------------------------------ one transaction

    def _step(self, connection: sqlite3.Connection, bytes_max: int) -> int:
        """One batch: its rows and the cursor behind it, or nothing at all. Returns its records."""
        own = self._process.own()
        own.caught_up = self._is_caught_up(connection)
        if own.caught_up:
            return 0
        with _transaction(connection):
            place = self._checked(_place(connection))
            load = self._next(place, bytes_max)
            if load is None:  # a write in progress: nothing whole yet
                own.caught_up = True
                return 0
            if isinstance(load, Batch):
                skipped = sum(not self._projector.project(connection, record) for record in load.records())
            else:
                skipped = 1
            _move(connection, self._behind(load.end, place.size + load.count, place.skipped + skipped))
        return load.count

    def _next(self, place: ProjectionPlace, bytes_max: int) -> Batch | Hole | None:
        """What the log has behind the place, at most one batch; None: nothing whole."""
        batches = self._reader.batches(place.offset, place.size, bytes_max, record_bytes_max=RECORD_BYTES_MAX)
        with closing(cast("Generator[Batch | Hole]", batches)) as found:
            return next(found, None)

    def _is_caught_up(self, connection: sqlite3.Connection) -> bool:
        """Without taking the write lock, since it is the usual case at open."""
        place = _place(connection)
        return self._log_bytes() == place.offset and self._checked(place) == place

    def _log_bytes(self) -> int:
        try:
            return os.stat(self._log_path).st_size
        except FileNotFoundError:
            return 0

    def _checked(self, place: ProjectionPlace) -> ProjectionPlace:
        """The place if the log still has its anchor before it, else the beginning: everything is offered again."""
        if place.offset == 0 or self._tail(place.offset, place.anchor_length) == place.anchor:
            return place
        return ProjectionPlace()

    def _behind(self, offset: int, size: int, skipped: int) -> ProjectionPlace:
        length = min(offset, ANCHOR_BYTES_MAX)
        return ProjectionPlace(offset, size, skipped, length, self._tail(offset, length))

    def _tail(self, offset: int, length: int) -> bytes:
        """SHA-256 of the `length` bytes before `offset`, as the log has them now."""
        descriptor = POSIX.open(self._log_path, READ)
        try:
            return hashlib.sha256(POSIX.pread(descriptor, length, offset - length)).digest()
        finally:
            POSIX.close(descriptor)

    # ------------------------------------------------------------ the connection

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """This process's connection, under its lock; what fails in its use comes out as ProjectionError."""
        own = self._process.own()
        with own.lock:
            path = self._db_path()
            try:
                yield own.to(path)
            except sqlite3.Error as error:
                if not isinstance(error, sqlite3.OperationalError):
                    own.close()
                raise ProjectionError(f"{path} cannot be used: {error}", hint=_mend(path, error)) from error
            except (OSError, LogError) as error:
                raise ProjectionError(
                    f"the log could not be projected: {error}", hint=f"check {self._log_path}; run: gradata doctor"
                ) from error


class _Open:
    """One process's connection and its lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.caught_up = False
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def to(self, path: str) -> sqlite3.Connection:
        """The connection to the file that stands at the path now: an encrypting SDK deletes it under us."""
        if self._connection is not None and _identity(path) != self._file:
            self.close()
        if self._connection is None:
            make_private(os.path.dirname(path))
            _create_private(path)
            connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            try:
                _prepare_patiently(connection)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection, self._file = connection, _identity(path)
            self._at_end = close_with(self, connection)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._at_end.detach()
            self._connection.close()
            self._connection = None


def _prepare_patiently(connection: sqlite3.Connection) -> None:
    """Where several open a new file at once, SQLite refuses the switch to WAL without waiting its busy time-out."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            prepare(connection)
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= deadline_s:
                raise
            time.sleep(RETRY_S)
        else:
            return


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _create_private(path: str) -> None:
    """SQLite would make it readable by all, and gives -wal and -shm the mode of this file."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return  # its mode is its owner's business


def _mend(path: str, error: sqlite3.Error) -> str:
    if _is_busy(error):
        return "another program is writing to it; it is caught up with by itself"
    if isinstance(error, sqlite3.OperationalError):
        return "check free space and permissions; it is caught up with by itself"
    return f"move {path} aside: it is rebuilt from the log"


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:  # whatever ends it, an interrupt included: nothing of it may remain; raised on
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _place(connection: sqlite3.Connection) -> ProjectionPlace:
    row = connection.execute(
        "SELECT offset, size, skipped, anchor_length, anchor_sha256 FROM gradata_projection WHERE id = 1"
    ).fetchone()
    return ProjectionPlace(*row) if row else ProjectionPlace()


def _move(connection: sqlite3.Connection, place: ProjectionPlace) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO gradata_projection (id, offset, size, skipped, anchor_length, anchor_sha256)"
        " VALUES (1, ?, ?, ?, ?, ?)",
        (place.offset, place.size, place.skipped, place.anchor_length, place.anchor),
    )
