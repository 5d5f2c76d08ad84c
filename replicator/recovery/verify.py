"""Compares a log with its replica, record by record where they differ.

Compares the file's root with the cloud's scrub; if the roots differ, tiles from the top down. The log may grow
meanwhile and a live replicator may continue: both sides are compared at the size that the cloud had at the start.
Nothing is changed: a record that was edited locally is named, and a person decides. Partner: `repair`, which resends
what the replica lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from replicator import actions as act
from replicator.errors import CloudError, CursorError, ReplicatorError
from replicator.log import LogReader
from replicator.model import Head, Standing
from replicator.proof import EMPTY_ROOT
from replicator.recovery.local import LocalTree, OnRecords
from replicator.sink.reader import ReplicaReader
from replicator.tiles import Tile, TileLostError, different, tree_at
from replicator.wire.replica import ReplicaLog, Scrub, ScrubDepth

NAMED_MAX = 1_000
"""So many records are named; of more, the number is told."""
RANGES_MAX = 100_000
"""Beyond so many places that differ it is no repair any more: everything is better sent again."""

What = Literal["missing_at_cloud", "damaged_at_cloud", "edited_here", "only_at_cloud", "placeholder_here"]
VerifyState = Literal["identical", "differences", "diverged"]
MENDABLE: frozenset[What] = frozenset({"missing_at_cloud", "damaged_at_cloud"})

Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One record that is not the same on both sides. `offset` and `event_id` are those of the local file."""

    number: int
    what: What
    offset: int | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReplicaVerdict:
    """What a comparison found. `size` records were compared, `length` bytes long, whose root is `root` in the file.

    The spans are half-open ranges of record numbers, `counts` says how many records each kind has. `waiting` records
    of the log were never acknowledged: no difference. `holes` places have no bytes at the cloud: dead letters, or
    erased on purpose. `deep`: the cloud's bytes were hashed again. `more`: there are further edited records.
    """

    log_id: str
    size: int
    length: int
    root: bytes
    deep: bool
    cloud_id: str
    cloud_size: int
    waiting: int = 0
    holes: int = 0
    missing: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    damaged: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    edited: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    placeholders: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    only_at_cloud: int = 0
    more: bool = False
    tiles_damaged: int = 0
    named: tuple[Difference, ...] = field(default=(), repr=False)

    @property
    def counts(self) -> dict[What, int]:
        """How many records of each kind."""
        return {
            "missing_at_cloud": _length(self.missing),
            "damaged_at_cloud": _length(self.damaged),
            "edited_here": _length(self.edited),
            "only_at_cloud": self.only_at_cloud,
            "placeholder_here": _length(self.placeholders),
        }

    @property
    def state(self) -> VerifyState:
        """`diverged`: only a person can decide which side is right."""
        if self.edited or self.only_at_cloud:
            return "diverged"
        if self.missing or self.damaged or self.placeholders or self.tiles_damaged:
            return "differences"
        return "identical"


