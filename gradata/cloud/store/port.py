"""The store's port: everything that the cloud keeps.

One contract suite covers every implementation. A store does not decide what a transaction commits: `domain.plan.plan`
does. `service.group_commit.GroupWriter` gathers requests into one transaction; `Store.ingest` commits exactly the
requests that it is given.

Times are microseconds since 1970 (UTC), as integers: exact, sortable, the same in every database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from gradata.cloud.domain.plan import Decision
from gradata.cloud.domain.rate_limit import Rate, Verdict
from gradata.cloud.domain.requests import Request
from gradata.cloud.store.port_deletion import Removing
from gradata.cloud.store.port_monitoring import Watched
from gradata.cloud.store.values import EventQuery, Key, PlainRow, StoredEvent, StoredLog, StoredRow


class Store(Watched, Removing, Protocol):
    """The port. Reads for monitoring are in `port_monitoring`, deletion in `port_deletion`.

    Thread-safe. Every method may raise StoreUnavailableError; nothing was then written.
    """

    @property
    def cloud_id(self) -> str:
        """The cloud's uuid; a new one after its data was lost."""

    def ingest(self, requests: Sequence[Request], *, now: int) -> list[Decision]:
        """Commit the requests in one durable transaction and return one decision each. No log may occur twice.

        If this raises, nothing was written.
        """

    def admit(self, names: Sequence[str], rate: Rate) -> list[Verdict] | None:
        """Count one request per name against a rate that all servers of the store share; returns their verdicts.

        None: there is only one server, whose own `RateLimiter` is sufficient.
        """

    def check_writable(self) -> None:
        """Commit a transaction that changes nothing, as durably as any other. Raises StoreUnavailableError."""

    def rest(self) -> None:
        """Called while no request is waiting, for maintenance such as checkpoints."""

    def logs(self, workspace: str, brain_id: str, device_id: str | None = None) -> list[StoredLog]:
        """The brain's logs, newest first; empty if the brain is unknown or belongs to another workspace."""

    def log(self, workspace: str, log_id: str, brain_id: str | None = None) -> StoredLog | None:
        """One log of the workspace, of this brain if one is named.

        If several of its brains have a log of this name, the one that had it first: who claims it later gets nothing.
        """

    def brains(self, workspace: str) -> list[str]:
        """The workspace's brains, sorted."""

    def owner(self, brain_id: str) -> str | None:
        """The workspace that owns the brain; None if nothing was written to it."""

    def brains_with(self, workspace: str, event_ids: Sequence[str]) -> dict[str, int]:
        """The workspace's brains that have events with these ids, and how many. For a few dozen ids."""

    def rows(self, log: StoredLog, first: int, end: int) -> Iterator[StoredRow]:
        """The stored rows of records [first, end), in order; lost rows are absent."""

    def row_runs(self, log: StoredLog, first: int, end: int) -> Iterator[Sequence[PlainRow]]:
        """As `rows`, as plain tuples in runs of a few megabytes: for reading millions of rows."""

    def numbers(self, log: StoredLog, first: int, end: int) -> Iterator[Sequence[int]]:
        """The numbers of the stored rows of records [first, end), in order and in runs, without their bytes."""

    def rows_at(self, log: StoredLog, offset: int, end: int) -> Iterator[StoredRow]:
        """The stored rows that contain bytes of [offset, end), in order."""

    def tile(self, log: StoredLog, level: int, index: int) -> bytes:
        """The concatenated hashes of a tile; empty if it is not stored."""

    def events(self, workspace: str, query: EventQuery) -> list[StoredEvent]:
        """One page: at least one event if there is any, otherwise bounded by `limit` and `bytes_max`."""

    def add_key(self, key: Key) -> None:
        """Store a key; its hash, never the key itself."""

    def key(self, prefix: str) -> Key | None:
        """The key with this public prefix."""

    def keys(self, workspace: str | None = None) -> list[Key]:
        """All keys, oldest first, without their secrets."""

    def end_key(self, prefix: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> bool:
        """Set a key's expiry or revoke it; False if there is none."""

    def note_refusal(self, prefix: str, brain_id: str, code: str, *, now: int) -> None:
        """Note that a request with this key prefix and brain was rejected; shown in the fleet."""

    def refusals(self) -> list[tuple[str, str, str, int, int]]:
        """(prefix, brain_id, code, how often, last time)."""

    def close(self) -> None:
        """Close the store. Safe to repeat."""
