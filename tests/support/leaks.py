"""Processes and threads that a test leaves behind: the test that started them fails, not a later one.

What a fixture of a wider scope starts (a shared cloud, a database) may outlive the test, and so may what its processes
start in turn. Needs /proc; elsewhere nothing is found.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator, Iterator

import pytest

GONE_S = 10.0
"""How long what was told to end may take to be gone."""
_HELPERS = ("multiprocessing.forkserver", "multiprocessing.resource_tracker")
"""Processes of the standard library that live as long as this one; the first forks the servers of the tests."""
_THREADS = ("execnet", "pytest_timeout", "pytest-timeout", "asyncio_", "AnyIO worker thread", "gradata-write-side")
"""The runner's own, and workers of thread pools: those begin when first needed, so a server that several tests share
starts them within any of these."""


class Leaks:
    """What may be there: everything that was seen by `allow`."""

    def __init__(self) -> None:
        self._processes: set[int] = set()
        self._threads: set[int] = set()
        self.allow()

    def allow(self) -> None:
        """Whatever runs now may outlive the test."""
        self._processes |= set(self._descendants())
        self._threads |= {thread.ident or 0 for thread in threading.enumerate()}

    def found(self) -> list[str]:
        """What else runs, once it had time to end. Processes are killed, so that one test is to blame for each."""
        deadline = time.monotonic() + GONE_S
        while (left := self._left()) and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        for pid in left:
            if isinstance(pid, int):
                os.kill(pid, signal.SIGKILL)
        self.allow()
        return [f"process {pid}: {_command(pid)}" if isinstance(pid, int) else f"thread {pid}" for pid in left]

    def _left(self) -> list[int | str]:
        threads = [
            thread.name
            for thread in threading.enumerate()
            if thread.ident not in self._threads and not thread.name.startswith(_THREADS)
        ]
        return [*threads, *(pid for pid in self._descendants() if not _ended(pid))]

    def _descendants(self) -> Iterator[int]:
        """Processes below this one that are not allowed yet, without looking below those that are."""
        waiting = [os.getpid()]
        while waiting:
            for pid in _children(waiting.pop()):
                helper = any(name in _command(pid) for name in _HELPERS)
                if helper:
                    waiting.append(pid)
                elif pid not in self._processes:
                    yield pid
                    waiting.append(pid)


class LeakCheck:
    """The plugin: every test ends with a look at what it left behind."""

    def __init__(self) -> None:
        self._leaks = Leaks()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """What a shared fixture starts outlives the test that asked for it first."""
        result = yield
        if fixturedef.scope != "function":
            self._leaks.allow()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """A test that leaves a process or thread behind fails itself."""
        result = yield
        if found := self._leaks.found():
            pytest.fail("left behind: " + "; ".join(found), pytrace=False)
        return result


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended meanwhile, or there is no such file here
    return found


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            return file.read().replace("\0", " ").strip()[:300]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _ended(pid: int) -> bool:
    """Whether it is a zombie: its parent has only not asked for it yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
