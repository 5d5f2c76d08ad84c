"""Memory that a process shares with the one that forked it: promises and the fake cloud outlive a SIGKILL.

Writing to it is no system call, so it neither is a point of death itself nor shifts the count of those that are.
"""

from __future__ import annotations

import mmap
import pickle
import struct
from enum import IntEnum

from replicator.testing import MemoryCloud

BYTES = 1 << 20
PROMISES_MAX = 64
_LENGTH = struct.Struct("<Q")
_CLOUD_AT = 2 + PROMISES_MAX
"""Layout: one byte that says go, one that says ready, one a promise, then the cloud: its length, and it pickled."""


class Said(IntEnum):
    """What the process said of one thing that it did, when it came back."""

    NOTHING = 0
    DONE = 1
    REFUSED = 2
    """It did not happen: no part of it."""
    UNSURE = 3
    """It happened, but may not survive a power cut."""


class Shared:
    """One such memory, made before the fork."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, BYTES)

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._memory[0] == 1

    def start(self) -> None:
        """Let the forked process go on."""
        self._memory[0] = 1

    @property
    def ready(self) -> bool:
        """Whether the forked process has prepared what it will try."""
        return self._memory[1] == 1

    def get_ready(self) -> None:
        """Said by the forked process."""
        self._memory[1] = 1

    def say(self, number: int, said: Said) -> None:
        """Keep what came of thing `number`."""
        self._memory[2 + number] = said

    def said(self, number: int) -> Said:
        """What came of it."""
        return Said(self._memory[2 + number])

    def keep(self, cloud: MemoryCloud) -> None:
        """Keep what the cloud has: as durable as a server that lives on."""
        data = pickle.dumps((cloud.cloud_id, cloud.logs))
        self._memory[_CLOUD_AT + 8 : _CLOUD_AT + 8 + len(data)] = data
        self._memory[_CLOUD_AT : _CLOUD_AT + 8] = _LENGTH.pack(len(data))

    def cloud(self) -> MemoryCloud:
        """The cloud as it was kept last."""
        (length,) = _LENGTH.unpack(self._memory[_CLOUD_AT : _CLOUD_AT + 8])
        cloud = MemoryCloud()
        if length:
            cloud.cloud_id, cloud.logs = pickle.loads(self._memory[_CLOUD_AT + 8 : _CLOUD_AT + 8 + length])
        return cloud

    def close(self) -> None:
        """Give it back."""
        self._memory.close()
