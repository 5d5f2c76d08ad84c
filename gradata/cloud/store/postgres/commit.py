"""What a transaction of the PostgreSQL store writes: one statement for each table, whatever the number of requests.

Runs under the locks that `facts.gather` took, so no two transactions ever write rows of one brain at the
same time: what is inserted is new, and no `ON CONFLICT` is needed to find out. What nearly every group writes is one
call of `gradata.end_group` (schema/postgres/0003_groups.sql), whose arguments are named by `ARGUMENTS`; what is rare
has statements of its own before it. All of it and the commit are one round trip.

A column is sent as one array in psycopg's binary form (`%b`): as text, an array of 1,000 bytea takes 10 ms to make,
in binary form 0.2 ms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from gradata.cloud.domain.daily_counts import DayKind, day_counts
from gradata.cloud.domain.plan import Decision, Done
from gradata.cloud.domain.requests import PROJECTED, Append, HeartbeatWrite, Loose, WriteRequest
from gradata.cloud.domain.write_set import NewEvents
from gradata.cloud.store.postgres.connection import Connection
from gradata.cloud.store.postgres.facts import LOCK_S, LOG_BITS, Locked, LockedBrain
from gradata.cloud.store.postgres.head_cache import Foreseen
from replicator.proof import HASH_BYTES, TILE_HASHES

Call = tuple[str, Mapping[str, object]]
"""A statement with its arguments by name."""

ARGUMENTS: dict[str, str] = {
    "now_us": "bigint",
    # Rows of `records`, in the order of their logs and numbers.
    "record_logs": "bigint[]",
    "numbers": "bigint[]",
    "offsets": "bigint[]",
    "lengths": "bigint[]",
    "flags": "text[]",
    "records": "bytea[]",
    # Parts of tiles, and the tiles that are full with them.
    "tile_logs": "bigint[]",
    "tile_levels": "int[]",
    "tile_indexes": "bigint[]",
    "tile_slots": "int[]",
    "tile_hashes": "bytea[]",
    "full_logs": "bigint[]",
    "full_levels": "int[]",
    "full_indexes": "bigint[]",
    # Heads of logs.
    "head_logs": "bigint[]",
    "sizes": "bigint[]",
    "ends": "bigint[]",
    "last_ids": "text[]",
    "head_nodes": "bytea[]",
    "devices": "text[]",
    "parents": "text[]",
    "statuses": "bytea[]",
    # Rows of `events`. What is interpreted of a record comes as `PROJECTED` names it; session in two columns.
    "event_brains": "bigint[]",
    "cursors": "bigint[]",
    "event_ids": "text[]",
    "contents": "bytea[]",
    "event_logs": "bigint[]",
    "event_numbers": "bigint[]",
    "loose": "bytea[]",
    **dict.fromkeys(PROJECTED.values(), "text[]"),
    "sessions": "bigint[]",
    "session_texts": "text[]",
    # Counts by day and kind, and what the brains count.
    "day_brains": "bigint[]",
    "days": "text[]",
    "day_types": "text[]",
    "day_categories": "text[]",
    "day_severities": "text[]",
    "counts": "bigint[]",
    "brain_keys": "bigint[]",
    "workspaces": "text[]",
    "logs": "bigint[]",
    "events": "bigint[]",
}
"""The arguments of `gradata.end_group` by name, with their types."""
_HOLD_ARGUMENTS = {
    "lock_s": "int",
    "brain_keys": "bigint[]",
    "brain_events": "bigint[]",
    "log_keys": "bigint[]",
    "log_nodes": "bytea[]",
}


@lru_cache(maxsize=256)
def _end_group(given: frozenset[str], *, held: bool = False) -> str:
    """The call of `gradata.end_group` with these columns. The others are written as empty: to make and send an array
    costs more than a column is worth that most groups have no value of."""
    named = ", ".join(
        f"{name} => %({name})b::{kind}" if name in given else f"{name} => '{{}}'" for name, kind in ARGUMENTS.items()
    )
    if not held:
        return f"SELECT gradata.end_group({named})"
    condition = ", ".join(f"{name} => %(held_{name})b::{kind}" for name, kind in _HOLD_ARGUMENTS.items())
    return f"SELECT gradata.end_group({named}) WHERE gradata.hold_group({condition})"


_NEW_LOGS = """
INSERT INTO gradata.logs (created_at, brain_key, log_key, log_id, device_id, parent)
SELECT %(now_us)b::bigint, unnest(%(brains)b::bigint[]), unnest(%(keys)b::bigint[]), unnest(%(ids)b::text[]),
       unnest(%(devices)b::text[]), unnest(%(parents)b::text[])
