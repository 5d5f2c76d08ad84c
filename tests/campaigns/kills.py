"""Kill -9 at random: writers, whoever replicates, and the server, each started again; then count.

    python -m tests.campaigns kills --rounds 200 [--seed N]

Four writers (Brains of this version, one of them replicating too; and old ones without lock or fsync), a `replicate
--follow` and the server run at once; each round kills one or several of them in the middle of whatever they do. A
writer prints an event_id after its call returned: that is the promise. At the end everything drains, and the cloud
must have every promised event, none twice, the log's bytes, its root, and one generation: kills justify no other.
Exit code 1 if anything is wrong. Ctrl-C ends the rounds early; what was done until then is counted.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from replicator.framing import interpret
from replicator.lease import Lease, lease_path
from tests.acceptance.world import FOLLOW, World, eventually, status_of
from tests.support.cloud_fixture import LiveCloud
from tests.support.nursery import Forked
from tests.support.stopping import stoppable

BRAIN_WRITER = """
import sys, time
from gradata import Brain
brain = Brain(sys.argv[1])
while True:
    print(brain.correct(f"a draft {time.time_ns()} " * 9, "the final " * 9)["event_id"], flush=True)
    time.sleep(0.01)
"""
EMIT_WRITER = """
import sys, time
from gradata import Brain
brain = Brain(sys.argv[1])
number = 0
while True:
    number += 1
    print(brain.emit("NOTE", "kills", {"text": "x" * (number * 397 % 6_000)})["event_id"], flush=True)
    time.sleep(0.01)
"""
OLD_WRITER = """
import os, sys, time, uuid
log = os.open(sys.argv[1] + "/events.jsonl", os.O_WRONLY | os.O_APPEND)
number = 0
while True:
    name, number = uuid.uuid4().hex, number + 1
    os.write(log, b'{"type":"NOTE","event_id":"%s","data":"%s"}\\n' % (name.encode(), b"y" * (number * 397 % 6_000)))
    print(name, flush=True)
    time.sleep(0.01)
