"""Decides what one transaction commits: from requests and stored facts to decisions and writes.

Pure: no clock, no database. A store collects `StoredFacts` for a group of requests under its lock, calls `plan`, and
executes each decision's `Writes`; so the rules of docs/protocol.md exist once for every store. Requests of a group are
decided in order, each seeing what the earlier ones add. The store's duty: no log twice in one group.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import cast

from gradata.cloud.domain.requests import Append, HeartbeatWrite, HoleClaim, Lines, Loose, WriteRequest
from gradata.cloud.domain.tiles import tile_parts
from gradata.cloud.domain.tombstones import ERASED, NOTHING_BARRED, Barred, incomparable, withheld
from gradata.cloud.domain.write_set import NewEvents, RecordRow, Run, Writes
from replicator.fast_dataclass import value
from replicator.framing import event_id_of
from replicator.model import Refusal
from replicator.proof import CompactRange, extend


@value
class LogFacts:
    """The stored facts about a log, and about the places that a request wants to write again.

    `overlap`: the stored leaves of records [first, min(size, first + count)). `rows`: the stored bytes of those with a
    row, None for a hole. `gone`: those of them whose bytes were erased or have expired. `below`: the tree at `first`,
    if the request reaches beyond the head.
    """

    tree: CompactRange = CompactRange.EMPTY
    offset: int = 0
    event_id: str | None = None
    overlap: Sequence[bytes] = ()
    rows: Mapping[int, bytes | None] = field(default_factory=dict)
    below: CompactRange | None = None
    gone: Collection[int] = frozenset()
    holes: Mapping[int, int] = field(default_factory=dict)
    """The claimed lengths of records without bytes. They are unproven: a leaf implies no length."""


UNKNOWN_LOG = LogFacts()


@value
class StoredFacts:
    """The stored facts about everything that a group of requests touches.

    `brains`: the workspace of each existing brain. `logs`: by brain and log_id; a missing log is unknown. `events`: per
    brain, event_id to content for the ids of the group that are or were stored. `deleted`: deleted brains. `barred`:
    tombstones, for brains that have any.
    """

    brains: Mapping[str, str]
    logs: Mapping[tuple[str, str], LogFacts]
    events: Mapping[str, Mapping[str, bytes]]
    deleted: Collection[str] = frozenset()
    barred: Mapping[str, Barred] = field(default_factory=dict)


@value
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
class BrainForbidden:
    """403 `brain_forbidden`: the brain belongs to another workspace."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """410 `brain_deleted`: deleted on purpose; nothing of it is accepted."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """400: the envelope contradicts itself."""

    detail: str
    record: int | None = None


Decision = Done | Gap | Diverged | BrainForbidden | Deleted | Malformed


def plan(requests: Sequence[WriteRequest], facts: StoredFacts, *, record_bytes: int) -> list[Decision]:
    """One decision for each request, in their order. Records longer than `record_bytes` become holes."""
    brains = dict(facts.brains)
    events: dict[str, dict[str, bytes]] = {brain: dict(known) for brain, known in facts.events.items()}
    decisions: list[Decision] = []
    for request in requests:
        owner = brains.get(request.brain_id)
        if owner is not None and owner != request.workspace:
            decisions.append(BrainForbidden())
            continue
        if request.brain_id in facts.deleted:
            decisions.append(Deleted())
            continue
        known = events.setdefault(request.brain_id, {})
        barred = facts.barred.get(request.brain_id, NOTHING_BARRED)
        decision = _decide(request, facts.logs, known, barred, record_bytes)
        if isinstance(decision, Done):
            brains[request.brain_id] = request.workspace
        decisions.append(decision)
    return decisions


def _decide(
    request: WriteRequest,
    logs: Mapping[tuple[str, str], LogFacts],
    known: MutableMapping[str, bytes],
    barred: Barred,
    record_bytes: int,
) -> Decision:
    if isinstance(request, Loose):
        return _keep_loose(request.load, known, barred, record_bytes)
    log = logs.get((request.brain_id, request.log_id), UNKNOWN_LOG)
    if isinstance(request, HeartbeatWrite):
        return Done(log.tree, log.offset, log.event_id)
    return _next(request, log, known, barred, record_bytes) or (
        _misfit(request, log) or _append(request, log, known, barred, record_bytes)
    )


def _keep_loose(load: Lines, known: MutableMapping[str, bytes], barred: Barred, record_bytes: int) -> Done:
    found = _sort_out(load, 0, 0, known, barred, record_bytes)
    flags: dict[int, str | None] = dict.fromkeys(found.events.numbers)
    flags |= {refusal.record: refusal.code for refusal in found.flagged if refusal.record not in found.withheld}
    kept = [
        RecordRow(number, 0, len(load.records[number]), flag, load.records[number])
        for number, flag in sorted(flags.items())
    ]
    return Done(CompactRange.EMPTY, 0, None, *found.counts, Writes(mended=kept, events=found.events))


def _next(
    request: Append, log: LogFacts, known: MutableMapping[str, bytes], barred: Barred, record_bytes: int
) -> Done | None:
    """Fast path of `_misfit` and `_append` for one new event at its log's head, the usual request; half the time."""
    load = request.load
    if isinstance(load, HoleClaim) or len(load.records) != 1 or barred:
        return None
    (event_id,), length = load.event_ids, len(load.records[0])
    if event_id is None or event_id in known or length > record_bytes:
        return None
    if request.first != log.tree.size or request.offset != log.offset or request.root != log.tree.root:
        return None
    known[event_id] = load.contents[0]
    tree, completed = extend(log.tree, load.leaves)
    run = Run(request.first, [request.offset], [length], [None], load.records)
    events = NewEvents([event_id], load.contents, range(request.first, request.first + 1), load.columns)
    writes = Writes(run, (), events, tile_parts(request.first, completed))
    return Done(tree, log.offset + length, event_id, 1, writes=writes)


