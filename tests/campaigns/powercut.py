"""Take the power away from the disk under a brain, a cloud, or both, again and again; look each time what is there.

    python -m tests.campaigns powercut --rounds 500 [--seed N] [--kind ext4|xfs]

Brain and cloud have loop-mounted file systems of their own (ext4 and xfs in turn, fresh for each series). Two writers,
one of which replicates, and the server run; then the file system is shut down without flushing (FS_IOC_SHUTDOWN), so
that what was not synced is lost; everything on it, stopped the moment before, is killed, and it is mounted again, as
after a power cut. After each:
every event that was acknowledged with `durable` true stands in the log; what the cloud has is a prefix of the log; the
cloud has what the client's cursor says. After each series: drained, byte-equal, each event once, one generation.
Exit code 1 if anything did not hold, 3 where it is not permitted.

What it is not: a disk that lies about its cache. What the kernel has handed to the loop device survives.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gradata.brain.brain import Brain, Ports, open_replicator
from gradata.cloud.http.context import LIMITS, CloudOptions
from gradata.cloud.server import run as serve
from gradata.cloud.service.api_keys import create_key
from gradata.cloud.store.open import open_store
from gradata.config import brain_dir
from gradata.trials.torture.mounts import TrialPlace, alone, freeze, mounted
from replicator import recovery
from replicator.errors import ReplicatorError
from replicator.framing import interpret
from replicator.model import Policy
from replicator.proof import CompactRange, leaf_hashes
from tests.support.stopping import stoppable

SERIES = 25
"""Rounds with the same disks."""
AT_WORK_S = (0.005, 0.25)
WAIT_S = 60.0
QUICK = Policy(backoff_s_first=0.05, backoff_s_max=0.3, probe_s_first=0.2, probe_s_max=0.4, heartbeats_per_minute=600)


@dataclass
class Figures:
    """What it came to."""

    seed: int
    rounds: int = 0
    cuts: dict[str, int] = field(default_factory=dict)
    promised: int = 0
    torn_tails: int = 0
    lost: int = 0
    twice: int = 0
    unknown_to_the_log: int = 0
    ahead_of_the_cloud: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def fine(self) -> bool:
        """Whether every promise was kept."""
        return not self.wrong and self.lost == self.twice == self.unknown_to_the_log == self.ahead_of_the_cloud == 0


def forked(work: Callable[[int], object]) -> tuple[int, int]:
    """Run `work(write end)` in a child that has everything imported already; its pid and the read end."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        os.set_blocking(read, False)
        return pid, read
    try:
        os.setsid()  # Ctrl-C is for the campaign
        os.close(read)
        silence = os.open(os.devnull, os.O_RDWR)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        work(write)
    finally:
        os._exit(1)


