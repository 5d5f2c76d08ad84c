"""The reads of the SQLite store, for pages, clients and `service.integrity`.

Each call borrows a connection for one short read, so no download holds a snapshot that keeps the WAL growing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from gradata.cloud.domain.requests import PROJECTED
from gradata.cloud.domain.tiles import hashes_of
from gradata.cloud.store.port import WantedRows
from gradata.cloud.store.sqlite.facts import NUMBER_BITS, tile_reader
from gradata.cloud.store.values import (
    EVENTS_BYTES_MAX,
    EVENTS_MAX,
    READ_BYTES,
    RECENT_SCANNED_MAX,
    EventQuery,
    PlainRow,
    StoredEvent,
    StoredKey,
    StoredLog,
)
from replicator.proof import CompactRange

ROWS_A_READ = 1_024
PLACES_A_READ = 8_192
_NUMBER_MASK = (1 << NUMBER_BITS) - 1

LOG = """
SELECT l.log_key, b.workspace, b.brain_id, l.device_id, l.log_id, l.parent, l.size, l.nodes, l."offset", l.event_id,
       l.created_at, l.stored_at, l.heard_at, l.status,
       (SELECT count(*) FROM records INDEXED BY holes
         WHERE record IS NULL AND flag IS NULL AND place >= l.log_key << 40 AND place < (l.log_key + 1) << 40)
  FROM logs l JOIN brains b ON b.brain_key = l.brain_key AND b.deleted_at IS NULL
"""
LOG_OF_DELETED = LOG.replace("b.deleted_at IS NULL", "b.deleted_at IS NOT NULL")

_PLACES = 'SELECT place - ?, "offset", length, flag, NULL FROM records'
_IN_ORDER = " WHERE place >= ? AND place < ? ORDER BY place LIMIT ?"
_ROWS = {
    "rows": _PLACES.replace("NULL", "CAST(record AS BLOB)") + _IN_ORDER,
    "places": _PLACES + _IN_ORDER,
    "holes": f"{_PLACES} INDEXED BY holes{_IN_ORDER.replace('ORDER', 'AND record IS NULL AND flag IS NULL ORDER')}",
}

EVENT_COLUMNS = """
SELECT e.cursor & ((1 << 40) - 1), e.event_id, e.stored_at, e.place, g.log_id,
       CAST(coalesce(r.record, x.record) AS BLOB), {columns}
  FROM events e
  LEFT JOIN records r ON r.place = e.place LEFT JOIN loose x ON x.loose = e.loose
  LEFT JOIN logs g ON g.log_key = e.place >> 40
