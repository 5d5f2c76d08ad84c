"""Time that moves when told to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


@dataclass(slots=True)
class ManualClock:
    """A monotonic clock that stands still until `advance`; call it for the time, in seconds."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def monotonic_s(self) -> float:
        """The same, as `engine.Clock` has it."""
        return self.now_s

    def now(self) -> datetime:
        """Wall-clock time: it goes as the other does, from `BEGINNING` on."""
        return BEGINNING + timedelta(seconds=self.now_s)

    def advance(self, seconds: float) -> None:
        """Move time forward."""
        assert seconds >= 0
        self.now_s += seconds
