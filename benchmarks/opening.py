"""What opening a brain costs, by size of its log; baseline: opening an empty one.

Run: python benchmarks/opening.py [--records 1000000]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.figures import quantile, show, tell, workplace, write_log
from gradata import Brain


def opened(directory: Path, times: int) -> list[float]:
    """Seconds of each opening."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        brain = Brain(directory)
        taken.append(time.perf_counter() - began)
        brain.close()
    return taken


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    records = parser.parse_args().records
    with workplace() as place:
        Brain.init(place / "empty").close()
        baseline = opened(place / "empty", 30)
        show("Brain() on an empty log (baseline)", baseline)
        for count in (records // 100, records):
            directory = place / f"of{count}"
            Brain.init(directory).close()
            write_log(directory / "events.jsonl", count, 700)
            brain = Brain(directory)
            began = time.perf_counter()
            brain.query_events(limit=1)
            took = time.perf_counter() - began
            brain.close()
            tell(f"first projection of {count:,} records", count / took, "records/s")
            values = opened(directory, 30)
            show(f"Brain() on {count:,} records, projected before", values)
            tell("p50 / p50 of the baseline", quantile(values, 0.5) / quantile(baseline, 0.5), "times")


if __name__ == "__main__":
    main()
