"""How long until an idle client notices that the cloud was restored from an older backup, and has mended it.

Run: python -m benchmarks.rewind [--runs 3]
Real: a Brain with the documented policy, `gradata serve` on SQLite, a backup copied over the store while the server is
down. Nobody appends. The time runs from when the restored cloud takes connections. Baseline: the heartbeat's interval,
and how long the same records took at first.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx

from benchmarks.figures import free_port, make_key, tell, workplace, write_log
from gradata import Brain
from replicator.model import Policy

RECORDS = 1_000


class Server:
    """`gradata serve` on a port and a store of its own, started and ended at will."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.path = directory / "cloud.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api/v1"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        command = [sys.executable, "-m", "gradata", "serve", "--port", str(self.port), "--store", f"sqlite:{self.path}"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                httpx.get(f"{self.url}/ready", trust_env=False)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """SIGTERM, and wait."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)


def run(place: Path) -> tuple[float, float]:
    """Seconds until the tail is at the cloud: the first time, and again after the cloud lost it."""
    server = Server(place / "cloud")
    server.start()
    key = make_key(f"sqlite:{server.path}")
    brain_dir = place / "brain"
    Brain.init(brain_dir).close()
    log = brain_dir / "events.jsonl"
    write_log(log, RECORDS)
    with Brain(brain_dir, endpoint=server.url, key=key) as brain:
        replicator = brain.replicator
        assert replicator is not None
        assert replicator.drain(60).reason == "caught_up"
        backup = server.path.with_name("backup.db")
        with closing(sqlite3.connect(server.path)) as source, closing(sqlite3.connect(backup)) as copy:
            source.backup(copy)
        began = time.monotonic()
        write_log(log, RECORDS, start=RECORDS)
        assert replicator.drain(60).reason == "caught_up"
        first = time.monotonic() - began
        time.sleep(random.uniform(0, 20))  # anywhere between two heartbeats
        server.stop()
        for file in server.path.parent.glob("cloud.db-*"):
            file.unlink()
        shutil.copy(backup, server.path)
        server.start()
        began = time.monotonic()
        while size(server.url, key, brain_dir) < 2 * RECORDS:
            time.sleep(0.1)
        took = time.monotonic() - began
        status = replicator.status()  # type: ignore[attr-defined]
        assert (status.rewinds, status.generations) == (1, 0), status
    server.stop()
    return first, took


def size(url: str, key: str, brain_dir: Path) -> int:
    """How many records the cloud has of the log."""
    brain_id = (brain_dir / ".tenant_id").read_text().strip()
    answer = httpx.get(f"{url}/logs?brain={brain_id}", headers={"Authorization": f"Bearer {key}"}, trust_env=False)
    return int(answer.json()["logs"][0]["size"])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    tell("heartbeat every (baseline)", Policy().heartbeat_s, "s")
    for number in range(args.runs):
        with workplace() as place:
            first, took = run(place)
        tell(f"run {number + 1}: the tail, replicated the first time (baseline)", first, "s")
        tell(f"run {number + 1}: noticed and mended after", took, "s")


if __name__ == "__main__":
    main()
