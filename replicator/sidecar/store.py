"""The sidecar: one connection, one lock, one transaction per call; and a read-only view."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from replicator.actions import ResetOrder
from replicator.model import DeadLetter, Standing
from replicator.sidecar.file import (
    BUSY,
    BUSY_S,
    CORRUPT,
    PARTS,
    close_with,
    connect,
    create,
    free_name,
    identity,
    leak,
    only_one,
    prepare,
    refuse_planted,
    translated,
    unusable_error,
    wal_bytes,
)
from replicator.sidecar.port import DEAD_LETTERS_READ_MAX, KeptDeadLetter, PendingOrders
from replicator.sidecar.rows import (
    SCHEMA_VERSION,
    Unusable,
    integer,
    one_row,
    read_asked,
    read_letters,
    read_reset,
    read_standing,
    read_status,
    version_of,
    write_letters,
    write_reset,
    write_standing,
    write_status,
)

T = TypeVar("T")
MAY_BE_OURS = BUSY | {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL}
"""After a failed unlock, a connection waits for its own lock forever; a newly opened one does not."""

OPENINGS_MAX = 20
"""How often the file may be moved by others while it is opened."""


def read_only(path: str) -> SidecarView | None:
    """A read-only view of the sidecar; None if there is none yet. SidecarError if it cannot be read."""
    with translated(path):
        if identity(path) is None:
            return None
        refuse_planted(path)
        try:
            connection, version = _opened_read_only(path, "mode=ro")
        except sqlite3.OperationalError as error:
            # A WAL database in a read-only directory: without a WAL there is nothing that could change under us.
            readable = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            if wal_bytes(path) or not readable:
                raise
            connection, version = _opened_read_only(path, "mode=ro&immutable=1")
    if version == SCHEMA_VERSION:
        return SidecarView(path, connection)
    connection.close()
    if version == 0:
        return None
    reason = f"it is of schema {version}, this version knows {SCHEMA_VERSION}"
    raise unusable_error(path, reason, "upgrade this program", "sidecar_newer")


def _opened_read_only(path: str, mode: str) -> tuple[sqlite3.Connection, int]:
    """A connection that can read the file, and the file's schema version."""
    connection = connect(path, mode)
    try:
        return connection, version_of(connection)
    except sqlite3.Error:
        connection.close()
        raise


class SidecarView:
    """The read-only view. Not shared between threads; close it soon."""

    def __init__(self, path: str, connection: sqlite3.Connection | None = None) -> None:
        self.path = path
        self._connection = connection
        self._pid = os.getpid()
        if connection is not None:
            close_with(self, connection)

    def load(self) -> Standing | None:
        """Where replication stands; None before the first checkpoint."""
        return self._run(read_standing)

    def status(self) -> bytes | None:
        """The status last saved, as it was given."""
        return self._run(read_status)

    def dead_letters(self, *, after: int = 0, limit: int = DEAD_LETTERS_READ_MAX) -> list[KeptDeadLetter]:
        """Dead letters with an id beyond `after`, oldest first, at most `limit`."""
        return self._run(lambda connection: read_letters(connection, "id > ?", after, limit))

    def dead_letter_count(self) -> int:
        """How many dead letters there are."""
        return self._run(lambda connection: integer(one_row(connection, "SELECT count(*) FROM dead_letter")[0]))

    def pending(self) -> PendingOrders | None:
        """The orders that wait for the leader; None if there are none."""
        return self._run(read_asked)

    def close(self) -> None:
        """Close the file. Safe to repeat."""
        connection, self._connection = self._connection, None
        if connection is not None and self._pid == os.getpid():
            connection.close()

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None or self._pid != os.getpid():
            raise unusable_error(self.path, "this view of it is closed, or another process's", "open it again")
        with translated(self.path):
            return work(self._connection)


