"""Reads one open log: batches of whole records, holes, anchors.

Bound to a descriptor and to the size that the file had when it was opened. Knows no cursor and decides nothing. Memory
is bounded by one batch and one record within the limits: longer records are streamed. Partner: `reading`, which opens
the file and judges the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from replicator import framing
from replicator.log.disk import Disk, FileFacts
from replicator.model import MIB, Anchor, Batch, Hole
from replicator.proof import leaf_hasher

STEP_BYTES = MIB
PROBE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much to take at once: at least one whole record, as a hole if it is longer than `record_bytes`."""

    bytes: int
    records: int | None = None
    record_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Tail:
    """There is no newline in [start, end) of this file. `probe` is what stands before `end`.

    A cache, so that a long write in progress is not searched again and again. The probe guards against a file
    that was cut and has grown again meanwhile.
    """

    device: int
    inode: int
    start: int
    end: int
    probe: bytes


class Scan:
    """Reads one open log. `tail` goes from one scan to the next of the same path."""

    def __init__(self, disk: Disk, fd: int, facts: FileFacts, tail: Tail | None = None) -> None:
        self._disk = disk
        self._fd = fd
        self._facts = facts
        self.tail = tail

    def load(self, first: int, offset: int, bounds: Bounds) -> Batch | Hole | None:
        """Whole records from `offset` on, or the one there as a hole; None if there is no whole one."""
        present = self._facts.size - offset
        if present <= 0:
            return None
        searched = self._searched(offset)
        content = b"" if searched > offset else self._pread(min(bounds.bytes, present), offset)
        ends = framing.split(content, bounds.records)
        if not ends:
            end = self._record_end(offset, max(searched, offset + len(content)))
            if end is None:
                return None
            if bounds.record_bytes is not None and end - offset > bounds.record_bytes:
                return self.hole(first, offset)
            content = self._pread(min(max(bounds.bytes, end - offset), present), offset)
            ends = framing.split(content, bounds.records)
        if bounds.record_bytes is not None:
            reach = framing.reach(content, bounds.record_bytes)
            if reach == 0:
                return self.hole(first, offset)
            if reach < len(content):
                ends = tuple(end for end in ends if end <= reach)
        if not ends:
            return None
        return Batch(first, offset, content if ends[-1] == len(content) else memoryview(content)[: ends[-1]], ends)

    def has(self, batch: Batch) -> bool:
        """Whether these very bytes stand at the batch's place; compared in steps, so nothing more is held."""
        data = memoryview(batch.data)
        for start in range(0, len(data), STEP_BYTES):
            wanted = bytes(data[start : start + STEP_BYTES])  # two views are compared byte by byte, 100 times slower
            if self._pread(len(wanted), batch.offset + start) != wanted:
                return False
        return True

    def hole(self, first: int, offset: int) -> Hole | None:
        """The record at `offset` as a hole, hashed in steps; None if it is not whole."""
        leaf = leaf_hasher()
        whole = hashlib.sha256()
        place = offset
        while step := self._pread(STEP_BYTES, place):
            end = step.find(b"\n") + 1
            piece = step[:end] if end else step
            leaf.update(piece)
            whole.update(piece)
            place += len(piece)
            if end:
                length = place - offset
                return Hole(first, offset, length, leaf.digest(), Anchor(length, whole.digest()))
        return None

    def holds(self, anchor: Anchor, offset: int) -> bool:
        """Whether the anchor's record ends at `offset`."""
        digest = hashlib.sha256()
        place = offset - anchor.length
        while place < offset:
            step = self._pread(min(STEP_BYTES, offset - place), place)
            if not step:
                return False
            digest.update(step)
            place += len(step)
        return digest.digest() == anchor.sha256

    def batches(self, first: int, offset: int, bounds: Bounds) -> Iterator[Batch | Hole]:
        """All whole records from `offset` on."""
        while load := self.load(first, offset, bounds):
            yield load
            first += load.count
            offset = load.end

    def whole_end(self) -> int:
        """One past the last newline; searched backward."""
        end = self._facts.size
        while end > 0:
            start = max(0, end - STEP_BYTES)
            newline = self._pread(end - start, start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0

    def _record_end(self, start: int, searched: int) -> int | None:
        while searched < self._facts.size:
            step = self._pread(min(STEP_BYTES, self._facts.size - searched), searched)
            if not step:
                break
            newline = step.find(b"\n")
            if newline >= 0:
                return searched + newline + 1
            searched += len(step)
        length = min(PROBE_BYTES, searched - start)
        probe = self._pread(length, searched - length)
        self.tail = Tail(self._facts.device, self._facts.inode, start, searched, probe)
        return None

    def _searched(self, start: int) -> int:
        tail = self.tail
        if tail is None:
            return start
        if (tail.device, tail.inode, tail.start) != (self._facts.device, self._facts.inode, start):
            return start
        if self._pread(len(tail.probe), tail.end - len(tail.probe)) != tail.probe:
            return start
        return tail.end

    def _pread(self, length: int, offset: int) -> bytes:
        return self._disk.pread(self._fd, length, offset)