class Machine:
    """One series: two disks, and the processes on them."""

    def __init__(self, place: Path, kind: str, figures: Figures, dice: random.Random) -> None:
        self.figures, self.dice, self.kind = figures, dice, kind
        self.disk, why = mounted(str(place / "disk"), kind)
        self.cloud_disk, why_not = mounted(str(place / "cloud"), kind)
        if why or why_not:
            self.close()
            raise PermissionError(why or why_not)
        self.home = place / "home"
        (self.home / ".gradata").mkdir(parents=True)
        self.brain_dir = f"{self.disk.path}/brain"
        self.log = Path(self.brain_dir) / "events.jsonl"
        brain_dir.create(self.brain_dir)
        self.store = f"sqlite:{self.cloud_disk.path}/cloud.db"
        store = open_store(self.store)
        self.key = create_key(store, "cut", ("ingest", "read"))
        store.close()
        self.port = free_port()
        self.environ = {
            "HOME": str(self.home),
            "GRADATA_ENDPOINT": f"http://127.0.0.1:{self.port}/api/v1",
            "GRADATA_API_KEY": self.key,
        }
        self.promised: list[str] = []
        self.server: tuple[int, int] | None = None
        self.writers: list[tuple[int, int]] = []

    # ------------------------------------------------------------------------------ processes

    def start_server(self) -> None:
        """Serve, and wait until it does."""
        options = CloudOptions(limits=LIMITS.__class__(requests_per_minute=None))
        self.server = forked(lambda _: serve("127.0.0.1", self.port, self.store, options=options))
        self.until(lambda: self.get("/health", wants=None) is not None)

    def start_writers(self) -> None:
        """One that replicates, one that only appends; returns when both have promised something."""
        local = {**self.environ, "GRADATA_DISABLE_WRITE_THROUGH": "1"}
        self.writers = [forked(lambda end, env=env: self._write(end, env)) for env in (self.environ, local)]
        for _, end in self.writers:
            select.select([end], [], [], WAIT_S)

    def _write(self, end: int, environ: dict[str, str]) -> None:
        dice = random.Random(os.getpid())

        def opened(*given: Any) -> Any:
            replicator = open_replicator(*given)
            if replicator is not None:
                replicator.policy = QUICK
            return replicator

        brain = Brain(self.brain_dir, environ=environ, ports=Ports(open_replicator=opened))
        while True:
            try:
                event = brain.emit("NOTE", "cut", {"text": "x" * dice.randrange(3_000)})
            except ReplicatorError:
                continue
            if event["durable"]:
                os.write(end, f"{event['event_id']}\n".encode())
            time.sleep(0.001)

    def end(self, processes: list[tuple[int, int]]) -> None:
        """SIGKILL; what they promised is heard."""
        for pid, _ in processes:
            os.kill(pid, signal.SIGKILL)
        for pid, end in processes:
            os.waitpid(pid, 0)
            heard = b""
            while piece := os.read(end, 1 << 20):
                heard += piece
            os.close(end)
            self.promised += [name.decode() for name in heard.split(b"\n")[:-1]]

    # ------------------------------------------------------------------------------ a round

    def round(self) -> None:
        """Start what does not run, let it work, cut, mount, look."""
        if self.server is None:
            self.start_server()
        if not self.writers:
            self.start_writers()
        time.sleep(self.dice.uniform(*AT_WORK_S))  # the cut's own moment, nothing is waited for
        what = self.dice.choices(("brain", "cloud", "both"), (6, 2, 2))[0]
        self.figures.cuts[f"{self.kind} {what}"] = self.figures.cuts.get(f"{self.kind} {what}", 0) + 1
        on_brain = self.writers if what in ("brain", "both") else []
        on_cloud = [self.server] if what in ("cloud", "both") and self.server else []
        freeze(pid for pid, _ in [*on_brain, *on_cloud])
        if what in ("brain", "both"):
            self.disk.cut()
        if what in ("cloud", "both"):
            self.cloud_disk.cut()
        if what in ("brain", "both"):
            self.end(self.writers)
            self.writers = []
            self.disk.restore()
        if what in ("cloud", "both"):
            self.end([self.server] if self.server else [])
            self.cloud_disk.restore()
            self.start_server()
        self.look(stopped=what != "cloud")

    def look(self, *, stopped: bool) -> None:
        """Compare log, cursor and cloud as they are now. While the writers run, the cloud first: it only grows."""
        standing = recovery.standing(str(self.log))
        logs = (self.get(f"/logs?brain={self.brain_id}") or {"logs": []})["logs"]
        data = self.log.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        records = whole.splitlines(keepends=True) if b"\x0b" not in whole else []
        if stopped:
            known = ids_of(whole)
            missing = [name for name in self.promised if name not in known]
            self.figures.lost += len(missing)
            self.figures.wrong += [f"{name} is not in the log" for name in missing[:3]]
            self.figures.torn_tails += len(data) > len(whole)
        if len(logs) > 1:
            self.figures.wrong.append(f"{len(logs)} generations")
        if logs:
            head = logs[0]
            tree = CompactRange.EMPTY.extended(leaf_hashes(records[: head["size"]]))
            if tree.size < head["size"] or tree.root.hex() != head["root"]:
                self.figures.unknown_to_the_log += 1
        if standing is not None and standing.cursor.size > (logs[0]["size"] if logs else 0):
            self.figures.ahead_of_the_cloud += 1

    def settle(self) -> None:
        """The end of a series: all of it crosses, and is there once."""
        if self.server is None:
            self.start_server()
        if not self.writers:
            self.start_writers()
        self.end(self.writers)
        self.writers = []
        last = forked(lambda end: self._last(end))
        whole = self.log.stat().st_size

        def in_step() -> bool:
            at = recovery.standing(str(self.log))
            return at is not None and at.cursor.offset >= whole and at.cursor.offset == self.log.stat().st_size

        if not self.until(in_step):
            self.figures.wrong.append("it does not drain")
        self.end([last])
        log_id = recovery.standing(str(self.log)).cursor.log_id  # type: ignore[union-attr]
        replica = self.client.get(f"/logs/{log_id}/bytes").content
        ids = self.event_ids()
        self.look(stopped=True)
        self.figures.twice += len(ids) - len(set(ids))
        missing = set(self.promised) - set(ids)
        self.figures.lost += len(missing)
        self.figures.wrong += [f"{name} is not in the projection" for name in sorted(missing)[:3]]
        self.figures.promised += len(self.promised)
        if replica != self.log.read_bytes():
            self.figures.wrong.append("the replica is not the log")

    def _last(self, end: int) -> None:
        brain = Brain(self.brain_dir, environ=self.environ)
        brain.emit("NOTE", "cut", {"text": "the last"})
        os.write(end, b"")
        while True:
            time.sleep(60)

    # ------------------------------------------------------------------------------ looking

    @property
    def brain_id(self) -> str:
        """The brain's id."""
        return Path(self.brain_dir, ".tenant_id").read_text().strip()

    @property
    def client(self) -> httpx.Client:
        """A client that keeps no connection: the server dies often."""
        return httpx.Client(
            base_url=self.environ["GRADATA_ENDPOINT"],
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=30,
            trust_env=False,
        )

    def get(self, path: str, wants: int | None = 200) -> Any:
        """An answer of the cloud; None if it does not answer."""
        try:
            with self.client as client:
                answer = client.get(path)
        except httpx.TransportError:
            return None
        return answer.json() if wants is None or answer.status_code == wants else None

    def event_ids(self) -> list[str]:
        """All events of the cloud's projection."""
        ids: list[str] = []
        after: int | None = 0
        while after is not None:
            page = self.get(f"/events?brain={self.brain_id}&after={after}&limit=1000")
            ids += [event["event_id"] for event in page["events"]]
            after = page["next"]
        return ids

    def until(self, holds: Callable[[], bool]) -> bool:
        """Wait for it."""
        deadline = time.monotonic() + WAIT_S
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def close(self) -> None:
        """End all, unmount."""
        for process in [*getattr(self, "writers", []), *filter(None, [getattr(self, "server", None)])]:
            self.end([process])
        for disk in (getattr(self, "disk", None), getattr(self, "cloud_disk", None)):
            if isinstance(disk, TrialPlace):
                disk.close()


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ids_of(whole: bytes) -> set[str]:
    """The event ids in these records."""
    events = (interpret(record + b"\n") for record in whole.split(b"\n")[:-1])
    return {event["event_id"] for event in events if isinstance(event, dict) and "event_id" in event}


