"""What a transaction of the PostgreSQL store needs to know before it decides: locks first, then facts.

Every writer of a brain holds its row in `brains` from here to its commit, and takes the rows in the order of their
names: two processes never wait for each other in a circle, and what is read under the lock — heads, numbers given
out, which event ids exist — stays true until the commit. Each statement is a snapshot of its own (READ COMMITTED):
what is read together with the lock may be older than the lock, so heads are read by a statement behind it.

Partners: `commit`, which writes under these locks, and `domain.plan.plan`, which decides in between.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from gradata.cloud.domain.plan import Facts, LogFacts
from gradata.cloud.domain.requests import Append, Beat, Claim, Loose, Request
from gradata.cloud.domain.tiles import Tile, hashes_of, leaves_at, tree_at
from gradata.cloud.domain.tombstones import GONE
from gradata.cloud.store.postgres.binary_arrays import Int, Ints, Texts, bigints_of, byteas_of, texts_of
from gradata.cloud.store.postgres.pipeline import BEGIN, Call, exchange
from gradata.cloud.store.postgres.tombstones import barred_of
from replicator.proof import HASH_BYTES, TILE_HASHES, CompactRange

LOG_BITS = 23
"""log_key = brain_key << LOG_BITS | number of the log within its brain."""
LOCK_S = 5
IDLE_S = 20
"""A process that stops in the middle of a transaction loses its locks after this."""

Connection = psycopg.Connection[tuple[Any, ...]]

_BEGIN_GROUP = b"SELECT * FROM gradata.begin_group($1, $2, $3, $4, $5, $6, $7)"
_NEW_BRAINS = b"""
INSERT INTO gradata.brains (brain_id, workspace, created_at)
SELECT name, '', 0 FROM unnest($1) AS w(name) ORDER BY name COLLATE "C"
ON CONFLICT DO NOTHING RETURNING brain_id
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
    found = _lock(connection, brains, named, _Asked.of(brains, requests))
    locked = found.locked
    logs = _log_facts(connection, named, found)
    workspaces = {name: brain.workspace for name, brain in locked.brains.items() if not brain.fresh}
    deleted = frozenset(name for name, brain in locked.brains.items() if brain.deleted_at is not None)
    barred = {
        name: barred_of(connection, brain.key, found.events.get(name, {}), gone=brain.gone, erased=brain.erased)
        for name, brain in locked.brains.items()
        if brain.gone or brain.erased
    }
    return locked, Facts(workspaces, logs, found.events, deleted, barred)


@dataclass(slots=True)
class _Asked:
    """The event ids of the requests, and the place of each one's brain, from 1."""

    places: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, brains: Sequence[str], requests: Sequence[Request]) -> _Asked:
        """`brains`: the names that the places are of."""
        place_of = {name: place for place, name in enumerate(brains, 1)}
        asked = cls()
        for request in requests:
            if isinstance(request, Beat) or isinstance(request.load, Claim):
                continue
            wanted = request.load.event_ids
            if None in wanted:
                wanted = [event_id for event_id in wanted if event_id is not None]
            asked.ids += wanted  # type: ignore[arg-type]  # those that are None are gone
            asked.places += [place_of[request.brain_id]] * len(wanted)
        return asked


@dataclass(slots=True)
class _Found:
    locked: Locked
    heads: dict[tuple[str, str], tuple[int, CompactRange, int, str | None]] = field(default_factory=dict)
    events: dict[str, dict[str, bytes]] = field(default_factory=dict)


def _lock(connection: Connection, brains: Sequence[str], named: Sequence[Append | Beat], asked: _Asked) -> _Found:
    place_of = {name: place for place, name in enumerate(brains, 1)}
    group = (
        Texts(brains),
        Ints([place_of[request.brain_id] for request in named]),
        Texts([request.log_id for request in named]),
        Ints(asked.places),
        Texts(asked.ids),
        Int(LOCK_S),
        Int(IDLE_S),
    )
    missing: list[str | None] = []
    while True:
        calls: list[Call] = [BEGIN]
        if missing:
            # Before the locks: whoever waits for a brain that another transaction is making holds no lock yet.
            calls.append((_NEW_BRAINS, (Texts(missing),)))
        *_, made, answer = exchange(connection, [*calls, (_BEGIN_GROUP, group)])
        columns = [answer.get_value(0, column) for column in range(answer.nfields)]
        if columns[0] is None:
            break
        missing = texts_of(columns[0])
        connection.rollback()
    fresh = {bytes(made.get_value(row, 0) or b"").decode() for row in range(made.ntuples)} if missing else set()
    return _found(columns[1:], brains, fresh, named, asked)


def _found(
    columns: Sequence[bytes | None],
    brains: Sequence[str],
    fresh: Collection[str],
    named: Sequence[Append | Beat],
    asked: _Asked,
) -> _Found:
    keys, spaces, logs, events, deleted, gone, erased, places, log_keys, sizes, nodes, offsets, ids, known, contents = (
        columns
    )
    numbers = zip(*map(bigints_of, (keys, logs, events, deleted, gone, erased)), strict=True)
    found = _Found(Locked())
    for name, space, row in zip(brains, texts_of(spaces), numbers, strict=True):
        key, made_logs, made_events, *removed = row
        found.locked.brains[name] = Brain(key, space, made_logs, made_events, name in fresh, *removed)
    heads = zip(*map(bigints_of, (places, log_keys, sizes, offsets)), byteas_of(nodes), texts_of(ids), strict=True)
    for place, log_key, size, offset, hashes, event_id in heads:
        request = named[place - 1]
        log = (request.brain_id, request.log_id)
        found.locked.logs[log] = log_key
        found.heads[log] = (log_key, CompactRange(size, tuple(hashes_of(hashes))), offset, event_id)
    for place, content in zip(bigints_of(known), byteas_of(contents), strict=True):
        brain = brains[asked.places[place - 1] - 1]
        found.events.setdefault(brain, {})[asked.ids[place - 1]] = content
    return found


def _log_facts(
    connection: Connection, named: Sequence[Append | Beat], found: _Found
) -> dict[tuple[str, str], LogFacts]:
    facts: dict[tuple[str, str], LogFacts] = {}
    for request in named:
        name = (request.brain_id, request.log_id)
        head = found.heads.get(name)
        if head is None or found.locked.brains[request.brain_id].deleted_at is not None:
            continue  # of a brain that is being removed the tiles may be gone, and its logs are asked of no more
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
            # Too short: the tile lost a part. What is there stays in its own slots, and `service.integrity` tells.
            known[level, index] = known[level, index][: slot * HASH_BYTES].ljust(slot * HASH_BYTES, b"\0") + hashes

    def tile(level: int, index: int) -> bytes:
        if (level, index) not in known:
            read(level, index, index)
        return known[level, index]

    if first < end:
        read(0, first // TILE_HASHES, (end - 1) // TILE_HASHES)
    return tile
