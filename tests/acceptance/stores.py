"""Reach behind a cloud's back, on either store: what disks, operators and backups do to rows."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg

from gradata.cloud.store.open import open_store
from tests.support.cloud_fixture import LiveCloud

TABLES = ("records", "tiles", "events", "logs", "brains", "days")


def lose(cloud: LiveCloud, numbers: Sequence[int]) -> None:
    """Delete the rows of these records, of every log."""
    _change(cloud, [("DELETE FROM {records} WHERE {number} = ?", (number,)) for number in numbers])


def spoil(cloud: LiveCloud, records: dict[int, bytes]) -> None:
    """Put other bytes into the rows of these records."""
    _change(
        cloud,
        [("UPDATE {records} SET record = ? WHERE {number} = ?", (text, number)) for number, text in records.items()],
    )


def fall_silent(cloud: LiveCloud) -> None:
    """As if no device had been heard of for an hour."""
    _change(cloud, [("UPDATE {logs} SET heard_at = heard_at - 3600000000", ())])


def empty(cloud: LiveCloud) -> None:
    """Delete everything but the keys and the cloud's name, while the server is down."""
    _change(cloud, [(f"DELETE FROM {{{table}}}", ()) for table in TABLES])


def back_up(cloud: LiveCloud) -> None:
    """Keep the store as it is now; the server may run."""
    if _is_sqlite(cloud):
        path = _path(cloud)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(f"{path}.backup")) as copy:
            source.backup(copy)
        return
    _change(
        cloud,
        [
            ("DROP SCHEMA IF EXISTS backup CASCADE", ()),
            ("CREATE SCHEMA backup", ()),
            *((f"CREATE TABLE backup.{table} AS TABLE {{{table}}}", ()) for table in TABLES),
        ],
    )


def bring_back(cloud: LiveCloud) -> None:
    """Copy the backup over the store, while the server is down."""
    if _is_sqlite(cloud):
        path = _path(cloud)
        for file in path.parent.glob(f"{path.name}-*"):
            file.unlink()
        shutil.copy(f"{path}.backup", path)
        return
    _change(cloud, [(f"DELETE FROM {{{table}}}", ()) for table in TABLES])
    _change(cloud, [(f"INSERT INTO {{{table}}} OVERRIDING SYSTEM VALUE TABLE backup.{table}", ()) for table in TABLES])


def made_anew(cloud: LiveCloud) -> None:
    """A new store of another name, in which only the keys are those of the old one, while the server is down."""
    old = open_store(cloud.store_url)
    keys = old.keys()
    old.close()
    if _is_sqlite(cloud):
        path = _path(cloud)
        for file in path.parent.glob(f"{path.name}*"):
            if not file.name.endswith(".key"):
                file.unlink()
    else:
        with psycopg.connect(cloud.store_url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA gradata CASCADE")
    new = open_store(cloud.store_url)
    for key in keys:
        new.put_key(key)
    new.close()


def _change(cloud: LiveCloud, statements: Sequence[tuple[str, tuple[object, ...]]]) -> None:
    names = {table: table if _is_sqlite(cloud) else f"gradata.{table}" for table in TABLES}
    if _is_sqlite(cloud):
        with closing(sqlite3.connect(_path(cloud), timeout=20)) as database, database:
            for statement, arguments in statements:
                database.execute(statement.format(number="(place & 1099511627775)", **names), arguments)
        return
    with psycopg.connect(cloud.store_url) as server:
        for statement, arguments in statements:
            server.execute(statement.format(number="number", **names).replace("?", "%s"), arguments)


def _is_sqlite(cloud: LiveCloud) -> bool:
    return cloud.store_url.startswith("sqlite:")


def _path(cloud: LiveCloud) -> Path:
    return Path(cloud.store_url.removeprefix("sqlite:"))
