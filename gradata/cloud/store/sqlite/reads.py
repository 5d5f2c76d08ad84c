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
from gradata.cloud.store.sqlite.facts import NUMBER_BITS, tile_reader
from gradata.cloud.store.values import (
    EVENTS_BYTES_MAX,
    EVENTS_MAX,
    READ_BYTES,
    EventQuery,
    Key,
    PlainRow,
    StoredEvent,
    StoredLog,
    StoredRow,
)
from replicator.proof import CompactRange

ROWS_A_READ = 1_024
NUMBERS_A_READ = 8_192
_NUMBER_MASK = (1 << NUMBER_BITS) - 1

LOG = """
SELECT l.log_key, b.workspace, b.brain_id, l.device_id, l.log_id, l.parent, l.size, l.nodes, l."offset", l.event_id,
       l.created_at, l.stored_at, l.heard_at, l.status,
       (SELECT count(*) FROM records INDEXED BY holes
         WHERE record IS NULL AND flag IS NULL AND place >= l.log_key << 40 AND place < (l.log_key + 1) << 40)
  FROM logs l JOIN brains b ON b.brain_key = l.brain_key AND b.deleted_at IS NULL
"""

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

    def log(self, workspace: str, log_id: str, brain_id: str | None = None) -> StoredLog | None:
        """See `store.Store`."""
        query = f"{LOG} WHERE b.workspace = ? AND l.log_id = ? AND (? IS NULL OR b.brain_id = ?)"
        with self._reading() as connection:
            row = connection.execute(
                f"{query} ORDER BY l.created_at, l.log_key LIMIT 1", (workspace, log_id, brain_id, brain_id)
            ).fetchone()
        return None if row is None else stored_log(row)

    def brains(self, workspace: str) -> list[str]:
        """See `store.Store`."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT brain_id FROM brains WHERE workspace = ? AND deleted_at IS NULL ORDER BY brain_id", (workspace,)
            ).fetchall()
        return [row[0] for row in rows]

    def owner(self, brain_id: str) -> str | None:
        """See `store.Store`."""
        with self._reading() as connection:
            row = connection.execute("SELECT workspace FROM brains WHERE brain_id = ?", (brain_id,)).fetchone()
        return None if row is None else str(row[0])

    def brains_with(self, workspace: str, event_ids: Sequence[str]) -> dict[str, int]:
        """See `store.Store`."""
        query = (
            "SELECT b.brain_id, count(*) FROM brains b CROSS JOIN json_each(?) w"
            " JOIN events e ON e.brain_key = b.brain_key AND e.event_id = w.value"
            " WHERE b.workspace = ? AND b.deleted_at IS NULL GROUP BY b.brain_id"
        )
        with self._reading() as connection:
            return dict(connection.execute(query, (json.dumps(list(event_ids)), workspace)).fetchall())

    def rows(self, log: StoredLog, first: int, end: int) -> Iterator[StoredRow]:
        """See `store.Store`."""
        for run in self.row_runs(log, first, end):
            for row in run:
                yield StoredRow(*row)

    def row_runs(self, log: StoredLog, first: int, end: int) -> Iterator[Sequence[PlainRow]]:
        """See `store.Store`."""
        base = log.key << NUMBER_BITS
        while first < end:
            rows: list[PlainRow] = []
            bytes_left = READ_BYTES
            with self._reading() as connection:
                for row in connection.execute(
                    'SELECT place - ?, "offset", length, flag, CAST(record AS BLOB) FROM records'
                    " WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
                    (base, base + first, base + end, ROWS_A_READ),
                ):
                    rows.append(row)
                    bytes_left -= len(row[4] or b"")
                    if bytes_left <= 0:
                        break
            if not rows:
                return
            yield rows
            first = rows[-1][0] + 1

    def numbers(self, log: StoredLog, first: int, end: int) -> Iterator[Sequence[int]]:
        """See `store.Store`."""
        base = log.key << NUMBER_BITS
        while first < end:
            with self._reading() as connection:
                rows = connection.execute(
                    "SELECT place - ? FROM records WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
                    (base, base + first, base + end, NUMBERS_A_READ),
                ).fetchall()
            if rows:
                yield [number for (number,) in rows]
            if len(rows) < NUMBERS_A_READ:
                return
            first = rows[-1][0] + 1

    def rows_at(self, log: StoredLog, offset: int, end: int) -> Iterator[StoredRow]:
        """See `store.Store`."""
        for row in self.rows(log, self._number_at(log, offset), log.tree.size):
            if row.offset >= end:
                return
            yield row

    def _number_at(self, log: StoredLog, offset: int) -> int:
        """A number from which on the first stored row is the first that ends behind `offset`."""
        base = log.key << NUMBER_BITS
        low, high = 0, log.tree.size
        with self._reading() as connection:
            while low < high:
                middle = (low + high) // 2
                row = connection.execute(
                    'SELECT place - ?, "offset" + length FROM records WHERE place >= ? AND place < ?'
                    " ORDER BY place LIMIT 1",
                    (base, base + middle, base + high),
                ).fetchone()
                if row is None or row[1] > offset:
                    high = middle
                else:
                    low = row[0] + 1
        return low

    def tile(self, log: StoredLog, level: int, index: int) -> bytes:
        """See `store.Store`."""
        with self._reading() as connection:
            return tile_reader(connection, log.key)(level, index)

    def events(self, workspace: str, query: EventQuery) -> list[StoredEvent]:
        """See `store.Store`."""
        with self._reading() as connection:
            brain = connection.execute(
                "SELECT brain_key FROM brains WHERE brain_id = ? AND workspace = ? AND deleted_at IS NULL",
                (query.brain_id, workspace),
            ).fetchone()
            if brain is None:
                return []
            base = brain[0] << NUMBER_BITS
            rows = connection.execute(
                f"{EVENT_COLUMNS} WHERE e.cursor > ? AND e.cursor < ? AND e.gone IS NULL AND (? IS NULL OR e.type = ?)"
                " ORDER BY e.cursor LIMIT ?",
                (
                    base + max(query.after, 0),
                    base + _NUMBER_MASK,
                    query.type,
                    query.type,
                    min(query.limit, EVENTS_MAX),
                ),
            )
            return stored_events(rows, query.bytes_max)

    def key(self, prefix: str) -> Key | None:
        """See `store.Store`."""
        with self._reading() as connection:
            row = connection.execute("SELECT * FROM keys WHERE prefix = ?", (prefix,)).fetchone()
        return None if row is None else _stored_key(row)

    def keys(self, workspace: str | None = None) -> list[Key]:
        """See `store.Store`."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT * FROM keys WHERE ? IS NULL OR workspace = ? ORDER BY created_at, prefix",
                (workspace, workspace),
            ).fetchall()
        return [_stored_key(row) for row in rows]

    def refusals(self) -> list[tuple[str, str, str, int, int]]:
        """See `store.Store`."""
        with self._reading() as connection:
            return connection.execute(
                "SELECT prefix, brain_id, code, count, last_at FROM refusals ORDER BY last_at DESC LIMIT 1000"
            ).fetchall()


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


def _stored_key(row: tuple[Any, ...]) -> Key:
    prefix, name, workspace, scopes, brains, sha256, *times = row
    return Key(prefix, name, workspace, frozenset(scopes.split()), sha256, frozenset(brains.split("\n")) - {""}, *times)
