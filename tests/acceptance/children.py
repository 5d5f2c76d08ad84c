"""Functions that children of `multiprocessing` run: a spawned one must be able to import them."""

from __future__ import annotations

from gradata import Brain


def ten_by(given: Brain | str) -> None:
    """Ten events by the parent's Brain, or by one of our own at this path."""
    brain = Brain(given) if isinstance(given, str) else given
    for number in range(10):
        brain.emit("NOTE", "child", {"number": number})
