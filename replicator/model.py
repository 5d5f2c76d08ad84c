"""The values that all modules share: frozen, compared by content, without I/O.

Terms as in docs/architecture.md: a *record* is one line including its newline, an *offset* counts bytes from the start
of the log, ranges are half-open, seconds are monotonic floats named `_s`, sizes are named `_bytes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from replicator.fast_dataclass import value
from replicator.proof import CompactRange

MIB = 1024 * 1024
UNNAMED_CLOUD = "delivery"
"""The cloud_id of a destination that cannot say which it is (`sink.DeliverySink`): its address is its name."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Evidence that an offset still means the same: length and SHA-256 of the record that ends there."""

    length: int
    sha256: bytes

    @classmethod
    def of(cls, record: bytes | memoryview) -> Anchor:
        """The anchor of one record, its newline included."""
        return cls(len(record), hashlib.sha256(record).digest())


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in one generation of a log: everything before `offset` is acknowledged, or a dead letter.

    Invariants: `tree.size` records end exactly at `offset`; `anchor` is that of the last of them (None at 0);
    it moves forward only by an ack, backward only by a reset, a new generation or the cloud's word.
    `event_id` is that of the last record, for people. `parent` is the log_id of the generation before this one.
    """

    log_id: str
    offset: int = 0
    tree: CompactRange = CompactRange.EMPTY
    event_id: str | None = None
    anchor: Anchor | None = None
    parent: str | None = None

    def __post_init__(self) -> None:
        assert self.log_id
        assert (self.offset == 0) == (self.tree.size == 0) == (self.anchor is None)
        assert self.offset >= self.tree.size

    @property
    def size(self) -> int:
        """How many records are before the offset."""
        return self.tree.size

    @property
    def root(self) -> bytes:
        """The tree's root over these records."""
        return self.tree.root


@dataclass(frozen=True, slots=True)
class TreeHead:
    """`(size, root)`: the first `size` records, named by one hash."""

    size: int
    root: bytes


