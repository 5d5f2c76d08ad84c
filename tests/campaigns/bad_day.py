"""A fleet on a bad day: real agents through several API processes on one PostgreSQL, all of which die; then count.

    python -m tests.campaigns bad_day [--agents 27] [--minutes 2] [--rate 10]

Each agent is a process with a Brain that makes `rate` corrections a second, through a TCP balancer before two API
processes. A quarter into the run the first API process is killed (kill -9) and started again, in the middle
PostgreSQL is restarted, at three quarters the other API process is killed. A feed of every brain is open all the
time, and comes back by Last-Event-ID. At the end the cloud must have each correction that an agent was promised,
once, and each log byte for byte. Exit code 1 if not. The time from correct() to the open feed is told for stretches
without disturbance, beside the time of one bare durable request in the same run, and for the disturbed ones alone. All
agents are in step with the cloud before the clock starts: 27 interpreters that begin at once on two cores are no fleet.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx

from tests.support.cloud_fixture import LiveCloud
from tests.support.postgres_fixture import Postgres

AGENT = """
import sys, time
from gradata import Brain
number, pace, phase = int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
brain = Brain.init(sys.argv[1])
brain.emit("BEGUN", "bad_day")
brain.drain(120)
print("ready", flush=True)
sys.stdin.readline()
begun = time.monotonic() + phase * pace
for place in range(number):
    time.sleep(max(0.0, begun + place * pace - time.monotonic()))
    at = time.monotonic()
    print(brain.correct(f"a draft {place} " * 9, f"the final {place} " * 9)["event_id"], at, flush=True)
brain.close(timeout_s=120)
"""
SETTLED_S = 15.0
"""So long after a disturbance, and in the first seconds, times are not counted."""
WARM_S = 3.0
DRAIN_S = 180.0
DURABLE = {"fsync": "on", "shared_buffers": "256MB"}


class Balancer:
    """Passes TCP connections on to the servers in turn; to the next one if one does not answer."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._turns = count()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._pass, "127.0.0.1", 0), self.loop).result()
        self._server = server
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turn = next(self._turns)
        for place in range(len(self._ports)):
            try:
                there = await asyncio.open_connection("127.0.0.1", self._ports[(turn + place) % len(self._ports)])
            except OSError:
                continue
            try:
                await asyncio.gather(_pipe(reader, there[1]), _pipe(there[0], writer))
            finally:
                there[1].transport.abort()
                writer.transport.abort()
            return
        writer.transport.abort()

    def close(self) -> None:
        """End it, and whoever watches on its loop; no connection is left to be found by the garbage collector."""
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _end(self) -> None:
        self._server.close()
        self.loop.set_exception_handler(lambda *_: None)  # asyncio reports each connection that is cancelled here
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.05)  # an aborted transport closes its socket in a later turn of the loop


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
        writer.close()
    except OSError:
        writer.transport.abort()


@dataclass
class Agent:
    """One agent's process; `promised`: event_id to the moment at which correct() was called."""

    home: Path
    process: subprocess.Popen[str]
    promised: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    comebacks: int = 0

    @property
    def brain_id(self) -> str:
        """The brain's name at the cloud."""
        return (self.home / "brain" / ".tenant_id").read_text().strip()

    @property
    def log(self) -> bytes:
        """Its log."""
        return (self.home / "brain" / "events.jsonl").read_bytes()

    def go(self) -> threading.Thread:
        """Begin; the result ends with the agent."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        return listener

    def end(self) -> None:
        """End its process, if it runs."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            name, _, at = line.strip().partition(" ")
            self.promised[name] = float(at)

    async def watch(self, url: str, key: str) -> None:
        """Follow the brain's feed until cancelled; it comes back to where it was."""
        host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
        last = "0"
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
                ask = f"GET /api/v1/feed?brain={self.brain_id} HTTP/1.1\r\nHost: cloud\r\nLast-Event-ID: {last}\r\n"
                writer.write(f"{ask}Authorization: Bearer {key}\r\n\r\n".encode())
                try:
                    while line := await reader.readline():
                        if line.startswith(b"HTTP/1.1") and b" 200 " not in line:
                            break  # the brain is not known yet, or the store is away
                        if line.startswith(b"id: "):
                            last = line[4:].strip().decode()
                        elif line.startswith(b'data: {"event_id"'):
                            self.seen.setdefault(json.loads(line[6:])["event_id"], time.monotonic())
                finally:
                    writer.transport.abort()
            except OSError:
                pass
            self.comebacks += 1
            await asyncio.sleep(0.2)


