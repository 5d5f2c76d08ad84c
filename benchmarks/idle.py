"""What embedding costs while nothing happens: CPU, memory, threads; and what importing costs.

Run: python benchmarks/idle.py [--seconds 60]
Baselines: the same process with a brain but no replicator; a bare interpreter.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import cloud, quantile, show, tell, workplace
from gradata import Brain

IDLE = """
import os, sys, time
from gradata import Brain
def resident(): return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1048576
brain = Brain(sys.argv[1], endpoint=sys.argv[2], key=sys.argv[3] or None)
brain.correct("a draft before idling", "a final text before idling")
time.sleep(5)
cpu = time.process_time()
time.sleep(float(sys.argv[4]))
used = time.process_time() - cpu
import threading
print(used, resident(), threading.active_count())
"""


def idle(directory: Path, url: str, key: str, seconds: float) -> tuple[float, float, int]:
    """CPU seconds in that time, resident MiB at its end, threads."""
    command = [sys.executable, "-c", IDLE, str(directory), url, key, str(seconds)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(out[0]), float(out[1]), int(out[2])


def imported(code: str) -> list[float]:
    """Seconds of a fresh interpreter that runs this."""
    times = []
    for _ in range(21):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - began)
    return times[1:]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    bare = imported("pass")
    show("a bare interpreter (baseline)", bare)
    for code in ("import replicator", "import gradata", "from gradata import Brain"):
        with_it = imported(code)
        show(code, with_it)
        tell(f"{code}: over the bare interpreter", (quantile(with_it, 0.5) - quantile(bare, 0.5)) * 1e3, "ms")
    loaded = "import sys, gradata; print([m for m in ('httpx', 'watchfiles', 'rapidfuzz') if m in sys.modules])"
    print(
        "loaded by import gradata:",
        subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout,
        end="",
    )
    with workplace() as place, cloud(place / "cloud") as (url, key):
        Brain.init(place / "with").close()
        Brain.init(place / "without").close()
        cpu0, memory0, threads0 = idle(place / "without", url, "", seconds)
        tell("without a replicator (baseline): CPU", cpu0 * 60 / seconds, f"s a minute, {threads0} thread(s)")
        tell("without a replicator (baseline): memory", memory0, "MiB")
        cpu, memory, threads = idle(place / "with", url, key, seconds)
        tell("with the replicator, idle: CPU", cpu * 60 / seconds, f"s a minute, {threads} thread(s)")
        tell("with the replicator: memory added", memory - memory0, "MiB")


if __name__ == "__main__":
    os.environ.pop("PYTHONSTARTUP", None)
    main()
