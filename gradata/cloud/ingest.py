"""Decide what one transaction commits: requests and what is stored in, decisions and writes out.

Pure: no clock, no database. A store gathers `Facts` for a group of requests under its lock, calls `plan`, and does
what each decision's `Writes` say, so the rules of PROTOCOL.md stand once for every store. Requests of one group are
decided in their order, each seeing what the ones before it add. The store's duty: no log twice in one group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from replicator.framing import event_id_of
from replicator.model import Refusal
from replicator.proof import HASH_BYTES, TILE_HASHES, TILE_HEIGHT, CompactRange, extend, node_hash

Tile = Callable[[int, int], bytes]
"""`tile(level, index)` is the stored tile: up to 256 hashes, one behind the other; empty if there is none."""


class TileLostError(Exception):
    """A tile that the tree's size calls for is not stored: the store is damaged."""


class Meaning(NamedTuple):
    """What is interpreted of a record that is an event."""

    event_id: str
    type: str
    category: str | None
    severity: str | None
    session: int | str | None
    ts: str | None


@dataclass(frozen=True, slots=True)
class Lines:
    """Records with what was computed from each, in columns of equal length.

    `meanings[i]` is a string, the code that says why, where record i is not interpretable as an event.
    `contents[i]` is the same for two records exactly when their bytes without line end are.
    """

    records: Sequence[bytes] = field(repr=False)
    leaves: Sequence[bytes] = field(repr=False)
    contents: Sequence[bytes] = field(repr=False)
    meanings: Sequence[Meaning | str] = field(repr=False)

    def __post_init__(self) -> None:
        assert len(self.records) == len(self.leaves) == len(self.contents) == len(self.meanings)


@dataclass(frozen=True, slots=True)
class Claim:
    """A place without bytes: the client names length and leaf of a record that it cannot send."""

    length: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """A batch of one log, as its envelope says. `status` is kept beside the head, uninterpreted."""

    workspace: str
    brain_id: str
    device_id: str
    log_id: str
    parent: str | None
    first: int
    offset: int
    root: bytes
    load: Lines | Claim
    status: bytes | None = None

    @property
    def count(self) -> int:
        """How many records."""
        return 1 if isinstance(self.load, Claim) else len(self.load.records)


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat: no records, only the word that someone is alive."""

    workspace: str
    brain_id: str
    device_id: str
    log_id: str
    status: bytes | None = None


@dataclass(frozen=True, slots=True)
class Loose:
    """Events that are part of no log. `records` of a refusal are counted from 0 in the request."""

    workspace: str
    brain_id: str
    load: Lines


Request = Append | Beat | Loose


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What is stored of a log, and of the places that a request wants to write again.

    `overlap`: the stored leaves of records [first, min(size, first + count)). `rows`: the stored bytes of those
    whose row is there, None for a hole. `below`: the tree at `first`, when the request reaches beyond the head.
    """

    tree: CompactRange = CompactRange.EMPTY
    offset: int = 0
    event_id: str | None = None
    overlap: Sequence[bytes] = ()
    rows: Mapping[int, bytes | None] = field(default_factory=dict)
    below: CompactRange | None = None


UNKNOWN_LOG = LogFacts()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is stored about everything that a group of requests touches.

    `brains`: the workspace of each brain that exists. `logs`: by brain and log_id; a log that is missing is
    unknown. `events`: of each brain, event_id to content, for those ids in the group that are stored.
    """

    brains: Mapping[str, str]
    logs: Mapping[tuple[str, str], LogFacts]
    events: Mapping[str, Mapping[str, bytes]]


class Row(NamedTuple):
    """A record at its place. `record` None: a hole. `flag`: why it is no event, or `event_conflict`."""

    number: int
    offset: int
    length: int
    flag: str | None
    record: bytes | None


class NewEvent(NamedTuple):
    """An event new to its brain. `number` is that of its record, within the request for loose ones."""

    meaning: Meaning
    content: bytes
    number: int


class TilePart(NamedTuple):
    """Hashes to put into tile `number` of a level, from `slot` on."""

    level: int
    number: int
    slot: int
    hashes: bytes


@dataclass(frozen=True, slots=True)
class Writes:
    """What a store writes for one request. `rows` are new places, `mended` ones replace what is there."""

    rows: Sequence[Row] = field(default=(), repr=False)
    mended: Sequence[Row] = field(default=(), repr=False)
    events: Sequence[NewEvent] = field(default=(), repr=False)
    tiles: Sequence[TilePart] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Done:
    """To be committed, then answered 200. `tree`, `offset` and `event_id` are the head afterwards."""

    tree: CompactRange
    offset: int
    event_id: str | None
    accepted: int = 0
    duplicates: int = 0
    flagged: tuple[Refusal, ...] = ()
    refused: tuple[Refusal, ...] = ()
    writes: Writes = Writes()


@dataclass(frozen=True, slots=True)
class Gap:
    """409 `gap`: the request begins beyond the head. Nothing is written."""

    head: LogFacts


@dataclass(frozen=True, slots=True)
class Diverged:
    """409 `diverged`: the client's log is not the one that is stored. Nothing is written."""

    head: LogFacts
    record: int | None


