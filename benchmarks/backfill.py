"""Backfill of a large log: against a sink that does nothing, and against the real server on SQLite.

Run: python benchmarks/backfill.py [--records 1000000] [--length 1200]
Baselines: reading the file and hashing each record once, in the same process; and the same bytes written to a file
in pieces of 16 MiB, durable each, which a store does twice (its WAL and its file). Memory is that of this process
above what it held before the replicator began to read.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import threading
import time
from pathlib import Path

from benchmarks.figures import cloud, tell, workplace, write_log
from gradata import Brain
from replicator.actions import Acked, Beat, Heard, Recalled, Send
from replicator.loop import Replicator
from replicator.model import MIB, Head, Limits
from replicator.wire import Report

BATCH_BYTES_MAX = 16 * MIB


class NullSink:
    """Acknowledges everything at once and announces no request budget."""

    def send(self, action: Send, report: Report) -> Acked:
        """All of it is accepted."""
        del report
        head = Head(action.cursor.log_id, action.after.size, action.after.root)
        return Acked("null", head, action.load.count, limits=Limits(requests_per_minute=None))

    def beat(self, action: Beat, report: Report) -> Heard:
        """In step."""
        del report
        return Heard("null", Head(action.cursor.log_id, action.cursor.size, action.cursor.root))

    def recall(self) -> Recalled:
        """It knows nothing."""
        return Recalled(())

    def key_changed(self) -> bool:
        """It wants none."""
        return False

    def close(self) -> None:
        """Nothing to close."""


class Memory(threading.Thread):
    """Looks at this process's resident memory until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.first = self.most = resident_bytes()
        self._stop_looking = threading.Event()

    def run(self) -> None:
        """Keep the most that was seen."""
        while not self._stop_looking.wait(0.02):
            self.most = max(self.most, resident_bytes())

    def grown_mib(self) -> float:
        """MiB above the beginning, at the most."""
        self._stop_looking.set()
        self.join()
        return (self.most - self.first) / 1024 / 1024


def resident_bytes() -> int:
    """Resident memory of this process now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def hashed(log: Path) -> float:
    """Seconds to read the log and hash each of its records once."""
    began = time.perf_counter()
    with log.open("rb") as lines:
        for line in lines:
            hashlib.sha256(line).digest()
    return time.perf_counter() - began


def written(log: Path, copy: Path) -> float:
    """Seconds to write the log's bytes to another file, durable after each piece as large as the largest batch."""
    began = time.perf_counter()
    with log.open("rb", buffering=0) as source, copy.open("wb", buffering=0) as target:
        while piece := source.read(BATCH_BYTES_MAX):
            target.write(piece)
            os.fdatasync(target.fileno())
    took = time.perf_counter() - began
    copy.unlink()
    return took


def children_cpu_s() -> float:
    """CPU seconds of the processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(replicator: Replicator, name: str, records: int, baseline_s: float) -> None:
    """Replicate the whole log and print the rate."""
    memory = Memory()
    memory.start()
    cpu, began = time.process_time(), time.perf_counter()
    replicator.start()
    drained = replicator.drain(600.0)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    grown = memory.grown_mib()
    status = replicator.status()
    assert drained.reason == "caught_up", drained
    assert status is not None
    assert status.size == records
    tell(f"{name}: records a second", records / took, f"records/s in {took:.1f} s, {cpu:.1f} s CPU here")
    tell(f"{name}: time / baseline", took / baseline_s, "times")
    tell(f"{name}: memory above idle", grown, "MiB")
    tell(f"{name}: requests", status.requests, "")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--length", type=int, default=1200)
    args = parser.parse_args()
    with workplace() as place:
        measure(place, args.records, args.length)


def measure(place: Path, records: int, length: int) -> None:
    """Both sinks, and what the server cost."""
    with cloud(place / "cloud") as (url, key):
        cpu = children_cpu_s()
        Brain.init(place / "brain").close()
        log = place / "brain" / "events.jsonl"
        write_log(log, records, length)
        hashed(log)
        baseline_s = hashed(log)
        tell(f"read and hash {log.stat().st_size / 1e9:.2f} GB (baseline)", records / baseline_s, "records/s")
        durable_s = written(log, place / "copy")
        tell("the same bytes to a file, durable each 16 MiB (baseline)", records / durable_s, "records/s")
        null = Replicator(str(log), endpoint="null:", open_sink=NullSink)
        run(null, "null sink", records, baseline_s)
        null.close(0.0)
        for name in (".replicator.db", ".replicator.db-wal", ".replicator.db-shm"):
            (place / "brain" / name).unlink(missing_ok=True)
        with Brain(place / "brain", endpoint=url, key=key) as brain:
            assert isinstance(brain.replicator, Replicator)
            run(brain.replicator, "real server, SQLite", records, baseline_s)
    tell("real server, SQLite: CPU of the server", (children_cpu_s() - cpu) / records * 1e6, "us a record")


if __name__ == "__main__":
    main()
