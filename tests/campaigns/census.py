"""What a process has in memory, counted by itself: to tell a leak from an allocator that keeps what was once needed.

Resident memory cannot tell the two apart. A leak shows in what lives: blocks of Python's allocator behind a full
collection, bytes that the C heap has given out, of those SQLite's (its page caches fill up to a bound). Objects are
not counted: `gc.get_objects()` in one thread makes `tuple(generator)` of another one fail with a SystemError, since
it holds the tuple that is just being made (CPython issue 39117).
Partner: `soak`, which starts this inside what it watches and reads the lines.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

EVERY_S = 10.0
"""A full collection takes some 20 ms; it frees cycles sooner than without a census, and nothing else."""


class _Heap(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "used", "free", "keepcost")
    )


def begin(path: str) -> None:
    """Count from now on, a line of JSON in the file at `path` each time."""
    threading.Thread(target=_go_on, args=(Path(path),), name="census", daemon=True).start()


def _go_on(path: Path) -> None:
    while True:
        time.sleep(EVERY_S)
        with path.open("a") as file:
            file.write(json.dumps(count()) + "\n")


def count() -> dict[str, float]:
    """Blocks, and KiB: of the C heap given out and kept though free, of SQLite. 0 for what is not known."""
    gc.collect()
    heap = _heap()
    return {
        "blocks": float(sys.getallocatedblocks()),
        "heap": (heap.used + heap.hblkhd) / 1024 if heap else 0.0,
        "kept": heap.free / 1024 if heap else 0.0,
        "sqlite": _sqlite_bytes() / 1024,
    }


def _heap() -> Any:
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return None  # not glibc, or one before 2.33
    mallinfo2.restype = _Heap
    return mallinfo2()


def _sqlite_bytes() -> float:
    """sqlite3_memory_used(), of the library that the interpreter's own module stands on."""
    module = sys.modules.get("_sqlite3")
    try:
        used = ctypes.CDLL(getattr(module, "__file__", None)).sqlite3_memory_used
    except AttributeError:
        return 0.0  # not loaded, or it is not to be found from there
    used.restype = ctypes.c_int64
    return float(used())