@value
class Head:
    """The cloud's own cursor for a log."""

    log_id: str
    size: int
    root: bytes
    offset: int = 0
    event_id: str | None = None

    @property
    def tree_head(self) -> TreeHead:
        """Size and root alone."""
        return TreeHead(self.size, self.root)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log, its newline included, at its place."""

    number: int
    offset: int
    bytes: bytes


@value
class Batch:
    """Whole consecutive records, exactly as in the log.

    `data` contains the records without separators; `ends[i]` is where record i ends within it. `first` is the number of
    the first record, `offset` its place in the log. Never empty. `data` may be a view of what was read: copying
    megabytes to remove a torn tail would cost more than hashing them.
    """

    first: int
    offset: int
    data: bytes | memoryview = field(repr=False)
    ends: tuple[int, ...] = field(repr=False)
    hashed: tuple[bytes, ...] | None = field(default=None, repr=False, compare=False)
    """The leaves of the records, if they were computed already."""
    holes: tuple[int, ...] = ()
    """Numbers of the records whose bytes are not sent: `data` has them, but the cloud gets only their places. Never all
    records; their leaves are in `hashed`.
    """

    def __post_init__(self) -> None:
        assert self.ends
        assert self.ends[-1] == len(self.data)
        assert len(self.holes) < len(self.ends)
        assert not self.holes or self.hashed is not None
        assert self.hashed is None or len(self.hashed) == len(self.ends)

    @property
    def count(self) -> int:
        """How many records."""
        return len(self.ends)

    @property
    def end(self) -> int:
        """The offset in the log one past the last record."""
        return self.offset + len(self.data)

    @property
    def last(self) -> bytes:
        """The last record."""
        return self.record(len(self.ends) - 1)

    def records(self) -> Iterator[bytes]:
        """The records, each with its newline."""
        for start, end in pairwise((0, *self.ends)):
            yield bytes(self.data[start:end])

    def start_of(self, number: int) -> int:
        """Where one record begins within `data`."""
        return self.ends[number - self.first - 1] if number > self.first else 0

    def length_of(self, number: int) -> int:
        """How long one record is, its newline included."""
        return self.ends[number - self.first] - self.start_of(number)

    def record(self, index: int) -> bytes:
        """The record at this index."""
        return bytes(self.data[self.ends[index - 1] if index else 0 : self.ends[index]])

    def sent(self) -> Iterator[memoryview]:
        """The records whose bytes are sent."""
        return (view for number, view in enumerate(self.views(), start=self.first) if number not in self.holes)

    def views(self) -> Iterator[memoryview]:
        """The records as views of `data`: for hashing, without a copy of each."""
        view = memoryview(self.data)
        for start, end in pairwise((0, *self.ends)):
            yield view[start:end]


@dataclass(frozen=True, slots=True)
class Hole:
    """The place of one record whose bytes are not sent: too large, or rejected alone.

    `leaf` and `anchor` were computed from the bytes in the log, so the tree continues.
    """

    first: int
    offset: int
    length: int
    leaf: bytes
    anchor: Anchor

    @property
    def count(self) -> int:
        """Always 1."""
        return 1

    @property
    def end(self) -> int:
        """The offset in the log one past the record."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the cloud does not store, or could not interpret, one record."""

    record: int
    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that the cloud rejected for good. Its bytes stay in the log, so it can be resent."""

    log_id: str
    record: int
    offset: int
    length: int
    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that the cloud announces. `requests_per_minute` None: no rate limit."""

    body_bytes: int = 16 * MIB
    record_bytes: int = MIB
    records: int = 20_000
    requests_per_minute: int | None = 600
    encodings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the cloud is behind: the end of the log minus the cursor."""

    bytes: int
    records: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the sidecar makes durable: the cursor, and the cloud it refers to.

    `resend` is what the cloud has beyond the cursor while records are resent: by a person's order, or because a crash
    or a lost answer left the cursor a batch behind. A head that equals it is no reason to move forward.
    """

    cursor: Cursor
    cloud_id: str | None = None
    endpoint: str | None = None
    resend: TreeHead | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """The ids of brain and device; part of every envelope."""

    brain_id: str
    device_id: str


@dataclass(frozen=True, slots=True)
class Policy:
    """Every number that a decision uses, with its unit. The defaults are the documented values."""

    batch_bytes: int = 4 * MIB
    """Size up to which batches grow while the rate limit is not the bottleneck; beyond it they grow to the server's
    limit.
    """
    batch_bytes_first: int = 256 * 1024
    batch_bytes_min: int = 16 * 1024
    """What batches shrink to, at least, on a line that carries no more."""
    batch_s_max: float = 5.0
    """How long a batch should be on its way: well below every deadline, the server's 30 s and a hop's 10 s."""
    line_successes: int = 4
    """After so many batches a size that did not get through is tried again; each time it fails, after 4 times more."""
    read_bytes_max: int = 16 * MIB
    record_bytes_max: int = 16 * MIB
    """A record longer than this, or than the server's limit, is sent as a hole: it is read in bounded memory."""
    request_burst: int = 10
    backoff_s_first: float = 0.5
    backoff_s_max: float = 60.0
    append_retry_s: float = 5.0
    """An append brings the next try to so long behind the last one."""
    retry_after_s_max: float = 300.0
    probe_s_first: float = 5.0
    probe_s_max: float = 60.0
    heartbeat_s: float = 60.0
    heartbeats_per_minute: int = 4
    timer_s: float = 2.0
    refused_in_a_row_max: int = 3
    foreign_refusals_max: int = 3
    """So many refusals of one record that are not the protocol's own, on probes apart in time, condemn it."""
    generations_max: int = 3
    """New generations without an accepted record: the last of so many pauses."""
    disagreements_max: int = 3
    ceiling_successes: int = 16
    dead_letters_unsaved_max: int = 1_000
