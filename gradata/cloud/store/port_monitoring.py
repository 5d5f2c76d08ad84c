"""The part of the store's port for monitoring: fleet, charts, notifications, alerts.

Partner: `port`, whose `Store` includes it. Nothing here changes what was ingested. Times are microseconds since 1970
(UTC), days are ISO 8601 dates (UTC).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from gradata.cloud.store.values import CURSOR_END, Notice, StoredAlert, StoredBrain, Told

if TYPE_CHECKING:
    from gradata.cloud.domain.daily_counts import DayKind
    from gradata.cloud.store.values import EventQuery, StoredEvent, StoredLog, StoredRow

"""No event has this cursor."""
"""How many events `recent` looks through: a type that does not occur among them is not recent."""

"""Maximum for one feed in a combined read."""

"""Called with the names of changed brains; with none if any may have changed."""


class Watched(Protocol):
    """The reads of pages, `gradata fleet`, metrics and alerts. Thread-safe.

    Every method may raise StoreUnavailableError.
    """

    def workspaces(self) -> list[str]:
        """All workspaces that have a brain, sorted."""

    def fleet(self, workspace: str, brain_id: str | None = None) -> list[StoredBrain]:
        """The workspace's brains, or the named one, sorted by name; logs newest first."""

    def days(self, workspace: str, brain_id: str, first: str) -> list[tuple[DayKind, int]]:
        """Counts of events by kind and day from `first` (an ISO 8601 date) on, in order."""

    def active_days(self, workspace: str, first: str) -> dict[str, list[str]]:
        """For each brain the days with events from `first` on, sorted."""

    def recent(
        self, workspace: str, brain_id: str, *, kind: str | None = None, limit: int = 50, before: int = CURSOR_END
    ) -> list[StoredEvent]:
        """The newest events with a cursor below `before`, newest first; bounded as `Store.events` is.

        Of the RECENT_SCANNED_MAX places below it: fewer than `limit` of a `kind` do not say that there are no more.
        """

    def fresh(self, wanted: Sequence[tuple[str, EventQuery]]) -> list[list[StoredEvent] | None]:
        """The events after the cursors of several feeds (workspace, query), in one read.

        None if that is more than FRESH_EVENTS_MAX events, or large ones: `Store.events` returns those page by page.
        """

    def holes(self, log: StoredLog, limit: int = 50) -> list[StoredRow]:
        """Records of the log without bytes, the last ones first."""

    def secret(self, name: str) -> bytes:
        """A secret of 32 random bytes under this name: created at the first call, then the same for every process."""

    def session_ended(self, name: str, *, until: int | None = None) -> bool:
        """Whether the session of this name was signed out; with `until`, sign it out, remembered up to that time."""

    def listen(self, told: Told) -> Callable[[], None]:
        """Call `told`, on any thread, after commits of any process. Returns a function that ends this.

        Only a hint: a call may be late, duplicate or missing. `told` must be fast and must not raise.
        """

    def alerts(self) -> list[StoredAlert]:
        """The open alerts, oldest first."""

    def raise_alert(self, name: str, state: str, *, subject: bytes, body: bytes, now: int) -> bool:
        """Open an alert or change its state, and queue `body` as a notice; False if it is already open with that state.

        Of several processes exactly one gets True.
        """

    def clear_alert(self, name: str, *, body: bytes, now: int) -> bool:
        """Close an alert and queue `body` as a notice; False if it is not open. Exactly one process gets True."""

    def take_notices(self, *, now: int, until: int, limit: int = 20) -> list[Notice]:
        """The notices that are due, oldest first, at most one per alert; no other process gets them before `until`."""

    def settle_notice(self, number: int, *, retry_at: int | None) -> None:
        """Mark a notice as delivered or given up (None), or as due again at `retry_at`."""
