"""Prove a large log against its copy, spoil the copy behind the cloud's back, find and mend that, bring the log back.

Run: python -m benchmarks.verify [--records 1000000] [--length 700]
Real: the command line in a process of its own, `gradata serve` on SQLite, a TCP relay that counts every byte between.
Baseline: reading the file and hashing each record once, in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.backfill import hashed
from benchmarks.figures import cloud, tell, workplace, write_log
from gradata import Brain
from replicator.log import LogWriter
from replicator.recovery.local import LocalTree


class Relay:
    """Carries every byte between the client and the cloud, and counts it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._there = (parts.hostname or "", parts.port or 0)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}{parts.path}"
        self.carried = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            here, _ = self._listening.accept()
            there = socket.create_connection(self._there)
            for source, target in ((here, there), (there, here)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        while piece := source.recv(1 << 20):
            self.carried += len(piece)
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)

    def taken(self) -> int:
        """Bytes since the last call."""
        carried, self.carried = self.carried, 0
        return carried


def gradata(brain: Path, url: str, key: str, *arguments: str) -> tuple[dict[str, Any], float]:
    """One command to its end: its answer, and the seconds that it took from the start of its process."""
    environ = os.environ | {"GRADATA_ENDPOINT": url, "GRADATA_API_KEY": key, "GRADATA_BRAIN": str(brain)}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "gradata", *arguments, "--json"],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )
    took = time.perf_counter() - began
    assert done.stdout, done.stderr
    return json.loads(done.stdout), took


def scrubbed(url: str, key: str, log_id: str) -> float:
    """Seconds that the cloud takes to hash all that it stores of a log."""
    began = time.perf_counter()
    further: dict[str, Any] | None = {}
    while further is not None:  # on a busy machine it may take several answers of 10 s
        answer = httpx.get(
            f"{url}/logs/{log_id}",
            params={"scrub": "deep", **further},
            headers={"Authorization": f"Bearer {key}"},
            timeout=300,
            trust_env=False,
        ).json()
        further = answer["next"]
    took = time.perf_counter() - began
    assert answer["stored_root"] == answer["root"], answer
    return took


