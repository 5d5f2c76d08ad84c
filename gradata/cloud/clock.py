"""The clock of the cloud: what reads the time imports this; `domain` gets `now` as a value."""

from __future__ import annotations

import time


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000
