"""Supervises several server processes on one store: starts, watches, replaces and ends them.

All accept from one listening socket, which this process opened and keeps. When a worker ends, connections in the
socket's queue wait for the others, so a rolling restart (SIGHUP) loses no request; with a socket each (SO_REUSEPORT)
they would be reset. A worker that dies is restarted. Without this process the workers end.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from prometheus_client import multiprocess

from gradata.cloud.service.metrics import SHARED_DIRECTORY

READY_S = 30.0
AGAIN_S = 1.0
"""Minimum seconds between two starts of a worker that dies."""
END_S = 20.0
"""Seconds after SIGTERM before SIGKILL; more than a server needs to finish its requests."""
WORKERS_MAX = 64

log = logging.getLogger("gradata.cloud")

Serve = Callable[[socket.socket, Callable[[], None]], None]
"""Serves until a signal; calls back once when it accepts requests. Must be importable: it runs in another process."""


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    line: Connection
    started_s: float

    def ready(self, timeout_s: float) -> bool:
        """Whether it accepts requests, after waiting for it."""
        return self.line.poll(timeout_s) and self._heard()

    def _heard(self) -> bool:
        try:
            return bool(self.line.recv())
        except EOFError:
            return False

    def end(self) -> None:
        """Ask it to finish its requests and end."""
        self.process.terminate()

    def gone(self) -> None:
        """Wait for its end."""
        self.process.join(END_S)
        if self.process.is_alive():
            log.error("worker %s did not end in time and is killed", self.process.pid)
            self.process.kill()
            self.process.join()
        self.line.close()
        if self.process.pid is not None:
            multiprocess.mark_process_dead(self.process.pid)  # type: ignore[no-untyped-call]


class WorkerSupervisor:
    """Keeps `count` workers alive until SIGTERM or SIGINT. `run` on the main thread."""

    def __init__(self, serve: Serve, listening: socket.socket, count: int) -> None:
        self._serve = serve
        self._listening = listening
        self._count = count
        self._spawning = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._ending: int | None = None
        self._rolling = False

    def run(self) -> None:
        """Start the workers and watch them; ends as the signal does that ended it."""
        woken, waking = socket.socketpair()
        for end in (woken, waking):
            end.setblocking(False)
        wakeup_before = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in handled}
        counts = tempfile.TemporaryDirectory(prefix="gradata-metrics-")
        os.environ[SHARED_DIRECTORY] = counts.name  # the workers inherit it, and count there
        try:
            self._workers = [self._start() for _ in range(self._count)]
            while self._ending is None:
                self._wait(woken)
                if self._rolling:
                    self._roll()
                self._replace_dead()
        finally:
            for worker in self._workers:
                worker.end()
            for worker in self._workers:
                worker.gone()
            del os.environ[SHARED_DIRECTORY]
            counts.cleanup()
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup_before)
            woken.close()
            waking.close()
        signal.raise_signal(self._ending)

    def _on_signal(self, number: int, _: object) -> None:
        if number == signal.SIGHUP:
            self._rolling = True
        else:
            self._ending = number

    def _wait(self, woken: socket.socket) -> None:
        """Until a signal came or a worker died."""
        wait([woken, *(worker.process.sentinel for worker in self._workers)])
        try:
            woken.recv(1024)
        except BlockingIOError:
            return

    def _start(self) -> _Worker:
        ours, theirs = self._spawning.Pipe()
        process = self._spawning.Process(target=_work, args=(self._serve, self._listening, theirs), daemon=False)
        process.start()
        theirs.close()
        return _Worker(process, ours, time.monotonic())

    def _replace_dead(self) -> None:
        for place, worker in enumerate(self._workers):
            if self._ending is None and not worker.process.is_alive():
                log.error("worker %s ended (%s); another is started", worker.process.pid, worker.process.exitcode)
                worker.gone()
                time.sleep(max(0.0, worker.started_s + AGAIN_S - time.monotonic()))
                self._workers[place] = self._start()

    def _roll(self) -> None:
        """Replace the workers one by one, each only when its successor accepts requests."""
        self._rolling = False
        for place, old in enumerate(self._workers):
            fresh = self._start()
            if self._ending is not None or not fresh.ready(READY_S):
                log.error("the rolling restart stopped: a new worker did not begin to serve; the old ones go on")
                fresh.end()
                fresh.gone()
                return
            self._workers[place] = fresh
            old.end()
            old.gone()


def _work(serve: Serve, listening: socket.socket, line: Connection) -> None:
    """A worker's life."""

    def orphaned() -> None:
        try:
            line.recv()  # nothing is ever said: it ends when the supervisor's process does
        except (EOFError, OSError):
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=orphaned, name="gradata-orphaned", daemon=True).start()
    try:
        serve(listening, lambda: line.send(True))
    except KeyboardInterrupt:
        return  # Ctrl-C reaches the whole group; the server has ended in order