@dataclass
class Figures:
    """What a run came to. Times in seconds; `baseline`: one bare durable request, at the beginning."""

    agents: int
    promised: int = 0
    stored: int = 0
    lost: int = 0
    twice: int = 0
    logs_equal: int = 0
    unseen: int = 0
    feed_comebacks: int = 0
    disturbances: list[float] = field(default_factory=list)
    baseline_p50: float = 0.0
    baseline_p99: float = 0.0
    counted: int = 0
    seen_p50: float = 0.0
    seen_p99: float = 0.0
    disturbed_p50: float = 0.0
    disturbed_p99: float = 0.0
    seen_worst_of_all: float = 0.0

    @property
    def fine(self) -> bool:
        """Whether every promise was kept."""
        return self.lost == self.twice == self.unseen == 0 and self.logs_equal == self.agents and self.promised > 0


def start_agent(home: Path, url: str, key: str, *, number: int, pace_s: float, phase: float) -> Agent:
    """An agent that is in step with the cloud and waits for its turn. `phase`: where in its pace it begins, 0 to 1."""
    (home / ".gradata").mkdir(parents=True)
    (home / ".gradata" / "key").touch(mode=0o600)
    (home / ".gradata" / "key").write_text(f"{key}\n")
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("GRADATA_", "BRAIN_"))}
    mine = {k: v for k, v in mine.items() if not k.lower().endswith("_proxy")}
    process = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(home / "brain"), str(number), str(pace_s), str(phase)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=mine | {"HOME": str(home), "GRADATA_ENDPOINT": url},
    )  # fmt: skip
    return Agent(home, process)


def run(directory: Path, *, agents: int, seconds: float, rate: float) -> Figures:
    """The whole run."""
    figures = Figures(agents)
    with ExitStack() as ends:
        place = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="fleet-pg-", ignore_cleanup_errors=True)))
        postgres = Postgres(place, DURABLE)
        ends.callback(postgres.close)
        clouds = []
        for name in ("a", "b"):
            (directory / name).mkdir()
            clouds.append(LiveCloud(directory / name, {"limits": {}}, postgres.url("postgres")))
            ends.callback(clouds[-1].close)
        balancer = Balancer([cloud.port for cloud in clouds])
        ends.callback(balancer.close)
        key = clouds[0].key
        signed = {"Authorization": f"Bearer {key}"}
        client = ends.enter_context(httpx.Client(trust_env=False, timeout=30, headers=signed))
        measure_baseline(client, balancer.url, figures)
        fleet = [
            start_agent(
                directory / f"agent-{place}", balancer.url, key,
                number=int(seconds * rate), pace_s=1 / rate, phase=place / agents,
            )
            for place in range(agents)
        ]  # fmt: skip
        ends.callback(lambda: [agent.end() for agent in fleet])
        for agent in fleet:
            assert agent.process.stdout is not None
            assert agent.process.stdout.readline() == "ready\n"
        watches = [asyncio.run_coroutine_threadsafe(a.watch(balancer.url, key), balancer.loop) for a in fleet]
        listeners = [agent.go() for agent in fleet]
        disturb(clouds, postgres, seconds, figures)
        deadline = time.monotonic() + seconds + DRAIN_S
        for listener in listeners:
            listener.join(max(0.0, deadline - time.monotonic()))
        while time.monotonic() < deadline and any(agent.promised.keys() - agent.seen.keys() for agent in fleet):
            threading.Event().wait(0.1)
        for watch in watches:
            watch.cancel()
        for agent in fleet:
            count_agent(client, balancer.url, agent, figures)
        measure_seen(fleet, figures)
    return figures


