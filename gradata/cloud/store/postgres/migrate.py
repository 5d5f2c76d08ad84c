"""Bring a PostgreSQL database to the newest schema: numbered scripts, each in one transaction with its number.

Safe to run by any number of processes at the same time, and again at any time. `gradata serve` does it at its start,
`gradata store migrate` by itself, which is also where the large tables can be made in partitions: once, while empty.

A script only adds (functions, tables, columns with a default): servers of older versions are at work while it runs, and
for a while after it. What a newer version needs otherwise gets a new name.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import psycopg
from psycopg.errors import InsufficientPrivilege
from psycopg.sql import SQL, Identifier, Literal

from gradata.cloud.store.postgres.connection import Connection, connect
from gradata.cloud.store.values import StoreError

VERSION_MIN = 150_000
PARTITIONS_MAX = 1_024
_LOCK = 4_711_202_611
"""Whoever migrates holds this advisory lock until its commit; any number that nobody else uses."""
_BY_BRAIN = "/* by brain */"
_PARTITIONED = ("logs", "records", "tiles", "events", "loose", "days")


@dataclass(frozen=True, slots=True)
class Migrated:
    """From which schema to which; equal if there was nothing to do. 0: an empty database."""

    before: int
    after: int


def newest() -> int:
    """The number of the last script."""
    return max(number for number, _ in _scripts())


def version(connection: Connection) -> int:
    """The number of the database's schema, 0 if there is none."""
    found = connection.execute("SELECT to_regclass('gradata.migrations') IS NOT NULL").fetchone()
    if found is None or not found[0]:
        return 0
    row = connection.execute("SELECT coalesce(max(number), 0) FROM gradata.migrations").fetchone()
    return 0 if row is None else int(row[0])


def migrate(connection: Connection, *, partitions: int = 0) -> Migrated:
    """Run the scripts that are missing. `partitions` > 0: make the large tables in that many, by brain.

    `connection` is in autocommit. Raises StoreError with a hint: a schema newer than this version, partitions asked
    of a store that exists, a role without the right to create, a server that is too old.
    """
    if connection.info.server_version < VERSION_MIN:
        raise StoreError(
            f"the store is PostgreSQL {connection.info.server_version // 10_000}", hint="use PostgreSQL 15 or newer"
        )
    try:
        with connection.transaction():
            connection.execute(SQL("SELECT pg_advisory_xact_lock({})").format(Literal(_LOCK)))
            before = version(connection)
            _refuse(before, partitions)
            if before == 0:
                connection.execute("CREATE SCHEMA IF NOT EXISTS gradata")
                connection.execute(
                    "CREATE TABLE gradata.migrations"
                    " (number int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
                )
            for number, name in _scripts():
                if number > before:
                    _apply(connection, number, name, partitions)
    except InsufficientPrivilege as error:
        raise StoreError(
            f"the store's role may not make its tables: {error.diag.message_primary}",
            hint="GRANT CREATE ON DATABASE … to the role, or run `gradata store migrate` with one that may",
        ) from error
    return Migrated(before, newest())


def _refuse(before: int, partitions: int) -> None:
    if before > newest():
        raise too_new(before)
    if partitions and before:
        raise StoreError(
            "the store exists already; partitions are made once, while it is empty",
            hint="make an empty database and fill it from the clients: gradata replicate --from-offset 0",
        )
    if not 0 <= partitions <= PARTITIONS_MAX:
        raise StoreError(f"{partitions} partitions", hint=f"a number from 1 to {PARTITIONS_MAX}; 16 is plenty")


def too_new(found: int) -> StoreError:
    """The error for a schema that this version does not know."""
    return StoreError(
        f"the store has schema {found}, this version knows {newest()}", hint="upgrade gradata on this machine"
    )


def _apply(connection: Connection, number: int, name: str, partitions: int) -> None:
    script = resources.files("gradata.cloud.store").joinpath("schema/postgres", name).read_text(encoding="utf-8")
    connection.execute(script.replace(_BY_BRAIN, "PARTITION BY HASH (brain_key)" if partitions else "").encode())
    if number == 1:
        for table in _PARTITIONED:
            for part in range(partitions):
                connection.execute(
                    SQL(
                        "CREATE TABLE gradata.{} PARTITION OF gradata.{} FOR VALUES WITH (MODULUS {}, REMAINDER {})"
                    ).format(Identifier(f"{table}_{part}"), Identifier(table), Literal(partitions), Literal(part))
                )
    connection.execute("INSERT INTO gradata.migrations (number, name) VALUES (%s, %s)", (number, name))


def _scripts() -> list[tuple[int, str]]:
    names = [entry.name for entry in resources.files("gradata.cloud.store").joinpath("schema/postgres").iterdir()]
    return sorted((int(name.partition("_")[0]), name) for name in names if name.endswith(".sql"))


def migrate_url(url: str, *, partitions: int = 0) -> Migrated:
    """`migrate` on a connection of its own. Raises StoreError with a hint."""
    try:
        with connect(url) as connection, connection.patient():
            return migrate(connection, partitions=partitions)
    except psycopg.Error as error:
        raise StoreError(f"the store cannot be made: {str(error).strip()}", hint="see PostgreSQL's own log") from error
