"""Serves a log, byte for byte, as an HTTP resource with ranges (RFC 9110, section 14).

Missing bytes keep their place: a hole, an erased or expired record, or records that storage lost, are served as one
JSON line of the same length that states the reason. So every offset is unchanged, and a restored log is as long as the
original.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradata.cloud.domain.tombstones import GONE
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import each_row, rows_at
from gradata.cloud.store.values import StoredLog, StoredRow

CHUNK_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes [start, end) of the log."""

    start: int
    end: int


def wanted_span(field: str | None, size: int) -> Span | None:
    """The span of a Range header; the whole log for none, several, or an invalid one.

    None: the range is not satisfiable (416).
    """
    match = _RANGE.fullmatch((field or "").strip())
    if match is None or not (match[1] or match[2]):
        return Span(0, size)
    if not match[1]:
        length = min(int(match[2]), size)
        return Span(size - length, size) if length else None
    start, end = int(match[1]), int(match[2]) + 1 if match[2] else size
    if start >= size:
        return None
    return Span(0, size) if end <= start else Span(start, min(end, size))


def log_bytes(store: Store, log: StoredLog, span: Span) -> Iterator[bytes]:
    """The bytes of `span`, in chunks; exactly as many as it is long."""
    parts: list[bytes] = []
    waiting = 0
    for piece in _pieces(store, log, span):
        parts.append(piece)
        waiting += len(piece)
        if waiting >= CHUNK_BYTES:
            yield b"".join(parts)
            parts, waiting = [], 0
    if parts:
        yield b"".join(parts)


def _pieces(store: Store, log: StoredLog, span: Span) -> Iterator[bytes]:
    at = span.start
    place = None
    for row in rows_at(store, log, span.start, span.end):
        if row.offset > at:
            part = Span(at, min(row.offset, span.end))
            yield from _lost(store, log, place, (row.number, row.offset), part)
        part = Span(max(span.start - row.offset, 0), min(span.end - row.offset, row.length))
        if row.record is not None and len(row.record) == row.length:
            yield row.record[part.start : part.end]
        else:
            yield from _fill(_words_of(row), row.length, part)
        at = min(row.offset + row.length, span.end)
        place = (row.number + 1, row.offset + row.length)
    if at < span.end:
        yield from _lost(store, log, place, (log.tree.size, log.offset), Span(at, span.end))


def _lost(
    store: Store, log: StoredLog, place: tuple[int, int] | None, end: tuple[int, int], part: Span
) -> Iterator[bytes]:
    """The bytes of `part` of the line that stands for the lost records before `end` (number, offset)."""
    number, start = place or _end_before(store, log, end[0])
    words = {"gradata_lost": {"first": number, "end": end[0]}}
    yield from _fill(words, end[1] - start, Span(part.start - start, part.end - start))


def _end_before(store: Store, log: StoredLog, end_number: int) -> tuple[int, int]:
    """Number and offset one past the last row that is there before `end_number`."""
    step = 1
    while True:
        first = max(end_number - step, 0)
        last: StoredRow | None = None
        for row in each_row(store, log, first, end_number):
            last = row
        if last is not None:
            return last.number + 1, last.offset + last.length
        if first == 0:
            return 0, 0
        step *= 16


def _words_of(row: StoredRow) -> dict[str, dict[str, int]]:
    why = row.flag if row.record is None and row.flag in GONE else "hole"
    return {f"gradata_{why}": {"record": row.number, "length": row.length}}


def _fill(words: dict[str, dict[str, int]], length: int, part: Span) -> Iterator[bytes]:
    """`filler` in chunks: the length is a client's word."""
    for at in range(part.start, part.end, CHUNK_BYTES):
        yield filler(words, length, Span(at, min(at + CHUNK_BYTES, part.end)))


def filler(words: dict[str, dict[str, int]], length: int, part: Span) -> bytes:
    """Bytes `part` of a JSON line of `length` bytes that says `words`; of a blank line where they do not fit."""
    said = json.dumps(words, separators=(",", ":")).encode()
    front, back = (said[:-1], b"}\n") if len(said) + 1 <= length else (b"", b"\n")
    blanks_end = length - len(back)
    blanks = max(min(part.end, blanks_end) - max(part.start, len(front)), 0)
    behind = back[max(part.start - blanks_end, 0) : max(part.end - blanks_end, 0)]
    return front[part.start : part.end] + b" " * blanks + behind