def _misfit(request: Append, log: LogFacts) -> Gap | Diverged | Malformed | None:
    """Why the request does not continue the stored log, or None."""
    size = log.tree.size
    if request.first > size:
        return Gap(log)
    leaves = _leaves(request)
    overlap = min(size - request.first, len(leaves))
    assert len(log.overlap) == overlap
    for place, (stored, sent) in enumerate(zip(log.overlap, leaves, strict=False)):
        if stored != sent:
            return Diverged(log, request.first + place)
    wrong = _filling_of_another_length(request, log)
    if wrong is not None or overlap == len(leaves):
        return wrong
    below = log.tree if request.first == size else log.below
    assert below is not None
    if below.root != request.root:
        return Diverged(log, None)
    if request.offset + (sum(_lengths(request)[:overlap]) if overlap else 0) != log.offset:
        return Malformed(f"the offset of record {size} is {log.offset} by the records before it")
    return None


def _filling_of_another_length(request: Append, log: LogFacts) -> Malformed | None:
    """Rejects bytes for a hole of another length: they would displace every record after it."""
    if isinstance(request.load, HoleClaim):
        return None
    for number, length in log.holes.items():
        place = number - request.first
        record = request.load.records[place]
        if place not in request.load.holes and len(record) != length:
            words = f"record {number} was announced with {length} bytes and has {len(record)}"
            return Malformed(words, number)
    return None


def _append(
    request: Append, log: LogFacts, known: MutableMapping[str, bytes], barred: Barred, record_bytes: int
) -> Done:
    size = log.tree.size
    leaves = _leaves(request)
    lengths = _lengths(request)
    overlap = min(size - request.first, len(leaves))
    tree, completed = extend(log.tree, leaves[overlap:])
    offsets = list(accumulate(lengths, initial=request.offset))[:-1]
    if isinstance(request.load, HoleClaim):
        run = Run(request.first, offsets, lengths, (None,), (None,))
        found = _Found(accepted=1 - overlap, duplicates=overlap)
    else:
        found = _sort_out(request.load, request.first, overlap, known, barred, record_bytes)
        flags: list[str | None] = [None] * len(leaves)
        for refusal in found.flagged:
            flags[refusal.record - request.first] = refusal.code
        for place, code in request.load.flags.items():
            flags[place] = code
        records: Sequence[bytes | None] = request.load.records
        if found.refused or found.withheld or request.load.holes:
            records = [
                record if 0 < len(record) <= record_bytes and place not in found.withheld else None
                for place, record in enumerate(request.load.records)
            ]
            for place, reason in found.withheld.items():
                flags[place] = reason
        run = Run(request.first, offsets, lengths, flags, records)
    return Done(
        tree,
        log.offset + sum(lengths[overlap:]),
        _last_event_id(request.load) if overlap < len(leaves) else log.event_id,
        *found.counts,
        Writes(
            run.behind(overlap),
            _to_mend(run, overlap, log) if overlap else (),
            found.events,
            tile_parts(size, completed),
        ),
    )


def _to_mend(run: Run, overlap: int, log: LogFacts) -> list[RecordRow]:
    """The records of the overlap whose row is missing or does not match its leaf. Tombstones stay."""
    stored = log.rows
    numbers = range(run.first, run.first + overlap)
    wrong = [
        number - run.first
        for number, record in zip(numbers, run.records, strict=False)
        if number not in stored or (record is not None and stored[number] != record)
    ]
    rows = run.rows() if wrong else []
    return [rows[place] for place in wrong if run.first + place not in log.gone]


