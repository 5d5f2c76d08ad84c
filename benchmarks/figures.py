"""What the benchmarks share: a place to work in, a cloud to talk to, a way to print figures beside a baseline.

Machines are noisy: each program prints a baseline of the same run and the ratio to it, and medians rather than means.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gradata import Brain


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary directory, and a home without anybody's keys or settings."""
    with tempfile.TemporaryDirectory(prefix="gradata-bench-") as name:
        for variable in [v for v in os.environ if v.startswith("GRADATA_") or v == "BRAIN_DIR"]:
            del os.environ[variable]
        os.environ["HOME"] = name
        yield Path(name)


def free_port() -> int:
    """A port that nothing listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def cloud(directory: Path, *options: str) -> Iterator[tuple[str, str]]:
    """A real `gradata serve` on SQLite; yields its URL and an ingest and read key."""
    directory.mkdir(parents=True, exist_ok=True)
    store, port = f"sqlite:{directory}/cloud.db", free_port()
    command = [sys.executable, "-m", "gradata", "serve", "--port", str(port), "--store", store, *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(port), 30.0)
        yield f"http://127.0.0.1:{port}/api/v1", make_key(store)
    finally:
        server.terminate()
        server.wait(30)


def make_key(store: str) -> str:
    """A fresh ingest and read key of this store."""
    command = [sys.executable, "-m", "gradata", "keys", "create", "--store", store, "--name", "bench"]
    made = subprocess.run([*command, "--scope", "ingest,read", "--json"], capture_output=True, text=True, check=True)
    return str(json.loads(made.stdout)["key"])


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(holds: Callable[[], bool], timeout_s: float, step_s: float = 0.002) -> float:
    """Seconds until `holds()`; TimeoutError after `timeout_s`."""
    began = time.perf_counter()
    while not holds():
        if time.perf_counter() - began > timeout_s:
            raise TimeoutError(f"still waiting after {timeout_s} s")
        time.sleep(step_s)
    return time.perf_counter() - began


def acked_offset(brain: Brain) -> int:
    """How far the cloud has durably acknowledged this brain's log."""
    replicator = brain.replicator
    status = replicator.status() if replicator is not None else None  # type: ignore[attr-defined]
    return 0 if status is None else int(status.offset)


def append_times(path: Path, line: bytes, count: int) -> list[float]:
    """The baseline of every append: one bare write and fdatasync, in seconds each."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    times = []
    for _ in range(count):
        began = time.perf_counter()
        os.write(descriptor, line)
        os.fdatasync(descriptor)
        times.append(time.perf_counter() - began)
    os.close(descriptor)
    return times


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def show(name: str, values: Sequence[float], *, unit: str = "ms", scale: float = 1e3) -> None:
    """One row: p50, p99 and the worst."""
    p50, p99, worst = (quantile(values, share) * scale for share in (0.5, 0.99, 1.0))
    print(f"{name:<58} p50 {p50:9.2f}  p99 {p99:9.2f}  max {worst:9.2f} {unit}  n {len(values)}", flush=True)


def tell(name: str, value: float, unit: str) -> None:
    """One figure."""
    print(f"{name:<58} {value:13,.2f} {unit}", flush=True)


def write_log(path: Path, count: int, length: int = 1200, start: int = 0) -> None:
    """Append `count` whole records of `length` bytes, as corrections look, and make them durable."""
    text = "It should say what is promised, and by when. " * 40
    with path.open("ab") as log:
        for first in range(start, start + count, 10_000):
            lines = []
            for number in range(first, min(first + 10_000, start + count)):
                head = (
                    '{"ts": "2026-11-23T05:58:22.828816+00:00", "session": 1, "type": "CORRECTION", "source": "bench", '
                    f'"data": {{"category": "TONE", "severity": "minor", "n": {number}, "final_text": "'
                )
                tail = f'"}}, "tags": ["category:TONE"], "event_id": "01KAR{number:021d}"}}\n'
                lines.append((head + text[: length - len(head) - len(tail)] + tail).encode())
            log.write(b"".join(lines))
        log.flush()
        os.fsync(log.fileno())  # every writer of ours did: the first batch must not pay for gigabytes of dirty pages
