"""The port behind which the cloud keeps everything, and the values that cross it.

One contract suite holds for every implementation (`tests/contract/test_store_contract.py`). A store does not decide:
what a transaction commits is said by `domain.plan.plan`. Gathering many requests into one transaction is the work of
`service.group_commit.GroupWriter`; `Store.ingest` commits exactly the requests that it is given.

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
    """Everything that the cloud keeps; what only eyes need is in `port_monitoring`, what takes away in `port_deletion`.

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

    def admit(self, names: Sequence[str], rate: Rate) -> list[Verdict] | None:
        """Count one request of each name against a rate that all servers of the store share; their verdicts.

        None: there is only one server, whose own `RateLimiter` is enough.
        """

    def check_writable(self) -> None:
        """Commit a transaction that changes nothing, as durably as any other. Raises StoreUnavailableError."""

    def rest(self) -> None:
        """Called when nobody waits: the store may tidy up."""

    def logs(self, workspace: str, brain_id: str, device_id: str | None = None) -> list[StoredLog]:
        """The brain's logs, newest first; none if the brain is unknown or another workspace's."""

    def log(self, workspace: str, log_id: str, brain_id: str | None = None) -> StoredLog | None:
        """One log of the workspace, of this brain if one is named.

        If several of its brains have a log of this name, the one that had it first: who claims it later gets nothing.
        """

    def brains(self, workspace: str) -> list[str]:
        """The workspace's brains, sorted."""

    def owner(self, brain_id: str) -> str | None:
        """The workspace that the brain belongs to; None if nobody wrote to it."""

    def brains_with(self, workspace: str, event_ids: Sequence[str]) -> dict[str, int]:
        """The workspace's brains that have events of these ids, and how many of them. For some tens of ids."""

    def rows(self, log: StoredLog, first: int, end: int) -> Iterator[StoredRow]:
        """The stored rows of records [first, end), in their order; lost ones are missing."""

    def row_runs(self, log: StoredLog, first: int, end: int) -> Iterator[Sequence[PlainRow]]:
        """The rows of `rows` as plain tuples, in runs of some megabytes at most: for who reads a million of them."""

    def numbers(self, log: StoredLog, first: int, end: int) -> Iterator[Sequence[int]]:
        """The numbers of the stored rows of records [first, end), in their order and in runs, without the bytes."""

    def rows_at(self, log: StoredLog, offset: int, end: int) -> Iterator[StoredRow]:
        """The stored rows that hold bytes of [offset, end), in their order."""

    def tile(self, log: StoredLog, level: int, index: int) -> bytes:
        """The hashes of a tile, one behind the other; empty if it is not there."""

    def events(self, workspace: str, query: EventQuery) -> list[StoredEvent]:
        """One page; at least one event if there is any, else bounded by `limit` and `bytes_max`."""

    def add_key(self, key: Key) -> None:
        """Store a key; its hash, never the key itself."""

    def key(self, prefix: str) -> Key | None:
        """The key with this public prefix."""

    def keys(self, workspace: str | None = None) -> list[Key]:
        """All keys, oldest first, without their secrets."""

    def end_key(self, prefix: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> bool:
        """Let a key expire, or revoke it; False if there is none."""

    def note_refusal(self, prefix: str, brain_id: str, code: str, *, now: int) -> None:
        """Remember that a request with this key's prefix and brain was refused: shown where silence is shown."""

    def refusals(self) -> list[tuple[str, str, str, int, int]]:
        """(prefix, brain_id, code, how often, last time)."""

    def close(self) -> None:
        """Close the store; safe to repeat."""
