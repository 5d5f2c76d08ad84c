"""Replicate until stopped: `gradata replicate --follow`, by hand or as a service.

Partners: `once`, which replicates once; `systemd_notify`, which informs the supervisor.
"""

from __future__ import annotations

import time

from gradata.replicate.once import PART_S, Stop
from gradata.replicate.systemd_notify import SystemdNotifier
from replicator.loop import Drained, Replicator
from replicator.status import Status


def run_until(replicator: Replicator, stop: Stop, supervisor: SystemdNotifier) -> Drained:
    """Replicate until `stop`, notifying the supervisor meanwhile, then drain for a short time."""
    replicator.start()
    supervisor.ready()
    while not stop.wait(supervisor.rest_s):
        supervisor.working(still_s=still_s(replicator), words=_words(replicator.status()))
    supervisor.stopping()
    return replicator.close(PART_S)


def still_s(replicator: Replicator) -> float:
    """Seconds since the thread last did anything."""
    return max(0.0, time.monotonic() - replicator.active_at_s)


def _words(status: Status | None) -> str:
    if status is None:
        return "starting"
    trouble = f" ({status.trouble.code})" if status.trouble is not None else ""
    return f"{status.state}{trouble}: {status.size} records acknowledged, {status.backlog_bytes} bytes wait"
