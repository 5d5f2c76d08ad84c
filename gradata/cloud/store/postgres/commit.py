"""What a transaction of the PostgreSQL store writes: one statement for each table, whatever the number of requests.

Runs under the locks that `facts.gather` took, so no two transactions ever write rows of one brain at the
same time: what is inserted is new, and no `ON CONFLICT` is needed to find out. What nearly every group writes is one
call of `gradata.end_group` (schema/postgres/0003_groups.sql); what is rare has statements of its own before it. All
of it and the commit are one round trip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from gradata.cloud.domain.daily_counts import DayKind, day_counts
from gradata.cloud.domain.plan import Decision, Done
from gradata.cloud.domain.requests import Append, Beat, Loose, Request
from gradata.cloud.domain.write_set import NewEvents
from gradata.cloud.store.postgres.binary_arrays import Bigint, Bigints, Byteas, Int, Ints, Parameter, Texts
from gradata.cloud.store.postgres.facts import LOCK_S, LOG_BITS, Brain, Connection, Locked
from gradata.cloud.store.postgres.head_cache import Foreseen
from gradata.cloud.store.postgres.pipeline import COMMIT, Call, exchange
from replicator.proof import HASH_BYTES, TILE_HASHES

_NEW_LOGS = b"""
INSERT INTO gradata.logs (created_at, brain_key, log_key, log_id, device_id, parent)
SELECT $1, unnest($2), unnest($3), unnest($4), unnest($5), unnest($6)
"""
_MENDED = b"""
INSERT INTO gradata.records (brain_key, log_key, number, "offset", length, flag, record)
SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7)
ON CONFLICT (brain_key, log_key, number) DO UPDATE
   SET "offset" = excluded."offset", length = excluded.length, flag = excluded.flag, record = excluded.record
"""
_LOOSE = b"""
INSERT INTO gradata.loose (stored_at, brain_key, content, flag, record)
SELECT $1, unnest($2), unnest($3), unnest($4), unnest($5) ON CONFLICT DO NOTHING
"""
_HEARD = b"""
UPDATE gradata.logs g SET heard_at = $1, status = coalesce(u.status, g.status)
  FROM (SELECT unnest($2) AS brain_key, unnest($3) AS log_key, unnest($4) AS status) u
 WHERE g.brain_key = u.brain_key AND g.log_key = u.log_key
