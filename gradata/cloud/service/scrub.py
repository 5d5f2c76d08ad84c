"""The scrub of a stored log: which rows are missing, and which do not match the tree.

Reads and hashes, changes nothing. One call covers records from `first` on, until it has named NAMED_MAX of them or
SECONDS_MAX have passed, and returns where to continue. So an answer fits into 64 KiB and no request is unbounded.
Partners: `routes.replica`, which runs one at a time on a thread; `replicator.wire.replica` for the form.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter

from gradata.cloud.domain.tiles import tile_parts
from gradata.cloud.store.port import Store
from gradata.cloud.store.values import PlainRow, StoredLog
from replicator.proof import HASH_BYTES, TILE_HASHES, TILE_HEIGHT, CompactRange, extend, leaf_hashes
from replicator.tiles import Tile, hashes_of
from replicator.wire.replica import Scrub

NAMED_MAX = 1_200
"""Gaps and damaged records in one answer: each takes at most 45 bytes of it."""
SECONDS_MAX = 10.0
TILES_KEPT = 16
_NUMBER = itemgetter(0)
_COLUMNS = (itemgetter(1), itemgetter(2), itemgetter(4))
"""Offset, length, bytes of a PlainRow. Three looks cost half of what `zip(*rows)` does."""


@dataclass(slots=True)
class _Found:
    """What was found so far. `end`: all before it was looked at."""

    first: int
    end: int
    rows: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    holes: int = 0
    tiles_damaged: int = 0

    @property
    def named(self) -> int:
        return len(self.gaps) + len(self.damaged)

    def gap(self, first: int, end: int) -> None:
        """Records [first, end) have no row."""
        if self.gaps and self.gaps[-1][1] == first:
            self.gaps[-1] = (self.gaps[-1][0], end)
        else:
            self.gaps.append((first, end))


def scrub_shallow(
    store: Store, log: StoredLog, first: int, end: int, *, clock: Callable[[], float] = time.monotonic
) -> Scrub:
    """Count the rows of records [first, end) and name the gaps between them."""
    found = _Found(first, first)
    until = clock() + SECONDS_MAX
    end = min(end, log.tree.size)
    for rows in store.rows(log, first, end, "places"):
        run = list(map(_NUMBER, rows))
        found.rows += len(run)
        if run[0] != found.end or run[-1] - run[0] + 1 != len(run):
            for number in run:
                if number != found.end:
                    found.gap(found.end, number)
                found.end = number + 1
                if found.named >= NAMED_MAX:
                    break
        found.end = run[-1] + 1 if found.named < NAMED_MAX else found.end
        if found.named >= NAMED_MAX or clock() > until:
            found.rows -= sum(number >= found.end for number in run)
            return _answer("shallow", found, end, None)
    if found.end < end:
        found.gap(found.end, end)
        found.end = end
    return _answer("shallow", found, end, None)


def scrub_deep(
    store: Store,
    log: StoredLog,
    first: int,
    end: int,
    *,
    before: CompactRange | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Scrub:
    """Hash every stored row of records [first, end) and compare it with the tiles.

    `before` is the tree of the records before `first`, from the last answer; with it, the root of a log that takes
    several answers is computed. A row whose bytes, place or length are wrong counts as damaged. Where there are no
    bytes, the stored leaf is used.
    """
    end = min(end, log.tree.size)
    looking = _Deep(store, log, first, CompactRange.EMPTY if first == 0 else before)
    until = clock() + SECONDS_MAX
    for run in store.rows(log, first, end):
        looking.take(run)
        if looking.found.named >= NAMED_MAX or clock() > until:
            return _answer("deep", looking.found, end, looking.tree)
    looking.lost(end)
    return _answer("deep", looking.found, end, looking.tree)


class _Deep:
    """The state of one deep look."""

    def __init__(self, store: Store, log: StoredLog, first: int, before: CompactRange | None) -> None:
        self.tree = before
        self.found = _Found(first, first)
        self._offset: int | None = None if first else 0
        self._tile = _kept(lambda level, index: store.tile(log, level, index))

    def take(self, run: Sequence[PlainRow]) -> None:
        """The next rows that are there, until there is enough to tell."""
        start = 0
        while start < len(run) and self.found.named < NAMED_MAX:
            number = run[start][0]
            if number != self.found.end:
                self.lost(number)
            # Within one tile of leaves, so that a difference is looked for among 256 at most.
            stop = min(len(run), start + TILE_HASHES - number % TILE_HASHES)
            while run[stop - 1][0] - number != stop - 1 - start:
                stop -= 1
            self._take(run[start:stop])
            start = stop

    def lost(self, end: int) -> None:
        """Records up to `end` have no row."""
        if self.found.end >= end:
            return
        self.found.gap(self.found.end, end)
        while self.found.end < end:
            stop = min(end, (self.found.end // TILE_HASHES + 1) * TILE_HASHES)
            self._grow(hashes_of(self._stored(self.found.end, stop)))
            self.found.end = stop
        self._offset = None

    def _take(self, rows: Sequence[PlainRow]) -> None:
        found, first = self.found, rows[0][0]
        offsets, lengths, records = (list(map(column, rows)) for column in _COLUMNS)
        stored = self._stored(first, first + len(rows))
        if None in records:
            kept = hashes_of(stored)
            leaves = [
                kept[place] if record is None else leaf_hashes((record,))[0] for place, record in enumerate(records)
            ]
            found.holes += records.count(None)
            written = [
                length if record is None else len(record) for length, record in zip(lengths, records, strict=True)
            ]
        else:
            leaves = leaf_hashes(records)
            written = list(map(len, records))
        before = offsets[0] if self._offset is None else self._offset
        ends = list(accumulate(lengths, initial=before))
        if b"".join(leaves) != stored or written != lengths or ends[:-1] != offsets:
            behind = [*offsets[1:], None]
            found.damaged += [
                first + place
                for place, leaf in enumerate(leaves)
                if leaf != stored[place * HASH_BYTES : (place + 1) * HASH_BYTES]
                or written[place] != lengths[place]
                or _displaced(
                    before if place == 0 else offsets[place - 1] + lengths[place - 1],
                    offsets[place],
                    lengths[place],
                    behind[place],
                )
            ]
        found.rows += len(rows)
        found.end = first + len(rows)
        self._offset = offsets[-1] + lengths[-1]
        self._grow(leaves)

    def _grow(self, leaves: list[bytes]) -> None:
        if self.tree is None:
            return
        size = self.tree.size
        self.tree, completed = extend(self.tree, leaves)
        if self.found.damaged:
            return  # what stands above a damaged record differs because of it
        if len(completed) <= TILE_HEIGHT:
            return
        completed[0] = []  # the leaves were compared before they were given
        for level, index, slot, hashes in tile_parts(size, completed):
            at = slot * HASH_BYTES
            self.found.tiles_damaged += self._tile(level, index)[at : at + len(hashes)] != hashes

    def _stored(self, first: int, end: int) -> bytes:
        """The kept leaves of records; zeros where they are lost."""
        parts = []
        for index in range(first // TILE_HASHES, -(-end // TILE_HASHES)):
            base = index * TILE_HASHES
            start, stop = max(first - base, 0) * HASH_BYTES, min(end - base, TILE_HASHES) * HASH_BYTES
            parts.append(self._tile(0, index)[start:stop].ljust(stop - start, b"\0"))
        return b"".join(parts)


def _displaced(end_before: int, offset: int, length: int, next_offset: int | None) -> bool:
    """Whether a row fits neither to the one before it nor to the one behind: then it is this one that is wrong."""
    return offset != end_before and (next_offset is None or offset + length != next_offset)


def _kept(tile: Tile) -> Tile:
    """The same, but what was read last is not read again."""
    kept: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        if (level, index) not in kept:
            if len(kept) >= TILES_KEPT:
                kept.pop(next(iter(kept)))
            kept[level, index] = tile(level, index)
        return kept[level, index]

    return read


def _answer(kind: str, found: _Found, end: int, tree: CompactRange | None) -> Scrub:
    return Scrub(
        kind=kind,
        first=found.first,
        end=found.end,
        rows=found.rows,
        holes=found.holes,
        gaps=tuple(found.gaps),
        damaged=tuple(found.damaged),
        tiles_damaged=found.tiles_damaged,
        root=None if tree is None else tree.root,
        tree=tree,
        more=found.end < end,
    )
