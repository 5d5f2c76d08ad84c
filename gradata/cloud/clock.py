"""The cloud's wall clock. Code that reads the time imports this; `domain` gets `now` as a value."""

from __future__ import annotations

import time


def now_us() -> int:
    """The present time in microseconds since 1970 (UTC)."""
    return time.time_ns() // 1000