"""
_MENDED = """
INSERT INTO gradata.records (brain_key, log_key, number, "offset", length, flag, record)
SELECT unnest(%(brains)b::bigint[]), unnest(%(logs)b::bigint[]), unnest(%(numbers)b::bigint[]),
       unnest(%(offsets)b::bigint[]), unnest(%(lengths)b::bigint[]), unnest(%(flags)b::text[]),
       unnest(%(records)b::bytea[])
ON CONFLICT (brain_key, log_key, number) DO UPDATE
   SET "offset" = excluded."offset", length = excluded.length, flag = excluded.flag, record = excluded.record
"""
_LOOSE = """
INSERT INTO gradata.loose (stored_at, brain_key, content, flag, record)
SELECT %(now_us)b::bigint, unnest(%(brains)b::bigint[]), unnest(%(contents)b::bytea[]), unnest(%(flags)b::text[]),
       unnest(%(records)b::bytea[])
ON CONFLICT DO NOTHING
"""
_HEARD = """
UPDATE gradata.logs g SET heard_at = %(now_us)b::bigint, status = coalesce(u.status, g.status)
  FROM (SELECT unnest(%(brains)b::bigint[]) AS brain_key, unnest(%(logs)b::bigint[]) AS log_key,
               unnest(%(statuses)b::bytea[]) AS status) u
 WHERE g.brain_key = u.brain_key AND g.log_key = u.log_key
