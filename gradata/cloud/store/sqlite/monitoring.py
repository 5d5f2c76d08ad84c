"""Monitoring reads of the SQLite store: see `store.port_monitoring`."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import groupby
from typing import Any

from gradata.cloud.domain.daily_counts import DayKind
from gradata.cloud.store.sqlite.reads import LOG, Reads, stored_log
from gradata.cloud.store.values import (
    FRESH_EVENTS_MAX,
    FRESH_RECORD_BYTES_MAX,
    SESSION_US_MAX,
    ChangeListener,
    EventQuery,
    StoredAlert,
    StoredBrain,
    StoredEvent,
    StoredNotice,
)

SECRET_BYTES = 32


class Watching(Reads):
    """The monitoring part of SqliteStore, which provides the connections."""

    def __init__(self) -> None:
        self._listeners: dict[object, ChangeListener] = {}
        self._listening = threading.Lock()

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def fleet(self, workspace: str, brain_id: str | None = None) -> list[StoredBrain]:
        """See `store.port_monitoring.Watched`."""
        wanted = (workspace, brain_id, brain_id)
        with self._reading() as connection:
            brains = connection.execute(
                "SELECT b.brain_id, b.created_at, b.events - b.gone, e.stored_at FROM brains b"
                " LEFT JOIN events e ON e.cursor = (b.brain_key << 40) + b.events"
                " WHERE b.deleted_at IS NULL AND b.workspace = ? AND (? IS NULL OR b.brain_id = ?) ORDER BY b.brain_id",
                wanted,
            ).fetchall()
            rows = connection.execute(
                f"{LOG} WHERE b.workspace = ? AND (? IS NULL OR b.brain_id = ?)"
                " ORDER BY b.brain_id, l.created_at DESC, l.log_key DESC",
                wanted,
            ).fetchall()
        logs = {name: tuple(map(stored_log, found)) for name, found in groupby(rows, key=lambda row: str(row[2]))}
        return [
            StoredBrain(name, created, events, stored, logs.get(name, ())) for name, created, events, stored in brains
        ]

    def days(self, workspace: str, first: str, brain_id: str | None = None) -> list[tuple[str, DayKind, int]]:
        """See `store.port_monitoring.Watched`."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT b.brain_id, d.day, d.type, d.category, d.severity, d.events"
                " FROM days d JOIN brains b USING (brain_key)"
                " WHERE b.workspace = ? AND (? IS NULL OR b.brain_id = ?) AND d.day >= ? AND b.deleted_at IS NULL"
                " ORDER BY b.brain_id, d.day, d.type, d.category, d.severity",
                (workspace, brain_id, brain_id, first),
            ).fetchall()
        return [(name, DayKind(*kind), count) for name, *kind, count in rows]

    def fresh(self, wanted: Sequence[tuple[str, EventQuery]]) -> list[list[StoredEvent] | None]:
        """See `store.port_monitoring.Watched`."""
        found: list[list[StoredEvent] | None] = []
        for workspace, query in wanted:
            events = self.events(workspace, replace(query, limit=FRESH_EVENTS_MAX + 1))
            large = any(len(event.record or b"") > FRESH_RECORD_BYTES_MAX for event in events)
            found.append(None if large or len(events) > FRESH_EVENTS_MAX else events)
        return found

    def secret(self, name: str) -> bytes:
        """See `store.port_monitoring.Watched`."""
        row = ("secret." + name, secrets.token_hex(SECRET_BYTES))
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", row)
            found = connection.execute("SELECT value FROM meta WHERE name = ?", row[:1]).fetchone()
        return bytes.fromhex(found[0])

    def session_ended(self, name: str, *, until: int | None = None) -> bool:
        """See `store.port_monitoring.Watched`."""
        if until is None:
            with self._reading() as connection:
                query = "SELECT 1 FROM meta WHERE name = ?"
                return connection.execute(query, (f"ended.{name}",)).fetchone() is not None
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM meta WHERE name LIKE 'ended.%' AND CAST(value AS INTEGER) < ?", (until - SESSION_US_MAX,)
            )
            connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (f"ended.{name}", str(until)))
        return True

    def listen(self, told: ChangeListener) -> Callable[[], None]:
        """See `store.port_monitoring.Watched`: one process writes an SQLite file, so it tells itself."""
        mark = object()
        with self._listening:
            self._listeners[mark] = told

        def end() -> None:
            with self._listening:
                self._listeners.pop(mark, None)

        return end

    def _tell(self, brains: Collection[str]) -> None:
        with self._listening:
            listeners = list(self._listeners.values())
        for told in listeners:
            told(brains)

    def alerts(self) -> list[StoredAlert]:
        """See `store.port_monitoring.Watched`."""
        with self._reading() as connection:
            rows = connection.execute("SELECT name, state, opened_at, subject FROM alerts ORDER BY opened_at, name")
            return [StoredAlert(*row) for row in rows]

    def set_alert(self, name: str, state: str | None, *, body: bytes, now: int, subject: bytes = b"") -> bool:
        """See `store.port_monitoring.Watched`."""
        with self._transaction() as connection:
            if state is None:
                changed = connection.execute("DELETE FROM alerts WHERE name = ?", (name,)).rowcount
            else:
                changed = connection.execute(
                    "INSERT INTO alerts VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"
                    " SET state = excluded.state, subject = excluded.subject WHERE state <> excluded.state",
                    (name, state, now, subject),
                ).rowcount
            return _with_notice(connection, changed, name, body, now)

    def take_notices(self, *, now: int, until: int, limit: int = 20) -> list[StoredNotice]:
        """See `store.port_monitoring.Watched`."""
        with self._transaction() as connection:
            rows: list[tuple[Any, ...]] = connection.execute(
                "UPDATE notices SET due_at = ?, attempts = attempts + 1 WHERE number IN (SELECT number FROM notices n"
                " WHERE due_at <= ? AND NOT EXISTS (SELECT 1 FROM notices o WHERE o.alert = n.alert"
                " AND o.number < n.number) ORDER BY number LIMIT ?)"
                " RETURNING number, alert, attempts, created_at, body",
                (until, now, limit),
            ).fetchall()
        return sorted((StoredNotice(*row) for row in rows), key=lambda notice: notice.number)

    def settle_notice(self, number: int, *, retry_at: int | None) -> None:
        """See `store.port_monitoring.Watched`."""
        with self._transaction() as connection:
            if retry_at is None:
                connection.execute("DELETE FROM notices WHERE number = ?", (number,))
            else:
                connection.execute("UPDATE notices SET due_at = ? WHERE number = ?", (retry_at, number))


def _with_notice(connection: sqlite3.Connection, changed: int, name: str, body: bytes, now: int) -> bool:
    if changed:
        connection.execute(
            "INSERT INTO notices (alert, created_at, due_at, body) VALUES (?, ?, ?, ?)", (name, now, now, body)
        )
    return bool(changed)