def spoil(store: Path, records: int) -> None:
    """Delete three rows and alter three others, as a bad disk or a careless operator would."""
    lost = [records // 7, records // 3, records - 2]
    spoilt = [0, records // 2, records - 1]
    with closing(sqlite3.connect(store, timeout=30)) as database, database:
        mask = (1 << 40) - 1
        for number in lost:
            database.execute(f"DELETE FROM records WHERE place & {mask} = ?", (number,))
        for number in spoilt:
            place, record = database.execute(
                f"SELECT place, record FROM records WHERE place & {mask} = ?", (number,)
            ).fetchone()
            altered = bytes(record[:-2]) + b"!\n"
            database.execute("UPDATE records SET record = ? WHERE place = ?", (altered, place))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--length", type=int, default=700)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a directory to keep log and store in, for another run")
    parser.add_argument("--only-prepare", action="store_true", help="make log and store, measure nothing")
    args = parser.parse_args()
    with workplace() as temporary, cloud((args.keep or temporary) / "cloud") as (url, key):
        place = args.keep or temporary
        brain = place / "brain"
        Brain.init(brain).close()
        log = brain / "events.jsonl"
        there = log.stat().st_size // args.length
        write_log(log, max(0, args.records - there), args.length, start=there)
        with Brain(brain, endpoint=url, key=key) as open_brain:
            assert open_brain.replicator is not None
            assert open_brain.replicator.drain(1200.0).reason == "caught_up"
        if args.only_prepare:
            return
        relay = Relay(url)
        proven(args, log, relay, url, key)
        mended(args, log, relay, key, place / "cloud" / "cloud.db")
        restored(log, relay, key, temporary / "new")


def proven(args: argparse.Namespace, log: Path, relay: Relay, url: str, key: str) -> None:
    """Nothing is wrong."""
    hashed(log)
    tell("read the file and hash each record (baseline)", min(hashed(log) for _ in range(args.runs)), "s")
    times = []
    for _ in range(args.runs):
        began = time.perf_counter()
        tree = LocalTree.of(str(log))
        times.append(time.perf_counter() - began)
        assert tree.size == args.records
    tell("the client hashes its log into a tree", min(times), f"s (worst {max(times):.2f})")
    log_id = httpx.get(
        f"{url}/logs?brain={(log.parent / '.tenant_id').read_text()}",
        headers={"Authorization": f"Bearer {key}"},
        trust_env=False,
    ).json()["logs"][0]["log_id"]
    times = [scrubbed(url, key, log_id) for _ in range(args.runs)]
    tell("the server hashes all that it stores (deep scrub)", min(times), f"s (worst {max(times):.2f})")
    for how in ("--shallow", "--deep"):
        relay.taken()
        answer, took = gradata(log.parent, relay.url, key, "verify", how)
        assert answer["state"] == "identical", answer
        tell(f"gradata verify {how}, nothing wrong, whole process", took, "s")
        tell(f"gradata verify {how}, over the wire", relay.taken() / 1e3, "kB")


def mended(args: argparse.Namespace, log: Path, relay: Relay, key: str, store: Path) -> None:
    """Three rows deleted, three altered; then one record edited here."""
    spoil(store, args.records)
    relay.taken()
    answer, took = gradata(log.parent, relay.url, key, "verify")
    assert (answer["missing_at_cloud"], answer["damaged_at_cloud"]) == (3, 3), answer
    assert len(answer["differences"]) == 6
    tell("gradata verify, 3 rows deleted and 3 altered, all named", took, "s")
    tell("gradata verify, 3 rows deleted and 3 altered, wire", relay.taken() / 1e3, "kB")
    answer, took = gradata(log.parent, relay.url, key, "verify", "--repair")
    assert (answer["sent"], answer["mended"]) == (6, 6), answer
    tell("gradata verify --repair: records sent", answer["sent"], f"records in {took:.2f} s")
    tell("gradata verify --repair, over the wire", relay.taken() / 1e3, "kB")
    answer, took = gradata(log.parent, relay.url, key, "verify")
    assert answer["state"] == "identical", answer
    tell("gradata verify afterwards: identical", took, "s")
    with log.open("r+b", buffering=0) as file:
        file.seek(args.records // 2 * args.length + args.length // 2)
        before = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(b"#")
        relay.taken()
        answer, took = gradata(log.parent, relay.url, key, "verify")
        assert (answer["state"], answer["edited_here"]) == ("diverged", 1), answer
        assert answer["differences"][0]["record"] == args.records // 2
        tell("gradata verify, one record edited here, named", took, "s")
        tell("gradata verify, one record edited here, wire", relay.taken() / 1e3, "kB")
        file.seek(-1, os.SEEK_CUR)
        file.write(before)


def restored(log: Path, relay: Relay, key: str, place: Path) -> None:
    """The log on a new machine, and what goes over the wire when one record is added there."""
    brain_id = (log.parent / ".tenant_id").read_text()
    answer, took = gradata(place, relay.url, key, "restore", "--brain", brain_id)
    assert answer["proven"], answer
    assert subprocess.run(["cmp", str(log), str(place / "events.jsonl")], check=False).returncode == 0
    tell("gradata restore on an empty directory, cmp identical", took, "s")
    LogWriter(str(place / "events.jsonl")).append(b'{"type": "NOTE", "event_id": "one-more"}\n')
    relay.taken()
    answer, took = gradata(place, relay.url, key, "replicate")
    assert (answer["accepted"], answer["duplicates"]) == (1, 0), answer
    tell("gradata replicate of one more record: records resent", answer["duplicates"], f"records in {took:.2f} s")
    tell("gradata replicate of one more record, over the wire", relay.taken() / 1e3, "kB")


if __name__ == "__main__":
    main()
