"""Backups of a PostgreSQL store with PostgreSQL's own programs (`pg_dump`, `pg_restore`): one snapshot, while servers
run.

A dump has the state of its start. Whoever may lose nothing needs archived WAL or a synchronous standby as well.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from gradata.cloud.store.postgres.connection import Connection, connect
from gradata.cloud.store.postgres.migrate import newest, version
from gradata.cloud.store.values import StoreError

_WANTED = ("TABLE DATA gradata records", "TABLE DATA gradata events", "TABLE DATA gradata meta")
_PRIVATE = ("password", "passfile", "sslpassword")


def backup(url: str, target: str) -> int:
    """Write a dump of the store to the new file `target`, in pg_dump's custom form; its size in bytes.

    Raises StoreError: `target` exists, no pg_dump, one that is older than the server, no store, no room.
    """
    if os.path.lexists(target):
        raise StoreError(f"{target} exists", hint="name a new file")
    partial = f"{target}.partial"
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
        options = ("--format=custom", "--no-owner", "--no-privileges", "--schema=gradata")
        _run("pg_dump", url, (*options, "--exclude-table-data=gradata.rates", f"--file={partial}"))
        _check(partial)
        os.rename(partial, target)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}", hint="name another place") from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)
    return os.path.getsize(target)


def restore(source: str, url: str, *, dry_run: bool = False) -> tuple[str, ...]:
    """Put the dump `source` in the place of the store; the name of the schema under which the old one is kept.

    No server may be connected. Raises StoreError: `source` is no dump of a store, servers are at work, no pg_restore.
    """
    _check(source)
    try:
        with connect(url) as connection, connection.patient():
            return _restore(connection, source, url, dry_run=dry_run)
    except psycopg.Error as error:
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StoreError(f"the store cannot be restored: {words}", hint="see PostgreSQL's own log") from error


def _restore(connection: Connection, source: str, url: str, *, dry_run: bool) -> tuple[str, ...]:
    busy = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'gradata'"
        " AND pid <> pg_backend_pid()"
    ).fetchone()
    if busy is not None and busy[0]:
        raise StoreError("servers are at work on the store", hint="stop every `gradata serve` on it first")
    there = connection.execute("SELECT to_regnamespace('gradata') IS NOT NULL").fetchone() == (True,)
    aside = f"gradata_before_{time.strftime('%Y%m%dt%H%M%Sz', time.gmtime())}"[:60]
    kept = (aside,) if there else ()
    if dry_run:
        return kept
    renaming = SQL("ALTER SCHEMA {} RENAME TO {}")
    if there:
        connection.execute(renaming.format(Identifier("gradata"), Identifier(aside)))
    try:
        _run("pg_restore", url, ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", source))
    except StoreError:
        if there:
            connection.execute(renaming.format(Identifier(aside), Identifier("gradata")))
        raise
    found = version(connection)
    if found > newest():
        raise StoreError(f"the dump has schema {found}, this version knows {newest()}", hint="upgrade gradata")
    return kept


def _check(source: str) -> None:
    """Raises StoreError unless the file is a readable dump of a store."""
    listed = _program("pg_restore", ("--list", source), {})
    if not all(wanted in listed for wanted in _WANTED):
        raise StoreError(f"{source} is no dump of a store", hint="make one with: gradata store backup")


def _run(program: str, url: str, options: Sequence[str]) -> None:
    """Run a program on the database. The password goes through the environment: a process list shows arguments."""
    fields = conninfo_to_dict(url)
    private = {name: str(fields.pop(name)) for name in _PRIVATE if name in fields}
    environment = {"PGPASSWORD": private["password"]} if "password" in private else {}
    if "passfile" in private:
        environment["PGPASSFILE"] = private["passfile"]
    _program(program, (*options, f"--dbname={make_conninfo('', **fields)}"), environment)


def _program(program: str, arguments: Sequence[str], environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, check=False, env=os.environ | environment
        )
    except FileNotFoundError:
        raise StoreError(
            f"{program} is not installed", hint="install PostgreSQL's client programs of the server's version"
        ) from None
    if done.returncode:
        words = (done.stderr.strip() or f"{program} ended with {done.returncode}").splitlines()[0]
        raise StoreError(words, hint=f"is {program} as new as the server?")
    return done.stdout
