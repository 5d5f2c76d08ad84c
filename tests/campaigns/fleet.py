"""A fleet of agents as it is in the world: moved from hooks to write-through one by one, without stopping any.

    python -m tests.campaigns fleet --agents 27 [--outage-seconds 120] [--steady-seconds 60]

Each agent is a process of its own with a home and a brain of its own, and Hermes and Claude Code configurations that
still hold an older version's cloud-sync hooks. It corrects every two seconds or so, and now and then makes an edit, for
which it runs the capture hook of its configuration as its host would. No session ever ends, so the older sync never
runs. Then: `gradata install --agent all` for one agent, for the rest; a cloud that is killed for a while; a key that
is rotated; agents that are killed and started again. At each moment `gradata doctor` of each must say what is true,
and at the end the cloud must have every correction, once. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from gradata.cloud.service.api_keys import revoke_key
from gradata.cloud.store.open import open_store
from tests.acceptance.world import eventually
from tests.campaigns.fleet_agent import Agent, make_agents
from tests.support.cloud_fixture import LiveCloud

Judge = Callable[[dict[str, tuple[str, str]]], str | None]
"""Says what is untrue in a doctor's answer; None: it is true."""
ARRIVES_S = 5.0
SETTLE_S = 240.0
SEVERAL = 2
"""How many doctors are asked at once: each is a process of half a second."""


@dataclass
class Figures:
    """What a run came to. Latencies: seconds from a correction to its durable place in the cloud."""

    agents: int
    before_in_cloud: int = 0
    old_entries_left: int = 0
    sessions_ended: int = 0
    restarted_to_migrate: int = 0
    promised: int = 0
    by_hooks: int = 0
    lost: int = 0
    twice: int = 0
    unequal: int = 0
    backlog_s: list[float] = field(default_factory=list)
    steady_s: list[float] = field(default_factory=list)
    recovered_s: dict[str, float] = field(default_factory=dict)
    doctors: dict[str, str] = field(default_factory=dict)
    untrue: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def fine(self) -> bool:
        """Whether everything held that does not depend on how busy the machine is."""
        none = self.before_in_cloud == self.old_entries_left == self.sessions_ended == self.lost == self.twice == 0
        return none and not self.untrue and not self.unequal and self.by_hooks > 0 and self.restarted_to_migrate == 0

    @property
    def quick(self) -> bool:
        """Whether every correction was in the cloud within ARRIVES_S."""
        return all(seconds <= ARRIVES_S for seconds in (*self.backlog_s, *self.steady_s))


class Fleet:
    """The agents, the cloud, and what is known of both."""

    def __init__(
        self, directory: Path, count: int, *, pace_s: float, hook_every: int, asked_max: int | None = None
    ) -> None:
        self.asked_max = asked_max
        self.talks = asked_max is None
        self._began = time.monotonic()
        (directory / "cloud").mkdir()
        self.cloud = LiveCloud(directory / "cloud", {"limits": {"requests_per_minute": None}})
        self.figures = Figures(count)
        self.agents = make_agents(directory, count, self.cloud, pace_s=pace_s, hook_every=hook_every)
        self.pause = threading.Event()

    def close(self) -> None:
        """End everything."""
        for agent in self.agents:
            agent.close()
        self.cloud.close()

    def tell(self, what: str) -> None:
        """Progress, for whoever watches."""
        if self.talks:
            print(f"{time.monotonic() - self._began:6.1f} s  {what}", file=sys.stderr, flush=True)

    def wait(self, seconds: float) -> None:
        """Let the fleet run."""
        self.pause.wait(seconds)

    def doctors(
        self,
        moment: str,
        expected: Judge,
        agents: list[Agent] | None = None,
    ) -> None:
        """Ask each agent's doctor; `expected` says what is untrue in an answer, None: it is true."""
        asked = (self.agents if agents is None else agents)[: self.asked_max]
        with ThreadPoolExecutor(SEVERAL) as pool:
            wrong = [
                f"{moment}, agent {agent.number}: {why}"
                for agent, why in pool.map(lambda agent: (agent, expected(agent.doctor())), asked)
                if why is not None
            ]
        self.figures.untrue.extend(wrong)
        self.figures.doctors[moment] = f"{len(asked) - len(wrong)} of {len(asked)} true"
        self.tell(f"{moment}: doctors {self.figures.doctors[moment]}")

    def settled(self, agents: list[Agent] | None = None, within_s: float = SETTLE_S) -> float:
        """Seconds until everything that each agent had in its log at this moment is acknowledged."""
        began = time.monotonic()
        for agent in self.agents if agents is None else agents:
            end = agent.world.log.stat().st_size
            eventually(lambda agent=agent, end=end: agent.acknowledged >= end, within_s)
        return time.monotonic() - began


