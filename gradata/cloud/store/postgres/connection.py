"""Connections to PostgreSQL as every part of the store relies on them: a deadline on each exchange, UTF-8, writable.

libpq waits for an answer as long as the socket lives, and a socket lives as long as whatever stands between (a pooler,
a proxy, a mesh) keeps it open, however long the database is gone. So each wait has a deadline of its own, after which
the connection is closed and counts as lost.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict

from gradata.cloud.store.values import StoreError

CONNECT_S = 3
ANSWER_S = 10.0
"""How long one exchange with the database may take. More than LOCK_S, after which the database itself gives up."""
LONG_ANSWER_S = 600.0
"""The same for what reads or changes much at a time: migrations, removal, searches of whole logs."""
CHANNEL = "gradata"
_INTERVAL_S = 0.1
_READS_MAX = 4
"""Of a connection at rest: something said in passing is read, an end is met."""
_LINK: dict[str, object] = {
    "connect_timeout": CONNECT_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
    "application_name": "gradata",
    "client_encoding": "UTF8",
    "prepare_threshold": None,  # behind a transaction pooler the next statement may run on another connection
}

Result = TypeVar("Result")


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose exchanges end within `answer_s` seconds, with OperationalError and closed if need be."""

    answer_s = ANSWER_S

    def wait(self, gen: PQGen[Result], interval: float = _INTERVAL_S, timeout: float | None = None) -> Result:
        """See psycopg.Connection. All exchanges go through here.

        `timeout`: psycopg's own, for what waits on purpose (notifications, a cancellation): that is no exchange.
        """
        if timeout is not None:
            return super().wait(gen, min(interval, _INTERVAL_S), timeout)
        return super().wait(self._bounded(gen), min(interval, _INTERVAL_S))

    def _bounded(self, gen: PQGen[Result]) -> PQGen[Result]:
        until = time.monotonic() + self.answer_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() >= until:
                    self.close()
                    raise psycopg.OperationalError(f"the database did not answer within {self.answer_s:g} s")
                wanted = gen.send(ready)
        except StopIteration as ended:
            result: Result = ended.value
            return result

    @contextmanager
    def patient(self, answer_s: float = LONG_ANSWER_S) -> Iterator[None]:
        """Exchanges may take so long."""
        before, self.answer_s = self.answer_s, answer_s
        try:
            yield
        finally:
            self.answer_s = before

    @property
    def usable(self) -> bool:
        """Whether nothing is known to be wrong with it. Asks nobody: an end that the database said is seen."""
        if self.closed or self.broken:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self.pgconn.socket, selectors.EVENT_READ)
            try:
                for _ in range(_READS_MAX):
                    if not selector.select(0):
                        return True
                    self.pgconn.consume_input()
            except psycopg.OperationalError:
                return False
        return False


def connect(url: str, *, autocommit: bool = True) -> Connection:
    """A connection to a database that takes writes.

    Raises psycopg.OperationalError if there is none, within CONNECT_S for each host of the URL, and StoreError where
    the database keeps texts in another encoding than UTF-8.
    """
    wanted = dict(_LINK)
    if "target_session_attrs" not in conninfo_to_dict(url):
        wanted["target_session_attrs"] = "read-write"  # a standby, or a primary that was fenced, is not the store
    connection = Connection.connect(url, autocommit=autocommit, **wanted)  # type: ignore[arg-type]
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        connection.close()
        raise StoreError(
            f"the database keeps texts as {encoding}; the store needs UTF8",
            hint="make one with: createdb --encoding UTF8 --template template0 NAME",
        )
    return connection