def run(
    rounds: int, seed: int, kinds: tuple[str, ...] = ("ext4", "xfs"), stopped: Callable[[], bool] = lambda: False
) -> Figures:
    """So many rounds, unless somebody stops it. Must be called without threads; the process gets mounts of its own."""
    why = alone()
    if why is not None:
        raise PermissionError(why)
    figures, dice, began = Figures(seed), random.Random(seed), time.monotonic()
    series = 0
    while figures.rounds < rounds and not stopped():
        place = Path(tempfile.mkdtemp(prefix="powercut-"))
        machine = None
        try:
            machine = Machine(place, kinds[series % len(kinds)], figures, dice)
            for _ in range(min(SERIES, rounds - figures.rounds)):
                machine.round()
                figures.rounds += 1
                if stopped():
                    break
            machine.settle()
        finally:
            if machine is not None:
                machine.close()
            shutil.rmtree(place, ignore_errors=True)
        series += 1
    figures.seconds = round(time.monotonic() - began, 1)
    return figures


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--kind", choices=("ext4", "xfs"), help="only this file system")
    chosen = parser.parse_args()
    try:
        with stoppable() as stopped:
            figures = run(chosen.rounds, chosen.seed, (chosen.kind,) if chosen.kind else ("ext4", "xfs"), stopped)
    except PermissionError as error:
        print(f"power cuts are not possible here: {error}", file=sys.stderr)
        return 3
    for name, value in vars(figures).items():
        print(f"{name:>20}  {value}")
    return 0 if figures.fine else 1
