"""From append to durable in the cloud: same process, another process, file events mute, and a burst.

Run: python -m benchmarks.crossing [--count 300] [--burst 10000] [--runs 1]
The time ends when the acknowledgement is in the client's hands, so it is an upper bound. Baseline: one durable
single-event request to the same server over a kept connection.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx

from benchmarks.figures import acked_offset, cloud, quantile, show, tell, wait_for, workplace
from gradata import Brain
from replicator.loop import Replicator
from replicator.sink import HttpSink

APPEND = """
import sys, time
from gradata import Brain
brain = Brain(sys.argv[1])
for number in range(int(sys.argv[2])):
    brain.correct(f"draft {number} of another process", f"final {number} of another process")
    print(time.monotonic(), brain.dir.joinpath("events.jsonl").stat().st_size, flush=True)
    time.sleep(0.3)
"""


def crossing(brain: Brain, count: int, pause_s: float) -> list[float]:
    """Seconds from the call of correct() to the acknowledgement, at an even pace."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        brain.correct(f"draft {number} to cross", f"final {number} to cross")
        end = brain.dir.joinpath("events.jsonl").stat().st_size
        wait_for(lambda end=end: acked_offset(brain) >= end, 10.0, 0.0005)  # type: ignore[misc]
        taken = time.perf_counter() - began
        times.append(taken)
        time.sleep(max(0.0, pause_s - taken))
    return times


def foreign(directory: Path, acked: Callable[[], int], count: int) -> list[float]:
    """Seconds from the return of another process's correct() to the acknowledgement in this one."""
    command = [sys.executable, "-c", APPEND, str(directory), str(count)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    times = []
    for line in other.stdout:
        at, end = line.split()
        wait_for(lambda end=end: acked() >= int(end), 10.0, 0.0005)  # type: ignore[misc]
        times.append(time.monotonic() - float(at))
    other.wait()
    return times


def baseline(url: str, key: str, count: int) -> list[float]:
    """Seconds of bare requests of one event each."""
    correction = {"category": "TONE", "description": "x", "draft_preview": "a", "final_preview": "b"}
    times = []
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}) as client:
        for _ in range(count):
            body = {"brain_id": "baseline", "event_id": str(uuid.uuid4()), "correction": correction}
            began = time.perf_counter()
            client.post(f"{url}/ingest", json=body).raise_for_status()
            times.append(time.perf_counter() - began)
            time.sleep(0.1)
    return times


def burst(brain: Brain, count: int) -> None:
    """So many corrections as fast as they can be made; then how long the last one takes to arrive."""
    replicator = brain.replicator
    assert isinstance(replicator, Replicator)
    wait_for(lambda: replicator.status() is not None, 10.0)
    before = replicator.status()
    began = time.monotonic()
    for number in range(count):
        brain.correct(f"draft {number} in a burst", f"final {number} in a burst")
    written = time.monotonic()
    end = brain.dir.joinpath("events.jsonl").stat().st_size
    wait_for(lambda: acked_offset(brain) >= end, 60.0)
    arrived = time.monotonic()
    after = replicator.status()
    assert before is not None
    assert after is not None
    tell(f"burst of {count:,}: written at", count / (written - began), "corrections/s")
    tell("burst: the last one arrived after", arrived - written, "s")
    requests = after.requests - before.requests
    tell("burst: requests", requests, f"in {arrived - began:.1f} s (600 a minute, 10 at once)")


def mute(place: Path, url: str, key: str) -> None:
    """A replicator that gets no file events, beside a process that appends."""
    brain = Brain.init(place / "mute")
    replicator = Replicator(
        brain.log_path,
        endpoint=url,
        open_sink=lambda: HttpSink(endpoint=url, key=lambda: key, identity=brain.identity),
        watch_events=False,
    )
    replicator.start()

    def acked() -> int:
        status = replicator.status()
        return 0 if status is None else status.offset

    show("appended by another process, file events mute", foreign(brain.dir, acked, 20))
    replicator.close()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--burst", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=1, help="how often the first row is measured, each by itself")
    args = parser.parse_args()
    with workplace() as place, cloud(place / "cloud") as (url, key):
        bare = baseline(url, key, 100)
        show("one bare durable request (baseline)", bare)
        with Brain.init(place / "same", endpoint=url, key=key) as brain:
            crossing(brain, 10, 0.1)
            for _ in range(args.runs):
                same = crossing(brain, args.count, 0.1)
                show("correct() -> durable in the cloud, 10 a second", same)
            tell("p50 / p50 of the baseline", quantile(same, 0.5) / quantile(bare, 0.5), "times")
            show(
                "appended by another process", foreign(brain.dir, lambda: acked_offset(brain), max(30, args.count // 5))
            )
        with Brain.init(place / "burst", endpoint=url, key=key) as brain:
            burst(brain, args.burst)
        mute(place, url, key)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
