"""Opens a connection to PostgreSQL with the options that every part of the store relies on."""

from __future__ import annotations

import psycopg

from gradata.cloud.store.postgres.binary_arrays import register
from gradata.cloud.store.postgres.facts import Connection

CONNECT_S = 3
_LINK: dict[str, object] = {
    "connect_timeout": CONNECT_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
    "application_name": "gradata",
    "prepare_threshold": None,  # behind a transaction pooler the next statement may run on another connection
}
CHANNEL = "gradata"


def connect(url: str, *, autocommit: bool = True) -> Connection:
    """A connection as this store wants it."""
    connection: Connection = psycopg.connect(url, autocommit=autocommit, **_LINK)  # type: ignore[arg-type]
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    register(connection)
    return connection
