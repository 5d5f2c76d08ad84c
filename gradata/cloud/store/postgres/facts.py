"""What a transaction of the PostgreSQL store needs to know before it decides: locks first, then facts.

Every writer of a brain holds its row in `brains` from here to its commit, and takes the rows in the order of their
names: two processes never wait for each other in a circle, and what is read under the lock — heads, numbers given
out, which event ids exist — stays true until the commit. Each statement is a snapshot of its own (READ COMMITTED):
what is read together with the lock may be older than the lock, so heads are read by a statement behind it.

Partners: `commit`, which writes under these locks, and `domain.plan.plan`, which decides in between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import dict_row

from gradata.cloud.domain.plan import LogFacts, StoredFacts
from gradata.cloud.domain.requests import Append, HeartbeatWrite, HoleClaim, Loose, WriteRequest
from gradata.cloud.domain.tiles import Tile, hashes_of, leaves_at, tree_at
from gradata.cloud.domain.tombstones import GONE
from gradata.cloud.store.postgres.connection import Connection
from gradata.cloud.store.postgres.tombstones import barred_of
from replicator.proof import HASH_BYTES, TILE_HASHES, CompactRange

LOG_BITS = 23
"""log_key = brain_key << LOG_BITS | number of the log within its brain."""
LOCK_S = 5
IDLE_S = 10
"""A process that stops in the middle of a transaction loses its locks after this."""

_BEGIN_GROUP = """
SELECT * FROM gradata.begin_group(
    brain_ids => %(brain_ids)b::text[], log_brains => %(log_brains)b::int[], log_ids => %(log_ids)b::text[],
    event_brains => %(event_brains)b::int[], event_ids => %(event_ids)b::text[], lock_s => %(lock_s)b::int,
    idle_s => %(idle_s)b::int)
"""
_NEW_BRAINS = """
INSERT INTO gradata.brains (brain_id, workspace, created_at)
SELECT name, '', 0 FROM unnest(%b::text[]) AS w(name) ORDER BY name COLLATE "C"
ON CONFLICT DO NOTHING RETURNING brain_id
"""
_TILES = """
SELECT "index", slot, hashes FROM gradata.tiles
 WHERE brain_key = %s AND log_key = %s AND level = %s AND "index" BETWEEN %s AND %s ORDER BY "index", slot
"""
_ROWS = """
SELECT number, record, flag, length FROM gradata.records
 WHERE brain_key = %s AND log_key = %s AND number >= %s AND number < %s
"""


@dataclass(slots=True)
class LockedBrain:
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

    brains: dict[str, LockedBrain] = field(default_factory=dict)
    logs: dict[tuple[str, str], int] = field(default_factory=dict)


def gather(connection: Connection, requests: Sequence[WriteRequest]) -> tuple[Locked, StoredFacts]:
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
    return locked, StoredFacts(workspaces, logs, found.events, deleted, barred)


@dataclass(slots=True)
class _Asked:
    """The event ids of the requests, and the place of each one's brain, from 1."""

    places: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, brains: Sequence[str], requests: Sequence[WriteRequest]) -> _Asked:
        """`brains`: the names that the places are of."""
        place_of = {name: place for place, name in enumerate(brains, 1)}
        asked = cls()
        for request in requests:
            if isinstance(request, HeartbeatWrite) or isinstance(request.load, HoleClaim):
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


def _lock(
    connection: Connection, brains: Sequence[str], named: Sequence[Append | HeartbeatWrite], asked: _Asked
) -> _Found:
    place_of = {name: place for place, name in enumerate(brains, 1)}
    group = {
        "brain_ids": brains,
        "log_brains": [place_of[request.brain_id] for request in named],
        "log_ids": [request.log_id for request in named],
        "event_brains": asked.places,
        "event_ids": asked.ids,
        "lock_s": LOCK_S,
        "idle_s": IDLE_S,
    }
    fresh: set[str] = set()
    missing: list[str] = []
    while True:
        with connection.pipeline():  # one round trip
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            # Before the locks: whoever waits for a brain that another transaction is making holds no lock yet.
            made = connection.execute(_NEW_BRAINS, (missing,), binary=True) if missing else None
            answer = connection.cursor(row_factory=dict_row, binary=True).execute(_BEGIN_GROUP, group)
        if made is not None:
            fresh = {name for (name,) in made}
        told = answer.fetchone()
        assert told is not None, "a function with OUT parameters has one row"
        if told["missing"] is None:
            return _found({name: column or [] for name, column in told.items()}, brains, fresh, named, asked)
        missing = told["missing"]
        connection.rollback()


def _found(
    told: Mapping[str, list[Any]],
    brains: Sequence[str],
    fresh: Collection[str],
    named: Sequence[Append | HeartbeatWrite],
    asked: _Asked,
) -> _Found:
    """`told`: what `gradata.begin_group` said, by the names of its columns."""
    found = _Found(Locked())
    of_brains = ("keys", "workspaces", "logs", "events", "deleted", "gone", "erased")
    for name, row in zip(brains, zip(*(told[column] for column in of_brains), strict=True), strict=True):
        key, workspace, logs, events, *removed = row
        found.locked.brains[name] = LockedBrain(key, workspace, logs, events, name in fresh, *removed)
    of_logs = ("log_places", "log_keys", "sizes", "nodes", "offsets", "last_ids")
    for place, log_key, size, hashes, offset, event_id in zip(*(told[column] for column in of_logs), strict=True):
        request = named[place - 1]
        log = (request.brain_id, request.log_id)
        found.locked.logs[log] = log_key
        found.heads[log] = (log_key, CompactRange(size, tuple(hashes_of(hashes))), offset, event_id)
    for place, content in zip(told["known_places"], told["contents"], strict=True):
        brain = brains[asked.places[place - 1] - 1]
        found.events.setdefault(brain, {})[asked.ids[place - 1]] = content
    return found


def _log_facts(
    connection: Connection, named: Sequence[Append | HeartbeatWrite], found: _Found
) -> dict[tuple[str, str], LogFacts]:
    facts: dict[tuple[str, str], LogFacts] = {}
    for request in named:
        name = (request.brain_id, request.log_id)
        head = found.heads.get(name)
        if head is None or found.locked.brains[request.brain_id].deleted_at is not None:
            continue  # of a brain that is being removed the tiles may be gone, and its logs are asked of no more
        log_key, tree, offset, event_id = head
        if isinstance(request, HeartbeatWrite) or request.first >= tree.size:
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
            rows={number: record for number, record, _, _ in rows},
            below=tree_at(request.first, tile) if request.first + request.count > tree.size else None,
            gone={number for number, _, flag, _ in rows if flag in GONE},
            holes={number: length for number, record, _, length in rows if record is None},
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
