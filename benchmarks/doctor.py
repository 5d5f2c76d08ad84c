"""How long `gradata doctor` takes, from start to exit; baseline: a Python that does nothing.

With the cloud down and not asked, refused at once, and black-holed; a small brain and one with a large log and backlog.
Aims: <= 300 ms without the cloud, <= 3 s with a black-holed one. Run: python -m benchmarks.doctor [--runs 20]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import black_hole, cloud, quantile, show, tell, workplace, write_log
from gradata import Brain

NOWHERE = "http://127.0.0.1:9/api/v1"


def timed(name: str, runs: int, *command: str, **environ: str) -> list[float]:
    """Seconds of each of `runs` processes, start to exit; shown, with the CPU's time, which a busy machine leaves."""
    times, cpu = [], []
    for _ in range(runs + 1):
        began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, *command], env={**os.environ, **environ}, capture_output=True, check=False
        )
        times.append(time.perf_counter() - began)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
        assert done.returncode in (0, 1), done.stderr
    show(name, times[1:])  # the first one compiled what it imported
    show("    of it the CPU's", cpu[1:])
    return times[1:]


def small_brain(place: Path) -> Path:
    """200 corrections, acknowledged; the cloud is gone now."""
    with cloud(place / "cloud") as (url, key), Brain.init(place / "small", endpoint=url, key=key) as brain:
        for number in range(200):
            brain.correct(f"draft {number}", f"final {number}")
    return place / "small"


def large_brain(place: Path) -> Path:
    """100,000 records of 1.2 kB that were never sent."""
    Brain.init(place / "large").close()
    write_log(place / "large" / "events.jsonl", 100_000)
    return place / "large"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed, not as in a checkout that must stay clean
    with workplace() as place:
        os.environ["PYTHONPYCACHEPREFIX"] = str(place / "pycache")
        small, large = str(small_brain(place)), str(large_brain(place))
        environ = {"GRADATA_API_KEY": "gk_live_bench", "GRADATA_ENDPOINT": NOWHERE}
        doctor = ("-m", "gradata", "doctor", "--json")
        baseline = timed("python -c pass (baseline)", runs, "-c", "pass")
        timed("gradata --version", runs, "-m", "gradata", "--version")
        local = (*doctor, "--no-cloud", "--brain")
        alone = timed("doctor --no-cloud, 200 records", runs, *local, small, **environ)
        timed("doctor --no-cloud, 100,000 records pending", runs, *local, large, **environ)
        timed("doctor, connection refused", runs, *doctor, "--brain", small, **environ)
        with black_hole() as hole:
            environ["GRADATA_ENDPOINT"] = hole
            few = max(3, runs // 4)
            timed("doctor, black-holed cloud", few, *doctor, "--brain", small, **environ)
            timed("doctor --all-brains (2), black-holed cloud", few, *doctor, "--all-brains", str(place), **environ)
        tell("p50 of doctor --no-cloud / p50 of the baseline", quantile(alone, 0.5) / quantile(baseline, 0.5), "times")


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    main()
