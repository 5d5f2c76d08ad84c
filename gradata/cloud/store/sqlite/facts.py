"""What the SQLite store knows of a group of requests before it decides: partner of `commit`, which writes.

A log in use is asked for again and again, so what a commit left is remembered: heads, counts, the newest event_id. It
holds as long as only commits of groups change the store; SQLite itself says when anything else did, this connection
(`total_changes`) or another (`data_version`), and then everything is read again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from gradata.cloud.domain.plan import LogFacts, StoredFacts
from gradata.cloud.domain.requests import Append, HeartbeatWrite, HoleClaim, Loose, WriteRequest
from gradata.cloud.domain.tiles import Tile, hashes_of, leaves_at, tree_at, with_tail
from gradata.cloud.domain.tombstones import GONE
from gradata.cloud.store.sqlite.tombstones import barred_of
from replicator.proof import CompactRange

NUMBER_BITS = 40
PROBE_IDS = 500
REMEMBERED_MAX = 4_096


@dataclass(slots=True)
class KnownBrain:
    """A brain's row. `newest`: no event_id of the brain is greater."""

    key: int
    workspace: str
    events: int
    deleted_at: int | None = None
    gone: int = 0
    erased: int = 0
    newest: str = ""


@dataclass(slots=True)
class KnownLog:
    """A log's row. `tail`: the hashes of its last records that are in no tile yet."""

    key: int
    facts: LogFacts
    tail: bytes = b""


@dataclass(slots=True)
class RowCache:
    """The rows of brains and logs that the last groups touched, as the last commit left them."""

    brains: dict[str, KnownBrain] = field(default_factory=dict)
    logs: dict[tuple[str, str], KnownLog] = field(default_factory=dict)
    _version: int | None = None
    _changes: int = 0

    def begin(self, connection: sqlite3.Connection) -> None:
        """A transaction has begun: forget what may have changed since the last `keep`.

        SQLite's `data_version` changes when another connection changes the store, `total_changes` when this one does.
        From here to the commit only this one can.
        """
        version = int(connection.execute("PRAGMA data_version").fetchone()[0])
        full = len(self.logs) > REMEMBERED_MAX or len(self.brains) > REMEMBERED_MAX
        if full or version != self._version or connection.total_changes != self._changes:
            self.forget()
        self._version = version

    def keep(self, connection: sqlite3.Connection) -> None:
        """All was written that is to be committed now."""
        self._changes = connection.total_changes

    def forget(self) -> None:
        """Nothing is known."""
        self.brains.clear()
        self.logs.clear()
        self._version = None


def gather(connection: sqlite3.Connection, requests: Sequence[WriteRequest], known: RowCache) -> StoredFacts:
    """The facts that `domain.plan.plan` wants; `known` learns the rows."""
    ids: dict[str, list[str | None]] = {}
    logs: dict[tuple[str, str], LogFacts] = {}
    brains: dict[str, KnownBrain] = {}
    for request in requests:
        name = request.brain_id
        brain = _find_brain(connection, name, known)
        if brain is None:
            continue
        brains[name] = brain
        if not isinstance(request, HeartbeatWrite) and not isinstance(request.load, HoleClaim):
            ids.setdefault(name, []).extend(request.load.event_ids)
        # Of a brain that is being removed the tiles may be gone, and its logs are asked of no more.
        if brain.deleted_at is None and not isinstance(request, Loose):
            facts = _log_facts(connection, brain.key, request, known)
            if facts is not None:
                assert (name, request.log_id) not in logs or isinstance(request, HeartbeatWrite)
                logs.setdefault((name, request.log_id), facts)
    events = {name: _known_events(connection, brains[name], wanted) for name, wanted in ids.items()}
    return StoredFacts(
        {name: brain.workspace for name, brain in brains.items()},
        logs,
        events,
        frozenset(name for name, brain in brains.items() if brain.deleted_at is not None),
        {
            name: barred_of(connection, brain.key, events.get(name, {}), gone=brain.gone, erased=brain.erased)
            for name, brain in brains.items()
            if brain.gone or brain.erased
        },
    )


