"""Let it run, and fit lines through memory, descriptors and threads: what grows shows as a slope, not as a feeling.

    python -m tests.campaigns soak --minutes 10 [--pace SECONDS] [--seed N]

A brain that corrects and replicates, `replicate --follow`, and the server run at an easy pace; now and then the network
misbehaves, and another process makes a key, which the user takes. The first fifth is warm-up and left out. Resident
memory is shown by two slopes, of all behind the warm-up and of the last half alone, beside what lives (`census`): a
leak lives, an allocator only keeps. Exit code 1 if a process has more descriptors, threads or living blocks at the end
than behind the warm-up, ends by itself, or if log and replica differ.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from replicator.testing import chaos as chaotic
from replicator.testing.chaos import NONE, Chaos
from tests.acceptance.world import FOLLOW, World
from tests.support.cloud_fixture import LiveCloud
from tests.support.stopping import stoppable

WRITER = """
import logging, sys, time
from gradata import Brain
logging.basicConfig(level=logging.WARNING)
brain = Brain(sys.argv[1])
while True:
    if brain.replicator is not None and brain.replicator.crashes:
        sys.exit("the replicator's thread crashed")
    brain.correct(f"a draft {time.time_ns()} " * 9, "the final " * 9)
    time.sleep(float(sys.argv[2]))
"""
SAMPLE_S = 2.0
TROUBLE_S = 12.0
"""Between two disturbances."""
GROWN_MAX = 2
"""What may be open at the very moment of a sample: a connection, a request's thread."""
BLOCKS_MAX = 4_000
"""Of more than 100,000: what caches with a bound may still take in."""
TROUBLES = (chaotic.reset(), chaotic.cut_answer(30), chaotic.black_hole(), chaotic.latency(0.1), chaotic.garbage())


@dataclass
class Course:
    """What one process took, sample by sample: seconds, KiB, descriptors, threads."""

    name: str
    at_s: list[float] = field(default_factory=list)
    kib: list[float] = field(default_factory=list)
    descriptors: list[float] = field(default_factory=list)
    threads: list[float] = field(default_factory=list)
    counts: Path = Path()
    """Where its census is."""

    def sample(self, pid: int, at_s: float) -> None:
        """Look at it now."""
        status = Path(f"/proc/{pid}/status").read_text()
        facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        self.at_s.append(at_s)
        assert "VmRSS" in facts, f"{self.name} has ended after {at_s:.0f} s"
        self.kib.append(float(facts["VmRSS"].split()[0]))
        self.threads.append(float(facts["Threads"]))
        self.descriptors.append(float(len(os.listdir(f"/proc/{pid}/fd"))))

    def slope(self, values: list[float], *, left_out: float = 0.2) -> float:
        """How much it grows in an hour, by the line that fits best behind the part that is left out."""
        first = int(len(values) * left_out)
        return statistics.linear_regression(self.at_s[first:], values[first:]).slope * 3600

    def lives(self, name: str) -> list[float]:
        """One figure of its census, in the order of time."""
        return [json.loads(line)[name] for line in self.counts.read_text().splitlines()]

    def grown(self, values: list[float]) -> float:
        """The median of the last fifth less that of the second."""
        fifth = len(values) // 5
        if not fifth:
            return 0.0  # too short to tell
        return statistics.median(values[-fifth:]) - statistics.median(values[fifth : 2 * fifth])


def soak(
    minutes: float, seed: int, pace_s: float, directory: Path, stopped: Callable[[], bool] = lambda: False
) -> tuple[list[Course], bool, int]:
    """Run it, until it is stopped; the courses, whether both sides are equal in the end, how many records there are."""
    dice = random.Random(seed)
    (directory / "cloud").mkdir()
    names = ("a brain", "replicate --follow", "the server")
    courses = [Course(name, counts=directory / f"{name}.census") for name in names]
    brain, follower, server = (
        f"from tests.campaigns import census; census.begin({str(c.counts)!r})\n" for c in courses
    )
    cloud = LiveCloud(directory / "cloud", {"limits": {"requests_per_minute": None}}, prelude=server)
    world = World(directory / "home", cloud)
    pause = threading.Event()
    with Chaos(("127.0.0.1", cloud.port)) as chaos:
        world.endpoint = f"{chaos.url}/api/v1"
        try:
            world.brain(GRADATA_DISABLE_WRITE_THROUGH="1").close()
            running = {names[0]: world.start(brain + WRITER, str(pace_s)), names[1]: world.start(follower + FOLLOW)}
            began, trouble_at = time.monotonic(), TROUBLE_S
            while (at_s := time.monotonic() - began) < minutes * 60:
                pause.wait(SAMPLE_S)
                if stopped():
                    break
                for course in courses:
                    process = running.get(course.name)
                    if process is not None and process.poll() is not None:
                        said = "".join(process.communicate())
                        raise AssertionError(f"{course.name} ended after {at_s:.0f} s: {process.returncode}: {said}")
                    assert cloud.alive, f"the server ended after {at_s:.0f} s: {cloud.status}"
                    course.sample(cloud.pid if process is None else process.pid, at_s)
                if at_s > trouble_at:
                    trouble_at = at_s + TROUBLE_S
                    chaos.fault = NONE if chaos.fault != NONE else dice.choice(TROUBLES)
                    chaos.cut()
                    if dice.random() < 0.2:
                        world.keep_key(cloud.make_key("ingest", "read"))
            chaos.fault = NONE
            world.close()
            if stopped():  # Ctrl-C reached the server too
                cloud.kill()
                cloud.start()
            world = World(directory / "end", cloud)
            world.directory = directory / "home" / "brain"
            world.log = world.directory / "events.jsonl"
            with world.brain():
                world.settle(120)
            return courses, True, world.whole.count(b"\n")
        except AssertionError:
            print(cloud.said, file=sys.stderr)
            raise
        finally:
            world.close()
            cloud.close()


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--pace", type=float, default=0.05, help="seconds between two corrections (0.05)")
    chosen = parser.parse_args()
    leaks = False
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        with stoppable() as stopped:
            courses, equal, records = soak(chosen.minutes, chosen.seed, chosen.pace, Path(directory), stopped)
        minutes = courses[0].at_s[-1] / 60
        print(f"{minutes:.1f} minutes, seed {chosen.seed}: {records} records, log and replica equal: {equal}")
        for course in courses:
            show(course)
            grown = max(course.grown(course.descriptors), course.grown(course.threads))
            leaks |= grown > GROWN_MAX or course.grown(course.lives("blocks")) > BLOCKS_MAX
    return 1 if leaks else 0


def show(course: Course) -> None:
    """Two lines about one process: what the system gave it, and what lives in it."""
    whole, last_half = course.slope(course.kib) / 1024, course.slope(course.kib, left_out=0.5) / 1024
    print(
        f"{course.name:<20} {course.kib[-1] / 1024:7.1f} MiB {whole:+8.2f} MiB/h, in the last half {last_half:+8.2f}   "
        f"{course.descriptors[-1]:4.0f} descriptors {course.slope(course.descriptors):+7.2f}/h   "
        f"{course.threads[-1]:4.0f} threads {course.slope(course.threads):+7.2f}/h   {len(course.at_s)} samples"
    )
    said = [
        f"{name} {course.lives(name)[-1]:,.0f} ({course.grown(course.lives(name)):+,.0f})"
        for name in ("blocks", "heap", "kept", "sqlite")
    ]
    print(f"{'':<20} lives: {', '.join(said)}; the last three in KiB; in brackets the last fifth less the second")
