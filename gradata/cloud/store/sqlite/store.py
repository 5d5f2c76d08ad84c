"""The store on SQLite: one file, one writing connection, readers beside it.

WAL with synchronous=FULL: a commit is on the disk when it returns, and readers never wait for the writer. SQLite
before 3.51.3 can corrupt a WAL when two connections write or checkpoint at the same moment, so everything that writes
here goes through one connection, checkpoints included, and one process serves a file (`serving` takes a lease on it).

What a transaction does is in `commit`, the reads are in `reads`, what eyes need in `monitoring`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from importlib import resources

from gradata.cloud.domain.plan import Decision
from gradata.cloud.domain.rate_limit import Rate, Verdict
from gradata.cloud.domain.requests import Beat, Claim, Request
from gradata.cloud.domain.tiles import TileLostError
from gradata.cloud.store.sqlite.bulk_insert import STATEMENTS_MAX
from gradata.cloud.store.sqlite.commit import commit_group
from gradata.cloud.store.sqlite.deletion import SqliteRemoving
from gradata.cloud.store.sqlite.facts import RowCache
from gradata.cloud.store.values import Key, StoreError, StoreUnavailableError
from replicator.errors import SidecarError
from replicator.lease import Lease
from replicator.model import MIB, Limits

BUSY_S = 5.0
RETRY_S = 0.005
PAGE_BYTES = 4096
"""Small pages: a single event touches five or six of them, each of which goes through the WAL whole."""
CACHE_KIB = 128 * 1024
REST_PAGES = 8 * MIB // PAGE_BYTES
"""About so many pages that are only in the WAL make `rest` fold it into the file: less than one large batch writes.

Folding one batch takes less time than the next one takes to come and to be interpreted; folding several at once would
keep it waiting. And a WAL that begins again from its start is written to blocks that it has already."""
PAGES_A_REQUEST = 5
"""What a single event writes: a page each of records, events, their indexes and its log."""
FORCED_CHECKPOINT_PAGES = 256 * MIB // PAGE_BYTES
SCHEMA_VERSION = 4
READERS_MAX = 16
RECORD_BYTES = Limits().record_bytes
_BUGS = (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.DataError)
"""Errors that trying again does not heal: the request at fault is found and the others are committed without it."""


class SqliteStore(SqliteRemoving):
    """See `store.Store`. `path` None: in memory, gone with this object."""

    def __init__(self, path: str | None, *, record_bytes: int = RECORD_BYTES, lease: Lease | None = None) -> None:
        super().__init__()
        self._path = path
        self._lease = lease
        self._record_bytes = record_bytes
        self._writing = threading.RLock()
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._closed = False
        self._known = RowCache()
        self._unfolded_pages = 0
        self._connection = _connect(path)
        try:
            _migrate(self._connection)
            self._cloud_id = _cloud_id(self._connection)
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def open(cls, path: str, *, serving: bool = False) -> SqliteStore:
        """Open or create the file. Raises StoreError with a hint."""
        if path == ":memory:":
            return cls(None)
        path = os.path.abspath(os.path.expanduser(path))
        if os.path.isdir(path):
            raise StoreError(f"the store {path} is a directory", hint="name a file in it: --store sqlite:PATH")
        _create_private(path)
        lease = _lease(path) if serving else None
        try:
            return cls(path, lease=lease)
        except sqlite3.Error as error:
            if lease is not None:
                lease.release()
            raise _opening_error(path, error) from error

    @property
    def cloud_id(self) -> str:
        """See `store.Store`."""
        return self._cloud_id

    def ingest(self, requests: Sequence[Request], *, now: int) -> list[Decision]:
        """See `store.Store`."""
        with self._transaction() as connection:
            try:
                decisions = commit_group(connection, requests, self._known, now=now, record_bytes=self._record_bytes)
            except TileLostError as error:
                raise StoreUnavailableError(
                    f"the store is damaged: {error}", hint="restore it from a backup"
                ) from error
        self._unfolded_pages += sum(map(_pages_of, requests))
        self._tell({request.brain_id for request in requests})
        return decisions

    def admit(self, names: Sequence[str], rate: Rate) -> list[Verdict] | None:
        """See `store.Store`: one process serves a file."""
        del names, rate
        return None

    def rest(self) -> None:
        """See `store.Store`: fold a large WAL into the file."""
        if self._path is None or self._unfolded_pages < REST_PAGES:
            return
        with self._writing:
            if self._closed:
                return
            try:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.Error as error:
                raise StoreUnavailableError(f"the store cannot fold its journal now: {error}") from error
        self._unfolded_pages = 0

    def forget_traces(self) -> None:
        """See `store.port_deletion.Removing`: empty the WAL, unless a server in another process is at work on it."""
        if self._path is None or (self._lease is None and Lease.holder(f"{self._path}.lock") is not None):
            return
        with self._writing:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def add_key(self, key: Key) -> None:
        """See `store.Store`."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key.prefix,
                    key.name,
                    key.workspace,
                    " ".join(sorted(key.scopes)),
                    "\n".join(sorted(key.brains)),
                    key.sha256,
                    key.created_at,
                    key.expires_at,
                    key.revoked_at,
                ),
            )

    def end_key(self, prefix: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> bool:
        """See `store.Store`."""
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE keys SET expires_at = coalesce(?, expires_at), revoked_at = coalesce(revoked_at, ?)"
                " WHERE prefix = ?",
                (expires_at, revoked_at, prefix),
            )
            return changed.rowcount == 1

    def note_refusal(self, prefix: str, brain_id: str, code: str, *, now: int) -> None:
        """See `store.Store`."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO refusals VALUES (?, ?, ?, 1, ?) ON CONFLICT (prefix, brain_id)"
                " DO UPDATE SET count = count + 1, code = excluded.code, last_at = excluded.last_at",
                (prefix, brain_id, code, now),
            )

    def close(self) -> None:
        """See `store.Store`."""
        with self._writing:
            if self._closed:
                return
            self._closed = True
            while not self._readers.empty():
                self._readers.get().close()
            self._connection.close()
        if self._lease is not None:
            self._lease.release()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A writing transaction: all of it durable when this returns, nothing of it if it raises."""
        with self._writing:
            if self._closed:
                raise StoreUnavailableError("the store is closed")
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                self._roll_back()
                if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, _BUGS):
                    raise StoreUnavailableError(f"the store cannot write now: {error}") from error
                raise

    def _roll_back(self) -> None:
        self._known.forget()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with; in memory there is only the one."""
        if self._path is None:
            with self._writing:
                yield self._connection
            return
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        try:
            try:
                connection = self._readers.get_nowait()
            except queue.Empty:
                connection = _connect(self._path, reading=True)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"the store cannot be read now: {error}") from error
        if self._readers.qsize() < READERS_MAX and not self._closed:
            self._readers.put(connection)
        else:
            connection.close()


def _pages_of(request: Request) -> int:
    """About how many pages of the WAL a request fills. Wrong by half, it costs a checkpoint more or less."""
    records = () if isinstance(request, Beat) or isinstance(request.load, Claim) else request.load.records
    return PAGES_A_REQUEST + 3 * sum(map(len, records)) // (2 * PAGE_BYTES)


def _connect(path: str | None, *, reading: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=BUSY_S,
        isolation_level=None,  # transactions are begun and ended in words
        check_same_thread=False,  # the writing lock, or the queue of readers, lends it to one thread at a time
        cached_statements=256 if reading else STATEMENTS_MAX,
    )
    if reading:
        connection.execute("PRAGMA query_only = ON")
        return connection
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {FORCED_CHECKPOINT_PAGES}")
        connection.execute("PRAGMA foreign_keys = OFF")  # a look-up for each row, for keys that only we make
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Where several open a new file at once, SQLite refuses the switch to WAL without waiting its busy time-out."""
    deadline_s = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline_s:
                raise
        time.sleep(RETRY_S)


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the newest schema: numbered scripts, each in its transaction with its number."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the store has schema {version}, this version knows {SCHEMA_VERSION}",
            hint="upgrade gradata on this machine",
        )
    scripts = sorted(
        (entry for entry in resources.files("gradata.cloud.store").joinpath("schema/sqlite").iterdir()),
        key=lambda entry: entry.name,
    )
    for script in scripts:
        number = int(script.name.partition("_")[0]) if script.name.endswith(".sql") else 0
        if number > version:
            text = script.read_text(encoding="utf-8")
            try:
                connection.executescript(f"BEGIN IMMEDIATE;\n{text}\nPRAGMA user_version = {number};\nCOMMIT;")
            except sqlite3.OperationalError:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if connection.execute("PRAGMA user_version").fetchone()[0] < number:
                    raise  # else another process, that opened the same new store, was faster


