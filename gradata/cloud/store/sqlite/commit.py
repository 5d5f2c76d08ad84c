"""One transaction of the SQLite store: collect the facts, let `domain.plan.plan` decide, write the result.

Runs on the writing connection inside the caller's transaction (`SqliteStore.ingest`). Partner: `facts`, which reads.
The writes of all requests of the group are combined into a few statements per table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Any

from gradata.cloud.domain.daily_counts import DayKind, day_counts
from gradata.cloud.domain.plan import Decision, Done, LogFacts, plan
from gradata.cloud.domain.requests import PROJECTED, Append, HeartbeatWrite, Loose, WriteRequest
from gradata.cloud.domain.tiles import TilePart, tail_parts
from gradata.cloud.domain.write_set import NewEvents
from gradata.cloud.store.sqlite.bulk_insert import write_rows
from gradata.cloud.store.sqlite.facts import NUMBER_BITS, KnownBrain, KnownLog, RowCache, gather
from replicator.proof import HASH_BYTES

RECORDS = 'INSERT OR FAIL INTO records (place, "offset", length, flag, record) {rows}'
_EVENT_COLUMNS = ("cursor", "brain_key", "stored_at", "event_id", "content", "place", "loose", *PROJECTED)
EVENTS = f"INSERT OR FAIL INTO events ({', '.join(_EVENT_COLUMNS)}) {{rows}}"
DAYS = (
    "INSERT OR FAIL INTO days SELECT * FROM ({rows}) WHERE true"
    " ON CONFLICT DO UPDATE SET events = events + excluded.events"
)
BRAINS = "UPDATE OR FAIL brains SET events = column2 FROM ({rows}) WHERE brain_key = column1"
HEADS = (
    'UPDATE OR FAIL logs SET size = column2, "offset" = column3, event_id = column4, nodes = column5, tail = column6,'
    " stored_at = column7, heard_at = column7, device_id = column8, parent = coalesce(parent, column9),"
    " status = coalesce(column10, status) FROM ({rows}) WHERE log_key = column1"
)
"""OR FAIL: what fails is rolled back whole, by who began the transaction. Otherwise SQLite would keep each page as it
was before the statement, to take the statement alone back: a third of what a group of single events costs."""
BEATS = "UPDATE logs SET heard_at = ?, status = coalesce(?, status) WHERE log_key = ?"

SqlRow = Sequence[Any]


def commit_group(
    connection: sqlite3.Connection, requests: Sequence[WriteRequest], known: RowCache, *, now: int, record_bytes: int
) -> list[Decision]:
    """Decide and write the requests; the caller commits. `known` is right afterwards if that succeeds."""
    known.begin(connection)
    decisions = plan(requests, gather(connection, requests, known), record_bytes=record_bytes)
    group = _Group(connection, known, now)
    for request, decision in zip(requests, decisions, strict=True):
        if isinstance(decision, Done):
            group.add(request, decision)
    group.write()
    known.keep(connection)
    return decisions


class _Group:
    """What a group writes: collected request by request, then written table by table."""

    def __init__(self, connection: sqlite3.Connection, known: RowCache, now: int) -> None:
        self._connection = connection
        self._known = known
        self._now = now
        self._rows: list[Any] = []
        self._mended: list[SqlRow] = []
        self._events: list[Any] = []
        self._heads: list[Any] = []
        self._beats: list[SqlRow] = []
        self._counted: dict[int, int] = {}
        self._days: dict[tuple[int, DayKind], int] = {}

    def add(self, request: WriteRequest, done: Done) -> None:
        """One request that was decided to be done. Parents of its rows are written at once, if they are new."""
        brain = self._known.brains.get(request.brain_id) or self._new_brain(request)
        if isinstance(request, Loose):
            self._add_loose(request, done, brain)
            return
        name = (request.brain_id, request.log_id)
        log = self._known.logs.get(name) or self._new_log(request, brain, name)
        if isinstance(request, HeartbeatWrite):
            self._beats.append((self._now, request.status, log.key))
            return
        base = log.key << NUMBER_BITS
        run = done.writes.rows
        if run.records:
            places = range(base + run.first, base + run.first + len(run.records))
            self._rows += chain.from_iterable(
                zip(places, run.offsets, run.lengths, run.flags, run.records, strict=True)
            )
        if done.writes.mended:
            self._mended += [(base + row.number, *row[1:]) for row in done.writes.mended]
        events = done.writes.events
        self._add_events(events, brain, places=[base + number for number in events.numbers])
        self._add_head(request, done, log)

    def _new_brain(self, request: WriteRequest) -> KnownBrain:
        row = self._connection.execute(
            "INSERT INTO brains (brain_id, workspace, created_at) VALUES (?, ?, ?) RETURNING brain_key",
            (request.brain_id, request.workspace, self._now),
        ).fetchone()
        brain = self._known.brains[request.brain_id] = KnownBrain(row[0], request.workspace, 0)
        return brain

    def _new_log(self, request: Append | HeartbeatWrite, brain: KnownBrain, name: tuple[str, str]) -> KnownLog:
        parent = request.parent if isinstance(request, Append) else None
        row = self._connection.execute(
            "INSERT INTO logs (log_id, brain_key, device_id, parent, created_at) VALUES (?, ?, ?, ?, ?)"
            " RETURNING log_key",
            (request.log_id, brain.key, request.device_id, parent, self._now),
        ).fetchone()
        log = self._known.logs[name] = KnownLog(row[0], LogFacts())
        return log

    def _add_head(self, request: Append, done: Done, log: KnownLog) -> None:
        parts = done.writes.tiles
        if parts:
            log.tail, parts = tail_parts(log.facts.tree.size, log.tail, parts)
            self._write_tiles(log.key, parts)
        log.facts = LogFacts(done.tree, done.offset, done.event_id)
        nodes = b"".join(done.tree.nodes)
        self._heads += (log.key, done.tree.size, done.offset, done.event_id, nodes, log.tail, self._now)
        self._heads += (request.device_id, request.parent, request.status)

    def _add_events(
        self,
        events: NewEvents,
        brain: KnownBrain,
        *,
        places: Iterable[int | None],
        loose: Iterable[int | None] = repeat(None),
    ) -> None:
        count = len(events.event_ids)
        if not count:
            return
        cursor = (brain.key << NUMBER_BITS) + brain.events + 1
        columns = events.columns
        rows = zip(
            range(cursor, cursor + count),
            repeat(brain.key),
            repeat(self._now),
            events.event_ids,
            events.contents,
            places,
            loose,
            *(getattr(columns, name) for name in PROJECTED.values()),
            strict=False,
        )
        self._events += chain.from_iterable(rows)
        brain.events += count
        brain.newest = max(brain.newest, *events.event_ids)
        self._counted[brain.key] = brain.events
        days = self._days
        for kind, number in day_counts(columns, self._now).items():
            days[brain.key, kind] = days.get((brain.key, kind), 0) + number

    def _add_loose(self, request: Loose, done: Done, brain: KnownBrain) -> None:
        keys: dict[int, int] = {}
        for row in done.writes.mended:
            content = request.load.contents[row.number]
            inserted = self._connection.execute(
                "INSERT INTO loose (brain_key, content, stored_at, flag, record) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (brain_key, content) DO UPDATE SET flag = flag RETURNING loose",
                (brain.key, content, self._now, row.flag, row.record),
            ).fetchone()
            keys[row.number] = inserted[0]
        events = done.writes.events
        self._add_events(events, brain, places=repeat(None), loose=[keys[number] for number in events.numbers])

    def _write_tiles(self, log_key: int, parts: Sequence[TilePart]) -> None:
        for level, index, slot, hashes in parts:
            if slot:
                row = self._connection.execute(
                    'SELECT hashes FROM tiles WHERE log_key = ? AND level = ? AND "index" = ?', (log_key, level, index)
                ).fetchone()
                before = b"" if row is None else bytes(row[0])
                # Too short: the tile lost hashes. The new ones get their own slots; `service.integrity` tells.
                hashes = before[: slot * HASH_BYTES].ljust(slot * HASH_BYTES, b"\0") + hashes  # noqa: PLW2901
            self._connection.execute(
                "INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?)", (log_key, level, index, hashes)
            )

    def write(self) -> None:
        """Everything that was collected."""
        connection = self._connection
        write_rows(connection, RECORDS, self._rows, width=5)
        if self._mended:
            connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", self._mended)
        write_rows(connection, EVENTS, self._events, width=len(_EVENT_COLUMNS))
        days = [value for (key, kind), number in self._days.items() for value in (key, *kind, number)]
        write_rows(connection, DAYS, days, width=6)
        write_rows(connection, BRAINS, list(chain.from_iterable(self._counted.items())), width=2)
        write_rows(connection, HEADS, self._heads, width=10)
        if self._beats:
            connection.executemany(BEATS, self._beats)