""".format(columns=", ".join(f"e.{name}" for name in PROJECTED))


class Reads:
    """The reading part of SqliteStore, which provides the connections."""

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def logs(self, workspace: str, brain_id: str, device_id: str | None = None) -> list[StoredLog]:
        """See `store.Store`."""
        query = f"{LOG} WHERE b.workspace = ? AND b.brain_id = ? AND (? IS NULL OR l.device_id = ?)"
        with self._reading() as connection:
            rows = connection.execute(
                f"{query} ORDER BY l.created_at DESC, l.log_key DESC", (workspace, brain_id, device_id, device_id)
            ).fetchall()
        return [stored_log(row) for row in rows]

    def log(
        self, workspace: str, log_id: str, brain_id: str | None = None, *, deleted: bool = False
    ) -> StoredLog | None:
        """See `store.port.StoredLogs`."""
        query = LOG_OF_DELETED if deleted else LOG
        query = f"{query} WHERE b.workspace = ? AND l.log_id = ? AND (? IS NULL OR b.brain_id = ?)"
        with self._reading() as connection:
            row = connection.execute(
                f"{query} ORDER BY l.created_at, l.log_key LIMIT 1", (workspace, log_id, brain_id, brain_id)
            ).fetchone()
        return None if row is None else stored_log(row)

    def brains_with(self, workspace: str, event_ids: Sequence[str]) -> dict[str, int]:
        """See `store.Store`."""
        query = (
            "SELECT b.brain_id, count(*) FROM brains b CROSS JOIN json_each(?) w"
            " JOIN events e ON e.brain_key = b.brain_key AND e.event_id = w.value"
            " WHERE b.workspace = ? AND b.deleted_at IS NULL GROUP BY b.brain_id"
        )
        with self._reading() as connection:
            return dict(connection.execute(query, (json.dumps(list(event_ids)), workspace)).fetchall())

    def rows(self, log: StoredLog, first: int, end: int, what: WantedRows = "rows") -> Iterator[Sequence[PlainRow]]:
        """See `store.port.StoredLogs`."""
        base = log.key << NUMBER_BITS
        query, limit = _ROWS[what], ROWS_A_READ if what == "rows" else PLACES_A_READ
        while first < end:
            rows: list[PlainRow] = []
            bytes_left = READ_BYTES
            with self._reading() as connection:
                for row in connection.execute(query, (base, base + first, base + end, limit)):
                    rows.append(row)
                    bytes_left -= len(row[4] or b"")
                    if bytes_left <= 0:
                        break
            if not rows:
                return
            yield rows
            first = rows[-1][0] + 1

    def tile(self, log: StoredLog, level: int, index: int) -> bytes:
        """See `store.Store`."""
        with self._reading() as connection:
            return tile_reader(connection, log.key)(level, index)

    def events(self, workspace: str, query: EventQuery) -> list[StoredEvent]:
        """See `store.port.StoredLogs`."""
        with self._reading() as connection:
            brain = connection.execute(
                "SELECT brain_key << ?, events FROM brains WHERE brain_id = ? AND workspace = ? AND deleted_at IS NULL",
                (NUMBER_BITS, query.brain_id, workspace),
            ).fetchone()
            if brain is None:
                return []
            where, wanted = _place_of(query, *brain)
            rows = connection.execute(f"{EVENT_COLUMNS} WHERE {where} LIMIT ?", (*wanted, min(query.limit, EVENTS_MAX)))
            return stored_events(rows, query.bytes_max)

    def keys(self, workspace: str | None = None, *, prefix: str | None = None) -> list[StoredKey]:
        """See `store.port.StoredKeys`."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT * FROM keys WHERE (? IS NULL OR workspace = ?) AND (? IS NULL OR prefix = ?)"
                " ORDER BY created_at, prefix",
                (workspace, workspace, prefix, prefix),
            ).fetchall()
        return [_stored_key(row) for row in rows]

    def refusals(self) -> list[tuple[str, str, str, int, int]]:
        """See `store.Store`."""
        with self._reading() as connection:
            return connection.execute(
                "SELECT prefix, brain_id, code, count, last_at FROM refusals ORDER BY last_at DESC LIMIT 1000"
            ).fetchall()


def _place_of(query: EventQuery, base: int, newest: int) -> tuple[str, tuple[object, ...]]:
    """The condition and order that a query stands for, with its arguments; `base`: of the brain's cursors."""
    if query.cursors is not None:
        wanted = json.dumps([base + cursor for cursor in query.cursors])
        return "e.cursor IN (SELECT value FROM json_each(?)) ORDER BY e.cursor", (wanted,)
    kind = (query.type, query.type)
    shown = "e.cursor > ? AND e.cursor <= ? AND e.gone IS NULL AND (? IS NULL OR e.type = ?) ORDER BY e.cursor"
    if query.before is None:
        return shown, (base + max(query.after, 0), base + _NUMBER_MASK - 1, *kind)
    last = min(newest, query.before - 1)
    return f"{shown} DESC", (base + max(last - RECENT_SCANNED_MAX, 0), base + last, *kind)


def stored_events(rows: Iterable[tuple[Any, ...]], bytes_max: int = EVENTS_BYTES_MAX) -> list[StoredEvent]:
    """Rows of EVENT_COLUMNS, as long as their records are at most `bytes_max` together; at least one."""
    found: list[StoredEvent] = []
    bytes_left = bytes_max
    for cursor, event_id, stored_at, place, log_id, record, *columns in rows:
        bytes_left -= len(record or b"")
        if found and bytes_left < 0:
            break
        where = None if place is None else (log_id, place & _NUMBER_MASK)
        found.append(StoredEvent(cursor, event_id, stored_at, where, record, *columns))
    return found


def stored_log(row: tuple[Any, ...]) -> StoredLog:
    """A row of LOG."""
    key, workspace, brain_id, device_id, log_id, parent, size, nodes, *rest = row
    tree = CompactRange(size, tuple(hashes_of(nodes)))
    return StoredLog(key, workspace, brain_id, device_id, log_id, parent, tree, *rest)


def _stored_key(row: tuple[Any, ...]) -> StoredKey:
    prefix, name, workspace, scopes, brains, sha256, *times = row
    return StoredKey(
        prefix, name, workspace, frozenset(scopes.split()), sha256, frozenset(brains.split("\n")) - {""}, *times
    )
