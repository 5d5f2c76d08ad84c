"""The tables of system.db: those of all brains since 0.6.0 in their latest form, and two of this version.

`prepare` upgrades any of them and keeps them usable by the versions that created them: it adds columns, tables and
indexes, and removes nothing. Partner: `projection`.
"""

from __future__ import annotations

import logging
import sqlite3

log = logging.getLogger("gradata")

_EVENTS = """CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ts TEXT NOT NULL, session INTEGER, type TEXT NOT NULL, source TEXT,
    data_json TEXT, tags_json TEXT, valid_from TEXT, valid_until TEXT, scope TEXT DEFAULT 'local')"""

_ADDED_SINCE_0_6 = {
    "scope": "TEXT DEFAULT 'local'",
    "tenant_id": "TEXT",
    "schema_version": "INTEGER DEFAULT 1",
    "event_id": "TEXT",
    "device_id": "TEXT",
    "content_hash": "TEXT",
    "correction_chain_id": "TEXT",
    "origin_agent": "TEXT",
    "brain_id": "TEXT",
}

_REST = (
    "CREATE INDEX IF NOT EXISTS idx_events_session ON events(session)",
    "CREATE INDEX IF NOT EXISTS idx_events_type ON events(type)",
    "CREATE INDEX IF NOT EXISTS idx_events_session_type ON events(session, type)",
    # Finds rows that a version without ids projected, so that their records are not projected again.
    "CREATE INDEX IF NOT EXISTS gradata_without_id ON events(ts) WHERE event_id IS NULL",
    "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TEXT, rows_affected INTEGER, notes TEXT)",
    # Which row stands for which record without an id of its own. Its own table: the row keeps the id by which
    # older versions know it, or they would project the record once more.
    """CREATE TABLE IF NOT EXISTS gradata_identity (
        identity TEXT PRIMARY KEY, event_row INTEGER NOT NULL UNIQUE) WITHOUT ROWID""",
    # Last, for its presence says that all the others are there.
    """CREATE TABLE IF NOT EXISTS gradata_projection (
        id INTEGER PRIMARY KEY CHECK (id = 1), offset INTEGER NOT NULL, size INTEGER NOT NULL, skipped INTEGER NOT NULL,
        anchor_length INTEGER NOT NULL, anchor_sha256 BLOB NOT NULL)""",
)

_UNIQUE = "CREATE UNIQUE INDEX idx_events_brain_event_id ON events(brain_id, event_id)"
_NOT_UNIQUE = "CREATE INDEX IF NOT EXISTS gradata_brain_event_id ON events(brain_id, event_id)"


def prepare(connection: sqlite3.Connection) -> None:
    """WAL, and the tables. Costs a few reads when there is nothing to do. Raises sqlite3.Error."""
    connection.execute("PRAGMA journal_mode = WAL").close()
    connection.execute("PRAGMA wal_autocheckpoint = 4000").close()  # 16 MiB: a long catch-up takes half the time
    connection.execute("PRAGMA synchronous = NORMAL").close()  # the log is what is durable; this is rebuilt from it
    if _complete(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        _bring_up_to_date(connection)
    except sqlite3.Error:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _complete(connection: sqlite3.Connection) -> bool:
    ours = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'gradata_projection'").fetchone()[0]
    return bool(ours) and set(_ADDED_SINCE_0_6) <= _columns(connection)


def _columns(connection: sqlite3.Connection) -> set[str]:
    return {row[1] for row in connection.execute("PRAGMA table_info(events)")}


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    connection.execute(_EVENTS)
    known = _columns(connection)
    for name, declaration in _ADDED_SINCE_0_6.items():
        if name not in known:
            connection.execute(f"ALTER TABLE events ADD COLUMN {name} {declaration}")
    _index_identities(connection)
    for statement in _REST:
        connection.execute(statement)


def _index_identities(connection: sqlite3.Connection) -> None:
    """The unique index, where the rows allow it. Where they do not, a plain one: `rows` asks before
    it inserts, so it needs the index for speed alone, and nobody's rows have to go."""
    for row in connection.execute("PRAGMA index_list(events)").fetchall():
        columns = [column[2] for column in connection.execute(f'PRAGMA index_info("{row[1]}")')]
        if row[2] and columns == ["brain_id", "event_id"]:
            return
    try:
        connection.execute(_UNIQUE)
    except sqlite3.IntegrityError:
        log.warning("system.db holds events twice from before; they are left alone, and none is added twice")
        connection.execute(_NOT_UNIQUE)
