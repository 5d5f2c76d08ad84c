"""What correct() costs its caller, by size of the texts and state of the cloud; baseline: a bare write and fdatasync.

Run: python benchmarks/correct.py [--calls 1000]
"""

from __future__ import annotations

import argparse
import os
import random
import time
from itertools import count, islice
from pathlib import Path

from benchmarks.figures import append_times, black_hole, cloud, quantile, show, tell, workplace
from gradata import Brain

WORDS = [f"{a}{b}" for a in ("re", "con", "pro", "de", "sub", "in") for b in ("port", "tract", "duce", "form", "vert")]


def words(seed: int, characters: int) -> str:
    """A text of this length; other seeds give unrelated ones."""
    chance = random.Random(seed)
    text = ""
    while len(text) < characters:
        text += " ".join(chance.choice(WORDS) for _ in range(1000)) + " "
    return text[:characters]


NUMBERS = count()
"""No text comes twice: the same correction in the same session is not recorded again."""


def timed(brain: Brain, draft: str, final: str, calls: int, pause_s: float = 0.0) -> list[float]:
    """Seconds of each of `calls` calls."""
    times = []
    for number in islice(NUMBERS, calls):
        began = time.perf_counter()
        brain.correct(f"{number} {draft}", f"{number} {final}")
        times.append(time.perf_counter() - began)
        if pause_s:
            time.sleep(pause_s)
    return times


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    calls = parser.parse_args().calls
    draft, final = words(1, 125), words(1, 100) + words(2, 25)
    with workplace() as place:
        baseline = append_times(place / "bare", b"x" * 1200 + b"\n", calls)
        show("bare write + fdatasync of 1.2 kB (baseline)", baseline)
        with cloud(place / "cloud") as (url, key):
            with Brain.init(place / "live", endpoint=url, key=key) as brain:
                timed(brain, draft, final, 20)
                live = timed(brain, draft, final, calls, 0.01)
                show("correct(), 250 characters, live replicator, 100/s", live)
                show("correct(), 250 characters, live replicator, one after one", timed(brain, draft, final, calls))
            for size in (1_600, 6_400, 100_000):
                n = max(30, calls // 5)
                with Brain.init(place / f"size{size}", endpoint=url, key=key) as brain:
                    timed(brain, draft, final, 5)
                    half = size // 2 - 10
                    unrelated = timed(brain, words(3, half), words(4, half)[::-1], n, 0.05)
                    show(f"correct(), {size:,} characters in all, unrelated texts", unrelated)
        with black_hole() as nowhere, Brain.init(place / "hole", endpoint=nowhere, key="gk_live_bench") as brain:
            timed(brain, draft, final, 20)
            show("correct(), 250 characters, black-holed cloud, 100/s", timed(brain, draft, final, calls, 0.01))
            brain.close(0.0)
        alone = Brain.init(place / "alone")
        timed(alone, draft, final, 20)
        show("correct(), 250 characters, no key", timed(alone, draft, final, calls, 0.01))
        tell("p50 live / p50 of the baseline", quantile(live, 0.5) / quantile(baseline, 0.5), "times")


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    main()
