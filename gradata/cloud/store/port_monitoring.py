"""The part of the store's port for monitoring: fleet, charts, notifications, alerts. Included in `port.Store`.

What `port` says of times, workspaces, threads, errors and repetition holds here, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gradata.cloud.domain.daily_counts import DayKind
from gradata.cloud.store.values import ChangeListener, StoredAlert, StoredBrain, StoredNotice


class MonitoringStore(Protocol):
    """What pages, `gradata fleet`, metrics and alerts read. Nothing here touches what was ingested."""

    def fleet(self, workspace: str, brain_id: str | None = None) -> list[StoredBrain]:
        """The workspace's brains, or the one, by name; logs newest first."""

    def days(self, workspace: str, first: str, brain_id: str | None = None) -> list[tuple[str, DayKind, int]]:
        """(brain_id, kind, how many events) of each day from `first` on: by brain, then day, type, category, severity.

        Of the brain, or of all that the workspace has.
        """

    def secret(self, name: str) -> bytes:
        """32 random bytes of this name: made at the first call, the same for every process and for ever."""

    def session_ended(self, name: str, *, until: int | None = None) -> bool:
        """Whether the session of this name was signed out; with `until`, sign it out, remembered up to that time."""

    def listen(self, told: ChangeListener) -> Callable[[], None]:
        """Have `told` called, on any thread, after commits of any process; the result ends it.

        Only a hint: it may come late, twice, or not at all. `told` must be quick and must not raise.
        """

    def alerts(self) -> list[StoredAlert]:
        """The open alerts, oldest first."""

    def set_alert(self, name: str, state: str | None, *, body: bytes, now: int, subject: bytes = b"") -> bool:
        """Open an alert or change its state, or close it (None), and leave `body` as a notice.

        False, and no notice, if it has that state already. Of several processes exactly one gets True.
        """

    def take_notices(self, *, now: int, until: int, limit: int = 20) -> list[StoredNotice]:
        """Notices that are due, oldest first, at most one of an alert; no one else gets them before `until`."""

    def settle_notice(self, number: int, *, retry_at: int | None) -> None:
        """The notice was delivered, or given up (None), or is due again at `retry_at`."""
