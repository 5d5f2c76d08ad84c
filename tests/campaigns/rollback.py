"""Back to hook and cron, and forth again, under load; then count.

    python -m tests.campaigns rollback --rounds 20 [--seed N]

Three writers (two Brains that replicate, one old writer) append all the time and are never restarted. Each round
switches write-through off by the brain's config file, waits until nobody leads, looks that no request leaves while
the writers go on, has the session-close drain or `gradata replicate --once --quiet` bring what waits, and switches on
again: sometimes in the middle of that. At the end the cloud must have every promised event, none twice, the log's
bytes and its root, in one generation. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from replicator.lease import Lease, lease_path
from tests.acceptance.front import Front
from tests.acceptance.world import CLI, World, eventually
from tests.campaigns.kills import BRAIN_WRITER, OLD_WRITER, Actor
from tests.support.cloud_fixture import LiveCloud

HOOK = """
import sys
from gradata.config.brain_dir import Directory
from gradata.replicate.once import drain
from gradata.config.settings import Settings
settings = Settings.resolve(sys.argv[1])
result = drain(settings, Directory(settings.brain_dir), timeout_s=60)
sys.exit(result.reason != "caught_up")
"""
CRON = f"import sys; sys.argv[1:] = ['replicate', '--once', '--quiet', '--brain', sys.argv[1]]; {CLI}"
APPENDED_WHILE_OFF = 40


@dataclass
class Figures:
    """What a run came to. `stopped_s`: from the switch until nobody leads; `resumed_s`: from the switch back until a
    record that was appended after it is acknowledged."""

    rounds: int
    seed: int
    promised: int = 0
    lost: int = 0
    twice: int = 0
    requests_while_off: int = 0
    appended_while_off: int = 0
    failed_drains: int = 0
    byte_equal: bool = False
    roots_equal: bool = False
    generations: int = 0
    stopped_s: list[float] = field(default_factory=list)
    resumed_s: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def fine(self) -> bool:
        """Whether nothing was lost, doubled, or sent while it must not be."""
        none = self.lost == self.twice == self.requests_while_off == self.failed_drains == 0
        return none and self.byte_equal and self.roots_equal and self.generations == 1


class Rounds:
    """One world with its writers."""

    def __init__(self, world: World, front: Front, figures: Figures) -> None:
        self._world, self._front, self._figures = world, front, figures
        self._config = world.directory / "config.toml"
        self._dice = random.Random(figures.seed)
        roles = (("a Brain", BRAIN_WRITER), ("another Brain", BRAIN_WRITER), ("an old writer", OLD_WRITER))
        self.actors = [Actor(world, name, script, {}) for name, script in roles]
        eventually(lambda: all(actor.promised for actor in self.actors), 60)

    def off_and_on(self, number: int) -> None:
        """One round."""
        began = time.monotonic()
        self._config.write_text("write_through = false\n")
        eventually(lambda: not self._led() or None, 60)
        self._figures.stopped_s.append(time.monotonic() - began)
        asked, before = len(self._front.seen), self._promised()
        eventually(lambda: self._promised() >= before + APPENDED_WHILE_OFF, 60)
        self._figures.requests_while_off += len(self._front.seen) - asked
        self._figures.appended_while_off += self._promised() - before
        drain = self._world.start((HOOK, CRON)[number % 2])
        if self._dice.random() < 0.5:  # back on while the hook still works
            threading.Event().wait(self._dice.uniform(0.0, 0.8))
            self._switch_on()
        self._figures.failed_drains += drain.wait(90) != 0
        drain.communicate()
        if self._config.exists():
            self._switch_on()

    def _switch_on(self) -> None:
        self._config.unlink()
        began, there = time.monotonic(), self._world.log.stat().st_size
        eventually(lambda: (at := self._world.standing) is not None and at.cursor.offset > there, 60)
        self._figures.resumed_s.append(time.monotonic() - began)

    def _led(self) -> bool:
        return Lease.holder(lease_path(str(self._world.log))) is not None

    def _promised(self) -> int:
        return sum(len(actor.promised) for actor in self.actors)


def run(rounds: int, seed: int, directory: Path) -> Figures:
    """The whole run, in `directory`."""
    figures, began = Figures(rounds, seed), time.monotonic()
    (directory / "cloud").mkdir()
    cloud = LiveCloud(directory / "cloud", {"limits": {"requests_per_minute": None}})
    world = World(directory / "home", cloud)
    try:
        with Front(cloud.url) as front:
            world.endpoint = front.url
            world.brain(GRADATA_DISABLE_WRITE_THROUGH="1").close()
            world.append(b'{"type":"NOTE","event_id":"the first"}\n')  # an old writer opens a log that is there
            turns = Rounds(world, front, figures)
            for number in range(rounds):
                turns.off_and_on(number)
            for actor in turns.actors:
                actor.kill()
            with world.brain() as brain:
                brain.emit("NOTE", "rollback", {"text": "the last"})
                eventually(lambda: (at := world.standing) and at.cursor.offset == world.log.stat().st_size, 120)
            count(world, [name for actor in turns.actors for name in actor.promised], figures)
    finally:
        world.close()
        cloud.close()
    figures.seconds = round(time.monotonic() - began, 1)
    return figures


def count(world: World, promised: list[str], figures: Figures) -> None:
    """Compare what was promised with what the cloud has."""
    cursor, ids = world.standing.cursor, world.event_ids()
    figures.promised = len(promised)
    figures.lost = len(set(promised) - set(ids))
    figures.twice = len(ids) - len(set(ids))
    figures.byte_equal = world.replica(cursor.log_id) == world.whole
    figures.roots_equal = world.head(cursor.log_id)["root"] == cursor.root.hex()
    figures.generations = len(world.logs())


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="write-through off and on under load, then count")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    chosen = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="rollback-"))
    figures = run(chosen.rounds, chosen.seed, directory)
    for name, value in vars(figures).items():
        if isinstance(value, list):
            value = f"median {sorted(value)[len(value) // 2]:.2f}, max {max(value):.2f}" if value else "-"
        print(f"{name:>20}  {value}")
    if figures.fine:
        shutil.rmtree(directory)
        return 0
    print(f"NOT FINE; everything is kept in {directory}")
    return 1