class Sidecar(SidecarView):
    """The sidecar of one log, open for writing; any thread may call it.

    Invariant: a connection is used only by the process that opened it, and only while it is the file at `path`. A
    sidecar that was deleted or replaced is opened again, and the next `save` writes everything.
    """

    def __init__(self, path: str, *, may_set_aside: bool = True, wall: Callable[[], float] = time.time) -> None:
        super().__init__(path)
        self.set_aside: str | None = None
        """What was set aside and why, for people; None if nothing was."""
        self._may_set_aside = may_set_aside
        self._wall = wall
        self._lock = threading.Lock()
        self._closed = False
        self._file: tuple[int, int] | None = None
        self._version_without_orders: int | None = None

    @classmethod
    def open(cls, path: str, *, may_set_aside: bool = True, wall: Callable[[], float] = time.time) -> Sidecar:
        """Open or create the sidecar; an unusable file is set aside, which `.set_aside` reports.

        Only the leader may set aside. Commands pass False and get a SidecarError instead, so that they never take the
        file from a running replicator. SidecarError also for whatever the system refuses.
        """
        sidecar = cls(path, may_set_aside=may_set_aside, wall=wall)
        sidecar._run(lambda _: None)
        return sidecar

    def save(
        self,
        standing: Standing,
        dead_letters: Sequence[DeadLetter] = (),
        *,
        status: bytes | None = None,
        done_reset: int = 0,
    ) -> ResetOrder | None:
        """Make everything durable in one transaction, or nothing. Safe to repeat.

        `done_reset` is the id of the order that `standing` carries out; it, and older ones, are removed in the same
        transaction, so an order is carried out exactly once, wherever the process dies. Returns the order that is still
        waiting. A dead letter known already is overwritten and is `dead` again.

        A power cut may undo the last saves, because a cursor that went back is harmless. If something would be lost
        with it (a dead letter, a new generation, an order), this waits for the disk.
        """
        at = self._now()
        synced = bool(dead_letters or done_reset or not standing.cursor.size)

        def work(connection: sqlite3.Connection) -> ResetOrder | None:
            write_standing(connection, standing)
            write_letters(connection, at, dead_letters)
            if status is not None:
                write_status(connection, at, status)
            if done_reset:
                connection.execute("DELETE FROM reset WHERE id <= ?", (done_reset,))
            return read_reset(connection)

        return self._write(work, synced=synced)

    def save_status(self, status: bytes) -> None:
        """Save the status alone."""
        at = self._now()
        self._write(lambda connection: write_status(connection, at, status))

    def asked(self) -> PendingOrders | None:
        """The waiting orders, or None; the same answer until they are done.

        Costs microseconds if there are none: one stat and one look at SQLite's change counter.
        """

        def work(connection: sqlite3.Connection) -> PendingOrders | None:
            version = integer(one_row(connection, "PRAGMA data_version")[0])
            if version == self._version_without_orders:
                return None
            asked = read_asked(connection)
            self._version_without_orders = version if asked is None else None
            return asked

        return self._run(work)

    def ask_reset(self, reset: ResetOrder) -> int:
        """Leave an order for the leader; returns its id. A newer order replaces older ones."""
        at = self._now()

        return self._write(lambda connection: write_reset(connection, at, reset), order=True)

    def reset_done(self, reset_id: int) -> bool:
        """Whether the leader carried this order out, or a newer one instead.

        SidecarError if the order was lost with a sidecar set aside meanwhile: ask again.
        """

        def work(connection: sqlite3.Connection) -> bool:
            known = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'reset'").fetchone()
            if known is None or known[0] < reset_id:
                raise unusable_error(self.path, f"it was rebuilt; order {reset_id} is lost", "give the order again")
            return connection.execute("SELECT 1 FROM reset WHERE id = ?", (reset_id,)).fetchone() is None

        return self._run(work)

    def mark_retry(self, ids: Iterable[int]) -> int:
        """Ask the leader to send these dead letters again; returns how many of them exist."""
        return self._change("UPDATE dead_letter SET state = 'retry' WHERE id = ?", ids)

    def drop_dead_letters(self, ids: Iterable[int]) -> int:
        """Forget these dead letters: delivered, or given up by a person. Returns how many of them existed."""
        return self._change("DELETE FROM dead_letter WHERE id = ?", ids)

    def hold(self) -> bool:
        """Before a fork: keep every call out of SQLite, whose locks a child would inherit in the locked state.

        False if a call was still running after the busy timeout. Pair it with `let_go` in the parent.
        """
        return self._lock.acquire(timeout=BUSY_S)

    def let_go(self) -> None:
        """After the fork, in the parent, if `hold` returned True."""
        self._lock.release()

    def abandon(self) -> None:
        """In a forked child: never use the parent's connection again. The next call opens a new one."""
        connection, self._connection = self._connection, None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        if connection is not None:
            leak(connection)

    def close(self) -> None:
        """Close the file; later calls raise. Safe to repeat."""
        if self._pid != os.getpid():
            self.abandon()
        with self._lock:
            self._closed = True
            self._disconnect()

    def _change(self, statement: str, ids: Iterable[int]) -> int:
        rows = [(one,) for one in ids]
        return self._write(
            lambda connection: connection.executemany(statement, rows).rowcount if rows else 0, order=True
        )

    def _write(self, work: Callable[[sqlite3.Connection], T], *, order: bool = False, synced: bool = False) -> T:
        def transaction(connection: sqlite3.Connection) -> T:
            if order:  # the change counter tells of other connections only
                self._version_without_orders = None
            connection.execute(f"PRAGMA synchronous = {'FULL' if synced or order else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            answer = work(connection)
            connection.execute("COMMIT")
            return answer

        return self._run(transaction)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._pid != os.getpid():
            self.abandon()
        with self._lock, translated(self.path):
            try:
                return self._attempt(work)
            except Unusable as why:
                self._begin_anew(str(why))
            try:
                return self._attempt(work)
            except Unusable as why:
                raise unusable_error(self.path, f"it broke again at once: {why}", "check the disk") from why

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._current()
            try:
                return work(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", None)  # none: a text that is no UTF-8, found by Python itself
            if (code is None and isinstance(error, sqlite3.OperationalError)) or (code or 0) & 0xFF in CORRUPT:
                raise Unusable(str(error)) from error
            if (code or 0) & 0xFF in MAY_BE_OURS:
                self._disconnect()
            raise

    def _current(self) -> sqlite3.Connection:
        if self._closed:
            raise unusable_error(self.path, "it was closed", "open it again")
        if self._connection is not None and self._file == identity(self.path):
            return self._connection
        self._disconnect()
        for _ in range(OPENINGS_MAX):
            if (connection := self._opened()) is not None:
                self._version_without_orders = None
                return connection
        raise unusable_error(self.path, "it was replaced while it was opened", "nothing to do: it is tried again")

    def _opened(self) -> sqlite3.Connection | None:
        """A connection to the file at `path`; None if that was moved meanwhile, by who found it unusable as well."""
        refuse_planted(self.path, tighten=True)
        create(self.path)
        self._file = identity(self.path)
        if self._file is None:
            return None
        try:
            connection = connect(self.path, "mode=rw")
            try:
                prepare(connection)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, Unusable):
            if self._file == identity(self.path):
                raise
            return None  # what was wrong was wrong with the file that was moved, or with none being there
        self._connection = connection
        self._at_end = close_with(self, connection)
        if self._file == identity(self.path):
            return connection
        self._disconnect()
        return None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._at_end.detach()
        try:
            still_there = self._file == identity(self.path)
        except OSError:
            still_there = False  # nobody can tell: as with a successor
        if still_there:
            connection.close()
        elif sys.version_info >= (3, 12):
            connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
            connection.close()
        else:
            # Closing deletes the WAL by its *name*, which by now may be that of the file's successor.
            leak(connection)

    def _begin_anew(self, why: str) -> None:
        if not self._may_set_aside:
            hint = "the replicator sets it aside by itself when it starts"
            raise unusable_error(self.path, why, hint, "sidecar_set_aside")
        self._disconnect()
        with only_one(os.path.dirname(self.path)):
            if identity(self.path) != self._file:
                return  # another process has done it
            kept = free_name(self.path)
            for part in PARTS:
                if os.path.lexists(self.path + part):
                    os.replace(self.path + part, kept + part)
        self.set_aside = (
            f"{self.path} could not be used ({why}); it is kept as {kept} with its list of dead letters, "
            "and the cloud is asked where replication stands"
        )

    def _now(self) -> str:
        return datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