def _leaves(request: Append) -> Sequence[bytes]:
    return (request.load.leaf,) if isinstance(request.load, HoleClaim) else request.load.leaves


def _lengths(request: Append) -> list[int]:
    return [request.load.length] if isinstance(request.load, HoleClaim) else request.load.lengths()


def _last_event_id(load: Lines | HoleClaim) -> str | None:
    if isinstance(load, HoleClaim) or len(load.records) - 1 in load.holes:
        return None
    return load.event_ids[-1] or event_id_of(load.records[-1])


@value
class _Found:
    accepted: int = 0
    duplicates: int = 0
    flagged: tuple[Refusal, ...] = ()
    refused: tuple[Refusal, ...] = ()
    events: NewEvents = NewEvents()
    withheld: Mapping[int, str] = field(default_factory=dict)

    @property
    def counts(self) -> tuple[int, int, tuple[Refusal, ...], tuple[Refusal, ...]]:
        return self.accepted, self.duplicates, self.flagged, self.refused


def _sort_out(
    lines: Lines, first: int, overlap: int, known: MutableMapping[str, bytes], barred: Barred, record_bytes: int
) -> _Found:
    """Count each record once, and find the new events; `known` is updated.

    A place of the overlap counts as duplicate whatever it contains; an event of it that is not stored (lost, or its
    bytes arrive only now) is stored. A hole counts as its record. A refusal is repeated on every resend: the client's
    dead letter depends on it. An erased or expired record is a duplicate of which nothing is stored.
    """
    kept_away = withheld(lines, barred, known)
    if not overlap and not kept_away and _all_new(lines, known, record_bytes):
        return _Found(len(lines.records), events=_new_events(lines, first, range(len(lines.records))))
    flagged: list[Refusal] = []
    refused: list[Refusal] = []
    fresh: list[int] = []
    accepted = 0
    place = -1
    for record, content, event_id in zip(lines.records, lines.contents, lines.event_ids, strict=True):
        place += 1
        if place in lines.holes:
            accepted += place >= overlap
        elif len(record) > record_bytes:
            words = f"{len(record)} bytes; at most {record_bytes} are kept"
            refused.append(Refusal(first + place, "record_too_large", words))
        elif place in kept_away:
            other = kept_away[place] == ERASED and content not in barred.contents
            if other and place >= overlap:
                flagged.append(_flag(first + place, ERASED))
        elif event_id is None:
            if place >= overlap:
                flagged.append(_flag(first + place, lines.flags[place]))
        else:
            stored = known.get(event_id)
            if stored is None:
                known[event_id] = content
                fresh.append(place)
                accepted += place >= overlap
            elif stored != content and place >= overlap and not incomparable(stored, content):
                flagged.append(_flag(first + place, "event_conflict"))
    duplicates = len(lines.records) - accepted - len(flagged) - len(refused)
    events = _new_events(lines, first, fresh)
    return _Found(accepted, duplicates, tuple(flagged), tuple(refused), events, kept_away)


def _all_new(lines: Lines, known: MutableMapping[str, bytes], record_bytes: int) -> bool:
    """Fast path for a backfill: whether every record is a new event; then `known` is updated. A third of the time."""
    fresh = dict(zip(lines.event_ids, lines.contents, strict=True))
    if len(fresh) < len(lines.event_ids) or None in fresh or not known.keys().isdisjoint(fresh):
        return False
    if max(map(len, lines.records), default=0) > record_bytes:
        return False
    known.update(cast("Mapping[str, bytes]", fresh))
    return True


def _new_events(lines: Lines, first: int, places: Sequence[int]) -> NewEvents:
    if len(places) == len(lines.records):
        ids = [event_id for event_id in lines.event_ids if event_id is not None]
        return NewEvents(ids, lines.contents, range(first, first + len(ids)), lines.columns)
    return NewEvents(
        [event_id for place in places if (event_id := lines.event_ids[place]) is not None],
        [lines.contents[place] for place in places],
        [first + place for place in places],
        lines.columns.of(places),
    )


def _flag(number: int, code: str) -> Refusal:
    return Refusal(number, code, FLAG_WORDS[code])


FLAG_WORDS = {
    "blank": "nothing but white space",
    ERASED: "an event with this event_id was erased on purpose; the bytes are not kept",
    "event_conflict": "an event with this event_id and other bytes was stored before; both are kept",
    "not_json": "kept byte for byte, but it is not JSON",
    "not_object": "kept byte for byte, but it is JSON that is no object",
    "not_utf8": "kept byte for byte, but it is not UTF-8",
}
