"""The requests that a store commits: interpreted, measured values between `protocol.parse`, `plan` and `store`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from replicator.fast_dataclass import value


@value
class Columns:
    """The interpreted fields of records that are events, one list per field, as they go into tables."""

    types: Sequence[str] = field(default=(), repr=False)
    categories: Sequence[str | None] = field(default=(), repr=False)
    severities: Sequence[str | None] = field(default=(), repr=False)
    sessions: Sequence[int | str | None] = field(default=(), repr=False)
    timestamps: Sequence[str | None] = field(default=(), repr=False)

    def of(self, places: Sequence[int]) -> Columns:
        """Those of the records at `places`."""
        return Columns(*([getattr(self, name)[place] for place in places] for name in PROJECTED.values()))


NO_COLUMNS = Columns()

PROJECTED = {
    "type": "types",
    "category": "categories",
    "severity": "severities",
    "session": "sessions",
    "ts": "timestamps",
}
"""What stores keep of an event beside its record: the column (and field of `StoredEvent`), and the field of `Columns`.

The one list from which both stores make their statements. In the order of the stores' answers.
"""


@value
class Lines:
    """Records with what was computed from each, in columns of equal length.

    `event_ids[i]` is None, and `flags[i]` the code that says why, if record i is not an event. `contents[i]` is equal
    for two records exactly if their bytes without line end are. If the client sent only the place, `holes` has its
    claimed length, and the record is empty.
    """

    records: Sequence[bytes] = field(repr=False)
    leaves: Sequence[bytes] = field(repr=False)
    contents: Sequence[bytes] = field(repr=False)
    event_ids: Sequence[str | None] = field(repr=False)
    columns: Columns
    flags: Mapping[int, str] = field(default_factory=dict)
    holes: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert len(self.records) == len(self.leaves) == len(self.contents) == len(self.event_ids)
        assert len(self.records) == len(self.columns.types) == len(self.columns.timestamps)

    def lengths(self) -> list[int]:
        """How long each record is in the log."""
        lengths = list(map(len, self.records))
        for place, length in self.holes.items():
            lengths[place] = length
        return lengths


@dataclass(frozen=True, slots=True)
class HoleClaim:
    """A hole: the client states length and leaf of a record that it cannot send."""

    length: int
    leaf: bytes


@value
class Append:
    """A batch of one log, as its envelope says. `status` is stored beside the head, uninterpreted."""

    workspace: str
    brain_id: str
    device_id: str
    log_id: str
    parent: str | None
    first: int
    offset: int
    root: bytes
    load: Lines | HoleClaim
    status: bytes | None = None

    @property
    def count(self) -> int:
        """How many records."""
        return 1 if isinstance(self.load, HoleClaim) else len(self.load.records)


@dataclass(frozen=True, slots=True)
class HeartbeatWrite:
    """A heartbeat: no records."""

    workspace: str
    brain_id: str
    device_id: str
    log_id: str
    status: bytes | None = None


@dataclass(frozen=True, slots=True)
class Loose:
    """Events that belong to no log. `records` of a refusal are counted from 0 in the request."""

    workspace: str
    brain_id: str
    load: Lines


WriteRequest = Append | HeartbeatWrite | Loose
