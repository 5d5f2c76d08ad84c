"""Every system call of append, checkpoint and restore as a point of death and of failure; what held, as a table.

    python -m tests.campaigns syscalls [--short] [--path NAME] [--json]

For each path all its system calls are recorded once; then it runs again for each of them, killed there (SIGKILL),
or with that call failing with EIO and ENOSPC. After each run it is checked that nothing acknowledged is lost, nothing
torn is glued, and replication goes on. Exit code 1 if anything did not hold, 3 where strace cannot be used.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.faults.paths import PATHS, Tried
from tests.faults.restoring import RESTORE
from tests.faults.shared import Shared
from tests.faults.strace import Fault, calls_of, faults_at, missing, with_fault
from tests.support.stopping import stoppable

T = TypeVar("T")
SHORT = ("append to a new log", "append behind a torn tail")
SHORT_EACH = 12
"""Of every other path, so many faults spread over it."""


@dataclass
class Row:
    """What one path came to."""

    path: str
    calls: int = 0
    points: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0


def try_path(path: Tried, place: Path, *, short: bool, stopped: Callable[[], bool] = lambda: False) -> Row:
    """All faults of one path, or some of them; fewer if somebody stops it."""
    row, began = Row(path.name), time.monotonic()
    calls = _fresh(path, place / "0", lambda log, shared: calls_of(partial(path.work, log), shared, place / "t"))
    faults = faults_at(calls)
    row.calls = len(calls)
    if short and path.name not in SHORT:
        faults = faults[:: max(1, len(faults) // SHORT_EACH)]
    for number, fault in enumerate(faults):
        if stopped():
            break
        row.points[fault.how] = row.points.get(fault.how, 0) + 1
        why = _fresh(path, place / f"{number}", partial(_one, path, fault))
        if why is not None:
            row.failed.append(f"{fault}: {why}")
    row.seconds = round(time.monotonic() - began, 1)
    return row


def _fresh(path: Tried, directory: Path, trial: Callable[[Path, Shared], T]) -> T:
    """Run a trial with a directory and shared memory of its own."""
    directory.mkdir(mode=0o700)
    shared = Shared()
    try:
        path.prepare(directory / "events.jsonl")
        return trial(directory / "events.jsonl", shared)
    finally:
        shared.close()
        shutil.rmtree(directory)


def _one(path: Tried, fault: Fault, log: Path, shared: Shared) -> str | None:
    ended = with_fault(partial(path.work, log), shared, fault)
    if ended.status is None:
        return "it hung"
    if fault.how != "KILL" and ended.status != 0:
        return f"the failure was not handled: the process ended with status {ended.status}"
    try:
        path.check(log, shared)
    except AssertionError as error:
        return str(error)
    return None


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="all of append, a sample of the others")
    parser.add_argument("--path", help="only the paths whose name has this text")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    chosen = parser.parse_args()
    why = missing()
    if why is not None:
        print(why, file=sys.stderr)
        return 3
    rows: list[Row] = []
    with stoppable() as stopped:
        for path in (*PATHS, RESTORE):
            if (chosen.path is None or chosen.path in path.name) and not stopped():
                with tempfile.TemporaryDirectory(prefix="syscalls-") as place:
                    rows.append(try_path(path, Path(place), short=chosen.short, stopped=stopped))
                if not chosen.json:
                    _show(rows[-1])
    if not chosen.json:
        points, failed = sum(sum(row.points.values()) for row in rows), sum(len(row.failed) for row in rows)
        print(f"together: {sum(row.calls for row in rows)} calls, {points} faults, {failed} failed")
    else:
        print(json.dumps([vars(row) for row in rows]))
    return 1 if any(row.failed for row in rows) else 0


def _show(row: Row) -> None:
    points = ", ".join(f"{count} × {how}" for how, count in row.points.items())
    print(
        f"{row.path:<34} {row.calls:4} calls  {points:<36} {len(row.failed):3} failed  {row.seconds:6.1f} s", flush=True
    )
    for text in row.failed:
        print(f"    {text}", flush=True)
