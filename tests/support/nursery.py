"""Processes that start in a tenth of a second: forked from one that has everything imported already.

A server of its own for a test costs more than a second otherwise, nearly all of it imports, and the tests start more
than a hundred. What is forked is a process like any other: it has its own pid and environment, is killed with signals,
and its end tells how. The one that forks has one thread and opens nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, TextIO

PRELOADED = (
    "pytest",
    "gradata.cloud.server",
    "gradata.cloud.app",
    "gradata.cloud.store.sqlite.store",
    "gradata.cloud.store.postgres.store",
    "gradata.brain.brain",
    "gradata.cli.replicate",
    "httpx",
)
"""pytest, since a child looks at what its parent's parent runs."""

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(list(PRELOADED))


class Forked:
    """A program in a process of its own, as `python -W error -c PROGRAM` but for the imports. It ends with this one.

    What it says on the descriptor `heard` is read from `said`; if that is its standard output, its errors are lost.
    """

    def __init__(self, program: str, arguments: Sequence[str], environ: dict[str, str], *, heard: int = 2) -> None:
        ours, theirs = _forking.Pipe(duplex=False)
        self._process: Any = _forking.Process(
            target=_live, args=(program, list(arguments), environ, theirs, heard), daemon=True
        )
        self._process.start()
        theirs.close()
        self.said: TextIO = os.fdopen(os.dup(ours.fileno()), encoding="utf-8", errors="replace")
        ours.close()
        self.pid = int(self._process.pid)

    def poll(self) -> int | None:
        """How it ended, as `Popen.poll`: minus the signal's number if one ended it; None while it runs."""
        status: int | None = self._process.exitcode
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end and let go of it."""
        self._process.join(timeout_s)
        status = self.poll()
        assert status is not None, f"process {self.pid} did not end within {timeout_s} s"
        return status


def _live(program: str, arguments: list[str], environ: dict[str, str], speaking: Connection, heard: int) -> None:
    """The child's life."""
    if heard != 2:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(speaking.fileno(), heard)
    speaking.close()
    os.environ.clear()
    os.environ.update(environ)
    warnings.simplefilter("error")
    sys.argv = ["-c", *arguments]
    exec(program, {"__name__": "__main__"})