"""
_UNCLAIMED = "DELETE FROM gradata.brains WHERE brain_key = ANY(%(brains)b::bigint[])"


class _ColumnsOf:
    """Rows for one statement, by columns. Their order does not matter."""

    __slots__ = ("columns",)

    def __init__(self, *names: str) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in names}

    def __bool__(self) -> bool:
        return any(self.columns.values())

    def add(self, **row: object) -> None:
        """One row, or a value of some of the columns."""
        for name, value in row.items():
            self.columns[name].append(value)

    def extend(self, **columns: Sequence[object]) -> None:
        """Many rows."""
        for name, values in columns.items():
            self.columns[name].extend(values)


@dataclass(slots=True)
class _Writing:
    """Everything that one transaction writes. `group`: what `gradata.end_group` is given."""

    new_logs: _ColumnsOf = field(default_factory=lambda: _ColumnsOf("brains", "keys", "ids", "devices", "parents"))
    mended: _ColumnsOf = field(
        default_factory=lambda: _ColumnsOf("brains", "logs", "numbers", "offsets", "lengths", "flags", "records")
    )
    loose: _ColumnsOf = field(default_factory=lambda: _ColumnsOf("brains", "contents", "flags", "records"))
    heard: _ColumnsOf = field(default_factory=lambda: _ColumnsOf("brains", "logs", "statuses"))
    group: _ColumnsOf = field(default_factory=lambda: _ColumnsOf(*(name for name in ARGUMENTS if name != "now_us")))
    days: Counter[tuple[int, DayKind]] = field(default_factory=Counter)
    changed: dict[int, LockedBrain] = field(default_factory=dict)


def write(
    connection: Connection, requests: Sequence[WriteRequest], decisions: Sequence[Decision], locked: Locked, *, now: int
) -> None:
    """Write what the decisions say, and commit."""
    writing = _Writing()
    for request, decision in zip(requests, decisions, strict=True):
        if isinstance(decision, Done):
            _collect(writing, request, decision, locked, now)
    calls = list(_calls(writing, now))
    unclaimed = [brain.key for brain in locked.brains.values() if brain.fresh and brain.key not in writing.changed]
    if unclaimed:
        calls.append((_UNCLAIMED, {"brains": unclaimed}))
    with connection.pipeline():  # one round trip
        for statement, arguments in calls:
            connection.execute(statement, arguments)
        connection.execute("COMMIT")


def foreseen_call(foreseen: Foreseen, decisions: Sequence[Done], *, now: int) -> Call:
    """The statement that writes what the decisions say if all is as foreseen: then it has a row, else none."""
    writing = _Writing()
    nodes = []
    for request, done in zip(foreseen.requests, decisions, strict=True):
        nodes.append(b"".join(foreseen.facts.logs[request.brain_id, request.log_id].tree.nodes))
        _collect(writing, request, done, foreseen.locked, now)
    arguments = _group_arguments(writing, now)
    held = {
        "held_lock_s": LOCK_S,
        "held_brain_keys": foreseen.keys,
        "held_brain_events": foreseen.events,
        "held_log_keys": list(foreseen.locked.logs.values()),
        "held_log_nodes": nodes,
    }
    return _end_group(frozenset(arguments), held=True), arguments | held


def _group_arguments(writing: _Writing, now: int) -> dict[str, object]:
    group = writing.group
    for (key, kind), count in writing.days.items():
        group.add(day_brains=key, days=kind.day, day_types=kind.type, counts=count)
        group.add(day_categories=kind.category, day_severities=kind.severity)
    for key, brain in writing.changed.items():
        group.add(brain_keys=key, workspaces=brain.workspace, logs=brain.logs, events=brain.events)
    filled = {name: column for name, column in group.columns.items() if column.count(None) < len(column)}
    return {"now_us": now, **filled}


def _collect(writing: _Writing, request: WriteRequest, done: Done, locked: Locked, now: int) -> None:
    brain = locked.brains[request.brain_id]
    if brain.fresh:
        brain.workspace = request.workspace
        writing.changed[brain.key] = brain
    if isinstance(request, Loose):
        for row in done.writes.mended:
            content = request.load.contents[row.number]
            writing.loose.add(brains=brain.key, contents=content, flags=row.flag, records=row.record)
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
        writing.new_logs.add(brains=brain.key, keys=log_key, ids=request.log_id)
        writing.new_logs.add(devices=request.device_id, parents=parent)
        writing.changed[brain.key] = brain
    if isinstance(request, HeartbeatWrite):
        writing.heard.add(brains=brain.key, logs=log_key, statuses=request.status)
    else:
        _collect_batch(writing, request, done, log_key, brain)
        _collect_events(writing, done.writes.events, brain, log_key, None, now)


def _collect_batch(writing: _Writing, request: Append, done: Done, log_key: int, brain: LockedBrain) -> None:
    group = writing.group
    run = done.writes.rows
    count = len(run.records)
    group.extend(record_logs=[log_key] * count, numbers=range(run.first, run.first + count), offsets=run.offsets)
    group.extend(lengths=run.lengths, flags=run.flags, records=run.records)
    for row in done.writes.mended:
        writing.mended.add(brains=brain.key, logs=log_key, numbers=row.number, offsets=row.offset)
        writing.mended.add(lengths=row.length, flags=row.flag, records=row.record)
    for level, index, slot, hashes in done.writes.tiles:
        group.add(tile_logs=log_key, tile_levels=level, tile_indexes=index, tile_slots=slot, tile_hashes=hashes)
        if slot and slot + len(hashes) // HASH_BYTES == TILE_HASHES:
            group.add(full_logs=log_key, full_levels=level, full_indexes=index)
    group.add(head_logs=log_key, sizes=done.tree.size, ends=done.offset, last_ids=done.event_id)
    group.add(head_nodes=b"".join(done.tree.nodes), devices=request.device_id)
    group.add(parents=request.parent, statuses=request.status)


def _collect_events(
    writing: _Writing,
    events: NewEvents,
    brain: LockedBrain,
    log_key: int | None,
    loose: Sequence[bytes] | None,
    now: int,
) -> None:
    count = len(events.event_ids)
    if not count:
        return
    group = writing.group
    nothing = [None] * count
    cursor = brain.events + 1
    group.extend(event_brains=[brain.key] * count, cursors=range(cursor, cursor + count))
    group.extend(event_ids=events.event_ids, contents=events.contents, event_logs=[log_key] * count)
    group.extend(event_numbers=nothing if log_key is None else events.numbers, loose=loose or nothing)
    columns = {name: getattr(events.columns, name) for name in PROJECTED.values()}
    sessions = columns.pop("sessions")
    group.extend(**columns)
    group.extend(
        sessions=[session if isinstance(session, int) else None for session in sessions],
        session_texts=[session if isinstance(session, str) else None for session in sessions],
    )
    for kind, number in day_counts(events.columns, now).items():
        writing.days[brain.key, kind] += number
    brain.events += count
    writing.changed[brain.key] = brain


def _calls(writing: _Writing, now: int) -> Iterator[Call]:
    """The statements that have something to write, with their arguments."""
    rare = ((_NEW_LOGS, writing.new_logs), (_MENDED, writing.mended), (_LOOSE, writing.loose), (_HEARD, writing.heard))
    for statement, rows in rare:
        if rows:
            yield statement, {"now_us": now, **rows.columns}
    if writing.changed or writing.group:
        arguments = _group_arguments(writing, now)
        yield _end_group(frozenset(arguments)), arguments
