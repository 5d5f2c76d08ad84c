"""The rate limit of a brain, and the header fields that announce it (draft-ietf-httpapi-ratelimit-headers-10).

`Rate` is pure: the generic cell rate algorithm, one number per brain. `RateLimiter` keeps these numbers in this
process.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from replicator.fast_dataclass import value

WINDOW_S = 60
TRACKED_MAX = 100_000


@value
class RateVerdict:
    """The verdict: whether the request may pass, how many more may follow at once, when the window resets, how long to
    wait.
    """

    passed: bool
    remaining: int
    fresh_in_s: float
    retry_after_s: float
    busy_until: float


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `per_minute` requests a minute in the long run, and `burst` at once.

    `slack` more are accepted than announced: a client that keeps exactly the announced rate must not be rejected
    because two of its requests arrived closer together than they were sent.
    """

    per_minute: int
    burst: int
    slack: int = 0

    def judge(self, busy_until: float, now: float) -> RateVerdict:
        """The verdict for a request now. `busy_until`: that of the previous verdict (0: none). Monotonic seconds."""
        interval = WINDOW_S / self.per_minute
        start = max(busy_until, now)
        tolerance = interval * (self.burst + self.slack)
        wait = start + interval - now - tolerance
        passed = wait <= 1e-9  # sums of tenths are not exact
        if passed:
            start += interval
        free = math.floor((interval * self.burst - (start - now)) / interval + 1e-6)
        return RateVerdict(passed, max(free, 0), max(start - now, 0.0), max(wait, 0.0), start)


class RateLimiter:
    """The state of a rate for each name. Thread-safe; forgets the names that were idle longest."""

    def __init__(self, rate: Rate | None, *, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._busy_until: OrderedDict[str, float] = OrderedDict()

    @property
    def rate(self) -> Rate | None:
        """The rate; None: unlimited."""
        return self._rate

    def peek(self, name: str) -> RateVerdict | None:
        """The verdict that `admit` would give, without counting."""
        if self._rate is None:
            return None
        with self._lock:
            return self._rate.judge(self._busy_until.get(name, 0.0), self._clock())

    def admit(self, name: str) -> RateVerdict | None:
        """Count one request; None if there is no limit."""
        if self._rate is None:
            return None
        now = self._clock()
        with self._lock:
            verdict = self._rate.judge(self._busy_until.pop(name, 0.0), now)
            self._busy_until[name] = verdict.busy_until
            if len(self._busy_until) > TRACKED_MAX:
                self._busy_until.popitem(last=False)
        return verdict


def policy_field(rate: Rate) -> str:
    """The value of RateLimit-Policy."""
    return f'"brain";q={rate.per_minute};w={WINDOW_S}'


def state_field(rate: Rate, verdict: RateVerdict | None) -> str:
    """The value of RateLimit: what remains; `verdict` None: nothing was spent."""
    if verdict is None:
        return f'"brain";r={rate.burst};t=0'
    return f'"brain";r={verdict.remaining};t={math.ceil(verdict.fresh_in_s)}'