def measure_baseline(client: httpx.Client, url: str, figures: Figures) -> None:
    """Bare requests of one loose event each."""
    took = []
    for number in range(100):
        line = json.dumps({"event_id": f"bare-{number}", "type": "NOTE"}) + "\n"
        began = time.perf_counter()
        answer = client.post(
            f"{url}/ingest?brain=bare-{number % 10}", content=line, headers={"Content-Type": "application/x-ndjson"}
        )
        took.append(time.perf_counter() - began)
        assert answer.status_code == 200, answer.text
    took.sort()
    figures.baseline_p50, figures.baseline_p99 = took[50], took[98]


def disturb(clouds: Sequence[LiveCloud], postgres: Postgres, seconds: float, figures: Figures) -> None:
    """The three disturbances, at their times."""
    begun = time.monotonic()

    def kill(cloud: LiveCloud) -> None:
        cloud.kill()
        cloud.start()

    acts = (lambda: kill(clouds[0]), postgres.restart, lambda: kill(clouds[1]))
    for quarter, act in enumerate(acts, 1):
        threading.Event().wait(max(0.0, begun + quarter * seconds / 4 - time.monotonic()))
        figures.disturbances.append(time.monotonic())
        act()


def count_agent(client: httpx.Client, url: str, agent: Agent, figures: Figures) -> None:
    """Compare what was promised with what the cloud has."""
    ids: list[str] = []
    after = 0
    while True:
        query = {"brain": agent.brain_id, "after": str(after), "limit": "1000", "type": "CORRECTION"}
        page = client.get(f"{url}/events", params=query).json()
        ids += [event["event_id"] for event in page["events"]]
        if page["next"] is None:
            break
        after = page["next"]
    figures.promised += len(agent.promised)
    figures.stored += len(ids)
    figures.lost += len(agent.promised.keys() - set(ids))
    figures.twice += len(ids) - len(set(ids))
    figures.unseen += len(agent.promised.keys() - agent.seen.keys())
    figures.feed_comebacks += agent.comebacks
    logs = client.get(f"{url}/logs", params={"brain": agent.brain_id}).json()["logs"]
    whole = client.get(f"{url}/logs/{logs[0]['log_id']}/bytes").content
    figures.logs_equal += len(logs) == 1 and whole == agent.log


def measure_seen(fleet: Sequence[Agent], figures: Figures) -> None:
    """From correct() to the feed, apart from disturbed stretches."""
    first = min((at for agent in fleet for at in agent.promised.values()), default=0.0)
    disturbed = [(at - 1.0, at + SETTLED_S) for at in figures.disturbances] + [(first, first + WARM_S)]
    everything = [
        (at, agent.seen[name] - at) for agent in fleet for name, at in agent.promised.items() if name in agent.seen
    ]
    calm, rough = [
        sorted(took for at, took in everything if any(begin <= at < end for begin, end in disturbed) is wanted)
        for wanted in (False, True)
    ]
    figures.counted = len(calm)
    figures.seen_worst_of_all = max((took for _, took in everything), default=0.0)
    if calm:
        figures.seen_p50, figures.seen_p99 = calm[len(calm) // 2], calm[len(calm) * 99 // 100]
    if rough:
        figures.disturbed_p50, figures.disturbed_p99 = rough[len(rough) // 2], rough[len(rough) * 99 // 100]


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="a fleet through servers that die, then count")
    parser.add_argument("--agents", type=int, default=27)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--rate", type=float, default=10.0, help="corrections a second of each agent")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-") as directory:
        figures = run(Path(directory), agents=chosen.agents, seconds=chosen.minutes * 60, rate=chosen.rate)
    for name, value in vars(figures).items():
        if name == "disturbances":
            continue
        print(f"{name:>20}  {value:.4f}" if isinstance(value, float) else f"{name:>20}  {value}")
    if figures.baseline_p99:
        print(f"{'seen/baseline p99':>20}  {figures.seen_p99 / figures.baseline_p99:.1f}")
    print("every correction once, every log equal" if figures.fine else "NOT FINE")
    return 0 if figures.fine else 1
