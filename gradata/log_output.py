"""A stream for logs whose writer never waits: nobody may stop a server by not reading its stderr.

A thread of the stream's own writes to the descriptor. Where that does not take the lines (a full pipe, a terminal that
was stopped with Ctrl-S) up to LINES_MAX are kept, and what comes then is dropped and counted; the count is written as
soon as there is room. A descriptor that fails (a closed pipe, a full disk) loses lines, and is no error of the program.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque

LINES_MAX = 1_000
FULL_S = 0.1
CLOSE_S = 0.5
"""How long `close` waits for what is kept to be written."""


class DroppingStream:
    """As much of a text stream as `logging.StreamHandler` and `print` need. Safe to use from several threads.

    `dropped` counts lost writes. In a forked child it begins anew, without the lines that the parent keeps.
    """

    def __init__(self, descriptor: int, *, lines_max: int = LINES_MAX) -> None:
        self._descriptor = descriptor
        self._lines_max = lines_max
        self.dropped = 0
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._kept: deque[bytes] = deque()
        self._untold = 0
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> int:
        """Keep it for the thread, or drop it. Never waits for the descriptor, never raises for it."""
        if self._pid != os.getpid():
            self._begin()
        with self._changed:
            if len(self._kept) >= self._lines_max:
                self.dropped += 1
                self._untold += 1
                return len(text)
            self._kept.append(text.encode("utf-8", "backslashreplace"))
            self._changed.notify_all()
            if self._thread is None:
                self._start()
        return len(text)

    def flush(self) -> None:
        """Nothing: the thread writes at once, as far as it can."""

    def isatty(self) -> bool:
        """Whether a person reads it, perhaps."""
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Give what is kept CLOSE_S seconds to be written, then end the thread, unless a write keeps it.

        The descriptor stays open: it is the process's. A later write starts a thread again.
        """
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join(CLOSE_S)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="gradata-log", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads, or the interpreter is ending
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._kept:
                    if self._thread is not threading.current_thread():
                        return  # closed
                    self._changed.wait()
                text = self._kept.popleft()
                if self._untold:
                    text = b"%d log lines were dropped: nobody read them\n" % self._untold + text
                    self._untold = 0
            if not self._written(text):
                self.dropped += 1

    def _written(self, text: bytes) -> bool:
        while text:
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:  # somebody made it non-blocking, and it is full
                time.sleep(FULL_S)
            except OSError:
                return False
        return True
