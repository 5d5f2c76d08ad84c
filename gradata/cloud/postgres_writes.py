"""What a transaction of the PostgreSQL store writes: one statement for each table, whatever the number of requests.

Runs under the locks that `postgres_facts.gather` took, so no two transactions ever write rows of one brain at the
same time: what is inserted is new, and no `ON CONFLICT` is needed to find out.
"""

from __future__ import annotations

import selectors
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from gradata.cloud.days import DayKind, day_counts
from gradata.cloud.ingest import Decision, Done, NewEvents
from gradata.cloud.postgres_arrays import Bigints, Byteas, Ints, Texts
from gradata.cloud.postgres_facts import LOG_BITS, Brain, Connection, Locked
from gradata.cloud.requests import Append, Beat, Loose, Request
from replicator.proof import HASH_BYTES, TILE_HASHES

PUSH_S = 30.0
"""How long the database may take nothing of a batch before its connection counts as dead."""

_RECORDS = """
INSERT INTO gradata.records (brain_key, log_key, number, "offset", length, flag, record)
SELECT * FROM unnest(%s, %s, %s, %s, %s, %s, %s)
"""
_MENDED = f"""{_RECORDS}
ON CONFLICT (brain_key, log_key, number) DO UPDATE
   SET "offset" = excluded."offset", length = excluded.length, flag = excluded.flag, record = excluded.record
"""
_EVENTS = """
INSERT INTO gradata.events (brain_key, cursor, event_id, content, stored_at, log_key, number, loose,
                            type, category, severity, session, session_text, ts)
SELECT b, c, i, h, %s, l, n, x, t, k, s, d, w, ts
  FROM unnest(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) AS u(b, c, i, h, l, n, x, t, k, s, d, w, ts)
"""
_LOOSE = """
INSERT INTO gradata.loose (brain_key, content, stored_at, flag, record)
SELECT b, c, %s, f, r FROM unnest(%s, %s, %s, %s) AS u(b, c, f, r) ON CONFLICT DO NOTHING
"""
_TILES = """
INSERT INTO gradata.tiles (brain_key, log_key, level, "index", slot, hashes)
SELECT * FROM unnest(%s, %s, %s, %s, %s, %s)
ON CONFLICT (brain_key, log_key, level, "index", slot) DO UPDATE SET hashes = excluded.hashes
"""
# A full tile becomes one row, unless it lost a part.
_FULL_TILES = f"""
WITH whole AS (
    SELECT t.brain_key, t.log_key, t.level, t."index", string_agg(t.hashes, ''::bytea ORDER BY t.slot) AS hashes
      FROM unnest(%s, %s, %s, %s) AS u(b, l, v, i)
      JOIN gradata.tiles t ON t.brain_key = u.b AND t.log_key = u.l AND t.level = u.v AND t."index" = u.i
     GROUP BY 1, 2, 3, 4 HAVING sum(length(t.hashes)) = {TILE_HASHES * HASH_BYTES} AND min(t.slot) = 0
), parts AS (
    DELETE FROM gradata.tiles t USING whole w
     WHERE t.brain_key = w.brain_key AND t.log_key = w.log_key AND t.level = w.level AND t."index" = w."index"
       AND t.slot > 0
)
UPDATE gradata.tiles t SET hashes = w.hashes FROM whole w
 WHERE t.brain_key = w.brain_key AND t.log_key = w.log_key AND t.level = w.level AND t."index" = w."index"
   AND t.slot = 0
"""
_NEW_LOGS = """
INSERT INTO gradata.logs (brain_key, log_key, log_id, device_id, parent, created_at)
SELECT b, l, i, d, p, %s FROM unnest(%s, %s, %s, %s, %s) AS u(b, l, i, d, p)
"""
_HEADS = """
UPDATE gradata.logs g
   SET size = u.z, "offset" = u.o, event_id = u.e, nodes = u.n, stored_at = %s, heard_at = %s,
       device_id = u.d, parent = coalesce(g.parent, u.p), status = coalesce(u.s, g.status)
  FROM unnest(%s, %s, %s, %s, %s, %s, %s, %s, %s) AS u(b, l, z, o, e, n, d, p, s)
 WHERE g.brain_key = u.b AND g.log_key = u.l
"""
_HEARD = """
UPDATE gradata.logs g SET heard_at = %s, status = coalesce(u.s, g.status)
  FROM unnest(%s, %s, %s) AS u(b, l, s) WHERE g.brain_key = u.b AND g.log_key = u.l
"""
_BRAINS = """
UPDATE gradata.brains g SET workspace = u.w, logs = u.l, events = u.e,
       created_at = CASE g.created_at WHEN 0 THEN %s ELSE g.created_at END
  FROM unnest(%s, %s, %s, %s) AS u(b, w, l, e) WHERE g.brain_key = u.b
"""
_UNCLAIMED = "DELETE FROM gradata.brains WHERE brain_key = ANY(%s)"
_DAYS = """
INSERT INTO gradata.days AS g (brain_key, day, type, category, severity, events)
SELECT * FROM unnest(%s, %s, %s, %s, %s, %s)
ON CONFLICT (brain_key, day, type, category, severity) DO UPDATE SET events = g.events + excluded.events
"""


