"""Fault campaign on a scratch brain and cloud, followed by a count of losses.

Everything is real and temporary: processes, files, sockets and, where permitted, disks. Nothing of the user's is
touched. While writers append and replicators send, `faults` are injected, drawn by a seed. Then the faults end, and
`audit` compares what was promised with what the cloud has. Partner: `gradata torture`.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gradata.trials.torture.audit import AuditCounts, count
from gradata.trials.torture.environment import Stage
from gradata.trials.torture.faults import choose

__all__ = ["AuditCounts", "TortureReport", "as_json", "run"]

BETWEEN_S = (0.05, 0.9)


@dataclass
class TortureReport:
    """The faults that were injected, and the counts."""

    seed: int
    seconds: float = 0.0
    acts: dict[str, int] = field(default_factory=dict)
    not_tried: list[str] = field(default_factory=list)
    counts: AuditCounts = field(default_factory=AuditCounts)

    @property
    def held(self) -> bool:
        """Whether every promise was kept."""
        return self.counts.held and self.counts.promised > 0


def run(
    *,
    minutes: float,
    seed: int,
    on_act: Callable[[float, str, str], None] = lambda *_: None,
    environ: Mapping[str, str] = os.environ,
) -> TortureReport:
    """Inject faults for `minutes`, then count. `on_act` gets seconds since the start, the fault and its target.

    Ends every process that it started and removes what it created, even if interrupted. Run it in a process of its own:
    it creates a mount namespace, which must happen before any thread starts.
    """
    dice, began, found = random.Random(seed), time.monotonic(), TortureReport(seed)  # noqa: S311 -- no secrets
    stage = Stage(environ)
    try:
        found.not_tried = stage.not_tried
        for actor in stage.actors:
            actor.start()
        stage.until(lambda: all(writer.promised for writer in stage.writers))
        pause = threading.Event()
        tortured_s = time.monotonic()
        while time.monotonic() - tortured_s < minutes * 60:
            pause.wait(dice.uniform(*BETWEEN_S))
            act = choose(stage, dice)
            did = act.do(stage, dice)
            found.acts[act.name] = found.acts.get(act.name, 0) + 1
            on_act(time.monotonic() - began, act.name, did)
        on_act(time.monotonic() - began, "heal", "faults have ended; what waits is replicated, then counted")
        found.counts = count(stage)
    finally:
        stage.close()
    found.seconds = round(time.monotonic() - began, 1)
    return found


def as_json(found: TortureReport) -> dict[str, object]:
    """The documented form of `gradata torture --json`."""
    return {
        "held": found.held,
        "seed": found.seed,
        "seconds": found.seconds,
        "acts": found.acts,
        "not_tried": found.not_tried,
        **vars(found.counts),
    }