class Comparison:
    """One comparison of one log. `tree` is the local file's, once `verdict` was asked for."""

    def __init__(self, path: str, reader: ReplicaReader, *, deep: bool, on_progress: OnRecords | None = None) -> None:
        self._path = path
        self._reader = reader
        self._kind: ScrubDepth = "deep" if deep else "shallow"
        self._on_progress: OnRecords = on_progress or (lambda _records, _bytes: None)
        self.tree = LocalTree(path)

    def verdict(self, here: Standing | None, *, brain_id: str | None = None) -> ReplicaVerdict:
        """Compare with the log that `here` names; without it, with the brain's log that this file continues.

        CloudError if the cloud does not answer, LogError if the log cannot be read.
        """
        cloud_id, log = self._stored(here, brain_id)
        size = log.head.size
        acknowledged = here.cursor.size if here is not None and here.cursor.log_id == log.head.log_id else 0
        scrubbing = _Beside(lambda: self._scrub(log.head.log_id, size))
        self.tree = LocalTree.of(self._path, max(size, acknowledged), self._on_progress)
        scrub = scrubbing.result()
        same = min(size, self.tree.size)
        edited, more = self._edited(log, same)
        lost = max(0, min(acknowledged, self.tree.size) - size)
        placeholders = [number for number in edited if self.tree.is_placeholder(number)]
        mine = set(edited)
        missing = _without(scrub.missing, mine, self.tree.size)
        if lost:
            missing.append((size, size + lost))
        verdict = ReplicaVerdict(
            log_id=log.head.log_id,
            size=same,
            length=self._offset_behind(same),
            root=self.tree.tree_at(same).root,
            deep=self._kind == "deep",
            cloud_id=cloud_id,
            cloud_size=size,
            waiting=max(0, self.tree.size - size - lost) + self.tree.behind,
            holes=scrub.holes if self._kind == "deep" else log.holes,
            missing=tuple(missing),
            damaged=tuple(_without(scrub.damaged, mine, self.tree.size)),
            edited=tuple(_spans(sorted(mine - set(placeholders)))),
            placeholders=tuple(_spans(placeholders)),
            only_at_cloud=max(0, size - self.tree.size),
            more=more,
            tiles_damaged=scrub.tiles_damaged,
        )
        return replace(verdict, named=tuple(islice(self._named(verdict), NAMED_MAX)))

    def _stored(self, here: Standing | None, brain_id: str | None) -> tuple[str, ReplicaLog]:
        if here is not None:
            log_id = here.cursor.log_id
            try:
                return self._reader.log(log_id)
            except CloudError as error:
                if error.status != 404:
                    raise
            return here.cloud_id or "-", ReplicaLog(Head(log_id, 0, EMPTY_ROOT), "-")
        assert brain_id is not None, "without a cursor, its name says which logs there are"
        cloud_id, logs = self._reader.logs(brain_id)
        kept = [log for log in logs if log.head.size]
        if not kept:
            raise CursorError(
                "this log was never replicated: the cloud has no log under this name",
                hint="replicate it first",
                code="never_replicated",
            )
        found = LogReader(self._path).compare(tuple(log.head for log in kept))
        cursor = found.cursor if isinstance(found, act.Compared) else None
        wanted = cursor.log_id if cursor is not None else max(kept, key=lambda log: log.head.size).head.log_id
        return cloud_id, next(log for log in kept if log.head.log_id == wanted)

    def _scrub(self, log_id: str, size: int) -> _Scrubbed:
        found = _Scrubbed()
        first, before = 0, None
        while first < size:
            part = self._reader.scrub(log_id, self._kind, first, size, before)
            found.add(part)
            if len(found.missing) + len(found.damaged) > RANGES_MAX:
                raise CursorError(
                    f"more than {RANGES_MAX:,} places differ: the copy is to be made anew",
                    hint="send everything again, from record 0",
                    code="too_many_differ",
                )
            first, before = part.end, part.tree
        return found

    def _edited(self, log: ReplicaLog, same: int) -> tuple[list[int], bool]:
        """The records whose leaves differ, up to NAMED_MAX, and whether there are more."""
        if same == log.head.size and self.tree.tree_at(same).root == log.head.root:
            return [], False
        theirs = _kept(lambda level, index: self._reader.tile(log.head.log_id, level, index))
        try:
            if tree_at(log.head.size, theirs).root != log.head.root:
                raise TileLostError("they do not have the root of the head")
            numbers = list(islice(different(same, self.tree.tile, theirs), NAMED_MAX + 1))
        except TileLostError as error:
            raise CloudError(
                f"the cloud's tiles are damaged: {error}", hint="restore the cloud's store from a backup", status=500
            ) from None
        return numbers[:NAMED_MAX], len(numbers) > NAMED_MAX

    def _offset_behind(self, size: int) -> int:
        if size == self.tree.size:
            return self.tree.end
        return next((record.offset for record in self.tree.records(size, size + 1)), self.tree.end)

    def _named(self, verdict: ReplicaVerdict) -> Iterator[Difference]:
        kinds: list[tuple[int, int, What]] = [
            *((*span, "missing_at_cloud") for span in verdict.missing),
            *((*span, "damaged_at_cloud") for span in verdict.damaged),
            *((*span, "edited_here") for span in verdict.edited),
            *((*span, "placeholder_here") for span in verdict.placeholders),
        ]
        for first, end, what in sorted(kinds):
            for record in self.tree.records(first, end):
                yield Difference(record.number, what, record.offset, record.event_id)
        for number in range(self.tree.size, self.tree.size + verdict.only_at_cloud):
            yield Difference(number, "only_at_cloud")


class _Beside(threading.Thread):
    """Has the cloud hash while the log is hashed here. A daemon: who is interrupted does not wait for the cloud."""

    def __init__(self, scrub: Callable[[], _Scrubbed]) -> None:
        super().__init__(name="replicator-scrub", daemon=True)
        self._scrub = scrub
        self._found: _Scrubbed | ReplicatorError | None = None
        self.start()

    def run(self) -> None:
        """Keep what comes of it."""
        try:
            self._found = self._scrub()
        except ReplicatorError as error:
            self._found = error

    def result(self) -> _Scrubbed:
        """Wait for it; raises what it raised."""
        self.join()
        assert self._found is not None, "the scrub ended by a bug, which its thread has printed"
        if isinstance(self._found, ReplicatorError):
            raise self._found
        return self._found


@dataclass(slots=True)
class _Scrubbed:
    """The answers to one scrub, put together."""

    missing: Spans = field(default_factory=list)
    damaged: Spans = field(default_factory=list)
    holes: int = 0
    tiles_damaged: int = 0

    def add(self, part: Scrub) -> None:
        for span in part.gaps:
            _put(self.missing, span)
        for number in part.damaged:
            _put(self.damaged, (number, number + 1))
        self.holes += part.holes
        self.tiles_damaged += part.tiles_damaged


def _kept(tile: Tile) -> Tile:
    """The same, each tile read once."""
    kept: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        if (level, index) not in kept:
            kept[level, index] = tile(level, index)
        return kept[level, index]

    return read


def _put(spans: Spans, span: tuple[int, int]) -> None:
    if spans and spans[-1][1] == span[0]:
        spans[-1] = (spans[-1][0], span[1])
    else:
        spans.append(span)


def _spans(numbers: Iterator[int] | list[int]) -> Spans:
    spans: Spans = []
    for number in numbers:
        _put(spans, (number, number + 1))
    return spans


def _without(spans: Spans, numbers: set[int], end: int) -> Spans:
    """The spans up to `end`, without these numbers."""
    cut: Spans = []
    for first, stop in spans:
        inside = [number for number in numbers if first <= number < stop] if numbers else []
        if not inside:
            if first < min(stop, end):
                _put(cut, (first, min(stop, end)))
            continue
        for number in range(first, min(stop, end)):
            if number not in numbers:
                _put(cut, (number, number + 1))
    return cut


def _length(spans: tuple[tuple[int, int], ...]) -> int:
    return sum(end - first for first, end in spans)
