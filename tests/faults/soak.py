"""Let it run, and fit lines through memory, descriptors and threads: what grows shows as a slope, not as a feeling.

    python -m tests.faults.soak --minutes 10 [--seed N]

A brain that corrects and replicates, `replicate --follow`, and the server run at an easy pace; now and then the network
misbehaves, the server is restarted, the key is rotated. The first fifth is warm-up and left out. Exit code 1 if a
process has more descriptors or threads at the end than behind the warm-up, or if log and replica differ.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from replicator.testing import chaos as chaotic
from replicator.testing.chaos import NONE, Chaos
from tests.acceptance.world import World
from tests.cloud_fixture import LiveCloud

WRITER = """
import sys, time
from gradata import Brain
brain = Brain(sys.argv[1])
while True:
    brain.correct("a draft " * 9, "the final " * 9)
    time.sleep(0.05)
"""
SAMPLE_S = 2.0
TROUBLE_S = 12.0
"""Between two disturbances."""
GROWN_MAX = 2
"""What may be open at the very moment of a sample: a connection, a request's thread."""
TROUBLES = (chaotic.reset(), chaotic.cut_answer(30), chaotic.black_hole(), chaotic.latency(0.1), chaotic.garbage())


@dataclass
class Course:
    """What one process took, sample by sample: seconds, KiB, descriptors, threads."""

    name: str
    at_s: list[float] = field(default_factory=list)
    kib: list[float] = field(default_factory=list)
    descriptors: list[float] = field(default_factory=list)
    threads: list[float] = field(default_factory=list)

    def sample(self, pid: int, at_s: float) -> None:
        """Look at it now."""
        status = Path(f"/proc/{pid}/status").read_text()
        facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        self.at_s.append(at_s)
        assert "VmRSS" in facts, f"{self.name} has ended after {at_s:.0f} s"
        self.kib.append(float(facts["VmRSS"].split()[0]))
        self.threads.append(float(facts["Threads"]))
        self.descriptors.append(float(len(os.listdir(f"/proc/{pid}/fd"))))

    def slope(self, values: list[float]) -> float:
        """How much it grows in an hour, by the line that fits best behind the warm-up."""
        first = len(values) // 5
        return statistics.linear_regression(self.at_s[first:], values[first:]).slope * 3600

    def grown(self, values: list[float]) -> float:
        """The median of the last fifth less that of the second."""
        fifth = max(1, len(values) // 5)
        return statistics.median(values[-fifth:]) - statistics.median(values[fifth : 2 * fifth])


def soak(minutes: float, seed: int, directory: Path) -> tuple[list[Course], bool, int]:
    """Run it; the courses, whether both sides are equal in the end, and how many records there are."""
    dice = random.Random(seed)
    (directory / "cloud").mkdir()
    cloud = LiveCloud(directory / "cloud", {"limits": {"requests_per_minute": None}})
    world = World(directory / "home", cloud)
    pause = threading.Event()
    with Chaos(("127.0.0.1", cloud.port)) as chaos:
        world.endpoint = f"{chaos.url}/api/v1"
        try:
            world.brain(GRADATA_DISABLE_WRITE_THROUGH="1").close()
            running = {"a brain": world.start(WRITER), "replicate --follow": world.follow()}
            courses = [Course(name) for name in (*running, "the server")]
            began, trouble_at = time.monotonic(), TROUBLE_S
            while (at_s := time.monotonic() - began) < minutes * 60:
                pause.wait(SAMPLE_S)
                for course in courses:
                    process = running.get(course.name)
                    if process is not None and process.poll() is not None:
                        said = "".join(process.communicate())
                        raise AssertionError(f"{course.name} ended after {at_s:.0f} s: {process.returncode}: {said}")
                    course.sample(cloud.pid if process is None else process.pid, at_s)
                if at_s > trouble_at:
                    trouble_at = at_s + TROUBLE_S
                    chaos.fault = NONE if chaos.fault != NONE else dice.choice(TROUBLES)
                    chaos.cut()
                    if dice.random() < 0.2:
                        world.keep_key(cloud.make_key("ingest", "read"))
            chaos.fault = NONE
            world.close()
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
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        courses, equal, records = soak(chosen.minutes, chosen.seed, Path(directory))
    print(f"{chosen.minutes:g} minutes, seed {chosen.seed}: {records} records, log and replica equal: {equal}")
    leaks = False
    for course in courses:
        print(
            f"{course.name:<20} {course.kib[-1] / 1024:7.1f} MiB {course.slope(course.kib) / 1024:+8.2f} MiB/h   "
            f"{course.descriptors[-1]:4.0f} descriptors {course.slope(course.descriptors):+7.2f}/h   "
            f"{course.threads[-1]:4.0f} threads {course.slope(course.threads):+7.2f}/h   {len(course.at_s)} samples"
        )
        leaks |= max(course.grown(course.descriptors), course.grown(course.threads)) > GROWN_MAX
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
