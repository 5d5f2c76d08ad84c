"""Walk the small world with a fault budget of one's own, and print how large it is.

`python -m tests.campaigns exhaustive --faults 3 [--log NAME]`
"""

from __future__ import annotations

import argparse
import time

from replicator import progress

from .logs import LOGS, first_state
from .mutants import MUTANTS, found_by
from .walk import Walk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=2, help="how much the adversary may do on each path")
    parser.add_argument("--log", choices=LOGS, action="append", help="only these logs")
    parser.add_argument("--mutants", action="store_true", help="instead: seed bugs, and print who finds each")
    arguments = parser.parse_args()
    if arguments.mutants:
        print_mutants()
        return
    print(f"{'log':14} {'states':>10} {'transitions':>12} {'kind steps':>11} {'seconds':>8}")
    for name in arguments.log or LOGS:
        began = time.monotonic()
        figures = Walk(progress, [first_state(name, faults=arguments.faults)], states_max=50_000_000).run()
        took_s = time.monotonic() - began
        print(f"{name:14} {figures.states:10,} {figures.transitions:12,} {figures.kind_steps:11} {took_s:8.1f}")


def print_mutants() -> None:
    for mutant in MUTANTS:
        began = time.monotonic()
        found = found_by(mutant)
        print(f"{time.monotonic() - began:6.1f} s  {mutant.name}: {found or 'NOT FOUND'}", flush=True)
