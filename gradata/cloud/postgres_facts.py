"""What a transaction of the PostgreSQL store needs to know before it decides: locks first, then facts.

Every writer of a brain holds its row in `brains` from here to its commit, and takes the rows in the order of their
names: two processes never wait for each other in a circle, and what is read under the lock — heads, numbers given
out, which event ids exist — stays true until the commit. Each statement is a snapshot of its own (READ COMMITTED):
what is read together with the lock may be older than the lock, so heads are read by a statement behind it.

Partners: `postgres_writes`, which writes under these locks, and `ingest.plan`, which decides in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from gradata.cloud.bars import GONE
from gradata.cloud.ingest import Facts, LogFacts
from gradata.cloud.postgres_arrays import Bigints, Texts
from gradata.cloud.postgres_bars import barred_of
from gradata.cloud.requests import Append, Beat, Claim, Loose, Request
from gradata.cloud.tiles import Tile, hashes_of, leaves_at, tree_at
from replicator.proof import HASH_BYTES, TILE_HASHES, CompactRange

LOG_BITS = 23
"""log_key = brain_key << LOG_BITS | number of the log within its brain."""
LOCK_S = 5
IDLE_S = 20
"""A process that stops in the middle of a transaction loses its locks after this."""

Connection = psycopg.Connection[tuple[Any, ...]]

# `local` would do for a hint only: a 200 means that the commit is durable, whatever the database's default is.
_BEGIN = f"""
SELECT set_config('lock_timeout', '{LOCK_S}s', true),
       set_config('idle_in_transaction_session_timeout', '{IDLE_S}s', true),
       CASE current_setting('synchronous_commit')
           WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END
"""
_LOCK = """
SELECT brain_id, brain_key, workspace, logs, events, deleted_at, gone, erased FROM gradata.brains
 WHERE brain_id = ANY(%s) ORDER BY brain_id FOR NO KEY UPDATE
"""
_NEW_BRAINS = """
INSERT INTO gradata.brains (brain_id, workspace, created_at)
SELECT name, '', 0 FROM unnest(%s::text[]) AS w(name) ORDER BY name COLLATE "C"
ON CONFLICT DO NOTHING RETURNING brain_id
"""
# LATERAL … LIMIT 1 is the same index probe whatever the planner believes of the table's size. A join over unnest got
# a plan made for an empty table, and 1,700 events/s instead of 40,000.
_HEADS = """
SELECT w.place, l.* FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS w(brain_id, log_id, place)
 CROSS JOIN LATERAL (SELECT brain_key FROM gradata.brains b WHERE b.brain_id = w.brain_id LIMIT 1) b
 CROSS JOIN LATERAL (
     SELECT log_key, size, nodes, "offset", event_id FROM gradata.logs g
      WHERE g.brain_key = b.brain_key AND g.log_id = w.log_id LIMIT 1) l
"""
_KNOWN = """
SELECT w.place, e.content FROM unnest(%s::bigint[], %s::text[]) WITH ORDINALITY AS w(brain_key, event_id, place)
 CROSS JOIN LATERAL (
     SELECT content FROM gradata.events x
      WHERE x.brain_key = w.brain_key AND x.event_id = w.event_id LIMIT 1) e
"""
_TILES = """
SELECT "index", slot, hashes FROM gradata.tiles
 WHERE brain_key = %s AND log_key = %s AND level = %s AND "index" BETWEEN %s AND %s ORDER BY "index", slot
"""
_ROWS = """
SELECT number, record, flag FROM gradata.records
 WHERE brain_key = %s AND log_key = %s AND number >= %s AND number < %s
