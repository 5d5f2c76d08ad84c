"""One transaction of the SQLite store: gather the facts, let `ingest.plan` decide, write what it says.

Runs on the writing connection inside a transaction that the caller began and ends (`sqlite.SqliteStore.ingest`).
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat

from gradata.cloud.bars import GONE
from gradata.cloud.days import DayKind, day_counts
from gradata.cloud.ingest import Decision, Done, Facts, LogFacts, NewEvents, Run, plan
from gradata.cloud.requests import Append, Beat, Claim, Loose, Request
from gradata.cloud.sqlite_bars import barred_of
from gradata.cloud.sqlite_insert import insert_rows
from gradata.cloud.tiles import Tile, TilePart, hashes_of, leaves_at, tree_at
from replicator.proof import HASH_BYTES, CompactRange

NUMBER_BITS = 40
PROBE_IDS = 500


@dataclass(slots=True)
class _Brain:
    key: int
    workspace: str
    events: int
    deleted_at: int | None = None
    gone: int = 0
    erased: int = 0
    days: Counter[DayKind] = field(default_factory=Counter)


@dataclass(slots=True)
class _Touched:
    """The rows that a group of requests touches, by their names."""

    brains: dict[str, _Brain] = field(default_factory=dict)
    logs: dict[tuple[str, str], int] = field(default_factory=dict)


def commit_group(
    connection: sqlite3.Connection, requests: Sequence[Request], *, now: int, record_bytes: int
) -> list[Decision]:
    """Decide and write the requests; the caller commits."""
    touched = _Touched()
    facts = _gather(connection, requests, touched)
    decisions = plan(requests, facts, record_bytes=record_bytes)
    for request, decision in zip(requests, decisions, strict=True):
        if isinstance(decision, Done):
            _write(connection, request, decision, touched, now)
    _write_days(connection, touched)
    connection.executemany(
        "UPDATE brains SET events = ? WHERE brain_key = ?",
        [(brain.events, brain.key) for brain in touched.brains.values()],
    )
    return decisions


# ---------------------------------------------------------------- facts


def _gather(connection: sqlite3.Connection, requests: Sequence[Request], touched: _Touched) -> Facts:
    ids: dict[str, set[str]] = {}
    logs: dict[tuple[str, str], LogFacts] = {}
    for request in requests:
        known = ids.setdefault(request.brain_id, set())
        brain = _find_brain(connection, request.brain_id, touched)
        if not isinstance(request, Beat) and not isinstance(request.load, Claim):
            known.update(event_id for event_id in request.load.event_ids if event_id is not None)
        # Of a brain that is being removed the tiles may be gone, and its logs are asked of no more.
        if brain is not None and brain.deleted_at is None and not isinstance(request, Loose):
            name = (request.brain_id, request.log_id)
            assert name not in logs or isinstance(request, Beat)
            facts = _log_facts(connection, brain.key, request, touched)
            if facts is not None:
                logs.setdefault(name, facts)
    events = {
        brain_id: _known_events(connection, touched.brains[brain_id].key, wanted)
        for brain_id, wanted in ids.items()
        if brain_id in touched.brains and wanted
    }
    return Facts(
        {name: brain.workspace for name, brain in touched.brains.items()},
        logs,
        events,
        frozenset(name for name, brain in touched.brains.items() if brain.deleted_at is not None),
        {
            name: barred_of(connection, brain.key, events.get(name, {}), gone=brain.gone, erased=brain.erased)
            for name, brain in touched.brains.items()
            if brain.gone or brain.erased
        },
    )


def _find_brain(connection: sqlite3.Connection, brain_id: str, touched: _Touched) -> _Brain | None:
    if brain_id not in touched.brains:
        row = connection.execute(
            "SELECT brain_key, workspace, events, deleted_at, gone, erased FROM brains WHERE brain_id = ?",
            (brain_id,),
        ).fetchone()
        if row is not None:
            touched.brains[brain_id] = _Brain(*row)
    return touched.brains.get(brain_id)


def _log_facts(
    connection: sqlite3.Connection, brain_key: int, request: Append | Beat, touched: _Touched
) -> LogFacts | None:
    row = connection.execute(
        'SELECT log_key, size, nodes, "offset", event_id FROM logs WHERE brain_key = ? AND log_id = ?',
        (brain_key, request.log_id),
    ).fetchone()
    if row is None:
        return None
    log_key, size, nodes, offset, event_id = row
    touched.logs[request.brain_id, request.log_id] = log_key
    tree = CompactRange(size, tuple(hashes_of(nodes)))
    if isinstance(request, Beat) or request.first >= size:
        return LogFacts(tree, offset, event_id)
    tile = tile_reader(connection, log_key)
    end = min(size, request.first + request.count)
    base = log_key << NUMBER_BITS
    rows = connection.execute(
        "SELECT place, CAST(record AS BLOB), flag FROM records WHERE place >= ? AND place < ?",
        (base + request.first, base + end),
    ).fetchall()
    return LogFacts(
        tree,
        offset,
        event_id,
        overlap=leaves_at(request.first, end, tile),
        rows={place - base: record for place, record, _ in rows},
        below=tree_at(request.first, tile) if request.first + request.count > size else None,
        gone={place - base for place, _, flag in rows if flag in GONE},
    )


def tile_reader(connection: sqlite3.Connection, log_key: int) -> Tile:
    """Reads the tiles of one log."""

    def tile(level: int, index: int) -> bytes:
        row = connection.execute(
            'SELECT hashes FROM tiles WHERE log_key = ? AND level = ? AND "index" = ?', (log_key, level, index)
        ).fetchone()
        return b"" if row is None else bytes(row[0])

    return tile


def _known_events(connection: sqlite3.Connection, brain_key: int, ids: set[str]) -> dict[str, bytes]:
    """Those of `ids` that are stored, perhaps with others beside them.

    Ids that were made in order lie together: then one range read answers for all of them. Ids in random order
    would make the range the whole brain, so it is cut off, and they are probed one by one.
    """
    rows = connection.execute(
        "SELECT event_id, content FROM events WHERE brain_key = ? AND event_id BETWEEN ? AND ? LIMIT ?",
        (brain_key, min(ids), max(ids), len(ids) + 1),
    ).fetchall()
    if len(rows) <= len(ids):
        return dict(rows)
    known: dict[str, bytes] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), PROBE_IDS):
        probe = json.dumps(wanted[start : start + PROBE_IDS])
        known.update(
            connection.execute(
                "SELECT event_id, content FROM events WHERE brain_key = ?"
                " AND event_id IN (SELECT value FROM json_each(?))",
                (brain_key, probe),
            )
        )
    return known


# ---------------------------------------------------------------- writes


def _write(connection: sqlite3.Connection, request: Request, done: Done, touched: _Touched, now: int) -> None:
    brain = touched.brains.get(request.brain_id)
    if brain is None:
        row = connection.execute(
            "INSERT INTO brains (brain_id, workspace, created_at) VALUES (?, ?, ?) RETURNING brain_key",
            (request.brain_id, request.workspace, now),
        ).fetchone()
        brain = touched.brains[request.brain_id] = _Brain(row[0], request.workspace, 0)
    if isinstance(request, Loose):
        _write_loose(connection, request, done, brain, now)
    else:
        _write_log(connection, request, done, brain, touched, now)


def _write_log(
    connection: sqlite3.Connection,
    request: Append | Beat,
    done: Done,
    brain: _Brain,
    touched: _Touched,
    now: int,
) -> None:
    name = (request.brain_id, request.log_id)
    log_key = touched.logs.get(name)
    if log_key is None:
        parent = request.parent if isinstance(request, Append) else None
        log_key = connection.execute(
            "INSERT INTO logs (log_id, brain_key, device_id, parent, created_at) VALUES (?, ?, ?, ?, ?)"
            " RETURNING log_key",
            (request.log_id, brain.key, request.device_id, parent, now),
        ).fetchone()[0]
        touched.logs[name] = log_key
    if isinstance(request, Beat):
        connection.execute(
            "UPDATE logs SET heard_at = ?, status = coalesce(?, status) WHERE log_key = ?",
            (now, request.status, log_key),
        )
        return
    base = log_key << NUMBER_BITS
    writes = done.writes
    _write_run(connection, base, writes.rows)
    connection.executemany(
        "INSERT OR REPLACE INTO records VALUES (? + ?, ?, ?, ?, ?)", [(base, *row) for row in writes.mended]
    )
    events = writes.events
    _write_events(connection, events, brain, now, places=[base + number for number in events.numbers])
    _write_tiles(connection, log_key, writes.tiles)
    connection.execute(
        'UPDATE logs SET size = ?, "offset" = ?, event_id = ?, nodes = ?, stored_at = ?, heard_at = ?,'
        " device_id = ?, parent = coalesce(parent, ?), status = coalesce(?, status) WHERE log_key = ?",
        (
            done.tree.size,
            done.offset,
            done.event_id,
            b"".join(done.tree.nodes),
            now,
            now,
            request.device_id,
            request.parent,
            request.status,
            log_key,
        ),
    )


def _write_run(connection: sqlite3.Connection, base: int, run: Run) -> None:
    insert_rows(
        connection,
        'INSERT INTO records (place, "offset", length, flag, record)'
        " SELECT ?1 + column1, column2, column3, column4, column5",
        zip(
            range(run.first, run.first + len(run.records)),
            run.offsets,
            run.lengths,
            run.flags,
            run.records,
            strict=True,
        ),
        width=5,
        constants=(base,),
    )


def _write_events(
    connection: sqlite3.Connection,
    events: NewEvents,
    brain: _Brain,
    now: int,
    *,
    places: Iterable[int | None],
    loose: Iterable[int | None] = repeat(None),
) -> None:
    cursor = (brain.key << NUMBER_BITS) + brain.events + 1
    columns = events.columns
    insert_rows(
        connection,
        "INSERT INTO events (cursor, brain_key, stored_at, event_id, content, place, loose,"
        " type, category, severity, session, ts) SELECT ?1 + column1, ?2, ?3, column2, column3, column4, column5,"
        " column6, column7, column8, column9, column10",
        zip(
            range(len(events.event_ids)),
            events.event_ids,
            events.contents,
            places,
            loose,
            columns.types,
            columns.categories,
            columns.severities,
            columns.sessions,
            columns.timestamps,
            strict=False,
        ),
        width=10,
        constants=(cursor, brain.key, now),
    )
    brain.events += len(events.event_ids)
    for kind, count in day_counts(columns, now).items():
        brain.days[kind] += count


def _write_days(connection: sqlite3.Connection, touched: _Touched) -> None:
    connection.executemany(
        "INSERT INTO days VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET events = events + excluded.events",
        [(brain.key, *kind, count) for brain in touched.brains.values() for kind, count in brain.days.items()],
    )


def _write_tiles(connection: sqlite3.Connection, log_key: int, parts: Sequence[TilePart]) -> None:
    for level, index, slot, hashes in parts:
        if slot:
            row = connection.execute(
                'SELECT hashes FROM tiles WHERE log_key = ? AND level = ? AND "index" = ?', (log_key, level, index)
            ).fetchone()
            before = b"" if row is None else bytes(row[0])
            # Too short: the tile lost hashes. What is new goes to its own slots all the same, and `check` tells.
            hashes = before[: slot * HASH_BYTES].ljust(slot * HASH_BYTES, b"\0") + hashes  # noqa: PLW2901
        connection.execute("INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?)", (log_key, level, index, hashes))


def _write_loose(connection: sqlite3.Connection, request: Loose, done: Done, brain: _Brain, now: int) -> None:
    keys: dict[int, int] = {}
    for row in done.writes.mended:
        content = request.load.contents[row.number]
        inserted = connection.execute(
            "INSERT INTO loose (brain_key, content, stored_at, flag, record) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (brain_key, content) DO UPDATE SET flag = flag RETURNING loose",
            (brain.key, content, now, row.flag, row.record),
        ).fetchone()
        keys[row.number] = inserted[0]
    events = done.writes.events
    loose = [keys[number] for number in events.numbers]
    _write_events(connection, events, brain, now, places=repeat(None), loose=loose)