@dataclass(frozen=True, slots=True)
class Forbidden:
    """403 `brain_forbidden`: the brain belongs to another workspace."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """400: the envelope contradicts itself."""

    detail: str
    record: int | None = None


Decision = Done | Gap | Diverged | Forbidden | Malformed


def plan(requests: Sequence[Request], facts: Facts, *, record_bytes: int) -> list[Decision]:
    """One decision for each request, in their order. Records longer than `record_bytes` become holes."""
    brains = dict(facts.brains)
    events: dict[str, dict[str, bytes]] = {brain: dict(known) for brain, known in facts.events.items()}
    decisions: list[Decision] = []
    for request in requests:
        owner = brains.get(request.brain_id)
        if owner is not None and owner != request.workspace:
            decisions.append(Forbidden())
            continue
        known = events.setdefault(request.brain_id, {})
        decision = _decide(request, facts.logs, known, record_bytes)
        if isinstance(decision, Done):
            brains[request.brain_id] = request.workspace
        decisions.append(decision)
    return decisions


def _decide(
    request: Request,
    logs: Mapping[tuple[str, str], LogFacts],
    known: MutableMapping[str, bytes],
    record_bytes: int,
) -> Decision:
    match request:
        case Loose():
            return _keep_loose(request.load, known, record_bytes)
        case Beat():
            log = logs.get((request.brain_id, request.log_id), UNKNOWN_LOG)
            return Done(log.tree, log.offset, log.event_id)
        case Append():
            log = logs.get((request.brain_id, request.log_id), UNKNOWN_LOG)
            return _misfit(request, log) or _append(request, log, known, record_bytes)


def _keep_loose(load: Lines, known: MutableMapping[str, bytes], record_bytes: int) -> Done:
    found = _sort_out(load, 0, 0, known, record_bytes)
    flags: dict[int, str | None] = {event.number: None for event in found.events}
    flags |= {refusal.record: refusal.code for refusal in found.flagged}
    rows = [
        Row(number, 0, len(load.records[number]), flag, load.records[number]) for number, flag in sorted(flags.items())
    ]
    return Done(CompactRange.EMPTY, 0, None, *found.counts, Writes(rows=rows, events=found.events))


def _misfit(request: Append, log: LogFacts) -> Gap | Diverged | Malformed | None:
    """Why the request does not continue the stored log; None if it does."""
    size = log.tree.size
    if request.first > size:
        return Gap(log)
    leaves = _leaves(request)
    lengths = _lengths(request)
    overlap = min(size - request.first, len(leaves))
    assert len(log.overlap) == overlap
    for place, (stored, sent) in enumerate(zip(log.overlap, leaves, strict=False)):
        if stored != sent:
            return Diverged(log, request.first + place)
    if overlap == len(leaves):
        return None
    below = log.tree if request.first == size else log.below
    assert below is not None
    if below.root != request.root:
        return Diverged(log, None)
    if request.offset + sum(lengths[:overlap]) != log.offset:
        return Malformed(f"the offset of record {size} is {log.offset} by the records before it")
    return None


def _append(request: Append, log: LogFacts, known: MutableMapping[str, bytes], record_bytes: int) -> Done:
    size = log.tree.size
    leaves = _leaves(request)
    lengths = _lengths(request)
    overlap = min(size - request.first, len(leaves))
    tree, completed = extend(log.tree, leaves[overlap:])
    if isinstance(request.load, Claim):
        fresh = [Row(request.first, request.offset, request.load.length, None, None)][overlap:]
        found = _Found(accepted=1 - overlap, duplicates=overlap)
        mended: list[Row] = []
    else:
        found = _sort_out(request.load, request.first, overlap, known, record_bytes)
        flags = {refusal.record: refusal.code for refusal in found.flagged}
        starts = accumulate(lengths, initial=request.offset)
        rows = [
            Row(number, start, length, flags.get(number), record if length <= record_bytes else None)
            for number, start, length, record in zip(
                range(request.first, request.first + len(lengths)), starts, lengths, request.load.records, strict=False
            )
        ]
        fresh = rows[overlap:]
        mended = [row for row in rows[:overlap] if _to_mend(row, log.rows)]
    grown = overlap < len(leaves)
    return Done(
        tree,
        log.offset + sum(lengths[overlap:]),
        _last_event_id(request.load) if grown else log.event_id,
        *found.counts,
        Writes(fresh, mended, found.events, _tile_parts(size, completed)),
    )


def _to_mend(row: Row, stored: Mapping[int, bytes | None]) -> bool:
    """Whether the place lost its row, or holds other bytes than those that its leaf proves."""
    return row.number not in stored or (row.record is not None and stored[row.number] != row.record)


def _leaves(request: Append) -> Sequence[bytes]:
    return (request.load.leaf,) if isinstance(request.load, Claim) else request.load.leaves


def _lengths(request: Append) -> list[int]:
    return [request.load.length] if isinstance(request.load, Claim) else list(map(len, request.load.records))


def _last_event_id(load: Lines | Claim) -> str | None:
    if isinstance(load, Claim):
        return None
    meaning = load.meanings[-1]
    return event_id_of(load.records[-1]) if isinstance(meaning, str) else meaning.event_id


@dataclass(frozen=True, slots=True)
class _Found:
    accepted: int = 0
    duplicates: int = 0
    flagged: tuple[Refusal, ...] = ()
    refused: tuple[Refusal, ...] = ()
    events: Sequence[NewEvent] = ()

    @property
    def counts(self) -> tuple[int, int, tuple[Refusal, ...], tuple[Refusal, ...]]:
        return self.accepted, self.duplicates, self.flagged, self.refused


def _sort_out(lines: Lines, first: int, overlap: int, known: MutableMapping[str, bytes], record_bytes: int) -> _Found:
    """Count each record once, and name the events that are new; `known` learns them.

    A place of the overlap counts as duplicate whatever stands there; an event of it that is not stored (storage
    lost it, or its bytes come only now) is stored. What is refused is said again on every resend: the client's
    dead letter depends on it.
    """
    flagged: list[Refusal] = []
    refused: list[Refusal] = []
    events: list[NewEvent] = []
    accepted = 0
    number = first
    fresh_from = first + overlap
    for record, content, meaning in zip(lines.records, lines.contents, lines.meanings, strict=True):
        if len(record) > record_bytes:
            refused.append(Refusal(number, "record_too_large", f"{len(record)} bytes; at most {record_bytes} are kept"))
        elif isinstance(meaning, str):
            if number >= fresh_from:
                flagged.append(Refusal(number, meaning, FLAG_WORDS.get(meaning, "")))
        else:
            stored = known.get(meaning.event_id)
            if stored is None:
                known[meaning.event_id] = content
                events.append(NewEvent(meaning, content, number))
                accepted += number >= fresh_from
            elif stored != content and number >= fresh_from:
                flagged.append(Refusal(number, "event_conflict", FLAG_WORDS["event_conflict"]))
        number += 1
    duplicates = len(lines.records) - accepted - len(flagged) - len(refused)
    return _Found(accepted, duplicates, tuple(flagged), tuple(refused), events)


FLAG_WORDS = {
    "blank": "nothing but white space",
    "event_conflict": "an event with this event_id and other bytes was stored before; both are kept",
    "not_json": "kept byte for byte, but it is not JSON",
    "not_object": "kept byte for byte, but it is JSON that is no object",
    "not_utf8": "kept byte for byte, but it is not UTF-8",
}


def _tile_parts(size: int, completed: Sequence[Sequence[bytes]]) -> list[TilePart]:
    """The hashes to add to tiles: those of every eighth level, cut at the tiles' ends."""
    parts = []
    for level in range(0, len(completed), TILE_HEIGHT):
        start = size >> level
        hashes = b"".join(completed[level])
        done = 0
        while done < len(completed[level]):
            index, slot = divmod(start + done, TILE_HASHES)
            taken = min(TILE_HASHES - slot, len(completed[level]) - done)
            part = hashes[done * HASH_BYTES : (done + taken) * HASH_BYTES]
            parts.append(TilePart(level // TILE_HEIGHT, index, slot, part))
            done += taken
    return parts


def tree_at(size: int, tile: Tile) -> CompactRange:
    """The tree as it was at an earlier size, from tiles: at most one read for each level of tiles and size bit."""
    nodes = []
    end = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            nodes.append(_node(level, end >> level, tile))
            end += 1 << level
    return CompactRange(size, tuple(nodes))


def _node(level: int, index: int, tile: Tile) -> bytes:
    tile_level, height = divmod(level, TILE_HEIGHT)
    count = 1 << height
    tile_index, slot = divmod(index << height, TILE_HASHES)
    row = hashes_of(tile(tile_level, tile_index))[slot : slot + count]
    if len(row) < count:
        raise TileLostError(f"tile {tile_index} of level {tile_level} is not whole")
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def leaves_at(first: int, end: int, tile: Tile) -> list[bytes]:
    """The stored leaves of records [first, end)."""
    leaves: list[bytes] = []
    for index in range(first // TILE_HASHES, -(-end // TILE_HASHES)):
        base = index * TILE_HASHES
        leaves += hashes_of(tile(0, index))[max(first - base, 0) : end - base]
    if len(leaves) != max(end - first, 0):
        raise TileLostError(f"leaves of records {first} to {end} are not whole")
    return leaves


def hashes_of(tile: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [tile[i : i + HASH_BYTES] for i in range(0, len(tile), HASH_BYTES)]