# ------------------------------------------------------------------------------ what doctor must say


def says(check: str, *words: str, status: str | None = None) -> Judge:
    """The check's detail holds one of these words, and has this status."""

    def judge(found: dict[str, tuple[str, str]]) -> str | None:
        level, detail = found.get(check, ("missing", "no such check"))
        if any(word in detail for word in words) and status in (None, level):
            return None
        return f"{check} is {level}: {detail}"

    return judge


def all_of(*judges: Judge) -> Judge:
    """Every judge finds it true."""
    return lambda found: next((why for judge in judges if (why := judge(found)) is not None), None)


def no_old_entries(found: dict[str, tuple[str, str]]) -> str | None:
    """Nothing of an older version is reported."""
    return next((f"{name}: {detail}" for name, (_, detail) in found.items() if "session_close" in detail), None)


MIGRATED = all_of(
    says("trouble", "none"),
    says("key", "from "),
    says("replicator", "leads"),
    says("old_hooks", "none", status="ok"),
    no_old_entries,
)
BEFORE = all_of(
    says("key", "none:", status="missing"),
    says("last_event", "ago", status="ok"),
    says("old_hooks", "session_close", "never runs it", status="warn"),
)
AWAY = all_of(says("trouble", "does not answer"), says("backlog", "pending"))
DENIED = all_of(says("trouble", "key"), says("backlog", "pending"))
DEAD = says("replicator", "no process replicates", "not running")


# ------------------------------------------------------------------------------ the run


def run(
    directory: Path,
    count: int,
    *,
    outage_s: float,
    steady_s: float,
    pace_s: float = 1.0,
    hook_every: int = 8,
    asked_max: int | None = None,
) -> Figures:
    """The whole of it, in `directory`. `asked_max`: how many doctors are asked at each moment; None: all."""
    began = time.monotonic()
    fleet = Fleet(directory, count, pace_s=pace_s, hook_every=hook_every, asked_max=asked_max)
    try:
        migrate(fleet, steady_s)
        cloud_down(fleet, outage_s)
        key_rotated(fleet, outage_s)
        killed(fleet, min(3, count - 1))
        count_all(fleet)
    finally:
        fleet.close()
    fleet.figures.seconds = time.monotonic() - began
    return fleet.figures


def migrate(fleet: Fleet, steady_s: float) -> None:
    """One agent first, then the rest; none is stopped."""
    figures = fleet.figures
    eventually(lambda: all(len(agent.promised) > 1 for agent in fleet.agents), SETTLE_S)
    processes = [agent.pid for agent in fleet.agents]
    figures.before_in_cloud = sum(len(agent.logs()) for agent in fleet.agents)
    fleet.doctors("before", BEFORE)
    first, rest = fleet.agents[0], fleet.agents[1:]
    figures.backlog_s.append(first.migrate())
    fleet.doctors("one agent moved", MIGRATED, [first])
    assert not any(agent.logs() for agent in rest), "another agent's corrections were sent, too"
    with ThreadPoolExecutor(SEVERAL) as pool:
        figures.backlog_s += pool.map(Agent.migrate, rest)
    moved_at = time.time()
    fleet.tell("all moved")
    fleet.wait(steady_s)
    until = time.time()
    fleet.settled()
    figures.restarted_to_migrate = sum(
        agent.pid != before for agent, before in zip(fleet.agents, processes, strict=True)
    )
    figures.old_entries_left = sum(agent.old_entries() for agent in fleet.agents)
    for agent in fleet.agents:
        figures.steady_s += latencies(agent, moved_at, until)
    fleet.doctors("all moved", MIGRATED)


def cloud_down(fleet: Fleet, seconds: float) -> None:
    """The server is gone for a while."""
    fleet.cloud.kill()
    down_at = time.monotonic()
    eventually(lambda: all(agent.state == "retrying" for agent in fleet.agents), SETTLE_S)
    fleet.doctors("cloud down", AWAY)
    fleet.wait(seconds - (time.monotonic() - down_at))
    fleet.cloud.start()
    fleet.figures.recovered_s["cloud back"] = fleet.settled()
    fleet.doctors("cloud back", MIGRATED)


