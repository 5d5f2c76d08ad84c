"""Have the kernel fail or kill a process at one system call of its: `strace -e inject`, attached to a forked child.

The child spins until strace is there, so the calls are counted from the beginning of what is tried, and counted alike
in every run. `setup.sh` beside this file installs strace.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.shared import Shared

HANGS_S = 30.0
Work = Callable[[Shared], Callable[[], None]]
"""Prepares in the child, untraced, and returns what is tried."""
_CALL = re.compile(r"^(?:\d+ +)?([a-z_0-9]+)\(")
OF_THE_TRIAL = frozenset({"clock_nanosleep", "restart_syscall", "exit_group", "exit"})
"""Calls of the waiting child and of its end: no part of what is tried."""
MEMORY_AND_SIGNALS = re.compile(
    r"^(mmap|munmap|mremap|madvise|brk|futex|rt_sig.*|get.*id|getrandom|clock_.*|sched_.*)$"
)
"""Calls that know no EIO and no ENOSPC; they are points of death alone."""


@dataclass(frozen=True, slots=True)
class Fault:
    """At the `nth` call of this name: SIGKILL before it happens, or its failure with an errno."""

    call: str
    nth: int
    how: str
    """KILL, EIO or ENOSPC."""

    @property
    def inject(self) -> str:
        """As strace wants it."""
        what = "signal=KILL" if self.how == "KILL" else f"error={self.how}"
        return f"inject={self.call}:{what}:when={self.nth}"

    def __str__(self) -> str:
        return f"{self.how} at {self.call} #{self.nth}"


@dataclass(frozen=True, slots=True)
class Ended:
    """How the child ended: its wait status, or None if it hung and had to be killed."""

    status: int | None


def missing() -> str | None:
    """Why this cannot be done here; None if it can."""
    if shutil.which("strace") is None:
        return "no strace here: run tests/faults/setup.sh"
    trial = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return None if trial.returncode == 0 else f"strace may not trace here: {trial.stderr.strip()}"


def calls_of(work: Work, shared: Shared, trace: Path) -> list[tuple[str, int]]:
    """Every system call that `work` makes, each with its number among those of its name."""
    ended = _run(work, shared, ["-o", str(trace)])
    assert ended.status == 0, f"it fails without any fault: {ended}"
    counts: dict[str, int] = {}
    calls = []
    for line in trace.read_text().splitlines():
        found = _CALL.match(line)
        if found is None or found[1] in OF_THE_TRIAL:
            continue
        counts[found[1]] = counts.get(found[1], 0) + 1
        calls.append((found[1], counts[found[1]]))
    return calls


def faults_at(calls: list[tuple[str, int]]) -> list[Fault]:
    """All faults at these calls."""
    return [
        Fault(name, nth, how)
        for name, nth in calls
        for how in ("KILL", "EIO", "ENOSPC")
        if how == "KILL" or not MEMORY_AND_SIGNALS.match(name)
    ]


def with_fault(work: Work, shared: Shared, fault: Fault) -> Ended:
    """Run `work` in a forked child with this fault."""
    return _run(work, shared, ["-o", os.devnull, "-e", f"trace={fault.call}", "-e", fault.inject])


def _run(work: Work, shared: Shared, options: list[str]) -> Ended:
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            trial = work(shared)
            shared.get_ready()
            while not shared.started:
                time.sleep(0.0005)
            trial()
            status = 0
        finally:
            os._exit(status)
    while not shared.ready:
        assert os.waitpid(pid, os.WNOHANG)[0] == 0, "it ended before it was tried"
        time.sleep(0.0005)
    command = ["strace", "-p", str(pid), *options]
    # A session of its own: Ctrl-C is for the campaign, and a trial that lost its tracer would wait for ever.
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        assert "attached" in said, said
        shared.start()
        return Ended(_wait(pid))
    finally:
        tracer.wait(HANGS_S)
        tracer.stderr.close()


def _wait(pid: int) -> int | None:
    deadline = time.monotonic() + HANGS_S
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.0005)