"""
_UNCLAIMED = b"DELETE FROM gradata.brains WHERE brain_key = ANY($1)"


def _whole_numbers(sessions: Sequence[int | str | None]) -> Bigints:
    return Bigints([session if isinstance(session, int) else None for session in sessions])


def _words(sessions: Sequence[int | str | None]) -> Texts:
    words = [session if isinstance(session, str) else None for session in sessions]
    return Texts(() if words.count(None) == len(words) else words)


class _Rows:
    """Rows for one statement, in columns of the given kinds. Their order does not matter."""

    __slots__ = ("_columns", "_kinds", "_rows")

    def __init__(self, *kinds: Callable[[Sequence[Any]], Parameter]) -> None:
        self._kinds = kinds
        self._rows: list[tuple[Any, ...]] = []
        self._columns: tuple[list[Any], ...] = ()

    def __bool__(self) -> bool:
        return bool(self._rows or self._columns)

    def add(self, *row: object) -> None:
        """One row."""
        self._rows.append(row)

    def extend(self, *columns: Sequence[object]) -> None:
        """Many rows, as columns."""
        if len(columns[0]) == 1:
            self._rows.append(tuple([column[0] for column in columns]))
        elif columns[0]:
            self._columns = self._columns or tuple([] for _ in self._kinds)
            for column, values in zip(self._columns, columns, strict=True):
                column.extend(values)

    def arrays(self) -> list[Parameter]:
        """An array for each column; an empty one for a column without a value."""
        columns: Sequence[Sequence[Any]] = self._columns
        if self._rows:
            rows = list(zip(*self._rows, strict=True))
            columns = [[*column, *more] for column, more in zip(columns, rows, strict=True)] if columns else rows
        return [
            kind(()) if not column or (column[0] is None and column.count(None) == len(column)) else kind(column)
            for kind, column in zip(self._kinds, columns or ((),) * len(self._kinds), strict=True)
        ]


@dataclass(slots=True)
class _Writing:
    """Everything that one transaction writes."""

    new_logs: _Rows = field(default_factory=lambda: _Rows(Bigints, Bigints, Texts, Texts, Texts))
    mended: _Rows = field(default_factory=lambda: _Rows(*[Bigints] * 5, Texts, Byteas))
    loose: _Rows = field(default_factory=lambda: _Rows(Bigints, Byteas, Texts, Byteas))
    heard: _Rows = field(default_factory=lambda: _Rows(Bigints, Bigints, Byteas))
    records: _Rows = field(default_factory=lambda: _Rows(*[Bigints] * 4, Texts, Byteas))
    tiles: _Rows = field(default_factory=lambda: _Rows(Bigints, Ints, Bigints, Ints, Byteas))
    full_tiles: _Rows = field(default_factory=lambda: _Rows(Bigints, Ints, Bigints))
    heads: _Rows = field(default_factory=lambda: _Rows(Bigints, Bigints, Bigints, Texts, Byteas, Texts, Texts, Byteas))
    events: _Rows = field(
        default_factory=lambda: _Rows(
            *(Bigints, Bigints, Texts, Byteas, Bigints, Bigints, Byteas),
            *(Texts, Texts, Texts, _whole_numbers, _words, Texts),
        )
    )
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
    calls = list(_calls(writing, Bigint(now)))
    unclaimed = [brain.key for brain in locked.brains.values() if brain.fresh and brain.key not in writing.changed]
    if unclaimed:
        calls.append((_UNCLAIMED, (Bigints(unclaimed),)))
    exchange(connection, [*calls, COMMIT])


def foreseen_call(foreseen: Foreseen, decisions: Sequence[Done], *, now: int) -> Call:
    """The statement that writes what the decisions say if all is as foreseen: then it has a row, else none."""
    writing = _Writing()
    nodes = []
    for request, done in zip(foreseen.requests, decisions, strict=True):
        nodes.append(b"".join(foreseen.facts.logs[request.brain_id, request.log_id].tree.nodes))
        _collect(writing, request, done, foreseen.locked, now)
    logs = Bigints(list(foreseen.locked.logs.values()))
    columns = chain.from_iterable(rows.arrays() for rows in _group_rows(writing))
    known = (Int(LOCK_S), Bigints(foreseen.keys), Bigints(foreseen.events), logs, Byteas(nodes))
    return _HOLD_AND_END, (Bigint(now), *columns, *known)


def _group_rows(writing: _Writing) -> tuple[_Rows, ...]:
    tables = (writing.records, writing.tiles, writing.full_tiles, writing.heads, writing.events)
    return (*tables, _day_rows(writing), _brain_rows(writing))


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
        _collect_batch(writing, request, done, log_key, brain)
        _collect_events(writing, done.writes.events, brain, log_key, None, now)


def _collect_batch(writing: _Writing, request: Append, done: Done, log_key: int, brain: Brain) -> None:
    run = done.writes.rows
    count = len(run.records)
    numbers = range(run.first, run.first + count)
    writing.records.extend([log_key] * count, numbers, run.offsets, run.lengths, run.flags, run.records)
    for row in done.writes.mended:
        writing.mended.add(brain.key, log_key, *row)
    for level, index, slot, hashes in done.writes.tiles:
        writing.tiles.add(log_key, level, index, slot, hashes)
        if slot and slot + len(hashes) // HASH_BYTES == TILE_HASHES:
            writing.full_tiles.add(log_key, level, index)
    nodes = b"".join(done.tree.nodes)
    head = (done.tree.size, done.offset, done.event_id, nodes)
    writing.heads.add(log_key, *head, request.device_id, request.parent, request.status)


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
        columns.sessions,
        columns.sessions,
        columns.timestamps,
    )
    for kind, number in day_counts(columns, now).items():
        writing.days[brain.key, kind] += number
    brain.events += count
    writing.changed[brain.key] = brain


def _calls(writing: _Writing, now: Bigint) -> Iterator[Call]:
    """The statements that have something to write, with their arguments."""
    if writing.new_logs:
        yield _NEW_LOGS, (now, *writing.new_logs.arrays())
    if writing.mended:
        yield _MENDED, writing.mended.arrays()
    if writing.loose:
        yield _LOOSE, (now, *writing.loose.arrays())
    if writing.heard:
        yield _HEARD, (now, *writing.heard.arrays())
    if writing.heads or writing.changed:
        columns = chain.from_iterable(rows.arrays() for rows in _group_rows(writing))
        yield _END_GROUP, (now, *columns)


_END_ARGUMENTS = 46
_HOLD_ARGUMENTS = 5


def _call_of(function: str, arguments: int, behind: int = 0) -> str:
    return f"gradata.{function}({', '.join(f'${behind + place}' for place in range(1, arguments + 1))})"


_END_GROUP = f"SELECT {_call_of('end_group', _END_ARGUMENTS)}".encode()
_HOLD_AND_END = _END_GROUP + f" WHERE {_call_of('hold_group', _HOLD_ARGUMENTS, _END_ARGUMENTS)}".encode()


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
