"""The pool of reading connections: opened when needed, kept while they work.

A connection that the database has closed is detected before it is lent, so the next read opens another one. If one
fails, the idle ones are closed too: the cause is usually the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from gradata.cloud.store.postgres.connection import Connection, connect
from gradata.cloud.store.values import StoreError, StoreUnavailableError

READERS_MAX = 8
READER_S = 3.0
"""How long one waits for another to give its connection back."""
IDLE_S = 60.0
"""A connection at rest for so long is closed."""


class Readers:
    """At most READERS_MAX connections, in autocommit. Safe to use from several threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._room = threading.BoundedSemaphore(READERS_MAX)
        self._lock = threading.Lock()
        self._resting: list[tuple[float, Connection]] = []
        self._closed = False

    @contextmanager
    def lent(self) -> Iterator[Connection]:
        """A connection. Raises StoreUnavailableError, psycopg.Error."""
        if not self._room.acquire(timeout=READER_S):
            raise StoreUnavailableError("too many read from the store at one time")
        try:
            connection = self._resting_one() or self._opened()
            try:
                yield connection
            except psycopg.Error:
                if connection.closed or connection.broken:
                    self.drop()
                raise
            finally:
                self._give_back(connection)
        finally:
            self._room.release()

    def drop(self) -> None:
        """Close all that are not lent."""
        with self._lock:
            resting, self._resting = self._resting, []
        for _, connection in resting:
            connection.close()

    def close(self) -> None:
        """Close them all; those that are lent when they are given back."""
        self._closed = True
        self.drop()

    def _resting_one(self) -> Connection | None:
        """The one that was used last, if any is good."""
        while True:
            with self._lock:
                if not self._resting:
                    return None
                since, connection = self._resting.pop()
            if time.monotonic() - since < IDLE_S and connection.usable:
                return connection
            connection.close()

    def _opened(self) -> Connection:
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        try:
            return connect(self._url)
        except StoreError as error:
            raise StoreUnavailableError(str(error), hint=error.hint) from error

    def _give_back(self, connection: Connection) -> None:
        if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.close()  # left in the middle of something
        if self._closed:
            connection.close()
        if not connection.closed:
            with self._lock:
                self._resting.append((time.monotonic(), connection))
