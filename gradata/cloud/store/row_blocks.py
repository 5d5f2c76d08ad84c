"""Rows by the thousand as one value, for who hashes a million of them.

A driver that hands over a row at a time spends on that as much as on reading it, and takes the interpreter's lock for
each. So a store joins the rows of a run itself, in one step that needs no lock, and another thread can hash the run
before meanwhile. A run is only ever evidence that all is well: whoever finds that it is not reads its rows singly.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import NamedTuple, TypeVar

import orjson

Item = TypeVar("Item")


class WholeRun(NamedTuple):
    """Rows of consecutive records, each with its bytes, by columns."""

    first: int
    offsets: list[int]
    lengths: list[int]
    records: list[bytes]

    @property
    def end(self) -> int:
        """One past the last record."""
        return self.first + len(self.records)


class Joined(NamedTuple):
    """What a store joined.

    `span`: from the first row's record to the last one's; `sound`: rows whose bytes are there and as long as the row
    says; texts: `1,2,3`.
    """

    first: int | None
    span: int | None
    rows: int
    sound: int | None
    offsets: str | None
    lengths: str | None
    records: bytes | None


def whole_run(first: int, joined: Joined) -> WholeRun | None:
    """The rows from record `first` on; None if they have to be read singly."""
    rows = joined.rows
    if joined.records is None or joined.first != first or not joined.span == rows == joined.sound:
        return None
    try:
        offsets, lengths = (orjson.loads(f"[{text}]") for text in (joined.offsets, joined.lengths))
    except orjson.JSONDecodeError:
        return None
    records = BytesIO(joined.records).readlines()
    if len(offsets) != rows or lengths != list(map(len, records)):
        return None  # a row that is not one line, or several; it may well be damaged
    return WholeRun(first, offsets, lengths, records)


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same, but the next one is made on another thread while the present one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="gradata-ahead") as beside:
        done = object()
        coming = beside.submit(next, items, done)
        while (item := coming.result()) is not done:
            coming = beside.submit(next, items, done)
            yield item  # type: ignore[misc]
