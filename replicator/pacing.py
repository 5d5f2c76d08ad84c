"""When the next attempt or request may be made: backoff after failures, and the rate limit.

Pure: time and randomness are arguments, so every decision can be tested. `loop` waits; `progress` decides why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

WINDOW_S = 60.0
SLOT_S = 0.05
"""Requests closer together than this many seconds share one entry: memory is bounded at any rate."""

_DOUBLINGS_MAX = 64


def backoff_s(failures: int, *, jitter: float, first_s: float, max_s: float) -> float:
    """Seconds to wait after `failures` failures in a row: full jitter under a doubling ceiling.

    `jitter` in [0, 1] is drawn by the caller. Full jitter (not a little around the ceiling) is what spreads a
    fleet that lost its server at one moment: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    assert failures >= 0
    assert 0.0 <= jitter <= 1.0
    if failures == 0:
        return 0.0
    return jitter * min(max_s, math.ldexp(first_s, min(failures - 1, _DOUBLINGS_MAX)))


@dataclass(frozen=True, slots=True)
class _Slot:
    """Requests made in one moment: the first and the last time, and how many."""

    first: float
    last: float
    count: int


@dataclass(frozen=True, slots=True)
class Budget:
    """How many requests may be made: at most `requests_per_minute` in any 60 s, and evenly.

    Two rules, both needed. The bucket (`burst` at once, then one each 60/rate s) keeps the pace even, but
    alone lets rate + burst through in a minute; the window counts exactly. A sender that keeps to the even
    pace never waits; one that spent a burst pays it back before the minute is over. None: unlimited.
    A window is half-open: what was sent at t no longer counts at t + 60.
    """

    requests_per_minute: int | None
    burst: int
    _due: float = field(default=-math.inf, repr=False)
    """When the next request is due at an even pace."""
    _sent: tuple[_Slot, ...] = field(default=(), repr=False)
    _sent_count: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        assert self.requests_per_minute is None or self.requests_per_minute > 0
        assert self.burst > 0

    def ready_at(self, now: float) -> float:
        """The earliest time for the next request; not later than `now` means at once."""
        if self.requests_per_minute is None:
            return now
        even_s = WINDOW_S / self.requests_per_minute
        ready = self._due - (self.burst - 1) * even_s
        excess = self._sent_count - self.requests_per_minute + 1
        for slot in self._sent:
            if excess <= 0:
                break
            ready = max(ready, slot.last + WINDOW_S)
            excess -= slot.count
        return max(ready, now)

    def spent(self, now: float) -> Budget:
        """The budget after a request made at `now`. It counts even if it was made too early."""
        if self.requests_per_minute is None:
            return self
        gone = 0
        gone_count = 0
        for slot in self._sent:
            if slot.last + WINDOW_S > now:
                break
            gone += 1
            gone_count += slot.count
        kept = self._sent[gone:]
        if kept and now - kept[-1].first < SLOT_S:
            sent = (*kept[:-1], _Slot(kept[-1].first, now, kept[-1].count + 1))
        else:
            sent = (*kept, _Slot(now, now, 1))
        due = max(self._due, now) + WINDOW_S / self.requests_per_minute
        return replace(self, _due=due, _sent=sent, _sent_count=self._sent_count - gone_count + 1)

    def with_rate(self, requests_per_minute: int | None) -> Budget:
        """The budget under another rate; what was already sent still counts."""
        if requests_per_minute == self.requests_per_minute:
            return self
        return replace(self, requests_per_minute=requests_per_minute)
