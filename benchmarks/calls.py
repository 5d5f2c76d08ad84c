"""What two calls cost that are made at each append and at each wait: a wake of the replicator, and asking for orders.

Run: python -m benchmarks.calls

The best of 20 rounds, in microseconds a call. Exit 1 if one is above its aim.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from replicator.sidecar import Sidecar, sidecar_path
from replicator.waker import Waker

AIMS_US = {"wake": 20.0, "orders": 30.0}
ROUNDS, CALLS = 20, 1_000


def best_us(call: Callable[[], object]) -> float:
    """Microseconds a call, in the best round."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            call()
        rounds.append((time.perf_counter() - began) / CALLS * 1e6)
    return min(rounds)


def main() -> int:
    """1 if a call is above its aim."""
    with tempfile.TemporaryDirectory(prefix="calls-") as directory:
        log = Path(directory) / "events.jsonl"
        log.touch()
        waker = Waker(str(log), watch=False)
        sidecar = Sidecar.open(sidecar_path(str(log)))
        figures = {"wake": best_us(waker.wake), "orders": best_us(sidecar.asked)}
        sidecar.close()
        waker.close()
    for name, cost_us in figures.items():
        print(f"{name:8} {cost_us:6.1f} µs a call (aim {AIMS_US[name]:g})")
    return 1 if any(figures[name] > aim_us for name, aim_us in AIMS_US.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
