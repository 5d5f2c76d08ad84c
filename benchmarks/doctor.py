"""How long `gradata doctor` takes, from start to exit; baseline: a Python that does nothing.

With the cloud down and not asked, refused at once, and black-holed; a small brain and one with a large log and backlog.
Aims: <= 300 ms without the cloud, <= 3 s with a black-holed one. Run: python -m benchmarks.doctor [--runs 20]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import black_hole, cloud, quantile, show, tell, workplace, write_log
from gradata import Brain

NOWHERE = "http://127.0.0.1:9/api/v1"


def timed(runs: int, *command: str, **environ: str) -> list[float]:
    """Seconds of each of `runs` processes, start to exit."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *command], env={**os.environ, **environ}, capture_output=True, check=False
        )
        times.append(time.perf_counter() - began)
        assert done.returncode in (0, 1), done.stderr
    return times[1:]  # the first one compiled what it imported


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
        baseline = timed(runs, "-c", "pass")
        show("python -c pass (baseline)", baseline)
        show("gradata --version", timed(runs, "-m", "gradata", "--version"))
        alone = timed(runs, *doctor, "--no-cloud", "--brain", small, **environ)
        show("doctor --no-cloud, 200 records", alone)
        show(
            "doctor --no-cloud, 100,000 records pending",
            timed(runs, *doctor, "--no-cloud", "--brain", large, **environ),
        )
        show("doctor, connection refused", timed(runs, *doctor, "--brain", small, **environ))
        with black_hole() as hole:
            environ["GRADATA_ENDPOINT"] = hole
            show("doctor, black-holed cloud", timed(max(3, runs // 4), *doctor, "--brain", small, **environ))
            all_brains = timed(max(3, runs // 4), *doctor, "--all-brains", str(place), **environ)
            show("doctor --all-brains (2), black-holed cloud", all_brains)
        tell("p50 of doctor --no-cloud / p50 of the baseline", quantile(alone, 0.5) / quantile(baseline, 0.5), "times")


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    main()