"""
LOCAL = {"GRADATA_DISABLE_WRITE_THROUGH": "1"}
ROLES = (
    ("a Brain that replicates", BRAIN_WRITER, {}),
    ("a Brain that only appends", EMIT_WRITER, LOCAL),
    ("an old writer", OLD_WRITER, {}),
    ("another old writer", OLD_WRITER, {}),
    ("replicate --follow", FOLLOW, {}),
)
ROUND_S = (0.02, 0.5)
END_S = 30.0
DRAIN_S = 120.0
TOLD_EVERY = 100


@dataclass
class Figures:
    """What a run came to. `glued`: promised by an old writer behind a torn record; the bytes are kept, flagged."""

    seed: int
    rounds: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    promised: int = 0
    records: int = 0
    megabytes: float = 0.0
    lost: int = 0
    twice: int = 0
    glued: int = 0
    flagged: int = 0
    byte_equal: bool = False
    roots_equal: bool = False
    generations: int = 0
    dead_letters: int = 0
    drained_s: float = 0.0
    seconds: float = 0.0

    @property
    def fine(self) -> bool:
        """Whether every promise was kept."""
        kept = self.lost == self.twice == self.dead_letters == 0
        return kept and self.byte_equal and self.roots_equal and self.generations == 1 and self.glued <= self.flagged


class Actor:
    """One role: the process that plays it now, and what all processes that played it have promised."""

    def __init__(self, world: World, name: str, script: str, environ: dict[str, str]) -> None:
        self.name = name
        self.promised: list[str] = []
        self._world, self._script, self._environ = world, script, environ
        self.start()

    def start(self) -> None:
        """Begin anew."""
        arguments, environ = [str(self._world.directory)], self._world.environ(**self._environ)
        self.process = Forked(self._script, arguments, environ, heard=1)
        self._listener = threading.Thread(target=self._listen, args=(self.process,), daemon=True)
        self._listener.start()

    def kill(self) -> None:
        """SIGKILL, and hear what it had promised."""
        self.process.send_signal(signal.SIGKILL)
        self._listener.join()
        self.process.wait(END_S)
        self.process.said.close()

    def _listen(self, process: Forked) -> None:
        for said in process.said:
            if said.endswith("\n"):
                self.promised.append(said.strip())


def victims(dice: random.Random, world: World, actors: list[Actor]) -> list[Actor | None]:
    """Who dies in this round; None is the server."""
    kind = dice.choice(["writer", "writer", "replicating", "replicating", "replicating", "server", "several"])
    if kind == "writer":
        return [dice.choice(actors[:4])]
    if kind == "server":
        return [None]
    if kind == "several":
        return dice.sample([None, *actors], dice.randint(2, 4))
    holder = Lease.holder(lease_path(str(world.log)))
    return [actor for actor in actors if holder is not None and actor.process.pid == holder.pid] or [actors[4]]


def run(rounds: int, seed: int, directory: Path, stopped: Callable[[], bool] = lambda: False) -> Figures:
    """The whole run, in `directory`; fewer rounds if somebody stops it."""
    figures, dice, began = Figures(seed), random.Random(seed), time.monotonic()
    (directory / "cloud").mkdir()
    cloud = LiveCloud(directory / "cloud", {"limits": {"requests_per_minute": None}})
    world = World(directory / "home", cloud)
    try:
        world.brain(**LOCAL).close()
        actors = [Actor(world, *role) for role in ROLES]
        eventually(lambda: all(actor.promised for actor in actors[:4]), 30)
        pause = threading.Event()
        while figures.rounds < rounds and not stopped():
            pause.wait(dice.uniform(*ROUND_S))  # the fault's own moment, nothing is waited for
            chosen = victims(dice, world, actors)
            for victim in chosen:
                name = "the server" if victim is None else victim.name
                figures.kills[name] = figures.kills.get(name, 0) + 1
                (cloud if victim is None else victim).kill()
            for victim in chosen:
                (cloud if victim is None else victim).start()
            figures.rounds += 1
            if figures.rounds % TOLD_EVERY == 0:
                print(f"{figures.rounds} rounds, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        for actor in actors:
            actor.kill()
        if stopped():  # Ctrl-C reached the server too
            cloud.kill()
            cloud.start()
        settle(world, figures)
        count(world, [name for actor in actors for name in actor.promised], figures)
    finally:
        world.close()
        cloud.close()
    figures.seconds = round(time.monotonic() - began, 1)
    return figures


def settle(world: World, figures: Figures) -> None:
    """Drain what is left, by a process like any other; a torn tail is ended by its next event."""
    began = time.monotonic()
    with world.brain() as brain:
        brain.emit("NOTE", "kills", {"text": "the last"})
        eventually(lambda: (at := world.standing) and at.cursor.offset == world.log.stat().st_size, DRAIN_S)
        figures.drained_s = round(time.monotonic() - began, 1)
        figures.dead_letters = status_of(brain).dead_letters


def count(world: World, promised: list[str], figures: Figures) -> None:
    """Compare what was promised with what the cloud has."""
    whole, cursor = world.whole, world.standing.cursor
    replica, ids = world.replica(cursor.log_id), world.event_ids()
    known = set(ids)
    missing = [name for name in promised if name not in known]
    figures.promised, figures.records = len(promised), whole.count(b"\n")
    figures.megabytes = round(len(whole) / 1e6, 1)
    figures.byte_equal = replica == whole
    figures.roots_equal = world.head(cursor.log_id)["root"] == cursor.root.hex()
    figures.twice = len(ids) - len(known)
    figures.glued = sum(name.encode() in replica for name in missing)
    figures.lost = len(missing) - figures.glued
    figures.flagged = sum(not isinstance(interpret(record + b"\n"), dict) for record in replica.split(b"\n")[:-1])
    figures.generations = len(world.logs())


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="kill -9 at random, then count")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    chosen = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="kills-"))
    with stoppable() as stopped:
        figures = run(chosen.rounds, chosen.seed, directory, stopped)
    for name, value in vars(figures).items():
        print(f"{name:>14}  {value}")
    if figures.fine:
        shutil.rmtree(directory)
        return 0
    print(f"NOT FINE; everything is kept in {directory}")
    return 1
