"""Information about other processes: who holds the writers' lock of a log, and who is stopped.

A writer holds the lock for one write. A process that is stopped meanwhile holds it until it continues or ends; others
then append without it after `log.appending.LOCK_WAIT_S`. Any answer may be out of date.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

HELD_S = 0.25
"""A lock held for this many seconds does not belong to a normal write."""
_LOOK_S = 0.01
_LOCKS = "/proc/locks"


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A process that holds the lock. `pid` None: the system does not tell. `stopped`: by a signal, or traced."""

    pid: int | None = None
    stopped: bool = False


def lock_holder(path: str) -> LockHolder | None:
    """The process that has held the lock of the log at `path` for HELD_S; None if there is none, or no way to find out.

    Takes up to HELD_S if the lock is held. Takes no lock itself where the system lists them (Linux).
    """
    if sys.platform == "win32":
        return None
    deadline = time.monotonic() + HELD_S
    while (holder := _now(path)) is not None and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return holder


def _now(path: str) -> LockHolder | None:
    """From the kernel's list: `1: FLOCK  ADVISORY  WRITE 4242 fd:01:131 0 EOF` (proc_locks(5))."""
    try:
        found = os.stat(path)
        with open(_LOCKS, encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return None
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for fields in lines:
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5] == name:  # a waiter has an arrow before FLOCK
            pid = int(fields[4])
            return LockHolder(pid if pid > 0 else None, is_stopped(pid))
    return None


def is_stopped(pid: int) -> bool:
    """Whether this process is stopped by a signal, or traced. False where the system does not say (not Linux)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False
