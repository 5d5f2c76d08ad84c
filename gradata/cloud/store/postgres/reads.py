"""The reads of the PostgreSQL store, for pages, clients and `service.integrity`.

Each call borrows a connection for one short statement: no download holds a snapshot that keeps dead rows alive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from gradata.cloud.domain.requests import PROJECTED
from gradata.cloud.domain.tiles import hashes_of
from gradata.cloud.store.port import WantedRows
from gradata.cloud.store.postgres.connection import Connection
from gradata.cloud.store.postgres.facts import LOG_BITS, tile_reader
from gradata.cloud.store.values import (
    EVENTS_BYTES_MAX,
    EVENTS_MAX,
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
PAGE_ROWS = 50
READ_BYTES_WANTED = 1 << 20

LOG = """
SELECT l.log_key, b.workspace, b.brain_id, l.device_id, l.log_id, l.parent, l.size, l.nodes, l."offset", l.event_id,
       l.created_at, l.stored_at, l.heard_at, l.status,
       (SELECT count(*) FROM gradata.records r
         WHERE r.record IS NULL AND r.flag IS NULL AND r.brain_key = l.brain_key AND r.log_key = l.log_key)
  FROM gradata.logs l JOIN gradata.brains b ON b.brain_key = l.brain_key AND b.deleted_at IS NULL
"""
LOG_OF_DELETED = LOG.replace("b.deleted_at IS NULL", "b.deleted_at IS NOT NULL")
_IN_ORDER = """
SELECT number, "offset", length, flag, record FROM gradata.records
 WHERE brain_key = %s AND log_key = %s AND number >= %s AND number < %s ORDER BY number LIMIT %s
"""
_PLACES = _IN_ORDER.replace("flag, record", "flag, NULL::bytea")
_ROWS = {
    "rows": _IN_ORDER,
    "places": _PLACES,
    "holes": _PLACES.replace("ORDER BY", "AND record IS NULL AND flag IS NULL ORDER BY"),
}
EVENT_COLUMNS = """
       e.cursor, e.event_id, e.stored_at, e.number, g.log_id, coalesce(r.record, x.record), e.session_text,
       {columns}
""".format(columns=", ".join(f"e.{name}" for name in PROJECTED))
EVENT_JOINS = """
  LEFT JOIN gradata.records r ON r.brain_key = e.brain_key AND r.log_key = e.log_key AND r.number = e.number
  LEFT JOIN gradata.loose x ON x.brain_key = e.brain_key AND x.content = e.loose
  LEFT JOIN gradata.logs g ON g.brain_key = e.brain_key AND g.log_key = e.log_key
"""
_PAGE = f"""SELECT {EVENT_COLUMNS}
  FROM (SELECT * FROM gradata.events e
         WHERE e.brain_key = (SELECT brain_key FROM gradata.brains
                               WHERE brain_id = %(brain)s AND workspace = %(space)s AND deleted_at IS NULL)
           AND e.cursor > %(after)s AND e.gone IS NULL AND (%(kind)s::text IS NULL OR e.type = %(kind)s)
         ORDER BY e.cursor LIMIT %(limit)s) e
"""
_BRAIN = """(SELECT brain_key FROM gradata.brains
              WHERE brain_id = %(brain)s AND workspace = %(space)s AND deleted_at IS NULL)"""
_NEWEST = f"""SELECT {EVENT_COLUMNS}
  FROM (SELECT e.* FROM gradata.brains b JOIN gradata.events e USING (brain_key)
         WHERE b.brain_id = %(brain)s AND b.workspace = %(space)s AND b.deleted_at IS NULL
           AND e.cursor < %(before)s AND e.cursor > least(b.events, %(before)s - 1) - %(scanned)s AND e.gone IS NULL
           AND (%(kind)s::text IS NULL OR e.type = %(kind)s)
         ORDER BY e.cursor DESC LIMIT %(limit)s) e
"""
_AMONG = f"""SELECT {EVENT_COLUMNS}
  FROM (SELECT * FROM gradata.events WHERE brain_key = {_BRAIN} AND cursor = ANY(%(cursors)s::bigint[])
         ORDER BY cursor LIMIT %(limit)s) e
