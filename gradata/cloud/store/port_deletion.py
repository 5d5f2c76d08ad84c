"""The part of the store's port for deletion, erasure and retention. Included in `port.Store`.

What `port` says of times, workspaces, threads, errors and repetition holds here, too: whatever was interrupted is
finished by doing it again. `service.deletion` puts these steps together.
"""

from __future__ import annotations

from typing import Protocol

from gradata.cloud.store.values import BrainStanding, Erasure, Holding


class Removing(Protocol):
    """Deleting, erasing, expiring."""

    def workspaces(self) -> list[str]:
        """Every workspace, also those that have only deleted brains; sorted."""

    def standings(self, workspace: str | None, brain_id: str | None = None) -> list[BrainStanding]:
        """The workspace's brains, or the one, by name; deleted ones, too. `workspace` None: whoever's they are."""

    def delete_brain(self, workspace: str, brain_id: str, *, now: int) -> bool:
        """Leave a tombstone: nothing of the brain is taken or given from now on. False if there is no such brain."""

    def purge(self, workspace: str, brain_id: str, limit: int, *, readmit: bool = False) -> int:
        """Remove up to about `limit` rows of a brain that was deleted; how many. 0: nothing is left of it.

        `readmit`: then the tombstone goes, too, and the brain may be written anew.
        """

    def erase(self, workspace: str, brain_id: str, erasure: Erasure, *, now: int) -> int:
        """Take records away for good; how many of them had bytes, and whether the event was there, in one sum.

        The event leaves the projection and the counts; neither it nor the contents are taken again. The places keep
        offset, length and leaf, without bytes, with the flag ERASED. Of a deleted brain only loose records go.
        """

    def holding(self, workspace: str, brain_id: str, needle: bytes, log_key: int | None = None) -> list[Holding]:
        """The records whose bytes contain `needle`: of a log, by number; None: the loose ones."""

    def retain(self, workspace: str, brain_id: str, retain_us: int | None) -> bool:
        """Set how long the brain keeps bytes, None for ever; False if there is no such brain."""

    def expire(self, workspace: str, brain_id: str, before: int, limit: int) -> int:
        """Take away the bytes that were stored before `before`, from the oldest on: of about `limit` records.

        How many; 0: nothing is left to do. Their places get the flag EXPIRED, their events stay known by id.
        """

    def recount(self, workspace: str, brain_id: str) -> None:
        """Count the brain's events anew, by day and in all, from those that are there."""
