"""The local log as a tree: hashed once from the file, then queried for roots, tiles and single records.

It keeps the tree above each 256 records and where those begin: 40 bytes per 256 records, so a log of any size fits.
Anything below is read from the file again. An edit meanwhile is noticed, because the file no longer hashes to what was
kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

from replicator.framing import event_id_of
from replicator.log import LogReader
from replicator.log.reading import RECORD_BYTES_MAX
from replicator.model import MIB, Anchor, Batch, Cursor, Hole
from replicator.proof import HASH_BYTES, TILE_HASHES, TILE_HEIGHT, CompactRange, extend, leaf_hashes
from replicator.tiles import leaves_at, tree_at

HASH_STEP_BYTES = MIB
"""Read and hashed at a time: what fits into a processor's cache."""
PLACEHOLDER = b'{"gradata_'
SHOWN_BYTES_MAX = 1024
"""Of a record, to tell what it is."""

OnRecords = Callable[[int, int], None]
"""Called with the records and bytes that are hashed so far."""


@dataclass(frozen=True, slots=True)
class LocalRecord:
    """One record of the file. `begins`: its first bytes; `event_id` is None for one too long to be read whole."""

    number: int
    offset: int
    length: int
    leaf: bytes
    event_id: str | None
    begins: bytes


class LocalTree:
    """The first records of one file, at a fixed size: what is appended later is not looked at.

    `tree` is of all `size` records, which end at `end`; `behind` whole records follow them.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.tree = CompactRange.EMPTY
        self.end = 0
        self.behind = 0
        self._starts = array("Q")
        self._levels: list[bytearray] = []

    @property
    def size(self) -> int:
        """How many records."""
        return self.tree.size

    @classmethod
    def of(
        cls, path: str, size: int | None = None, on_progress: OnRecords = lambda _records, _bytes: None
    ) -> LocalTree:
        """Hash the first `size` whole records (None: all); fewer if the log has fewer. LogError if it cannot be read.

        In bounded memory, at about a microsecond and a half a record.
        """
        found = cls(path)
        for load in LogReader(path).batches(0, 0, HASH_STEP_BYTES, record_bytes_max=RECORD_BYTES_MAX):
            if size is not None and found.size == size:
                found.behind += load.count
                continue
            count = load.count if size is None else min(load.count, size - found.size)
            found._take(load, count)
            found.behind += load.count - count
            on_progress(found.size, found.end)
        return found

    def _take(self, load: Batch | Hole, count: int) -> None:
        first = self.tree.size
        if isinstance(load, Hole):
            leaves, starts = [load.leaf], [load.offset]
            self.end = load.end
        else:
            records = BytesIO(load.data).readlines() if count == load.count else list(load.records())[:count]
            leaves = leaf_hashes(records)
            places = range(-first % TILE_HASHES, count, TILE_HASHES)
            starts = [load.offset + (load.ends[place - 1] if place else 0) for place in places]
            self.end = load.offset + load.ends[count - 1]
        if isinstance(load, Batch) or first % TILE_HASHES == 0:
            self._starts.extend(starts)
        self.tree, completed = extend(self.tree, leaves)
        for level in range(TILE_HEIGHT, len(completed), TILE_HEIGHT):
            while len(self._levels) < level // TILE_HEIGHT:
                self._levels.append(bytearray())
            self._levels[level // TILE_HEIGHT - 1] += b"".join(completed[level])

    def tile(self, level: int, index: int) -> bytes:
        """As the cloud's tiles (`tiles.Tile`). Those of the leaves are read from the file again."""
        if level:
            start = index * TILE_HASHES * HASH_BYTES
            kept = self._levels[level - 1] if level <= len(self._levels) else b""
            return bytes(kept[start : start + TILE_HASHES * HASH_BYTES])
        first = index * TILE_HASHES
        return b"".join(record.leaf for record in self.records(first, min(first + TILE_HASHES, self.size)))

    def tree_at(self, size: int) -> CompactRange:
        """The tree of the first `size` records."""
        return self.tree if size == self.size else tree_at(size, self.tile)

    def records(self, first: int, end: int) -> Iterator[LocalRecord]:
        """Records [first, end) as the file has them now; fewer if it is shorter by now."""
        if first >= min(end, self.size):
            return
        number = first // TILE_HASHES * TILE_HASHES
        start = self._starts[first // TILE_HASHES]
        reader = LogReader(self.path)
        for load in reader.batches(start, number, HASH_STEP_BYTES, record_bytes_max=RECORD_BYTES_MAX):
            if isinstance(load, Hole):
                if first <= load.first < end:
                    yield LocalRecord(load.first, load.offset, load.length, load.leaf, None, b"")
            else:
                yield from _within(load, first, end)
            if load.first + load.count >= end:
                return

    def is_placeholder(self, number: int) -> bool:
        """Whether this is a line with which the cloud stands in for bytes that it does not have.

        A short one is blank. Only to be asked of a record that differs: a log may hold such lines of its own.
        """
        record = next(self.records(number, number + 1), None)
        return record is not None and (record.begins.startswith(PLACEHOLDER) or not record.begins.strip())

    def cursor(self, log_id: str, size: int) -> Cursor:
        """The place behind `size` records; CursorError if the file no longer has them."""
        if size == 0:
            return Cursor(log_id)
        number = (size - 1) // TILE_HASHES * TILE_HASHES
        tree = self.tree_at(number)
        cursor = Cursor(log_id)
        reader = LogReader(self.path)
        for load in reader.batches(
            self._starts[number // TILE_HASHES], number, HASH_STEP_BYTES, record_bytes_max=RECORD_BYTES_MAX
        ):
            count = min(load.count, size - load.first)
            if isinstance(load, Hole):
                tree = tree.extended([load.leaf])
                cursor = Cursor(log_id, load.end, tree, None, load.anchor)
            else:
                records = list(load.records())[:count]
                tree = tree.extended(leaf_hashes(records))
                last = records[-1]
                cursor = Cursor(log_id, load.offset + load.ends[count - 1], tree, event_id_of(last), Anchor.of(last))
            if tree.size == size:
                return cursor
        return LogReader(self.path).locate(log_id=log_id, size=size)

    def leaves(self, first: int, end: int) -> list[bytes]:
        """The leaves of records [first, end)."""
        return leaves_at(first, end, self.tile)


def _within(load: Batch, first: int, end: int) -> Iterator[LocalRecord]:
    start = 0
    for place, stop in enumerate(load.ends):
        number = load.first + place
        if first <= number < end:
            record = bytes(load.data[start:stop])
            leaf = leaf_hashes((record,))[0]
            yield LocalRecord(
                number, load.offset + start, len(record), leaf, event_id_of(record), record[:SHOWN_BYTES_MAX]
            )
        start = stop
