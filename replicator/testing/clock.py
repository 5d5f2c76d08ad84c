"""Time that moves when told to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ManualClock:
    """A monotonic clock that stands still until `advance`; call it for the time, in seconds."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Move time forward."""
        assert seconds >= 0
        self.now_s += seconds