def key_rotated(fleet: Fleet, seconds: float) -> None:
    """The key that every agent has is revoked; after a while each gets the new one. Nobody is restarted."""
    old, fleet.cloud.key = fleet.cloud.key, fleet.cloud.make_key("ingest", "read")
    revoke(fleet.cloud, old)
    down_at = time.monotonic()
    eventually(lambda: all(agent.state == "paused" for agent in fleet.agents), SETTLE_S)
    fleet.doctors("key rotated", DENIED)
    fleet.wait(seconds - (time.monotonic() - down_at))
    for agent in fleet.agents:
        agent.world.keep_key(fleet.cloud.key)
    fleet.figures.recovered_s["new key"] = fleet.settled()
    fleet.doctors("new key", MIGRATED)


def killed(fleet: Fleet, count: int) -> None:
    """Some agents die in the middle of it, and are started again."""
    victims = random.Random(count).sample(fleet.agents, count)
    for agent in victims:
        agent.kill()
    fleet.doctors("killed", DEAD, victims)
    for agent in victims:
        agent.start()
    eventually(lambda: all(agent.leads for agent in victims), SETTLE_S)
    fleet.figures.recovered_s["killed and started"] = fleet.settled()
    fleet.doctors("started again", MIGRATED, victims)


def count_all(fleet: Fleet) -> None:
    """Stop the agents where they stand, drain, and compare both sides."""
    figures = fleet.figures
    for agent in fleet.agents:
        agent.kill()
        agent.drain()
    for agent in fleet.agents:
        there = agent.world.event_ids()
        here = [event["event_id"] for event in agent.events()]
        hooked = [event for event in agent.events() if "context" in event["data"]]
        figures.promised += len(agent.promised)
        figures.by_hooks += len(hooked)
        figures.lost += len((set(here) | set(agent.promised)) - set(there))
        figures.lost += max(0, agent.hooks_done - len(hooked))
        figures.twice += len(there) - len(set(there)) + len(here) - len(set(here))
        figures.unequal += not agent.world.in_step()
        figures.sessions_ended += sum(event["type"] == "SESSION_END" for event in agent.events())


def latencies(agent: Agent, since: float, until: float) -> list[float]:
    """Seconds from each correction to its place in the cloud, by the clock of the one machine that both are on."""
    found = []
    for event in agent.world.events():
        made, stored = (datetime.fromisoformat(event[name]).timestamp() for name in ("ts", "stored_at"))
        if since <= made <= until:
            found.append(stored - made)
    return found


def revoke(cloud: LiveCloud, key: str) -> None:
    """Take a key back at the cloud."""
    store = open_store(cloud.store_url)
    try:
        revoke_key(store, next(kept.prefix for kept in store.keys(None) if key.startswith(kept.prefix)))
    finally:
        store.close()


def show(figures: Figures) -> None:
    """Print the figures."""

    def spread(seconds: list[float]) -> str:
        ordered = sorted(seconds) or [0.0]
        p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
        late = sum(each > ARRIVES_S for each in ordered)
        return (
            f"p50 {p50:.2f} s, p99 {p99:.2f} s, max {ordered[-1]:.2f} s, {late} of {len(seconds)} over {ARRIVES_S:g} s"
        )

    rows: list[tuple[str, object]] = [
        ("agents", figures.agents),
        ("in the cloud before", figures.before_in_cloud),
        ("install: backlog in the cloud after", spread(figures.backlog_s)),
        ("a correction in the cloud after", spread(figures.steady_s)),
        ("agents restarted to be moved", figures.restarted_to_migrate),
        ("older entries left", figures.old_entries_left),
        ("sessions ended", figures.sessions_ended),
        *((f"everything there after: {name}", f"{s:.1f} s") for name, s in figures.recovered_s.items()),
        *((f"doctor: {moment}", said) for moment, said in figures.doctors.items()),
        ("corrections promised / by hooks", f"{figures.promised:,} / {figures.by_hooks:,}"),
        ("lost", figures.lost),
        ("twice", figures.twice),
        ("brains that differ from the cloud", figures.unequal),
        ("seconds", f"{figures.seconds:.0f}"),
    ]
    for name, value in rows:
        print(f"{name:<44} {value}")
    for why in figures.untrue:
        print(f"untrue: {why}")


def main() -> int:
    """Run it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=27)
    parser.add_argument("--outage-seconds", type=float, default=120.0)
    parser.add_argument("--steady-seconds", type=float, default=60.0)
    parser.add_argument("--pace-seconds", type=float, default=2.0, help="between two corrections of one agent")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="gradata-fleet-"))
    try:
        figures = run(
            directory,
            chosen.agents,
            outage_s=chosen.outage_seconds,
            steady_s=chosen.steady_seconds,
            pace_s=chosen.pace_seconds,
        )
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if chosen.json:
        print(json.dumps(figures.__dict__))
    else:
        show(figures)
    return 0 if figures.fine and figures.quick else 1
