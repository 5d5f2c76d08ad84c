"""A brain's link to what replicates it: a Replicator, or the look-out for what keeps one away.

What keeps it away can change while the brain is open: someone saves a key, gives consent, mends a config file. That
is looked for at each append, at most once a second, and between appends by one thread of the process, so that an agent
that is moved to the cloud brings its backlog along without a new correction. The thread lives while a brain waits for
a file to change: it does not run where the environment or the host forbids replication, which no file can change.
Partners: `config.settings` says what is allowed, `replicate.wiring` opens, `brain` appends and wakes.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradata.brain.fork_safe import PerProcess
from gradata.config.settings import NO_KEY, Settings, why_local
from gradata.hints import hint_of
from gradata.replicate.wiring import Replication
from replicator.errors import ReplicatorError
from replicator.model import Identity

if TYPE_CHECKING:
    from replicator.loop import Drained

LOOK_AGAIN_S = 1.0
"""Seconds between two checks for a key or consent. A check is a few `stat` calls: 6 ms of CPU a minute."""
SAID_MAX = 1_000

log = logging.getLogger("gradata")

OpenReplicator = Callable[[Settings, str, Identity], Replication | None]


class Link:
    """Owns the brain's replicator, or polls for one to become possible. All methods are thread-safe."""

    def __init__(
        self,
        settings: Settings,
        log_path: str,
        identity: Identity,
        *,
        open_replicator: OpenReplicator,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._log_path = log_path
        self._identity = identity
        self._open_replicator = open_replicator
        self._monotonic_s = monotonic_s
        self._looking = PerProcess(_Looking)
        self._closed = False
        self.replicator: Replication | None = None

    def wake(self) -> None:
        """Signal an append. Without a replicator, check from time to time whether there can be one."""
        if (replicator := self.replicator) is not None:
            replicator.wake()
        elif self._monotonic_s() >= self._looking.own().next_s:
            self.look()

    def look(self) -> None:
        """Start a replicator if that is possible now. Returns at once if another thread is doing it."""
        looking = self._looking.own()
        if self._closed or self.replicator is not None or not looking.lock.acquire(blocking=False):
            return
        try:
            looking.next_s = self._monotonic_s() + LOOK_AGAIN_S
            self._look()
        finally:
            looking.lock.release()

    def close(self, timeout_s: float) -> Drained | None:
        """Drain and stop, within `timeout_s`; None without a replicator. Nothing starts again. Safe to repeat."""
        self._closed = True
        _LOOKOUT.own().discard(self)
        replicator, self.replicator = self.replicator, None
        return None if replicator is None else replicator.close(timeout_s)

    def _look(self) -> None:
        forbidden = why_local(self._settings)
        if forbidden is not None:
            level = logging.INFO if forbidden.by_choice else logging.WARNING
            what = "corrections stay on this machine" if forbidden.why == NO_KEY else "nothing is replicated from here"
            _SAID.once(level, f"{what}: {forbidden.why}; {forbidden.hint}")
            if not forbidden.for_good:
                _LOOKOUT.own().add(self)
            return
        _LOOKOUT.own().discard(self)
        try:
            replicator = self._open_replicator(self._settings, self._log_path, self._identity)
            if replicator is not None:
                replicator.start()
                self.replicator = replicator
                if self._closed:  # by another thread, meanwhile
                    self.close(timeout_s=0)
        except ReplicatorError as error:
            _SAID.once(logging.ERROR, f"nothing is replicated from here: {error}; {hint_of(error)}")
        except RuntimeError as error:  # "can't start new thread": a limit, or the interpreter is going down
            _SAID.once(logging.ERROR, f"nothing is replicated from here: {error}; run: gradata replicate --follow")


class _Looking:
    """When this process checks again."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.next_s = float("-inf")


class _Lookout:
    """The thread that polls for all waiting brains of a process. A daemon; it ends with the last of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: weakref.WeakSet[Link] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._nobody = threading.Event()

    def add(self, link: Link) -> None:
        """Register a waiting brain. Without a thread, its appends check."""
        with self._lock:
            self._waiting.add(link)
            self._nobody.clear()
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="gradata-lookout", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # a limit, or the interpreter is going down
            self._thread = thread

    def discard(self, link: Link) -> None:
        """Unregister a brain. Safe to repeat; the thread ends with the last one."""
        with self._lock:
            self._waiting.discard(link)
            if self._waiting:
                return
            self._nobody.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(LOOK_AGAIN_S)

    def _run(self) -> None:
        while True:
            self._nobody.wait(LOOK_AGAIN_S)
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                waiting = list(self._waiting)
            while waiting:  # no reference is kept while it sleeps: a brain that nobody has any more goes
                waiting.pop().look()


class _Said:
    """Messages already logged in this process: a host that opens a brain for each request gets them once."""

    def __init__(self) -> None:
        self._texts: set[str] = set()

    def once(self, level: int, text: str) -> None:
        if text not in self._texts and len(self._texts) < SAID_MAX:
            self._texts.add(text)
            log.log(level, "%s", text)


_LOOKOUT = PerProcess(_Lookout)
_SAID = _Said()
