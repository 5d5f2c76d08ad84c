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
from collections.abc import Iterator, Sequence
from typing import Literal

from gradata.cloud.domain.plan import Decision
from gradata.cloud.domain.rate_limit import Rate, RateVerdict
from gradata.cloud.domain.requests import HeartbeatWrite, HoleClaim, WriteRequest
from gradata.cloud.domain.tiles import TileLostError
from gradata.cloud.store.sqlite.commit import commit_group
from gradata.cloud.store.sqlite.deletion import SqliteRemoving
from gradata.cloud.store.sqlite.facts import RowCache
from gradata.cloud.store.sqlite.opening import (
    BUSY_S,
    PAGE_BYTES,
    check_journal,
    cloud_id,
    connect,
    create_private,
    migrate,
    opening_error,
    take_lease,
)
from gradata.cloud.store.values import StoredKey, StoreError, StoreUnavailableError
from replicator.errors import SidecarError
from replicator.lease import Lease
from replicator.model import MIB, Limits

REST_PAGES = 8 * MIB // PAGE_BYTES
"""About so many pages that are only in the WAL make `rest` fold it into the file: less than one large batch writes.

Folding one batch takes less time than the next one takes to come and to be interpreted; folding several at once would
keep it waiting. And a WAL that begins again from its start is written to blocks that it has already."""
PAGES_A_REQUEST = 5
"""What a single event writes: a page each of records, events, their indexes and its log."""
READERS_MAX = 16
LEASE_CHECK_S = 1.0
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
        self._lease_checked = 0.0
        self._connection = connect(path)
        try:
            migrate(self._connection)
            self._cloud_id = cloud_id(self._connection)
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
        create_private(path)
        lease = take_lease(path) if serving else None
        try:
            if lease is not None:
                check_journal(path)
            return cls(path, lease=lease)
        except (sqlite3.Error, StoreError) as error:
            if lease is not None:
                lease.release()
            if isinstance(error, StoreError):
                raise
            raise opening_error(path, error) from error

    @property
    def cloud_id(self) -> str:
        """See `store.Store`."""
        return self._cloud_id

    def ingest(self, requests: Sequence[WriteRequest], *, now: int) -> list[Decision]:
        """See `store.Store`."""
        with self._transaction() as connection:
            if not requests:
                connection.execute("UPDATE meta SET value = value WHERE name = 'cloud_id'")
            try:
                decisions = commit_group(connection, requests, self._known, now=now, record_bytes=self._record_bytes)
            except TileLostError as error:
                raise StoreUnavailableError(
                    f"the store is damaged: {error}", hint="restore it from a backup"
                ) from error
        self._unfolded_pages += sum(map(_pages_of, requests))
        self._tell({request.brain_id for request in requests})
        return decisions

    def admit(self, names: Sequence[str], rate: Rate) -> list[RateVerdict] | None:
        """See `store.Store`: one process serves a file."""
        del names, rate
        return None

    def rest(self) -> None:
        """See `store.Store`: fold a large WAL into the file, and empty it of what was taken away.

        Where somebody reads it is emptied the next time: the writers do not wait for readers. A server in another
        process that is at work on it does that itself.
        """
        if self._path is None or (self._unfolded_pages < REST_PAGES and not self._traces):
            return
        if self._lease is None and Lease.holder(f"{self._path}.lock") is not None:
            return
        with self._writing:
            if self._closed:
                return
            try:
                busy = self._checkpoint("TRUNCATE" if self._traces else "PASSIVE")
            except sqlite3.Error as error:
                raise StoreUnavailableError(f"the store cannot fold its journal now: {error}") from error
        self._unfolded_pages = 0
        self._traces = self._traces and busy

    def _checkpoint(self, kind: Literal["PASSIVE", "TRUNCATE"]) -> bool:
        """Whether somebody was in the way. Waits for nobody."""
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            row = self._connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {round(BUSY_S * 1000)}")
        return bool(row[0])

    def put_key(self, key: StoredKey) -> None:
        """See `store.Store`."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (prefix) DO UPDATE SET"
                " expires_at = excluded.expires_at, revoked_at = coalesce(revoked_at, excluded.revoked_at)",
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
            self._check_lease()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                self._roll_back()
                if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, _BUGS):
                    raise StoreUnavailableError(f"the store cannot write now: {error}") from error
                raise

    def _check_lease(self) -> None:
        """Take the lease again if its file is gone. Raises StoreUnavailableError if another server has it."""
        lease = self._lease
        now = time.monotonic()
        if lease is None or now < self._lease_checked + LEASE_CHECK_S:
            return
        if lease.holds():
            self._lease_checked = now
            return
        try:
            taken = lease.acquire()
        except SidecarError as error:
            raise StoreUnavailableError(f"the store cannot be locked: {error}", hint=error.hint) from error
        if not taken:
            raise StoreUnavailableError("another server uses the store", hint="stop one of the two `gradata serve`")
        self._known.forget()

    def _roll_back(self) -> None:
        self._known.forget()
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise StoreUnavailableError(f"the store cannot take back a transaction: {error}") from error

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
                connection = connect(self._path, reading=True)
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


def _pages_of(request: WriteRequest) -> int:
    """About how many pages of the WAL a request fills. Wrong by half, it costs a checkpoint more or less."""
    records = () if isinstance(request, HeartbeatWrite) or isinstance(request.load, HoleClaim) else request.load.records
    return PAGES_A_REQUEST + 3 * sum(map(len, records)) // (2 * PAGE_BYTES)
