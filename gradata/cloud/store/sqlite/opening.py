"""Opens the file of an SQLite store: mode 0600, WAL, the latest schema, checked after an unclean end.

Partner: `store`, which uses the connections.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from importlib import resources
from urllib.parse import quote

from gradata.cloud.store.sqlite.bulk_insert import STATEMENTS_MAX
from gradata.cloud.store.values import StoreError
from gradata.config.private_directories import make_private
from replicator.errors import SidecarError
from replicator.lease import Lease
from replicator.model import MIB

BUSY_S = 5.0
RETRY_S = 0.005
PAGE_BYTES = 4096
"""Small pages: a single event touches five or six of them, each of which goes through the WAL whole."""
CACHE_KIB = 128 * 1024
FORCED_CHECKPOINT_PAGES = 256 * MIB // PAGE_BYTES
SCHEMA_VERSION = 4
CHECKED_BYTES_MAX = 1024 * MIB
"""A larger file is checked after an unclean end but for its records: the start of a server must not take minutes."""
_SMALL_TABLES = ("meta", "brains", "logs", "tiles", "keys", "days", "alerts", "notices", "erased", "refusals")


def connect(path: str | None, *, reading: bool = False) -> sqlite3.Connection:
    """A connection with the options that the store relies on; in memory if `path` is None. Raises sqlite3.Error."""
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


def migrate(connection: sqlite3.Connection) -> None:
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


def cloud_id(connection: sqlite3.Connection) -> str:
    """The uuid of this cloud, made at the first call."""
    connection.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('cloud_id', ?)", (str(uuid.uuid4()),))
    return str(connection.execute("SELECT value FROM meta WHERE name = 'cloud_id'").fetchone()[0])


def create_private(path: str) -> None:
    """Make the file 0600 before SQLite would make it readable for everybody. Never through a symlink.

    One that is there is not opened: to close it would end the locks of this process's other connections to it.
    """
    try:
        make_private(os.path.dirname(path))
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


def take_lease(path: str) -> Lease:
    """The lease of the one server of the file. Raises StoreError that names its holder."""
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


def opening_error(path: str, error: sqlite3.Error) -> StoreError:
    """What to tell of an error of SQLite while the store was opened."""
    if "locked" in str(error):
        return StoreError(
            f"the store {path} is locked by another process",
            hint="stop whatever writes to it, or name another file with --store sqlite:PATH",
        )
    return StoreError(
        f"the store {path} cannot be used: {error}", hint="restore it from a backup, or name another file"
    )


def check_journal(path: str) -> None:
    """After an unclean end: whether the journal that was left beside the file is the file's own, and both are sound.

    Reads only: were the file opened for writing, a journal of another one (a backup was copied over the file) would be
    folded into it. Raises StoreError that names the files.
    """
    journal = f"{path}-wal"
    if not os.path.exists(journal) or not os.path.getsize(journal):
        return
    try:
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None
        )
        try:
            found = _first_fault(connection, os.path.getsize(path))
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found is not None:
        raise StoreError(
            f"the store {path} is not sound with the journal beside it ({journal}, {path}-shm): {found}",
            hint="was a backup copied over it? Then move both journal files away; "
            "else bring a backup back with: gradata store restore",
        )


def _first_fault(connection: sqlite3.Connection, size_bytes: int) -> str | None:
    checks = ["PRAGMA quick_check(1)"]
    if size_bytes > CHECKED_BYTES_MAX:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        checks = [f"PRAGMA quick_check('{table}')" for table in _SMALL_TABLES if table in there]
    for check in checks:
        row = connection.execute(check).fetchone()
        if row is not None and row[0] != "ok":
            return str(row[0]).partition("\n")[0]
    return None
