"""The part of the store's port for deletion, erasure and retention, and for reading events in the order of storing.

Partners: `port`, whose `Store` includes it; `service.deletion`, which orders these steps; `service.legacy_pages`. Every
step is one durable transaction and safe to repeat, so an interrupted operation is finished by repeating it. Times are
microseconds since 1970 (UTC).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from gradata.cloud.store.values import EventMark, Standing

if TYPE_CHECKING:
    from gradata.cloud.store.values import StoredEvent, StoredLog


class Removing(Protocol):
    """Deletion, erasure, retention. A brain is looked up in its workspace; a foreign one counts as missing."""

    def standings(self, workspace: str, brain_id: str | None = None) -> list[Standing]:
        """The workspace's brains, or the one, by name; deleted ones, too."""

    def all_workspaces(self) -> list[str]:
        """Every workspace, also those that have only deleted brains; sorted."""

    def deleted_log(self, workspace: str, log_id: str) -> str | None:
        """The deleted brain that had this log, if any."""

    def delete_brain(self, workspace: str, brain_id: str, *, now: int) -> bool:
        """Leave a tombstone: nothing of the brain is taken or given from now on. False if there is no such brain."""

    def purge(self, workspace: str, brain_id: str, limit: int) -> int:
        """Remove up to about `limit` rows of a brain that was deleted; how many. 0: nothing is left of it."""

    def readmit(self, workspace: str, brain_id: str) -> None:
        """Remove the tombstone of a deleted brain of which nothing else is left."""

    def bar(
        self, workspace: str, brain_id: str, event_id: str | None, contents: Collection[bytes], *, now: int
    ) -> bool:
        """From now on neither the event nor these contents are taken; the event leaves the projection.

        Whether the event was in it.
        """

    def holding(self, log: StoredLog, needle: bytes) -> list[int]:
        """The records whose bytes contain `needle`."""

    def loose_holding(self, workspace: str, brain_id: str, needle: bytes) -> list[tuple[bytes, bytes]]:
        """(content, record) of the loose ones that do."""

    def blank(self, log: StoredLog, numbers: Sequence[int], flag: str) -> int:
        """Take the bytes of these records away, for the reason `flag`; how many had any."""

    def drop_loose(self, workspace: str, brain_id: str, contents: Collection[bytes]) -> int:
        """Remove loose records; how many there were."""

    def forget_traces(self) -> None:
        """Have bytes that were taken away leave the store's own journal, as far as that can be done now."""

    def retain(self, workspace: str, brain_id: str, retain_us: int | None) -> bool:
        """Set how long the brain keeps bytes; False if there is no such brain."""

    def expire(self, workspace: str, brain_id: str, before: int, limit: int) -> int:
        """Take away, from the oldest on, what was stored before `before`: about `limit` events or records.

        How many; 0: nothing is left to do.
        """

    def recount(self, workspace: str, brain_id: str) -> None:
        """Count the brain's events anew, by day and in all, from those that are there."""

    def mark(self, workspace: str, brain_id: str, event_id: str) -> EventMark | None:
        """Where this event stands, also if it is gone."""

    def marks(self, workspace: str, brain_id: str, after: int, *, backwards: bool = False) -> Iterator[EventMark]:
        """The events behind (or, backwards, before) a cursor, gone ones included, in short reads."""

    def events_at(self, workspace: str, brain_id: str, cursors: Sequence[int]) -> list[StoredEvent]:
        """The events at these cursors, in the order of cursors; at most 1,000."""
