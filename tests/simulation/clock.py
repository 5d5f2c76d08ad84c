"""Time of a simulated world: events in a queue, and nothing happens between them.

Partner of `world`, which puts everything into the queue. Monotonic time only goes forward; wall-clock time is that
plus an offset which may jump, for nothing may depend on it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH_S = 1_795_000_000.0
EVENTS_AT_ONCE_MAX = 20_000


class Clock:
    """The only time there is. Events at the same moment happen in the order in which they were planned."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.wall_jump_s = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0
        self._at_once = 0

    def after(self, delay_s: float, event: Callable[[], None]) -> None:
        """Plan an event."""
        self._planned += 1
        heapq.heappush(self._queue, (self.now_s + max(0.0, delay_s), self._planned, event))

    def run_until(self, end_s: float) -> None:
        """Let happen whatever is planned up to `end_s`."""
        queue = self._queue
        while queue and queue[0][0] <= end_s:
            time_s, _, event = heapq.heappop(queue)
            self._at_once = self._at_once + 1 if time_s == self.now_s else 0
            assert self._at_once < EVENTS_AT_ONCE_MAX, "time stands still: something repeats at once"
            self.now_s = time_s
            event()
        self.now_s = max(self.now_s, end_s)

    @property
    def wall_s(self) -> float:
        """Seconds since 1970, as the machine's clock shows them."""
        return EPOCH_S + self.now_s + self.wall_jump_s

    @property
    def wall_us(self) -> int:
        """Microseconds since 1970."""
        return int(self.wall_s * 1e6)

    def now(self) -> datetime:
        """Wall-clock time, aware."""
        return datetime.fromtimestamp(EPOCH_S, UTC) + timedelta(seconds=self.now_s + self.wall_jump_s)