def _cloud_id(connection: sqlite3.Connection) -> str:
    connection.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('cloud_id', ?)", (str(uuid.uuid4()),))
    return str(connection.execute("SELECT value FROM meta WHERE name = 'cloud_id'").fetchone()[0])


def _create_private(path: str) -> None:
    """Make the file 0600 before SQLite would make it readable for everybody. Never through a symlink.

    One that is there is not opened: to close it would end the locks of this process's other connections to it.
    """
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if os.path.islink(path):
            raise StoreError(
                f"the store {path} cannot be opened: it is a symlink", hint="name the file itself: --store sqlite:PATH"
            ) from None
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be opened: {error.strerror}", hint="name another place with --store sqlite:PATH"
        ) from error


def _lease(path: str) -> Lease:
    lease = Lease(f"{path}.lock")
    try:
        taken = lease.acquire()
    except SidecarError as error:
        raise StoreError(f"the store {path} cannot be locked: {error}", hint=error.hint) from error
    if not taken:
        holder = Lease.holder(lease.path)
        by = "" if holder is None or holder.pid is None else f" (process {holder.pid} since {holder.since})"
        raise StoreError(
            f"the store {path} is locked: another server uses it{by}",
            hint="stop the other `gradata serve`, or name another file with --store sqlite:PATH",
        )
    return lease


def _opening_error(path: str, error: sqlite3.Error) -> StoreError:
    if "locked" in str(error):
        return StoreError(
            f"the store {path} is locked by another process",
            hint="stop whatever writes to it, or name another file with --store sqlite:PATH",
        )
    return StoreError(
        f"the store {path} cannot be used: {error}", hint="restore it from a backup, or name another file"
    )
