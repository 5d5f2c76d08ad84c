"""The port behind which the cloud keeps everything, and the values that cross it.

One contract suite holds for every implementation (`tests/contract/test_store_contract.py`). A store does not decide:
what a transaction commits is said by `ingest.plan`. Gathering many requests into one transaction is the work of
`writer.GroupWriter`; `Store.ingest` commits exactly the requests that it is given.

Times are microseconds since 1970 (UTC), as integers: exact, sortable, the same in every database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from gradata.cloud.ingest import Decision
from gradata.cloud.limits import Rate, Verdict
from gradata.cloud.requests import Request
from gradata.cloud.store_remove import Removing
from gradata.cloud.store_watch import Watched
from gradata.cloud.whole import WholeRun
from replicator.errors import ReplicatorError
from replicator.model import MIB
from replicator.proof import CompactRange

POSTGRES_HINT = "pip install 'gradata[postgres]'"
READ_BYTES = MIB
EVENTS_MAX = 1_000
EVENTS_BYTES_MAX = 4 * MIB


class StoreError(ReplicatorError):
    """The store cannot be opened or used as it is; a person must act."""


class StoreUnavailableError(StoreError):
    """The store cannot answer now: locked, full, away. Nothing of the request was written; try again."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as it is kept: never the key itself. Times as in the module's docstring, None: never."""

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
    """What is stored at one place of a log.

    `record` None: the bytes are not there. `flag` says why: None for a hole, which the client may fill; ERASED or
    EXPIRED (`bars.GONE`) where they were taken away on purpose. A place that storage lost has no row at all.
    """

    number: int
    offset: int
    length: int
    flag: str | None
    record: bytes | None = field(repr=False)


PlainRow = tuple[int, int, int, str | None, bytes | None]
"""A StoredRow without its class: number, offset, length, flag, record."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event of the projection. `place`: log_id and record number, None for a loose event."""

    cursor: int
    event_id: str
    type: str
    category: str | None
    severity: str | None
    session: int | str | None
    ts: str | None
    stored_at: int
    place: tuple[str, int] | None
    record: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class EventQuery:
    """A page of a brain's events, in the order of their first storing, behind `after`."""

    brain_id: str
    type: str | None = None
    after: int = 0
    limit: int = 100
    bytes_max: int = EVENTS_BYTES_MAX
    """Of the records together, unless the first one is longer."""


class Begun(Protocol):
    """A group of requests whose commit was begun."""

    def descriptor(self) -> int | None:
        """Readable when there is news of it; None: `end` does not wait."""

    def end(self) -> list[Decision]:
        """Wait until it is durable; the decisions. To be called once. Raises as `Store.ingest`."""


@dataclass(frozen=True, slots=True)
class Ended:
    """`Begun`, and done."""

    decisions: list[Decision] = field(repr=False)

    def descriptor(self) -> None:
        """Nothing to wait for."""

    def end(self) -> list[Decision]:
        """At once."""
        return self.decisions


