"""State that belongs to one process and must never be used in a forked child: connections, locks, threads.

SQLite forbids even closing a connection that was inherited across a fork, and an inherited lock may be held by a thread
that does not exist in the child. So each process creates its own on first use and leaves the parent's alone. Partners:
`events.Ulids`, `projection.Projection` and `brain.Brain`, which keep their state in one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """One value for each process: `own()` gives this process's, made on its first call.

    Needs no lock (one could be inherited locked): `dict.setdefault` is atomic, so two threads that come first
    together get the same value. The parent's value stays referenced, so that no child finalises it.
    """

    __slots__ = ("_make", "_values")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[int, T] = {}

    def own(self) -> T:
        """This process's value. `make` must be cheap and without effect: a racing thread's may be dropped."""
        pid = os.getpid()
        value = self._values.get(pid)
        return self._values.setdefault(pid, self._make()) if value is None else value