def _find_brain(connection: sqlite3.Connection, brain_id: str, known: RowCache) -> KnownBrain | None:
    brain = known.brains.get(brain_id)
    if brain is not None:
        return brain
    row = connection.execute(
        "SELECT brain_key, workspace, events, deleted_at, gone, erased,"
        " coalesce((SELECT max(event_id) FROM events e WHERE e.brain_key = b.brain_key), '')"
        " FROM brains b WHERE brain_id = ?",
        (brain_id,),
    ).fetchone()
    if row is not None:
        brain = known.brains[brain_id] = KnownBrain(*row)
    return brain


def _find_log(
    connection: sqlite3.Connection, brain_key: int, name: tuple[str, str], known: RowCache
) -> KnownLog | None:
    log = known.logs.get(name)
    if log is not None:
        return log
    row = connection.execute(
        'SELECT log_key, size, nodes, "offset", event_id, tail FROM logs WHERE brain_key = ? AND log_id = ?',
        (brain_key, name[1]),
    ).fetchone()
    if row is not None:
        key, size, nodes, offset, event_id, tail = row
        head = LogFacts(CompactRange(size, tuple(hashes_of(nodes))), offset, event_id)
        log = known.logs[name] = KnownLog(key, head, tail)
    return log


def _log_facts(
    connection: sqlite3.Connection, brain_key: int, request: Append | HeartbeatWrite, known: RowCache
) -> LogFacts | None:
    log = _find_log(connection, brain_key, (request.brain_id, request.log_id), known)
    if log is None:
        return None
    head = log.facts
    size = head.tree.size
    if isinstance(request, HeartbeatWrite) or request.first >= size:
        return head
    tile = tile_reader(connection, log.key)
    end = min(size, request.first + request.count)
    base = log.key << NUMBER_BITS
    rows = connection.execute(
        "SELECT place, CAST(record AS BLOB), flag, length FROM records WHERE place >= ? AND place < ?",
        (base + request.first, base + end),
    ).fetchall()
    return LogFacts(
        head.tree,
        head.offset,
        head.event_id,
        overlap=leaves_at(request.first, end, tile),
        rows={place - base: record for place, record, _, _ in rows},
        below=tree_at(request.first, tile) if request.first + request.count > size else None,
        gone={place - base for place, _, flag, _ in rows if flag in GONE},
        holes={place - base: length for place, record, _, length in rows if record is None},
    )


def tile_reader(connection: sqlite3.Connection, log_key: int) -> Tile:
    """Reads the tiles of one log."""

    def tile(level: int, index: int) -> bytes:
        row = connection.execute(
            "SELECT coalesce(hashes, x''), size, tail FROM logs LEFT JOIN tiles"
            ' ON tiles.log_key = logs.log_key AND level = ? AND "index" = ? WHERE logs.log_key = ?',
            (level, index, log_key),
        ).fetchone()
        if row is None:
            return b""
        hashes, size, tail = row
        return bytes(hashes) if level else with_tail(bytes(hashes), tail, size, index)

    return tile


def _known_events(connection: sqlite3.Connection, brain: KnownBrain, ids: Sequence[str | None]) -> dict[str, bytes]:
    """Those of `ids` that are stored, perhaps with others beside them.

    What is greater than all that is stored is new: ids are made in the order of time. Others that were made in order
    lie together: then one range read answers for all of them. Ids in random order would make the range the whole
    brain, so it is cut off, and they are probed one by one.
    """
    wanted = sorted({event_id for event_id in ids if event_id is not None and event_id <= brain.newest})
    if not wanted:
        return {}
    rows = connection.execute(
        "SELECT event_id, content FROM events WHERE brain_key = ? AND event_id BETWEEN ? AND ? LIMIT ?",
        (brain.key, wanted[0], wanted[-1], len(wanted) + 1),
    ).fetchall()
    if len(rows) <= len(wanted):
        return dict(rows)
    found: dict[str, bytes] = {}
    for start in range(0, len(wanted), PROBE_IDS):
        probe = json.dumps(wanted[start : start + PROBE_IDS])
        found.update(
            connection.execute(
                "SELECT event_id, content FROM events WHERE brain_key = ?"
                " AND event_id IN (SELECT value FROM json_each(?))",
                (brain.key, probe),
            )
        )
    return found