class _Rows:
    """Rows for one statement, in columns of the given kinds."""

    __slots__ = ("_columns", "_kinds")

    def __init__(self, *kinds: Callable[[list[Any]], object]) -> None:
        self._kinds = kinds
        self._columns: tuple[list[Any], ...] = tuple([] for _ in kinds)

    def __bool__(self) -> bool:
        return bool(self._columns[0])

    def add(self, *values: object) -> None:
        """One row."""
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def extend(self, *columns: Iterable[object]) -> None:
        """Many rows."""
        for column, values in zip(self._columns, columns, strict=True):
            column.extend(values)

    def arrays(self) -> tuple[object, ...]:
        """An array for each column."""
        return tuple(kind(column) for kind, column in zip(self._kinds, self._columns, strict=True))


def _record_rows() -> _Rows:
    return _Rows(Bigints, Bigints, Bigints, Bigints, Bigints, Texts, Byteas)


@dataclass(slots=True)
class _Writing:
    """Everything that one transaction writes."""

    records: _Rows = field(default_factory=_record_rows)
    mended: _Rows = field(default_factory=_record_rows)
    tiles: _Rows = field(default_factory=lambda: _Rows(Bigints, Bigints, Ints, Bigints, Ints, Byteas))
    full_tiles: _Rows = field(default_factory=lambda: _Rows(Bigints, Bigints, Ints, Bigints))
    events: _Rows = field(
        default_factory=lambda: _Rows(
            *(Bigints, Bigints, Texts, Byteas, Bigints, Bigints, Byteas),
            *(Texts, Texts, Texts, Bigints, Texts, Texts),
        )
    )
    loose: _Rows = field(default_factory=lambda: _Rows(Bigints, Byteas, Texts, Byteas))
    new_logs: _Rows = field(default_factory=lambda: _Rows(Bigints, Bigints, Texts, Texts, Texts))
    heads: _Rows = field(
        default_factory=lambda: _Rows(Bigints, Bigints, Bigints, Bigints, Texts, Byteas, Texts, Texts, Byteas)
    )
    heard: _Rows = field(default_factory=lambda: _Rows(Bigints, Bigints, Byteas))
    days: Counter[tuple[int, DayKind]] = field(default_factory=Counter)
    changed: dict[int, Brain] = field(default_factory=dict)


def write(
    connection: Connection, requests: Sequence[Request], decisions: Sequence[Decision], locked: Locked, *, now: int
) -> None:
    """Write what the decisions say, and commit."""
    writing = _Writing()
    for request, decision in zip(requests, decisions, strict=True):
        if isinstance(decision, Done):
            _collect(writing, request, decision, locked, now)
    unclaimed = [brain.key for brain in locked.brains.values() if brain.fresh and brain.key not in writing.changed]
    statements = list(_statements(writing, now))  # all of it computed before the first is on its way
    with connection.pipeline():
        for statement, arguments in statements:
            connection.execute(statement, arguments)
        if unclaimed:
            connection.execute(_UNCLAIMED, (Bigints(unclaimed),))
        _push_out(connection)
        connection.commit()


