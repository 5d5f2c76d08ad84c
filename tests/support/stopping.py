"""How a long campaign is ended early: Ctrl-C or SIGTERM let the round under way end, and the sums are printed.

Without it hours of rounds would count for nothing. A second signal, a while later, ends the program as it always did.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ECHO_S = 1.0
"""One Ctrl-C may come twice: from the terminal, and passed on by what started the program."""


@contextmanager
def stoppable(clock: Callable[[], float] = time.monotonic) -> Iterator[Callable[[], bool]]:
    """Yields what says whether somebody asked for the end. On the main thread only."""
    asked: list[float] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _: FrameType | None) -> None:
        asked.append(clock())
        if asked[-1] - asked[0] >= ECHO_S:
            restore()
            signal.raise_signal(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: bool(asked)
    finally:
        restore()
