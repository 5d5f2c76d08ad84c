"""What a backlog costs at the end of a process whose cloud is a black hole; baseline: the same process without a cloud.

Run: python -m benchmarks.leaving [--times 9] [--corrections 50]

From the moment that the program's last line has run until the process is gone, so the interpreter's own end is in both.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import black_hole, free_port, quantile, show, tell, workplace
from gradata import Brain

PROGRAM = """
import sys
from gradata import Brain
brain = Brain(sys.argv[1], endpoint=sys.argv[2], key=sys.argv[3] or None)
for number in range(int(sys.argv[4])):
    brain.correct(f"draft {number}", f"final {number}")
print("done", flush=True)
"""


def ended(directory: Path, endpoint: str, key: str, corrections: int) -> float:
    """Seconds of one end."""
    command = [sys.executable, "-c", PROGRAM, str(directory), endpoint, key, str(corrections)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    began = time.perf_counter()
    process.wait()
    return time.perf_counter() - began


def main() -> None:
    """Print the figures; the cases take turns, so that a busy moment meets them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--corrections", type=int, default=50)
    chosen = parser.parse_args()
    with workplace() as place, black_hole() as hole:
        cases = {
            "no cloud (baseline)": ("http://127.0.0.1:9/api/v1", ""),
            "a black hole": (hole, "gk_live_00000000_" + "0" * 43),
            "nobody listens": (f"http://127.0.0.1:{free_port()}/api/v1", "gk_live_00000000_" + "0" * 43),
        }
        taken: dict[str, list[float]] = {name: [] for name in cases}
        for name in cases:
            Brain.init(place / name).close()
        for _ in range(chosen.times):
            for name, (endpoint, key) in cases.items():
                taken[name].append(ended(place / name, endpoint, key, chosen.corrections))
    for name, values in taken.items():
        show(f"end of a process, {name}", values)
    baseline = quantile(taken["no cloud (baseline)"], 0.5)
    for name in list(cases)[1:]:
        tell(f"more than the baseline, p50, {name}", (quantile(taken[name], 0.5) - baseline) * 1e3, "ms")
        tell(f"more than the baseline, worst, {name}", (max(taken[name]) - baseline) * 1e3, "ms")


if __name__ == "__main__":
    main()
