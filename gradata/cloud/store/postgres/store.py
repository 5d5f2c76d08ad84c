"""The store on PostgreSQL: one writing connection a process, a pool to read with, any number of processes.

Plain SQL that a transaction pooler does not mind: nothing lives longer than a transaction, no statement is prepared
by name. When the database is away every call says so at once or within seconds (StoreUnavailableError), and the next
one tries again: it recovers alone.

A group goes the quick way, one statement (`head_cache`), or the general one, which asks first: what that reads and
writes is in `facts` and `commit`. The reads are in `reads`, the schema is in `migrate`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import psycopg
from psycopg import errors

from gradata.cloud.domain.plan import Decision, Done, plan
from gradata.cloud.domain.rate_limit import Rate, RateVerdict
from gradata.cloud.domain.requests import WriteRequest
from gradata.cloud.domain.tiles import TileLostError
from gradata.cloud.store.postgres.commit import foreseen_call, write
from gradata.cloud.store.postgres.connection import CHANNEL, Connection, connect
from gradata.cloud.store.postgres.deletion import PostgresRemoving
from gradata.cloud.store.postgres.facts import gather
from gradata.cloud.store.postgres.head_cache import HeadCache
from gradata.cloud.store.postgres.migrate import migrate, newest, too_new, version
from gradata.cloud.store.postgres.rate_limit import FORGET_S, forget_rates, spend
from gradata.cloud.store.postgres.readers import Readers
from gradata.cloud.store.values import StoredKey, StoreError, StoreUnavailableError
from replicator.model import Limits

AWAY_S = 0.5
"""After a failure to connect nobody else waits for another one for so long."""
TRIES_MAX = 4
NOTIFY_BYTES_MAX = 7_000
RECORD_BYTES = Limits().record_bytes
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, errors.UndefinedTable,
         errors.InvalidSchemaName, errors.InsufficientPrivilege)  # fmt: skip
"""Errors of the database, not of a request: away, read-only, full, being restored."""
_TOUCH = "UPDATE gradata.meta SET value = value WHERE name = 'cloud_id'"
_TELL = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"
"""A transaction of its own. Nothing durable hangs on it: if it were synchronous, each hint would wait for the disk."""
_AGAIN = (errors.DeadlockDetected, errors.SerializationFailure)

Result = TypeVar("Result")


class PostgresStore(PostgresRemoving):
    """See `store.Store`. Nothing is opened before it is needed."""

    def __init__(self, url: str, *, record_bytes: int = RECORD_BYTES) -> None:
        super().__init__(url)
        self._url = url
        self._record_bytes = record_bytes
        self._writing = threading.RLock()
        self._writer: Connection | None = None
        self._readers = Readers(url)
        self._cloud_id: str | None = None
        self._away_until = 0.0
        self._changed: set[str] = set()
        self._forget_at = time.monotonic() + FORGET_S
        self._heads = HeadCache()
        self._closed = False

    @classmethod
    def open(cls, url: str, *, serving: bool = False) -> PostgresStore:
        """Connect, and make the schema if there is none; `serving`: bring it to the newest.

        Raises StoreError with a hint.
        """
        try:
            with connect(url) as connection, connection.patient():
                found = version(connection)
                if found > newest():
                    raise too_new(found)
                if found == 0 or (serving and found < newest()):
                    migrate(connection)
                elif found < newest():
                    raise StoreError(f"the store has the old schema {found}", hint="run: gradata store migrate")
        except psycopg.Error as error:
            raise StoreError(
                f"the store cannot be used: {_words(error)}", hint="is PostgreSQL running, and is --store right?"
            ) from error
        return cls(url)

    @property
    def cloud_id(self) -> str:
        """See `store.Store`."""
        if self._cloud_id is None:
            self._cloud_id = str(self._fetch("SELECT value FROM gradata.meta WHERE name = 'cloud_id'")[0][0])
        return self._cloud_id

    def ingest(self, requests: Sequence[WriteRequest], *, now: int) -> list[Decision]:
        """See `store.Store`: one round trip if every batch continues its log as it was left, else two."""
        if not requests:
            self._write(lambda connection: connection.execute(_TOUCH))
            return []
        with self._writing:
            decisions = self._commit_foreseen(requests, now) or self._commit(requests, now)
        self._tell(requests)
        return decisions

    def _commit_foreseen(self, requests: Sequence[WriteRequest], now: int) -> list[Decision] | None:
        """None, and nothing was written, if it must go the general way."""
        connection = self._writer
        foreseen = None if connection is None else self._heads.foresee(requests)
        if connection is None or foreseen is None:
            return None
        decisions = plan(requests, foreseen.facts, record_bytes=self._record_bytes)
        done = [decision for decision in decisions if isinstance(decision, Done)]
        if len(done) < len(decisions):
            return None
        try:
            stored = connection.execute(*foreseen_call(foreseen, done, now=now)).rowcount == 1
        except psycopg.Error:
            return None  # the general way says what it is: an event that is there already, a lock, a lost connection
        if stored:
            self._heads.keep(requests, decisions, foreseen.locked)
        return decisions if stored else None

    def _commit(self, requests: Sequence[WriteRequest], now: int) -> list[Decision]:
        """The general way: two round trips."""

        def commit(connection: Connection) -> list[Decision]:
            try:
                locked, facts = gather(connection, requests)
            except TileLostError as error:
                raise StoreUnavailableError(
                    f"the store is damaged: {error}", hint="restore it from a backup"
                ) from error
            decisions = plan(requests, facts, record_bytes=self._record_bytes)
            write(connection, requests, decisions, locked, now=now)
            self._heads.keep(requests, decisions, locked)
            return decisions

        return self._write(commit)

    def _tell(self, requests: Sequence[WriteRequest]) -> None:
        brains = {request.brain_id for request in requests}
        self._changed |= brains
        self._listening.tell(brains)

    def admit(self, names: Sequence[str], rate: Rate) -> list[RateVerdict] | None:
        """See `store.Store`."""
        return self._write(lambda connection: spend(connection, Counter(names), names, rate))

    def rest(self) -> None:
        """See `store.Store`: tell the other processes what changed. Only a hint: no failure of it matters."""
        changed, self._changed = self._changed, set()
        words = "\n".join(sorted(changed))
        if len(words.encode()) > NOTIFY_BYTES_MAX:
            words = ""
        tidy = time.monotonic() >= self._forget_at

        def tell(connection: Connection) -> None:
            connection.execute(_TELL, (CHANNEL, words))
            if tidy:
                forget_rates(connection)

        if tidy:
            self._forget_at = time.monotonic() + FORGET_S
        with contextlib.suppress(StoreUnavailableError):  # the next commit will tell whoever is to know
            self._write(tell)

    def put_key(self, key: StoredKey) -> None:
        """See `store.Store`."""
        values = (
            key.prefix,
            key.name,
            key.workspace,
            " ".join(sorted(key.scopes)),
            "\n".join(sorted(key.brains)),
            key.sha256,
            key.created_at,
            key.expires_at,
            key.revoked_at,
        )
        with self._reading() as connection:
            connection.execute(
                "INSERT INTO gradata.keys AS k VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
                " ON CONFLICT (prefix) DO UPDATE"
                " SET expires_at = excluded.expires_at, revoked_at = coalesce(k.revoked_at, excluded.revoked_at)",
                values,
            )

    def note_refusal(self, prefix: str, brain_id: str, code: str, *, now: int) -> None:
        """See `store.Store`."""
        with self._reading() as connection:
            connection.execute(
                "INSERT INTO gradata.refusals AS r VALUES (%s, %s, %s, 1, %s) ON CONFLICT (prefix, brain_id)"
                " DO UPDATE SET count = r.count + 1, code = excluded.code, last_at = excluded.last_at",
                (prefix, brain_id, code, now),
            )

    def close(self) -> None:
        """See `store.Store`."""
        self._closed = True  # first: whoever is at work does not begin again
        self._listening.close()
        self._readers.close()
        with self._writing:
            self._drop_writer()

    def _write(self, work: Callable[[Connection], Result]) -> Result:
        """Have `work` done on the writing connection: committed when this returns, nothing of it if it raises.

        A connection that turns out to be lost, or to a database that takes no writes any more, is replaced once. A
        transaction that the database chose to undo is done again, from its facts on.
        """
        with self._writing:
            for attempt in range(1, TRIES_MAX + 1):
                self._check_open()
                connection = self._writer
                try:
                    if connection is None:
                        connection = self._writer = self._new_writer()
                    done = work(connection)
                    connection.commit()
                    return done
                except BaseException as error:
                    used = connection is not None
                    self._undo(connection, error)
                    if isinstance(error, _AGAIN) and attempt < TRIES_MAX:
                        continue
                    if isinstance(error, _AWAY):
                        if used and self._writer is None and attempt == 1:
                            continue
                        if not used:
                            self._away_until = time.monotonic() + AWAY_S
                        raise _unavailable(error) from error
                    raise
        raise AssertionError("the last try returns or raises")

    def _new_writer(self) -> Connection:
        try:
            connection = connect(self._url)
        except StoreError as error:
            raise StoreUnavailableError(str(error), hint=error.hint) from error
        # Asked anew each time: it may be another database that answers there now.
        row = connection.execute("SELECT value FROM gradata.meta WHERE name = 'cloud_id'").fetchone()
        assert row is not None, "a schema without a cloud_id"
        self._cloud_id = str(row[0])
        self._listening.own_pid = connection.info.backend_pid
        return connection

    def _undo(self, connection: Connection | None, error: BaseException) -> None:
        """Roll back; drop a connection that cannot, or that leads to a database that takes no writes."""
        self._heads.forget()
        if connection is None:
            return
        try:
            connection.rollback()
        except psycopg.Error:
            connection.close()
        if isinstance(error, errors.ReadOnlySqlTransaction):
            connection.close()
            self._readers.drop()  # they lead to the same one, which has been left behind
        if connection.closed:
            self._drop_writer()

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        if self._writer is None and time.monotonic() < self._away_until:
            raise StoreUnavailableError("the store is away")

    @contextlib.contextmanager
    def _reading(self, answer_s: float | None = None) -> Iterator[Connection]:
        """A connection of the pool, in autocommit. `answer_s`: how long an exchange may take, None: as ever."""
        if time.monotonic() < self._away_until:
            raise StoreUnavailableError("the store is away")
        try:
            with self._readers.lent() as connection, connection.patient(answer_s or connection.answer_s):
                yield connection
        except _AWAY as error:
            raise _unavailable(error) from error


def _unavailable(error: BaseException) -> StoreUnavailableError:
    return StoreUnavailableError(f"the store cannot be used now: {_words(error)}", hint="see PostgreSQL's own log")


def _words(error: BaseException) -> str:
    """The first line of what the database says: the rest may quote rows."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