def _push_out(connection: Connection) -> None:
    """Have everything that was queued on its way, however long.

    The pipeline's own wait is for answers alone: a batch larger than the socket's buffer would wait there for ever,
    for a server that itself waits for the rest of it.
    """
    link = connection.pgconn
    if not link.flush():
        return
    with selectors.DefaultSelector() as selector:
        selector.register(link.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while link.flush():
            ready = selector.select(PUSH_S)
            if not ready:
                raise psycopg.OperationalError("the database takes no more of a batch")
            if any(mask & selectors.EVENT_READ for _, mask in ready):
                link.consume_input()


def _collect(writing: _Writing, request: Request, done: Done, locked: Locked, now: int) -> None:
    brain = locked.brains[request.brain_id]
    if brain.fresh:
        brain.workspace = request.workspace
        writing.changed[brain.key] = brain
    if isinstance(request, Loose):
        for row in done.writes.mended:
            writing.loose.add(brain.key, request.load.contents[row.number], row.flag, row.record)
        loose = [request.load.contents[number] for number in done.writes.events.numbers]
        _collect_events(writing, done.writes.events, brain, None, loose, now)
        return
    name = (request.brain_id, request.log_id)
    log_key = locked.logs.get(name)
    if log_key is None:
        brain.logs += 1
        assert brain.logs < 1 << LOG_BITS, "more logs than a brain can have"
        log_key = locked.logs[name] = (brain.key << LOG_BITS) + brain.logs
        parent = request.parent if isinstance(request, Append) else None
        writing.new_logs.add(brain.key, log_key, request.log_id, request.device_id, parent)
        writing.changed[brain.key] = brain
    if isinstance(request, Beat):
        writing.heard.add(brain.key, log_key, request.status)
    else:
        _collect_batch(writing, request, done, brain, log_key)
        _collect_events(writing, done.writes.events, brain, log_key, None, now)


def _collect_batch(writing: _Writing, request: Append, done: Done, brain: Brain, log_key: int) -> None:
    run = done.writes.rows
    count = len(run.records)
    numbers = range(run.first, run.first + count)
    writing.records.extend(
        [brain.key] * count, [log_key] * count, numbers, run.offsets, run.lengths, run.flags, run.records
    )
    for row in done.writes.mended:
        writing.mended.add(brain.key, log_key, *row)
    for level, index, slot, hashes in done.writes.tiles:
        writing.tiles.add(brain.key, log_key, level, index, slot, hashes)
        if slot and slot + len(hashes) // HASH_BYTES == TILE_HASHES:
            writing.full_tiles.add(brain.key, log_key, level, index)
    nodes = b"".join(done.tree.nodes)
    head = (done.tree.size, done.offset, done.event_id, nodes)
    writing.heads.add(brain.key, log_key, *head, request.device_id, request.parent, request.status)


def _collect_events(
    writing: _Writing, events: NewEvents, brain: Brain, log_key: int | None, loose: Sequence[bytes] | None, now: int
) -> None:
    count = len(events.event_ids)
    if not count:
        return
    columns = events.columns
    nothing = [None] * count
    writing.events.extend(
        [brain.key] * count,
        range(brain.events + 1, brain.events + 1 + count),
        events.event_ids,
        events.contents,
        [log_key] * count,
        nothing if log_key is None else events.numbers,
        nothing if loose is None else loose,
        columns.types,
        columns.categories,
        columns.severities,
        [session if isinstance(session, int) else None for session in columns.sessions],
        [session if isinstance(session, str) else None for session in columns.sessions],
        columns.timestamps,
    )
    for kind, number in day_counts(columns, now).items():
        writing.days[brain.key, kind] += number
    brain.events += count
    writing.changed[brain.key] = brain


def _statements(writing: _Writing, now: int) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The statements that have something to write, with their arguments."""
    stamped: tuple[tuple[str, tuple[int, ...], _Rows], ...] = (
        (_NEW_LOGS, (now,), writing.new_logs),
        (_RECORDS, (), writing.records),
        (_MENDED, (), writing.mended),
        (_TILES, (), writing.tiles),
        (_FULL_TILES, (), writing.full_tiles),
        (_HEADS, (now, now), writing.heads),
        (_HEARD, (now,), writing.heard),
        (_EVENTS, (now,), writing.events),
        (_LOOSE, (now,), writing.loose),
        (_DAYS, (), _day_rows(writing)),
        (_BRAINS, (now,), _brain_rows(writing)),
    )
    for statement, times, rows in stamped:
        if rows:
            yield statement, (*times, *rows.arrays())


def _day_rows(writing: _Writing) -> _Rows:
    rows = _Rows(Bigints, Texts, Texts, Texts, Texts, Bigints)
    for (key, kind), count in writing.days.items():
        rows.add(key, *kind, count)
    return rows


def _brain_rows(writing: _Writing) -> _Rows:
    rows = _Rows(Bigints, Texts, Bigints, Bigints)
    for key, brain in writing.changed.items():
        rows.add(key, brain.workspace, brain.logs, brain.events)
    return rows
