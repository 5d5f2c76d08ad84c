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
        """The workspace's brains, or the named one, sorted by name; including deleted ones."""

    def all_workspaces(self) -> list[str]:
        """All workspaces, sorted, including those with only deleted brains."""

    def deleted_log(self, workspace: str, log_id: str) -> str | None:
        """The deleted brain that had this log, if any."""

    def delete_brain(self, workspace: str, brain_id: str, *, now: int) -> bool:
        """Store the tombstone of a brain: from now on nothing of it is stored or served. False if there is no such
        brain.
        """

    def purge(self, workspace: str, brain_id: str, limit: int) -> int:
        """Remove about `limit` rows of a deleted brain. Returns how many; 0: nothing is left."""

    def readmit(self, workspace: str, brain_id: str) -> None:
        """Remove the tombstone of a deleted brain that has no rows left."""

    def bar(
        self, workspace: str, brain_id: str, event_id: str | None, contents: Collection[bytes], *, now: int
    ) -> bool:
        """Store tombstones for the event and these contents; the event leaves the projection.

        Returns whether the event was in it.
        """

    def holding(self, log: StoredLog, needle: bytes) -> list[int]:
        """The records whose bytes contain `needle`: candidates for an erasure."""

    def loose_holding(self, workspace: str, brain_id: str, needle: bytes) -> list[tuple[bytes, bytes]]:
        """(content, record) of the loose events that contain `needle`."""

    def blank(self, log: StoredLog, numbers: Sequence[int], flag: str) -> int:
        """Erase the bytes of these records with the reason `flag`. Returns how many had any."""

    def drop_loose(self, workspace: str, brain_id: str, contents: Collection[bytes]) -> int:
        """Remove loose records. Returns how many there were."""

    def forget_traces(self) -> None:
        """Remove erased bytes from the store's own journal, as far as that is possible now."""

    def retain(self, workspace: str, brain_id: str, retain_us: int | None) -> bool:
        """Set the retention period; False if there is no such brain."""

    def expire(self, workspace: str, brain_id: str, before: int, limit: int) -> int:
        """Erase about `limit` events or records stored before `before`, oldest first.

        Returns how many; 0: nothing is left to do.
        """

    def recount(self, workspace: str, brain_id: str) -> None:
        """Recompute the brain's event counts, by day and in total."""

    def mark(self, workspace: str, brain_id: str, event_id: str) -> EventMark | None:
        """The position of this event, even if it is gone; None if it was never stored."""

    def marks(self, workspace: str, brain_id: str, after: int, *, backwards: bool = False) -> Iterator[EventMark]:
        """The positions after (or, backwards, before) a cursor, including gone events, in short reads."""

    def events_at(self, workspace: str, brain_id: str, cursors: Sequence[int]) -> list[StoredEvent]:
        """The events at these cursors, in the order of cursors; at most 1,000."""
