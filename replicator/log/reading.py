"""Reads the log at a cursor, with the evidence that it is still the log the cursor was made for.

The replicator's side of the log; it never writes. `progress` decides whether broken evidence means a new generation;
`scan` finds what is in an open file. Every call opens the log again by its path, so a log that was replaced, moved or
recreated is simply the next one read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import overload

from replicator import framing
from replicator.actions import Broken, Compared, Found, Nothing, Read, ReadFailed
from replicator.errors import CursorError
from replicator.log.ahead import Ahead
from replicator.log.disk import POSIX, READ, Disk, FileFacts, check_regular, code_of, hint_for, in_words, unusable
from replicator.log.scan import Bounds, Scan, Tail
from replicator.model import MIB, Anchor, Batch, Cursor, Head, Hole
from replicator.proof import leaf_hashes

BATCH_BYTES = 4 * MIB
RECORD_BYTES_MAX = 16 * MIB


class LogReader:
    """One log, read by one thread at a time.

    `suspect` is the reason if the disk once failed to make the log durable. It stays until a new reader is made,
    because the kernel reports such an error only once. `work_ahead`: prefetch in a second thread during requests.
    """

    def __init__(self, path: str, disk: Disk = POSIX, *, work_ahead: bool = False) -> None:
        self.path = path
        self._ahead = Ahead(path, disk) if work_ahead else None
        self.suspect: str | None = None
        self._disk = disk
        self._tail: Tail | None = None
        self._verified: tuple[FileFacts, int, Anchor | None] | None = None
        self._named: tuple[int, int] | None = None

    def read(self, action: Read) -> Found | Nothing | Broken | ReadFailed:
        """Whole records after the cursor, durable on this disk. Safe to repeat; never raises OSError."""
        try:
            with self._opened() as (fd, facts):
                return self._read(fd, facts, action)
        except OSError as error:
            return ReadFailed(code_of(error), f"the log {self.path} cannot be read: {in_words(error)}")

    def _read(self, fd: int, facts: FileFacts, action: Read) -> Found | Nothing | Broken:
        cursor = action.cursor
        if facts.size < cursor.offset:
            return Broken(f"the log ends at {facts.size}, before the {cursor.offset} bytes that were acknowledged")
        scan = Scan(self._disk, fd, facts, self._tail)
        bounds = Bounds(action.bytes_max, action.records_max, action.record_bytes_max)
        load = self._guessed(scan, cursor, bounds) or scan.load(cursor.size, cursor.offset, bounds)
        self._tail = scan.tail
        seen = (facts, cursor.offset, cursor.anchor)
        if load is None and seen == self._verified:
            return Nothing()
        # Only now, behind the bytes: a log rewritten while they were read fails here.
        if cursor.anchor is not None and not scan.holds(cursor.anchor, cursor.offset):
            self._verified = None
            return Broken(f"the record that ends at {cursor.offset} is not the one that was acknowledged")
        self._verified = seen
        if load is None:
            return Nothing()
        self._make_durable(fd, facts)
        if self._ahead is not None and isinstance(load, Batch) and load.end < facts.size:
            self._ahead.begin(load.first + load.count, load.end, bounds)
        return Found(load)

    def _guessed(self, scan: Scan, cursor: Cursor, bounds: Bounds) -> Batch | None:
        """The batch that was split and hashed ahead, if its bytes are those that the log has now."""
        guess = None if self._ahead is None else self._ahead.take(cursor.size, cursor.offset, bounds)
        return guess if guess is not None and scan.has(guess) else None

    def _make_durable(self, fd: int, facts: FileFacts) -> None:
        """Sync first, so that the cloud never has bytes, or a log, that a power cut removes from this disk."""
        try:
            self._disk.fdatasync(fd)
            if self._named != (facts.device, facts.inode):
                self._disk.sync_directory(os.path.dirname(self.path))
                self._named = (facts.device, facts.inode)
        except OSError as error:
            # It ships all the same: then the cloud has it if this disk loses it.
            self.suspect = f"the disk refused to make the log durable: {in_words(error)}. {hint_for(error)}"

    def compare(self, heads: tuple[Head, ...]) -> Compared | ReadFailed:
        """The place of the largest head whose root this log has at that size; one pass over the log."""
        matched = [head for head in heads if head.size == 0 and head.root == Cursor(head.log_id).root]
        best = Cursor(matched[0].log_id) if matched else None
        stops = sorted({head.size for head in heads if head.size > 0})
        if not stops:
            return Compared(best)
        try:
            with self._opened() as (fd, facts):
                for cursor in _at_sizes(Scan(self._disk, fd, facts), stops):
                    for head in reversed(heads):
                        if head.size == cursor.size and head.root == cursor.root:
                            best = replace(cursor, log_id=head.log_id)
        except OSError as error:
            return ReadFailed(code_of(error), f"the log {self.path} cannot be read: {in_words(error)}")
        return Compared(best)

    def locate(
        self, *, log_id: str, offset: int | None = None, event_id: str | None = None, size: int | None = None
    ) -> Cursor:
        """The cursor at an offset, behind `size` records, or before the first record of an event.

        Exactly one of the three. CursorError if no record begins or ends there; LogError if the log cannot be read.
        """
        assert [offset, event_id, size].count(None) == 2
        if (offset or 0) < 0 or (size or 0) < 0:
            raise CursorError("a place in the log cannot be negative", hint="the log begins at 0")
        cursor = Cursor(log_id)
        if offset == 0 or size == 0:
            return cursor
        find = _finder(offset, event_id, size)
        for load in self.batches(0, 0, record_bytes_max=RECORD_BYTES_MAX):
            index = find(load)
            if index is not None:
                return _moved(cursor, load, 0, index)
            cursor = _moved(cursor, load, 0, load.count)
        wanted = f"offset {offset}" if offset else f"event {event_id}" if event_id else f"record {size}"
        raise CursorError(
            f"{wanted} is not in the log: its {cursor.size} whole records end at offset {cursor.offset}",
            hint=f"name a place up to there; offset {cursor.offset} is behind the last record",
        )

    def end(self) -> int:
        """The log's bytes; 0 if it does not exist. LogError if it cannot be looked at."""
        with self._opened_or_none() as opened:
            return opened[1].size if opened else 0

    def last_write(self) -> float | None:
        """When the log was last written, in seconds since the epoch: for people. None if there is none to look at."""
        try:
            with self._opened() as (_, facts):
                return facts.mtime_ns / 1e9
        except OSError:
            return None

    def whole_end(self) -> int:
        """The offset one past the last whole record; 0 if there is none. LogError if it cannot be read."""
        with self._opened_or_none() as opened:
            return Scan(self._disk, *opened).whole_end() if opened else 0

    @overload
    def batches(self, offset: int, first: int, bytes_max: int = BATCH_BYTES) -> Iterator[Batch]: ...

    @overload
    def batches(
        self, offset: int, first: int, bytes_max: int = BATCH_BYTES, *, record_bytes_max: int
    ) -> Iterator[Batch | Hole]: ...

    def batches(
        self, offset: int, first: int, bytes_max: int = BATCH_BYTES, *, record_bytes_max: int | None = None
    ) -> Iterator[Batch] | Iterator[Batch | Hole]:
        """All whole records from `offset` on, which is the start of record `first`; none if there is no log.

        A record longer than `record_bytes_max` comes as a hole; without that bound it comes whole, at any
        length. LogError if the log cannot be read.
        """
        with self._opened_or_none() as opened:
            if opened is not None:
                bounds = Bounds(bytes_max, None, record_bytes_max)
                yield from Scan(self._disk, *opened).batches(first, offset, bounds)

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, FileFacts]]:
        fd = self._disk.open(self.path, READ)
        try:
            facts = self._disk.fstat(fd)
            check_regular(facts, self.path)
            yield fd, facts
        finally:
            self._disk.close(fd)

    @contextmanager
    def _opened_or_none(self) -> Iterator[tuple[int, FileFacts] | None]:
        try:
            with self._opened() as opened:
                yield opened
                return
        except FileNotFoundError:
            pass
        except OSError as error:
            raise unusable(error, self.path) from error
        yield None


