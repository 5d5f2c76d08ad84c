"""Receives notifications of other processes' commits, by LISTEN, on a thread with its own connection.

A notification is only a hint: the receiver reads the store. After a lost connection, one call that names nothing makes
up for missed ones. Behind a transaction pooler LISTEN receives nothing: give the server a direct address.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

import psycopg

from gradata.cloud.store.postgres.connection import CHANNEL, connect
from gradata.cloud.store.values import ChangeListener

WAIT_S = 0.5
AGAIN_S = 2.0
SILENCE_S = 10.0
"""After so long without a word the connection is asked whether it lives."""

log = logging.getLogger("gradata.cloud")


class Listening:
    """The listeners of one store. The thread runs while there is one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._listeners: dict[object, ChangeListener] = {}
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self.own_pid: int | None = None
        """The database's process that tells for this store: its own listeners were told at once, by `tell`."""

    def add(self, told: ChangeListener) -> Callable[[], None]:
        """Tell `told` from now on; the result ends it."""
        mark = object()
        with self._lock:
            self._listeners[mark] = told
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._run, name="gradata-listen", daemon=True)
                self._thread.start()

        def end() -> None:
            with self._lock:
                self._listeners.pop(mark, None)

        return end

    def tell(self, brains: Collection[str]) -> None:
        """Tell all listeners."""
        with self._lock:
            listeners = list(self._listeners.values())
        for told in listeners:
            told(brains)

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._hear()
            except psycopg.Error as error:
                log.warning("hints of other processes do not come now: %s", str(error).strip().partition("\n")[0])
                self._ended.wait(AGAIN_S)

    def _hear(self) -> None:
        with connect(self._url) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self.tell(())  # what was said before is not heard
            heard = time.monotonic()
            while not self._ended.is_set():
                for notify in connection.notifies(timeout=WAIT_S):
                    heard = time.monotonic()
                    if notify.pid != self.own_pid:
                        self.tell(notify.payload.split("\n") if notify.payload else ())
                if time.monotonic() - heard > SILENCE_S:
                    connection.execute("SELECT 1")  # whether anybody is there still
                    heard = time.monotonic()