"""
_KEY = "SELECT prefix, name, workspace, scopes, brains, sha256, created_at, expires_at, revoked_at FROM gradata.keys"

Arguments = Sequence[object] | Mapping[str, object]


class PostgresReads:
    """The reading part of PostgresStore, which provides the connections."""

    def _reading(self, answer_s: float | None = None) -> AbstractContextManager[Connection]:
        raise NotImplementedError

    def _fetch(self, query: str, arguments: Arguments = (), answer_s: float | None = None) -> list[tuple[Any, ...]]:
        with self._reading(answer_s) as connection:
            return connection.execute(query, arguments, binary=True).fetchall()

    def logs(self, workspace: str, brain_id: str, device_id: str | None = None) -> list[StoredLog]:
        """See `store.Store`."""
        query = f"{LOG} WHERE b.workspace = %s AND b.brain_id = %s AND (%s::text IS NULL OR l.device_id = %s)"
        rows = self._fetch(
            f"{query} ORDER BY l.created_at DESC, l.log_key DESC", (workspace, brain_id, device_id, device_id)
        )
        return [stored_log(row) for row in rows]

    def log(
        self, workspace: str, log_id: str, brain_id: str | None = None, *, deleted: bool = False
    ) -> StoredLog | None:
        """See `store.port.StoredLogs`."""
        query = LOG_OF_DELETED if deleted else LOG
        query = f"{query} WHERE b.workspace = %s AND l.log_id = %s AND (%s::text IS NULL OR b.brain_id = %s)"
        order = "ORDER BY l.created_at, l.log_key LIMIT 1"
        rows = self._fetch(f"{query} {order}", (workspace, log_id, brain_id, brain_id))
        return stored_log(rows[0]) if rows else None

    def brains_with(self, workspace: str, event_ids: Sequence[str]) -> dict[str, int]:
        """See `store.Store`."""
        query = (
            "SELECT b.brain_id, f.found FROM gradata.brains b, LATERAL (SELECT count(*) AS found FROM gradata.events e"
            " WHERE e.brain_key = b.brain_key AND e.event_id = ANY(%s)) f"
            " WHERE b.workspace = %s AND b.deleted_at IS NULL AND f.found > 0"
        )
        return dict(self._fetch(query, (list(event_ids), workspace)))

    def rows(self, log: StoredLog, first: int, end: int, what: WantedRows = "rows") -> Iterator[Sequence[PlainRow]]:
        """See `store.port.StoredLogs`."""
        query, limit = _ROWS[what], 8 if what == "rows" else PLACES_A_READ
        while first < end:
            rows: list[PlainRow] = self._fetch(query, (log.key >> LOG_BITS, log.key, first, end, limit))
            if rows:
                yield rows
            if len(rows) < limit:
                return
            first = rows[-1][0] + 1
            if what == "rows":
                longest = max(row[2] for row in rows)
                limit = max(1, min(ROWS_A_READ, 2 * limit, READ_BYTES_WANTED // max(longest, 1)))

    def tile(self, log: StoredLog, level: int, index: int) -> bytes:
        """See `store.Store`."""
        with self._reading() as connection:
            return tile_reader(connection, log.key)(level, index)

    def events(self, workspace: str, query: EventQuery) -> list[StoredEvent]:
        """See `store.port.StoredLogs`."""
        limit = min(query.limit, EVENTS_MAX)
        wanted: dict[str, object] = {"brain": query.brain_id, "space": workspace, "kind": query.type, "limit": limit}
        if query.cursors is not None:
            page, order = _AMONG, "ASC"
            wanted["cursors"] = list(query.cursors)
        elif query.before is not None:
            page, order = _NEWEST, "DESC"
            wanted |= {"before": query.before, "scanned": RECENT_SCANNED_MAX}
        else:
            page, order = _PAGE, "ASC"
            wanted["after"] = query.after
        with self._paging(page, order, wanted) as rows:
            return stored_events(rows, query.bytes_max)

    @contextmanager
    def _paging(self, query: str, order: str, wanted: Mapping[str, object]) -> Iterator[Iterable[tuple[Any, ...]]]:
        """Rows of EVENT_COLUMNS, fetched in pieces: a page may end long before its last row."""
        with self._reading() as connection, connection.transaction(), connection.cursor("page", binary=True) as page:
            page.itersize = PAGE_ROWS
            page.execute(f"{query}{EVENT_JOINS} ORDER BY e.cursor {order}", wanted)
            yield page

    def keys(self, workspace: str | None = None, *, prefix: str | None = None) -> list[StoredKey]:
        """See `store.port.StoredKeys`."""
        rows = self._fetch(
            f"{_KEY} WHERE (%s::text IS NULL OR workspace = %s) AND (%s::text IS NULL OR prefix = %s)"
            " ORDER BY created_at, prefix",
            (workspace, workspace, prefix, prefix),
        )
        return [_stored_key(row) for row in rows]

    def refusals(self) -> list[tuple[str, str, str, int, int]]:
        """See `store.Store`."""
        query = "SELECT prefix, brain_id, code, count, last_at FROM gradata.refusals ORDER BY last_at DESC LIMIT 1000"
        return [(prefix, brain, code, count, last) for prefix, brain, code, count, last in self._fetch(query)]


def stored_events(rows: Iterable[tuple[Any, ...]], bytes_max: int = EVENTS_BYTES_MAX) -> list[StoredEvent]:
    """Rows of EVENT_COLUMNS, as long as their records are at most `bytes_max` together; at least one."""
    found: list[StoredEvent] = []
    bytes_left = bytes_max
    for cursor, event_id, stored_at, number, log_id, record, session_text, *columns in rows:
        bytes_left -= len(record or b"")
        if found and bytes_left < 0:
            break
        projected = dict(zip(PROJECTED, columns, strict=True))
        if session_text is not None:
            projected["session"] = session_text
        place = None if log_id is None else (log_id, number)
        found.append(StoredEvent(cursor, event_id, stored_at, place, record, **projected))
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
