"""One seeded world: clouds, directories, the network between them, people who write and people who mend.

Everything that happens is drawn from the seed: which faults there are at all, how often they come, how much is
written. After the time of faults comes a time of healing in which nothing new goes wrong; then the oracle judges.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from replicator.actions import ResetOrder
from replicator.model import Cursor, Identity

from .clock import Clock
from .cloud import CloudProcess
from .directory import Directory
from .faults import FAULTS, Fault
from .network import Network
from .oracle import Oracle
from .policy import LARGE_BATCHES, POLICY
from .process import Process
from .records import Records

HEAL_S = 460.0
"""Within it everything must be delivered: the longest wait (a clamped Retry-After, 300 s), a probe and a heartbeat."""
OUTAGES_ALONE = 0.05
"""The share of seeds in which the cloud is away now and then, and nothing else happens."""
LINE_SHARE = 1.5
"""On a slow line everything must be there within so many times what the line takes for it."""
QUIET_S = 130.0
"""After it no record may travel any more."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one seed came to."""

    seed: int
    hours: float
    records: int
    """How many records writers tried to append."""
    seen: Counter[str]
    faults: tuple[str, ...]
    trace: tuple[str, ...] = ()


class World:
    """One run. `trace` collects lines, if it is wanted; it does not change what happens."""

    def __init__(self, seed: int, *, hours: float | None = None, traced: bool = False) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        rng = self.rng
        self.trace: list[str] | None = [] if traced else None
        self.seen: Counter[str] = Counter()
        self.hours = hours or rng.choice((1.0, 2.0, 4.0, 8.0))
        self.fast = rng.random() < 0.95
        self.short_writes = rng.choice((0.0, 0.0, 0.2))
        self.latency_s = rng.choice((0.002, 0.03, 0.08, 0.4))
        self.clock = Clock()
        self.network = Network(self.clock, random.Random(rng.random()), latency_s=self.latency_s)
        self.oracle = Oracle(self)
        self.records = Records(
            random.Random(rng.random()), odd=rng.choice((0.0, 0.1, 0.5)), large=rng.choice((0.0, 0.0, 0.03, 0.1))
        )
        self.clouds: list[CloudProcess] = []
        self.directories: list[Directory] = []
        self.away: set[str] = set()
        self.healing = False
        self.faulty = False
        """Something was injected already."""
        self.line_stays = self.hole_stays = False
        """What is wrong with the line is not mended: everything must arrive all the same, in the time that it takes."""
        self._leads: Counter[str] = Counter()
        self._endings: list[Callable[[], None]] = []
        self.outages_alone = False
        """Nothing but the cloud's absence ever goes wrong here."""
        self._faults = self._draw_faults()
        self.policy = rng.choice((POLICY, POLICY, LARGE_BATCHES))
        self.unlocked = rng.choice((0.0, 0.0, 0.3))
        self.bursts_per_hour = rng.choice((3.0, 8.0, 20.0)) / self.hours
        self.burst_max = rng.choice((2, 5, 12, 40, 150))

    def _draw_faults(self) -> list[tuple[Fault, float]]:
        """The faults of this seed with their rates: none, one, a few, or many."""
        count = self.rng.choice((0, 1, 2, 3, 4, 6, 8, 12))
        drawn = self.rng.sample(FAULTS, count)
        if random.Random(f"outages {self.seed}").random() < OUTAGES_ALONE:
            self.outages_alone = True
            return [(fault, 4.0 / self.hours) for fault in FAULTS if fault.name == "connection refused"]
        return [(fault, fault.times * self.rng.uniform(0.5, 3.0) / self.hours) for fault in drawn]

    # ------------------------------------------------------------------------------ the run

    def run(self) -> Figures:
        """The whole run. AssertionError (of the oracle, or of the code under test) if something does not hold."""
        cloud = self.add_cloud()
        directory = self.add_directory(cloud, Identity("brain-1", "dev_1"))
        self.bring_key(directory)
        for _ in range(self.rng.choice((0, 0, 1, 20, 300))):
            directory.append(self.records.next())
        for process in directory.processes:
            self.clock.after(self.rng.uniform(0.0, 5.0), process.start)
        self._plan_burst()
        self._look_after(900.0)
        for fault, rate in self._faults:
            self._plan_fault(fault, rate)
        self.clock.run_until(self.hours * 3_600.0)
        self._heal()
        end_s = max(self.clock.now_s, self.network.latest_s) + HEAL_S + self._line_s()
        self.clock.run_until(end_s)
        self.oracle.judge_lag()
        sent = self.oracle.sent
        self.clock.run_until(end_s + QUIET_S)
        self.oracle.judge(quiet=self.oracle.sent == sent)
        for one in self.clouds:
            for name, count in one.counts.items():
                self.count(f"answer {name}" if name.isdecimal() else name, by=count)
            one.store.close()
        self.seen.update(self.network.counts)
        names = tuple(sorted(fault.name for fault, _ in self._faults))
        return Figures(
            self.seed, self.clock.now_s / 3_600.0, self.records.made, self.seen, names, tuple(self.trace or ())
        )

    def _plan_fault(self, fault: Fault, rate: float) -> None:
        def inject() -> None:
            if self.healing:
                return
            self._plan_fault(fault, rate)
            directory = self.rng.choice(self.directories)
            if directory.name in self.away and not fault.everywhere:
                return
            self.note(f"!! {fault.name} ({directory.name})")
            self.count(f"fault: {fault.name}")
            self.faulty = True
            (self.excuse if fault.everywhere else directory.excuse)(*fault.excuses)
            fault.inject(self, directory)

        self.clock.after(self.rng.expovariate(rate / 3_600.0), inject)

    def _plan_burst(self) -> None:
        def burst() -> None:
            if self.healing:
                return
            count = self.rng.randrange(1, self.burst_max + 1)
            gap_s = self.rng.choice((0.0, 0.05, 1.0, 20.0) if count <= 20 else (0.0, 0.01, 0.05))
            place_s = 0.0
            for _ in range(count):
                self.clock.after(place_s, self.write)
                place_s += self.rng.uniform(0, 2 * gap_s)
            self._plan_burst()

        self.clock.after(self.rng.expovariate(self.bursts_per_hour / 3_600.0), burst)

    def write(self) -> None:
        """Somebody appends a record, to the log of any directory."""
        directory = self.rng.choice(self.directories)
        if self.healing or directory.name in self.away:
            return
        record = self.records.next()
        if self.rng.random() < self.unlocked:
            directory.append_unlocked(record)
        else:
            directory.append(record)

    def _heal(self) -> None:
        """From here on nothing new goes wrong, and people mend what they can."""
        self.note("-- the world turns kind")
        self.healing = True
        self.network.weather.clear()
        self.network.rules.clear()
        if not self.line_stays:
            self.network.bytes_per_s = None
        if not self.hole_stays:
            self.network.hole_bytes = None
        for end in self._endings:
            end()
        for cloud in self.clouds:
            cloud.store.fate = None
            cloud.falls_over_after = 0
            cloud.rise()
        for directory in self.directories:
            directory.disk._faults.clear()
            for process in directory.processes:
                process.dies_at = None
                process.start()
            directory.touched()
        self._look_after(20.0)

    def _line_s(self) -> float:
        """How long the line may take for all that may still have to travel."""
        if self.network.bytes_per_s is None:
            return 0.0
        there = sum(directory.disk.size(directory.path) for directory in self.directories)
        return LINE_SHARE * there / self.network.bytes_per_s

    @property
    def reachable(self) -> bool:
        """Nothing is wrong now, and nothing was but the cloud's absence."""
        return not self.faulty or (self.outages_alone and not self.network.weather)

    def _look_after(self, every_s: float) -> None:
        """A person looks now and then, and confirms what waits for a person."""
        for directory in self.directories:
            self.confirm(directory)
        self.clock.after(every_s, lambda: self._look_after(every_s))

    # ------------------------------------------------------------------------------ what faults and clients use

    def episode(self, end: Callable[[], None], least_s: float, most_s: float) -> None:
        """Plan the end of what just began; at the latest it ends with the time of faults."""
        done = False

        def once() -> None:
            nonlocal done
            if not done:
                done = True
                self.note("!! an episode ends")
                end()

        self._endings.append(once)
        self.clock.after(self.rng.uniform(least_s, most_s) * self.rng.random(), once)

    def add_cloud(self) -> CloudProcess:
        """One more cloud."""
        cloud = CloudProcess(f"cloud-{len(self.clouds) + 1}", self.clock, random.Random(self.rng.random()), self.oracle)
        self.clouds.append(cloud)
        return cloud

    def add_directory(self, cloud: CloudProcess, identity: Identity) -> Directory:
        """One more brain directory, on a machine of its own."""
        directory = Directory(self, f"d{len(self.directories) + 1}", cloud, identity)
        self.directories.append(directory)
        return directory

    def bring_key(self, directory: Directory) -> None:
        """A person puts a new key in place."""
        directory.key = directory.cloud.make_key()
        directory.touched()

    def restart(self, process: Process) -> None:
        """Kill a process; it comes back."""
        if process.alive:
            process.directory.restart_later(process)

    def restart_all(self, directory: Directory) -> None:
        """A person starts all programs again, which then read their settings afresh."""
        for process in directory.processes:
            process.die()
        for process in directory.processes:
            self.clock.after(self.rng.uniform(0.1, 3.0), process.start)

    def order(self, directory: Directory, reset: ResetOrder) -> None:
        """A person's order, left in the sidecar."""
        rows = directory.rows
        rows.last_reset += 1
        rows.resets[rows.last_reset] = ResetOrder(reset.cursor, reset.confirmed, rows.last_reset)
        directory.touched()

    def confirm(self, directory: Directory) -> None:
        """A person looks at what stopped, and lets it go on."""
        for process in directory.processes:
            engine = process.engine
            if engine is None or engine.progress.retry.trouble is None or not engine.progress.retry.trouble.stops:
                continue
            if not directory.rows.resets:
                self.note(f"a person confirms ({directory.name})")
                self.count(f"confirmed: {engine.progress.retry.trouble.code}")
                directory.foreign = False
                directory.excuse("reset", "resend")
                self.order(directory, ResetOrder(Cursor(self.new_uuid()), confirmed=True))

    def new_uuid(self) -> str:
        """A uuid out of the seed."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def excuse(self, *reactions: str) -> None:
        """These reactions are justified from now on."""
        for directory in self.directories:
            directory.excuse(*reactions)

    def count(self, name: str, by: int = 1) -> None:
        """Something was seen."""
        if by:
            self.seen[name] += by

    def counted(self, name: str, directory: Directory) -> int:
        """How often a directory was led, this time included."""
        self._leads[name + directory.name] += 1
        return self._leads[name + directory.name]

    def note(self, text: str) -> None:
        """A line of the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.clock.now_s:12.4f}  {text}")
