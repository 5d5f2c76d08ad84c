"""A log in memory: records in a list, which may be cut, replaced or edited at any time."""

from __future__ import annotations

import itertools
from dataclasses import replace

from replicator.actions import Broken, Compared, Found, Nothing, Read, ReadFailed
from replicator.framing import event_id_of
from replicator.model import Anchor, Batch, Cursor, Head, Hole
from replicator.proof import leaf_hash


class MemoryLog:
    """`log.LogReader` without a file: `records` is the log; `torn` is a write in progress behind it.

    While `failing` is an outcome, each read and comparison comes to it.
    """

    def __init__(self, *records: bytes) -> None:
        self.records = list(records)
        self.torn = b""
        self.failing: ReadFailed | None = None
        self.written_at: float | None = None

    def read(self, action: Read) -> Found | Nothing | Broken | ReadFailed:
        """What a read behind the cursor finds."""
        return self.failing or read(tuple(self.records), action)

    def compare(self, heads: tuple[Head, ...]) -> Compared | ReadFailed:
        """The place of the largest head that this log has."""
        return self.failing or compare(tuple(self.records), heads)

    def end(self) -> int:
        """The log's bytes."""
        return sum(map(len, self.records)) + len(self.torn)

    def last_write(self) -> float | None:
        """What `written_at` says."""
        return self.written_at

    def locate(self, log_id: str, size: int) -> Cursor:
        """The cursor behind `size` records."""
        return cursor_at(log_id, tuple(self.records[:size]))


def read(records: tuple[bytes, ...], action: Read) -> Found | Nothing | Broken:
    """What a read of this log finds: the contract of `LogReader.read`, for a log that stands still."""
    cursor = action.cursor
    ends = tuple(itertools.accumulate(map(len, records)))
    size = cursor.size
    if size:
        before = next((i for i, end in enumerate(ends, start=1) if end == cursor.offset), None)
        anchor = cursor.anchor
        assert anchor is not None
        data = b"".join(records)
        if before is None or Anchor.of(data[cursor.offset - anchor.length : cursor.offset]) != anchor:
            return Broken("the record before the cursor is not the one that was acknowledged")
        records = records[before:]
    if not records:
        return Nothing()
    if len(records[0]) > action.record_bytes_max:
        return Found(_hole(size, cursor.offset, records[0]))
    taken: list[bytes] = []
    taken_bytes = 0
    for record in records[: action.records_max]:
        taken_bytes += len(record)
        if len(record) > action.record_bytes_max or (taken and taken_bytes > action.bytes_max):
            break
        taken.append(record)
    return Found(Batch(size, cursor.offset, b"".join(taken), tuple(itertools.accumulate(map(len, taken)))))


def compare(records: tuple[bytes, ...], heads: tuple[Head, ...]) -> Compared:
    """The place of the largest head whose root this log has: the contract of `LogReader.compare`."""
    best: Cursor | None = None
    for head in sorted(heads, key=lambda head: head.size):
        if head.size <= len(records):
            cursor = cursor_at(head.log_id, records[: head.size])
            best = cursor if cursor.root == head.root else best
    return Compared(best)


def cursor_at(log_id: str, records: tuple[bytes, ...]) -> Cursor:
    """The cursor behind these records of a log."""
    cursor = Cursor(log_id)
    if not records:
        return cursor
    return replace(
        cursor,
        offset=sum(map(len, records)),
        tree=cursor.tree.extended([leaf_hash(record) for record in records]),
        event_id=event_id_of(records[-1]),
        anchor=Anchor.of(records[-1]),
    )


def _hole(first: int, offset: int, record: bytes) -> Hole:
    return Hole(first, offset, len(record), leaf_hash(record), Anchor.of(record))
