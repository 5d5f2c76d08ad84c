"""The store's port: what a store has to do, in four protocols.

The tests in `tests/contract` hold for every implementation. The values that cross the port are in `values`, what
monitoring needs is in `port_monitoring`, deletion in `port_deletion`; reads made of the port's are in `reading`.

A store does not decide: what a transaction commits is said by `domain.plan.plan`. Gathering many requests into one
transaction is the work of `service.group_commit.GroupWriter`; `Store.ingest` commits exactly what it is given.

For every method of these protocols:

- Times are microseconds since 1970 (UTC), as integers: exact, sortable, the same in every database. Days are ISO 8601
  dates (UTC). Sizes are bytes.
- A workspace is what a key belongs to. A brain is looked up in its workspace; another workspace's brain is treated as
  one that does not exist. So is a deleted one, but where the method says otherwise.
- Methods may be called from several threads at the same time.
- StoreUnavailableError: the store cannot answer now. Nothing was changed, and the call may be repeated. Anything else
  that is raised is a programmer's error.
- What changes the store is durable when the method returns, in one transaction, and safe to repeat.
- Iterators hold no transaction between two items; what is stored meanwhile may or may not be in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from gradata.cloud.domain.plan import Decision
from gradata.cloud.domain.rate_limit import Rate, RateVerdict
from gradata.cloud.domain.requests import WriteRequest
from gradata.cloud.store.port_deletion import Removing
from gradata.cloud.store.port_monitoring import MonitoringStore
from gradata.cloud.store.values import EventMark, EventQuery, PlainRow, StoredEvent, StoredKey, StoredLog

WantedRows = Literal["rows", "places", "holes"]


class StoredKeys(Protocol):
    """API keys, and what was refused to them."""

    def put_key(self, key: StoredKey) -> None:
        """Keep a key, or what changed of the one with its prefix: when it expires; a first revocation stands."""

    def keys(self, workspace: str | None = None, *, prefix: str | None = None) -> list[StoredKey]:
        """The keys, oldest first; of a workspace, or the one with this public prefix. Revoked ones, too."""

    def note_refusal(self, prefix: str, brain_id: str, code: str, *, now: int) -> None:
        """Count a request with this key's prefix and brain that was refused with `code`. Each call counts."""

    def refusals(self) -> list[tuple[str, str, str, int, int]]:
        """(prefix, brain_id, code, how often, last time), the latest first; at most 1,000."""


class StoredLogs(Protocol):
    """What was stored, as its clients sent it."""

    def logs(self, workspace: str, brain_id: str, device_id: str | None = None) -> list[StoredLog]:
        """The brain's logs, or the device's, newest first."""

    def log(
        self, workspace: str, log_id: str, brain_id: str | None = None, *, deleted: bool = False
    ) -> StoredLog | None:
        """One log of the workspace, of this brain if one is named. `deleted`: of a deleted brain, and only of such.

        If several of its brains have a log of this name, the one that had it first: who claims it later gets nothing.
        """

    def brains_with(self, workspace: str, event_ids: Sequence[str]) -> dict[str, int]:
        """The workspace's brains that have events of these ids, and how many of them. For some tens of ids."""

    def rows(self, log: StoredLog, first: int, end: int, what: WantedRows = "rows") -> Iterator[Sequence[PlainRow]]:
        """The stored rows of records [first, end) in their order, in runs of a few megabytes at most.

        A record that storage lost has no row. "places": with None for the bytes, for who only counts. "holes": only
        places without bytes that the client may still fill.
        """

    def tile(self, log: StoredLog, level: int, index: int) -> bytes:
        """The hashes of a tile (`replicator.tiles`), one behind the other; empty if it is not there.

        A tile that lost some has zeros in their place, or ends early.
        """

    def events(self, workspace: str, query: EventQuery) -> list[StoredEvent]:
        """One page of the projection; at least one event if there is any, else bounded by `limit` and `bytes_max`.

        `limit` is at most EVENTS_MAX. Events that were taken away are left out.
        """

    def fresh(self, wanted: Sequence[tuple[str, EventQuery]]) -> list[list[StoredEvent] | None]:
        """All that is behind the cursors of several feeds (workspace, query), in one read.

        None where that is more than FRESH_EVENTS_MAX events, or a record is longer than FRESH_RECORD_BYTES_MAX:
        `events` gives those page by page.
        """

    def marks(
        self, workspace: str, brain_id: str, after: int = 0, *, backwards: bool = False, event_id: str | None = None
    ) -> Iterator[EventMark]:
        """The events behind (or, backwards, before) a cursor in the order of cursors, those that are gone included.

        `event_id`: this one event, wherever it stands.
        """


class Store(StoredLogs, StoredKeys, MonitoringStore, Removing, Protocol):
    """Everything that the cloud keeps."""

    @property
    def cloud_id(self) -> str:
        """The uuid of this cloud, made with the store: another one after everything was lost."""

    def ingest(self, requests: Sequence[WriteRequest], *, now: int) -> list[Decision]:
        """Commit the requests in one transaction; one decision each. No log twice among them.

        `now` is the time of storing. Without requests a transaction is committed none the less, as durably as any
        other: so one may ask whether the store takes writes.
        """

    def admit(self, names: Sequence[str], rate: Rate) -> list[RateVerdict] | None:
        """Count one request of each name against a rate that all servers of the store share. Each call counts.

        A verdict for each, in their order. None: there is only one server, whose own `RateLimiter` is enough.
        """

    def rest(self) -> None:
        """Called when nobody waits: the store may fold its journal, overwrite what was taken away, notify others."""

    def close(self) -> None:
        """Close the store; what is called afterwards raises StoreUnavailableError."""
