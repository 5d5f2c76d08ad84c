"""The writes of one request: values between `plan`, which decides, and the stores, which execute. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import NamedTuple

from gradata.cloud.domain.requests import NO_COLUMNS, Columns
from gradata.cloud.domain.tiles import TilePart
from replicator.fast_dataclass import value


class RecordRow(NamedTuple):
    """A record at its place. `record` None: a hole or tombstone. `flag`: why; or why it is no event, or a conflict."""

    number: int
    offset: int
    length: int
    flag: str | None
    record: bytes | None


@value
class Run:
    """Consecutive rows from record `first` on, in columns as in `RecordRow`."""

    first: int = 0
    offsets: Sequence[int] = field(default=(), repr=False)
    lengths: Sequence[int] = field(default=(), repr=False)
    flags: Sequence[str | None] = field(default=(), repr=False)
    records: Sequence[bytes | None] = field(default=(), repr=False)

    def rows(self) -> list[RecordRow]:
        """The columns as one `RecordRow` per record."""
        numbers = range(self.first, self.first + len(self.records))
        columns = zip(numbers, self.offsets, self.lengths, self.flags, self.records, strict=True)
        return [RecordRow(*row) for row in columns]

    def behind(self, count: int) -> Run:
        """The run without its first `count` rows."""
        if not count:
            return self
        return Run(
            self.first + count, self.offsets[count:], self.lengths[count:], self.flags[count:], self.records[count:]
        )


@value
class NewEvents:
    """New events of a brain, in columns. `numbers`: their record numbers; for loose events, within the request."""

    event_ids: Sequence[str] = field(default=(), repr=False)
    contents: Sequence[bytes] = field(default=(), repr=False)
    numbers: Sequence[int] = field(default=(), repr=False)
    columns: Columns = NO_COLUMNS


@value
class Writes:
    """The writes of one request. `rows` are new places, `mended` ones replace what is stored.

    For loose events, `mended` are the lines to store.
    """

    rows: Run = Run()
    mended: Sequence[RecordRow] = field(default=(), repr=False)
    events: NewEvents = NewEvents()
    tiles: Sequence[TilePart] = field(default=(), repr=False)