"""


@dataclass(slots=True)
class Brain:
    """A locked brain. `fresh`: made by this transaction, and gone at its end unless something is written to it."""

    key: int
    workspace: str
    logs: int
    events: int
    fresh: bool = False
    deleted_at: int | None = None
    gone: int = 0
    erased: int = 0


@dataclass(slots=True)
class Locked:
    """The rows that a group of requests touches, by their names; all brains are locked."""

    brains: dict[str, Brain] = field(default_factory=dict)
    logs: dict[tuple[str, str], int] = field(default_factory=dict)


def gather(connection: Connection, requests: Sequence[Request]) -> tuple[Locked, Facts]:
    """Begin a transaction, lock the brains, read the facts. The caller commits or rolls back."""
    brains = sorted({request.brain_id for request in requests})  # str sorts by code point, as "C" does for UTF-8
    named = [request for request in requests if not isinstance(request, Loose)]
    heads = _lock(connection, brains, named)
    locked = heads.locked
    logs = _log_facts(connection, named, heads)
    events = _known_events(connection, requests, locked)
    workspaces = {name: brain.workspace for name, brain in locked.brains.items() if not brain.fresh}
    deleted = frozenset(name for name, brain in locked.brains.items() if brain.deleted_at is not None)
    barred = {
        name: barred_of(connection, brain.key, events.get(name, {}), gone=brain.gone, erased=brain.erased)
        for name, brain in locked.brains.items()
        if brain.gone or brain.erased
    }
    return locked, Facts(workspaces, logs, events, deleted, barred)


@dataclass(slots=True)
class _Heads:
    locked: Locked
    rows: dict[tuple[str, str], tuple[int, CompactRange, int, str | None]] = field(default_factory=dict)


def _lock(connection: Connection, brains: Sequence[str], named: Sequence[Append | Beat]) -> _Heads:
    made: set[str] = set()
    wanted = (Texts([request.brain_id for request in named]), Texts([request.log_id for request in named]))
    while True:
        inserted = None
        with connection.pipeline():
            connection.execute(_BEGIN)
            if made:
                # Before the locks: whoever waits for a brain that another transaction is making holds no lock yet.
                inserted = connection.execute(_NEW_BRAINS, (Texts(sorted(made)),))
            found = connection.execute(_LOCK, (Texts(brains),), binary=True)
            heads = connection.execute(_HEADS, wanted, binary=True)
        fresh = set() if inserted is None else {name for (name,) in inserted}
        rows = {
            name: Brain(key, space, logs, events, name in fresh, *removed)
            for name, key, space, logs, events, *removed in found
        }
        made = set(brains) - rows.keys()
        if not made:
            break
        connection.rollback()
    locked = _Heads(Locked(rows))
    for place, log_key, size, nodes, offset, event_id in heads:
        request = named[place - 1]
        name = (request.brain_id, request.log_id)
        locked.locked.logs[name] = log_key
        locked.rows[name] = (log_key, CompactRange(size, tuple(hashes_of(nodes))), offset, event_id)
    return locked


def _log_facts(
    connection: Connection, named: Sequence[Append | Beat], heads: _Heads
) -> dict[tuple[str, str], LogFacts]:
    facts: dict[tuple[str, str], LogFacts] = {}
    for request in named:
        name = (request.brain_id, request.log_id)
        head = heads.rows.get(name)
        if head is None:
            continue
        log_key, tree, offset, event_id = head
        if isinstance(request, Beat) or request.first >= tree.size:
            facts.setdefault(name, LogFacts(tree, offset, event_id))
            continue
        end = min(tree.size, request.first + request.count)
        tile = tile_reader(connection, log_key, request.first, end)
        query = connection.execute(_ROWS, (log_key >> LOG_BITS, log_key, request.first, end), binary=True)
        rows = query.fetchall()
        facts[name] = LogFacts(
            tree,
            offset,
            event_id,
            overlap=leaves_at(request.first, end, tile),
            rows={number: record for number, record, _ in rows},
            below=tree_at(request.first, tile) if request.first + request.count > tree.size else None,
            gone={number for number, _, flag in rows if flag in GONE},
        )
    return facts


def tile_reader(connection: Connection, log_key: int, first: int = 0, end: int = 0) -> Tile:
    """Reads the tiles of one log; those of the leaves [first, end) are read at once."""
    known: dict[tuple[int, int], bytes] = {}

    def read(level: int, low: int, high: int) -> None:
        for index in range(low, high + 1):
            known[level, index] = b""
        rows = connection.execute(_TILES, (log_key >> LOG_BITS, log_key, level, low, high), binary=True)
        for index, slot, hashes in rows:
            # Too short: the tile lost a part. What is there stays in its own slots, and `check` tells.
            known[level, index] = known[level, index][: slot * HASH_BYTES].ljust(slot * HASH_BYTES, b"\0") + hashes

    def tile(level: int, index: int) -> bytes:
        if (level, index) not in known:
            read(level, index, index)
        return known[level, index]

    if first < end:
        read(0, first // TILE_HASHES, (end - 1) // TILE_HASHES)
    return tile


def _known_events(connection: Connection, requests: Sequence[Request], locked: Locked) -> dict[str, dict[str, bytes]]:
    """Those of the requests' event ids that are stored, by brain."""
    keys: list[int] = []
    names: list[str] = []
    ids: list[str] = []
    for request in requests:
        brain = locked.brains[request.brain_id]
        if isinstance(request, Beat) or isinstance(request.load, Claim) or not brain.events:
            continue
        wanted = [event_id for event_id in request.load.event_ids if event_id is not None]
        ids += wanted
        keys += [brain.key] * len(wanted)
        names += [request.brain_id] * len(wanted)
    known: dict[str, dict[str, bytes]] = {}
    if ids:
        for place, content in connection.execute(_KNOWN, (Bigints(keys), Texts(ids)), binary=True):
            known.setdefault(names[place - 1], {})[ids[place - 1]] = content
    return known