class Store(Watched, Removing, Protocol):
    """Everything that the cloud keeps; what only eyes need is in `store_watch`, what takes away in `store_remove`.

    Safe to use from several threads.

    Every method may raise StoreUnavailableError.
    """

    @property
    def cloud_id(self) -> str:
        """The uuid of this cloud: another after everything was lost."""

    def ingest(self, requests: Sequence[Request], *, now: int) -> list[Decision]:
        """Commit the requests in one durable transaction; one decision each. No log twice among them.

        Nothing at all was written if this raises.
        """

    def begin(self, requests: Sequence[Request], *, now: int) -> Begun:
        """As `ingest`, in two halves: others may be begun before this one is ended, by the same thread, in order."""

    def admit(self, names: Sequence[str], rate: Rate) -> list[Verdict] | None:
        """Count one request of each name against a rate that all servers of the store share; their verdicts.

        None: there is only one server, whose own `RateLimiter` is enough.
        """

    def rest(self) -> None:
        """Called when nobody waits: the store may tidy up."""

    def logs(self, workspace: str, brain_id: str, device_id: str | None = None) -> list[StoredLog]:
        """The brain's logs, newest first; none if the brain is unknown or another workspace's."""

    def log(self, workspace: str, log_id: str) -> StoredLog | None:
        """One log of the workspace; the newest, if two of its brains have a log of this name."""

    def brains(self, workspace: str) -> list[str]:
        """The workspace's brains, sorted."""

    def owner(self, brain_id: str) -> str | None:
        """The workspace that the brain belongs to; None if nobody wrote to it."""

    def rows(self, log: StoredLog, first: int, end: int) -> Iterator[StoredRow]:
        """The stored rows of records [first, end), in their order; lost ones are missing."""

    def row_runs(self, log: StoredLog, first: int, end: int) -> Iterator[Sequence[PlainRow]]:
        """The rows of `rows` as plain tuples, in runs of some megabytes at most: for who reads a million of them."""

    def whole_runs(self, log: StoredLog, first: int, end: int) -> Iterator[WholeRun | Sequence[PlainRow]]:
        """The same, as fast as the store can: where that helps, runs without a gap or a hole by columns."""

    def numbers(self, log: StoredLog, first: int, end: int) -> Iterator[Sequence[int]]:
        """The numbers of the stored rows of records [first, end), in their order and in runs, without the bytes."""

    def rows_at(self, log: StoredLog, offset: int, end: int) -> Iterator[StoredRow]:
        """The stored rows that hold bytes of [offset, end), in their order."""

    def tile(self, log: StoredLog, level: int, index: int) -> bytes:
        """The hashes of a tile, one behind the other; empty if it is not there."""

    def events(self, workspace: str, query: EventQuery) -> list[StoredEvent]:
        """One page; at least one event if there is any, else bounded by `limit` and `bytes_max`."""

    def add_key(self, key: Key) -> None:
        """Keep a key."""

    def key(self, prefix: str) -> Key | None:
        """The key with this public prefix."""

    def keys(self, workspace: str | None = None) -> list[Key]:
        """All keys, oldest first."""

    def end_key(self, prefix: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> bool:
        """Let a key expire, or revoke it; False if there is none."""

    def note_refusal(self, prefix: str, brain_id: str, code: str, *, now: int) -> None:
        """Remember that a request with this key's prefix and brain was refused: shown where silence is shown."""

    def refusals(self) -> list[tuple[str, str, str, int, int]]:
        """(prefix, brain_id, code, how often, last time)."""

    def close(self) -> None:
        """Close the store; safe to repeat."""


def open_store(url: str, *, serving: bool = False) -> Store:
    """The store that `url` names: `sqlite:PATH`, `sqlite::memory:`, or `postgresql://…`.

    `serving`: this process is the server of the store; there is only one of an SQLite file.
    Raises StoreError with a hint.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest:
        from gradata.cloud.sqlite import SqliteStore  # here: a process needs one store's driver, not both

        return SqliteStore.open(rest.removeprefix("//"), serving=serving)
    if is_shared(url):
        try:
            from gradata.cloud.postgres import PostgresStore
        except ImportError as error:
            raise StoreError("the PostgreSQL driver is not installed", hint=POSTGRES_HINT) from error
        return PostgresStore.open(url, serving=serving)
    raise StoreError(
        "a store is named sqlite:PATH or postgresql://…", hint="for example --store sqlite:/var/lib/gradata/cloud.db"
    )


def is_shared(url: str) -> bool:
    """Whether any number of servers may use the store at the same time."""
    return url.startswith(("postgresql://", "postgres://"))


def shown(url: str) -> str:
    """The store's name without a password in it, for people and logs."""
    if not is_shared(url):
        return url
    try:
        parts = urlsplit(url)
        where = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "postgresql://…"
    return f"postgresql://{where}{parts.path}"
