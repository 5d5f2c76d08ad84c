"""What other processes of a user run: a function that a spawned child can import, and a program as text."""

from __future__ import annotations

from gradata import Brain

LEAVE = """
import atexit, sys, time
marks = []
atexit.register(lambda: print(time.monotonic() - marks[0]))  # registered first, so it runs last
from gradata import Brain
brain = Brain(sys.argv[1])
atexit.register(lambda: marks.append(time.monotonic()))
for n in range(50):
    brain.correct(f"draft {n}", f"final {n}")
print("done", flush=True)
"""
"""50 corrections and no close(); prints "done", and last of all how many seconds our part of its exit took."""
EXIT_S_MAX = 6.0
"""A second, and what a busy machine adds to it; far below the time-out of a request, 30 s."""


def ten_by(given: Brain | str) -> None:
    """Ten events by the parent's Brain, or by one of our own at this path."""
    brain = Brain(given) if isinstance(given, str) else given
    for number in range(10):
        brain.emit("NOTE", "child", {"number": number})
