"""What a `Brain` does its work through. Partner: `brain`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gradata.brain import events
from gradata.config.settings import Settings
from gradata.replicate.wiring import Replication, open_replicator
from replicator.log import POSIX, Disk
from replicator.model import Identity


@dataclass(frozen=True, slots=True)
class Ports:
    """What a Brain does its work through; tests pass fakes."""

    disk: Disk = POSIX
    open_replicator: Callable[[Settings, str, Identity], Replication | None] = open_replicator
    monotonic_s: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = events.utc_now


REAL_PORTS = Ports()
