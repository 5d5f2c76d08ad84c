"""Interpreter exit and fork, for the replicators of this process.

The only module with global state: a process exits and forks once, whatever the number of its replicators. They are
referenced weakly; nothing is registered before the first thread starts.
"""

from __future__ import annotations

import atexit
import os
import select
import sys
import time
import weakref
from collections.abc import Callable
from typing import Protocol

EXIT_DRAIN_S = 0.65
"""Seconds that all replicators of a process together may drain at its exit. Ending the thread and unloading modules
takes up to 0.3 s more on a busy machine (`benchmarks.leaving`).
"""


EXIT_LINE = "replicator: {bytes} bytes wait in the log; they are replicated at the next start"


class Remaining(Protocol):
    """What a drain tells."""

    @property
    def remaining_bytes(self) -> int: ...
    @property
    def reason(self) -> str: ...


class Embedded(Protocol):
    """The part of `loop.Replicator` that exit and fork use."""

    exit_line: str

    @property
    def running(self) -> bool: ...
    def wake(self) -> None: ...
    def leave(self, timeout_s: float) -> Remaining: ...
    def hold_for_fork(self) -> Callable[[], None]: ...
    def forked(self) -> None: ...


class Process:
    """The replicators of this process."""

    def __init__(self) -> None:
        self._embedded: weakref.WeakSet[Embedded] = weakref.WeakSet()
        self._inherited: list[object] = []
        self._let_go: list[Callable[[], None]] = []
        self._armed = False

    def add(self, embedded: Embedded) -> None:
        """Register it for exit and fork."""
        self._embedded.add(embedded)

    def discard(self, embedded: Embedded) -> None:
        """Unregister it, after `close`."""
        self._embedded.discard(embedded)

    def arm(self) -> None:
        """Called when the first thread starts; idempotent."""
        if self._armed:
            return
        self._armed = True
        atexit.register(self._at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def keep_alive(self, inherited: object) -> None:
        """Keep inherited objects of a forked child alive: finalising them would write to the parent's socket."""
        if inherited is not None:
            self._inherited.append(inherited)

    def _at_exit(self) -> None:
        """Drain all replicators, at most EXIT_DRAIN_S in total, and print one line per distinct text about what
        remains.
        """
        deadline = time.monotonic() + EXIT_DRAIN_S
        running = [embedded for embedded in list(self._embedded) if embedded.running]
        for embedded in running:
            embedded.wake()
        drained = [embedded.leave(max(0.0, deadline - time.monotonic())) for embedded in running]
        waiting: dict[str, int] = {}
        for embedded, each in zip(running, drained, strict=True):
            if each.reason != "off":
                waiting[embedded.exit_line] = waiting.get(embedded.exit_line, 0) + each.remaining_bytes
        for line, remaining in waiting.items():
            if remaining:
                _say_last(line.format(bytes=remaining))

    def _before(self) -> None:
        self._let_go = [embedded.hold_for_fork() for embedded in list(self._embedded)]

    def _in_parent(self) -> None:
        held, self._let_go = self._let_go, []
        for let_go in held:
            let_go()

    def _in_child(self) -> None:
        self._let_go = []
        for embedded in list(self._embedded):
            embedded.forked()


PROCESS = Process()


def _say_last(text: str) -> None:
    """A line on stderr at the interpreter's end, if it is read: it must neither hold the process up nor change its exit
    code, as text does that stays in a stream whose pipe is closed."""
    if sys.stderr is None:
        return
    if not hasattr(sys.stderr, "fileno"):  # a host's own stream, which goes into its log
        print(text, file=sys.stderr)
        return
    try:
        descriptor = sys.stderr.fileno()
        if sys.platform == "win32" or select.select([], [descriptor], [], 0)[1]:
            os.write(descriptor, f"{text}\n".encode())
    except (OSError, ValueError):
        return  # closed, a pipe that nobody reads any more, or no descriptor at all
