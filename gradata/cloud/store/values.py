"""The values that cross the store's port. Times are microseconds since 1970 (UTC), as integers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from replicator.errors import ReplicatorError
from replicator.model import MIB
from replicator.proof import CompactRange

PlainRow = tuple[int, int, int, str | None, bytes | None]
EVENTS_MAX = 1_000
EVENTS_BYTES_MAX = 4 * MIB
READ_BYTES = MIB
CURSOR_END = 2**40
SESSION_US_MAX = 86_400_000_000
"""No session lasts longer than a day: what ended that long before another one may be forgotten."""
RECENT_SCANNED_MAX = 20_000
FRESH_EVENTS_MAX = 8
FRESH_RECORD_BYTES_MAX = 64 * 1024
ChangeListener = Callable[[Collection[str]], None]


class StoreError(ReplicatorError):
    """The store cannot be opened or used as it is; a person has to act."""


class StoreUnavailableError(StoreError):
    """The store cannot answer now: locked, full, unreachable. Nothing of the request was written; retry."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A stored API key: its hash, never the key itself. Times as in the module's docstring, None: never."""

    prefix: str
    name: str
    workspace: str
    scopes: frozenset[str]
    sha256: bytes = field(repr=False)
    brains: frozenset[str] = frozenset()
    created_at: int = 0
    expires_at: int | None = None
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True)
class StoredLog:
    """One log with its head. `key` is the store's own name for it, good for the reads of this port."""

    key: int
    workspace: str
    brain_id: str
    device_id: str
    log_id: str
    parent: str | None
    tree: CompactRange
    offset: int
    event_id: str | None
    created_at: int
    stored_at: int | None
    heard_at: int | None
    status: bytes | None
    holes: int


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A stored row.

    `record` None: there are no bytes. `flag` says why: None for a hole, which the client may fill; ERASED or EXPIRED
    (`domain.tombstones.GONE`) for a tombstone. A record that storage lost has no row.
    """

    number: int
    offset: int
    length: int
    flag: str | None
    record: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event of the projection. `place`: log_id and record number, None for a loose event.

    From `type` on: what is interpreted of the record (`domain.requests.PROJECTED`).
    """

    cursor: int
    event_id: str
    stored_at: int
    place: tuple[str, int] | None
    record: bytes | None = field(repr=False)
    type: str
    category: str | None
    severity: str | None
    session: int | str | None
    ts: str | None


@dataclass(frozen=True, slots=True)
class EventQuery:
    """A page of a brain's events, in the order of their first storing, behind `after`."""

    brain_id: str
    type: str | None = None
    after: int = 0
    limit: int = 100
    bytes_max: int = EVENTS_BYTES_MAX
    """Of the records together, unless the first one is longer."""
    before: int | None = None
    """Instead of `after`: the newest first, below this cursor, of the RECENT_SCANNED_MAX places below it."""
    cursors: tuple[int, ...] | None = None
    """Instead of a page: the events at these cursors, in their order; at most EVENTS_MAX."""


@dataclass(frozen=True, slots=True)
class StoredBrain:
    """One brain with all its logs. `event_stored_at`: when its newest event was stored."""

    brain_id: str
    created_at: int
    events: int
    event_stored_at: int | None
    logs: tuple[StoredLog, ...]


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An open alert. `name` is unique; `subject` is JSON that identifies brain and device."""

    name: str
    state: str
    opened_at: int
    subject: bytes


@dataclass(frozen=True, slots=True)
class StoredNotice:
    """A notice to post to the webhook. `attempts` includes the present one."""

    number: int
    alert: str
    attempts: int
    created_at: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BrainStanding:
    """The state of a brain, including deleted ones. `expired`: the cursor of the last expired event.

    `offset`: total bytes of its logs. `retain_us`: the retention period, None: no limit.
    """

    workspace: str
    brain_id: str
    created_at: int
    events: int
    logs: int
    offset: int
    stored_at: int | None
    deleted_at: int | None
    retain_us: int | None
    expired: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to be taken away from a brain, for ever. `event_id` and `contents`: also whenever they come again.

    `places`: records of logs, by StoredLog.key. `loose`: contents of records that are part of no log.
    """

    event_id: str | None = None
    contents: frozenset[bytes] = frozenset()
    places: Mapping[int, Sequence[int]] = field(default_factory=dict)
    loose: frozenset[bytes] = frozenset()


class Holding(NamedTuple):
    """A record whose bytes contain what was looked for: at `number` of a log, or loose, found by its `content`."""

    number: int | None
    content: bytes | None
    record: bytes


class EventMark(NamedTuple):
    """The position of an event in the order of storing. `gone`: why its bytes no longer exist, else None."""

    cursor: int
    stored_at: int
    event_id: str
    content: bytes
    gone: str | None