def _at_sizes(scan: Scan, stops: list[int]) -> Iterator[Cursor]:
    """The cursor behind each of these many records, as far as the log reaches."""
    cursor = Cursor("-")
    remaining = iter(stops)
    stop = next(remaining, None)
    for load in scan.batches(0, 0, Bounds(BATCH_BYTES, None, RECORD_BYTES_MAX)):
        while stop is not None and stop <= load.first + load.count:
            cursor = _moved(cursor, load, cursor.size - load.first, stop - load.first)
            yield cursor
            stop = next(remaining, None)
        if stop is None:
            return
        cursor = _moved(cursor, load, cursor.size - load.first, load.count)


def _moved(cursor: Cursor, load: Batch | Hole, start: int, end: int) -> Cursor:
    """The cursor, which stands before record `start` of the load, moved to before its record `end`."""
    if start == end:
        return cursor
    if isinstance(load, Hole):
        return replace(
            cursor,
            offset=load.end,
            tree=cursor.tree.extended([load.leaf]),
            event_id=None,
            anchor=load.anchor,
        )
    records = list(load.records())[start:end]
    return replace(
        cursor,
        offset=load.offset + load.ends[end - 1],
        tree=cursor.tree.extended(leaf_hashes(records)),
        event_id=framing.event_id_of(records[-1]),
        anchor=Anchor.of(records[-1]),
    )


def _finder(offset: int | None, event_id: str | None, size: int | None) -> Callable[[Batch | Hole], int | None]:
    """What names the index of the wanted record within a load, or None if it is not there."""
    if offset is not None:
        return lambda load: _index_at(load, offset)
    if event_id is not None:
        return lambda load: _index_of(load, event_id)
    return lambda load: size - load.first if size is not None and size <= load.first + load.count else None


def _index_at(load: Batch | Hole, offset: int) -> int | None:
    if offset > load.end:
        return None
    starts = (
        [load.offset, *(load.offset + end for end in load.ends)] if isinstance(load, Batch) else [load.offset, load.end]
    )
    if offset in starts:
        return starts.index(offset)
    index = next(number for number, start in enumerate(starts) if start > offset)
    raise CursorError(
        f"offset {offset} is inside record {load.first + index - 1},"
        f" which begins at {starts[index - 1]}; the next one begins at {starts[index]}",
        hint=f"use {starts[index - 1]} or {starts[index]}",
    )


def _index_of(load: Batch | Hole, event_id: str) -> int | None:
    if isinstance(load, Hole):
        return None
    return next((i for i, record in enumerate(load.records()) if framing.event_id_of(record) == event_id), None)
