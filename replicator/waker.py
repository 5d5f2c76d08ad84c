"""Wakes the replicator when the log may have grown.

A wake is a hint: the replicator then looks at the log itself. It comes from this process (`wake`), from file events
(another process appended), or from nobody, in which case `wait` ends after `timer_s`. So a network disk without events,
a watch limit or a dead watcher cost latency, never a record.

Only this module uses watchfiles, and loads it in the watching thread, because that costs 60 ms.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

STEP_MS = 100
"""Milliseconds that watchfiles sleeps between looks. Measured on two cores, idle CPU seconds a minute and p50/max of a
wake from another process: 50 ms 0.10, 77/130 ms; 100 ms 0.05, 164/201 ms; 150 ms 0.04, 226/303 ms; 200 ms 0.03, 299/409
ms.
"""
DEBOUNCE_MS = 200
"""Maximum milliseconds for which events of a busy directory are collected."""
TICK_MS = 1_000
"""Interval, in milliseconds, at which the watching thread checks that it watches the right directory."""
REARM_S_FIRST = 1.0
REARM_S_MAX = 60.0

Filter = Callable[[object, str], bool]
Watch = Callable[[str, Filter, threading.Event], Iterable[object]]
"""Watches a directory until the event is set: calls the filter with (change, path), yields once per tick."""


class WakerPort(Protocol):
    """The part of a waker that the loop uses; `replicator.testing.ManualWaker` is the fake."""

    @property
    def watching(self) -> bool: ...
    def wake(self) -> None: ...
    def wait(self, timeout_s: float | None) -> bool: ...
    def abandon(self) -> None: ...
    def close(self) -> None: ...


def watch_directory(directory: str, heard: Filter, stop: threading.Event) -> Iterable[object]:
    """File events by watchfiles. Raises OSError or RuntimeError if the system gives no watch."""
    from watchfiles import watch  # 60 ms and anyio: not for those who only import replicator

    return watch(
        directory,
        watch_filter=heard,
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        stop_event=stop,
        rust_timeout=TICK_MS,
        yield_on_timeout=True,
        debug=False,
        raise_interrupt=False,
        force_polling=False,
        recursive=False,
        ignore_permission_denied=False,
    )


class Waker:
    """Wakes one waiting thread. `wake` may be called from any thread and from a signal handler.

    Level-triggered: a wake while nobody waits ends the next wait at once; several count as one. The daemon thread
    `replicator-watch` starts with the first wait.
    """

    def __init__(
        self, path: str, *, timer_s: float = 2.0, watch: bool = True, watch_directory: Watch = watch_directory
    ) -> None:
        assert timer_s > 0
        self._timer_s = timer_s
        self._token = _token()
        self._watcher = _Watcher(path, self.wake, watch_directory) if watch else None

    @property
    def watching(self) -> bool:
        """Whether file events are expected; if not, only the timer finds what other processes append."""
        return self._watcher is not None and self._watcher.watching

    @property
    def deaf_because(self) -> str | None:
        """Why no file events arrive, or None."""
        return None if self._watcher is None or self._watcher.watching else self._watcher.deaf_because

    def wake(self) -> None:
        """End the present wait, or the next one. Takes less than a microsecond and no lock; safe to repeat."""
        try:
            self._token.release()
        except RuntimeError:
            return  # it is released already: a wake is waiting to be noticed

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for a wake; True if there was one. Never longer than `timer_s`, whatever `timeout_s` says."""
        if self._watcher is not None:
            self._watcher.keep_going()
        wait_s = self._timer_s if timeout_s is None else min(max(timeout_s, 0.0), self._timer_s)
        return self._token.acquire(timeout=wait_s) if wait_s else self._token.acquire(blocking=False)

    def abandon(self) -> None:
        """In a forked child: the watching thread belongs to the parent. Wakes and the timer continue, file events do
        not.
        """
        self._token = _token()
        self._watcher = None

    def close(self) -> None:
        """End the watching thread (it takes up to a tenth of a second) and any wait. Safe to repeat."""
        self.wake()
        if self._watcher is not None:
            self._watcher.close()


def _token() -> threading.Lock:
    """A lock as a binary semaphore: released means woken.

    Its release is safe in a signal handler, unlike an Event's.
    """
    token = threading.Lock()
    token.acquire()
    return token


class _Watcher:
    """The watching thread. Each tick it compares directory and log with the events it received."""

    def __init__(self, path: str, wake: Callable[[], None], watch_directory: Watch) -> None:
        self._path = path
        self._directory = os.path.dirname(path) or "."
        self._watched = self._directory
        self._name = os.path.basename(path)
        self._wake = wake
        self._watch_directory = watch_directory
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._restart_at = 0.0
        self._armed = False
        self._heard = False
        self._lost = False
        self.deaf_because = "not started"

    @property
    def watching(self) -> bool:
        return self._armed and self._thread is not None and self._thread.is_alive()

    def keep_going(self) -> None:
        """Start the thread; start it again if it died, at most once in REARM_S_MAX. Called by the waiting thread."""
        if (self._thread is not None and self._thread.is_alive()) or self._stop.is_set():
            return
        now = time.monotonic()
        if now < self._restart_at:
            return
        self._restart_at = now + REARM_S_MAX
        self._thread = threading.Thread(target=self._run, name="replicator-watch", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            self._thread = None
            self.deaf_because = str(error)

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        retry_s = REARM_S_FIRST
        try:
            while not self._stop.is_set():
                try:
                    healthy = self._watch_once()
                except (OSError, RuntimeError, ImportError, UnicodeError) as error:
                    # No such directory, the limit on watches, a watchfiles that cannot be loaded or gave up, a path
                    # that is not UTF-8 (watchfiles takes no other): the timer still looks.
                    self.deaf_because = f"{type(error).__name__}: {error}"
                    healthy = False
                finally:
                    self._armed = False
                retry_s = REARM_S_FIRST if healthy else min(retry_s * 2, REARM_S_MAX)
                self._stop.wait(retry_s)
        finally:
            self._armed = False

    def _watch_once(self) -> bool:
        """Watch until this watch is of no use any more. True if it was a good one: its directory went away."""
        directory = _identity(self._directory)
        if directory is None:
            raise FileNotFoundError(f"{self._directory} does not exist")
        self._lost = False
        self._watched = os.path.realpath(self._directory)
        log = _state(self._path)
        silent_change = False
        for _ in self._watch_directory(self._watched, self._filter, self._stop):
            if self._stop.is_set():
                return True
            if not self._armed:
                self._armed = True
                self._wake()  # whatever was appended before the first tick
            if self._lost or _identity(self._directory) != directory:
                self.deaf_because = f"{self._directory} was replaced"
                self._wake()
                return True
            heard, self._heard = self._heard, False
            now = _state(self._path)
            if now != log:
                self._wake()
            if silent_change and not heard:  # a whole tick has passed: no event is on its way any more
                self.deaf_because = f"file events of {self._directory} do not arrive"
                return False
            silent_change = now != log and not heard
            log = now
        self.deaf_because = "the watch ended by itself"
        return self._stop.is_set()

    def _filter(self, _change: object, path: str) -> bool:
        """Ten corrections make 25 events of other files. Wakes here; never lets one through, so that watchfiles
        has nothing to write into the host's log."""
        if os.path.basename(path) == self._name:
            self._heard = self._armed = True
            self._wake()
        elif path == self._watched:
            self._lost = True  # an event of the watched directory itself: removed or renamed; its inode may come again
        return False


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _state(path: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
