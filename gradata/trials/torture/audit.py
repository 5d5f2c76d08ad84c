"""The audit: drain what is waiting, then compare what was promised with what the cloud has, byte by byte."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gradata.trials.torture.environment import Actor, Stage
from replicator import recovery
from replicator.errors import SidecarError

DRAIN_S = 180.0
"""Longer than the longest pause between two attempts, plus what a small machine needs, in seconds."""
LAST = """
import sys
from gradata import Brain
brain = Brain(sys.argv[1])
print(brain.emit("NOTE", "torture", {"text": "the last"})["event_id"], 1, flush=True)
sys.stdin.read()
import time
while True:
    time.sleep(60)
"""


@dataclass
class AuditCounts:
    """The counts. `promised`: events whose call returned with durable true; the others are `refused`."""

    promised: int = 0
    refused: int = 0
    stored: int = 0
    lost: int = 0
    twice: int = 0
    roots_equal: bool = False
    bytes_equal: bool = False
    generations: int = 0
    dead_letters: int = 0
    megabytes: float = 0.0
    drained_s: float = 0.0
    examples: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether every promise was kept."""
        whole = self.roots_equal and self.bytes_equal and self.generations == 1
        return whole and self.lost == self.twice == self.dead_letters == 0


def count(stage: Stage) -> AuditCounts:
    """End all faults, drain, compare. The writers have been stopped."""
    for actor in stage.actors:
        actor.kill()
    stage.heal()
    began = time.monotonic()
    last = Actor("the last", [sys.executable, "-c", LAST, stage.brain_dir], stage.environ, promises=True)
    stage.actors.append(last)
    last.start()
    stage.until(lambda: bool(last.promised))
    counts = AuditCounts()
    with _Cloud(stage) as cloud:
        stage.until(lambda: _caught_up(stage) and cloud.size() == _size(stage), DRAIN_S)
        counts.drained_s = round(time.monotonic() - began, 1)
        last.kill()
        _compare(stage, cloud, counts)
    return counts


def _compare(stage: Stage, cloud: _Cloud, counts: AuditCounts) -> None:
    promised = [name for actor in stage.actors for name in actor.promised]
    with open(_log(stage), "rb") as file:
        log = file.read()
    whole = log[: log.rfind(b"\n") + 1]
    logs = cloud.logs()
    stored = list(cloud.event_ids())
    known = set(stored)
    missing = [name for name in promised if name not in known]
    counts.promised, counts.refused = len(promised), sum(actor.refused for actor in stage.actors)
    counts.stored, counts.twice, counts.lost = len(stored), len(stored) - len(known), len(missing)
    counts.generations, counts.megabytes = len(logs), round(len(whole) / 1e6, 1)
    counts.examples = missing[:5]
    standing = recovery.standing(_log(stage))
    if standing is not None and logs:
        head = logs[0]
        counts.roots_equal = head["root"] == standing.cursor.root.hex() and head["offset"] == len(whole)
        counts.bytes_equal = cloud.replica(head["log_id"]) == whole
    counts.dead_letters = sum(head["holes"] for head in logs)


def _log(stage: Stage) -> str:
    return f"{stage.brain_dir}/events.jsonl"


def _size(stage: Stage) -> int:
    try:
        standing = recovery.standing(_log(stage))
    except SidecarError:
        return -1
    return -1 if standing is None else standing.cursor.size


def _caught_up(stage: Stage) -> bool:
    try:
        standing = recovery.standing(_log(stage))
    except SidecarError:
        return False
    with open(_log(stage), "rb") as file:
        return standing is not None and standing.cursor.offset == file.seek(0, 2)


class _Cloud:
    """Read access to the cloud with a key."""

    def __init__(self, stage: Stage) -> None:
        from replicator.sink.http_library import httpx  # here: not before the stage stands

        self._client = httpx.Client(
            base_url=stage.url, headers={"Authorization": f"Bearer {stage.key}"}, timeout=60, trust_env=False
        )
        with open(f"{stage.brain_dir}/.tenant_id", encoding="ascii") as file:
            self._brain = file.read().strip()

    def __enter__(self) -> _Cloud:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def logs(self) -> list[dict[str, Any]]:
        """The brain's logs, newest first."""
        return list(self._client.get("/logs", params={"brain": self._brain}).raise_for_status().json()["logs"])

    def size(self) -> int:
        """How many records the newest log has."""
        logs = self.logs()
        return logs[0]["size"] if logs else 0

    def replica(self, log_id: str) -> bytes:
        """The log's bytes."""
        return self._client.get(f"/logs/{log_id}/bytes").raise_for_status().content

    def event_ids(self) -> Iterator[str]:
        """Every event of the projection."""
        after: int | None = 0
        while after is not None:
            asked: dict[str, str | int] = {"brain": self._brain, "after": after, "limit": 1000}
            page = self._client.get("/events", params=asked).raise_for_status().json()
            yield from (event["event_id"] for event in page["events"])
            after = page["next"]
