"""Run seeds and print figures: `python -m tests.campaigns simulation --seeds 1..300 [--hours H] [--trace SEED]`.

A seed that fails prints what does not hold, the end of its trace, and the command that replays it. Ctrl-C or SIGTERM
ends it behind the seeds that are under way, with the figures of all that were run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field

from .oracle import ViolationError
from .reactions import never_seen
from .world import Figures, World

TRACE_LINES = 60
CHUNK = 5
TOLD_EVERY = 200
SEEDS_FOR_ALL = 300
"""From so many seeds on, each reaction must have been seen."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed that failed."""

    seed: int
    wrong: str
    trace: tuple[str, ...] = ()
    kind: str = "crashed"


@dataclass(slots=True)
class Campaign:
    """What many seeds came to."""

    seeds: int = 0
    hours: float = 0.0
    records: int = 0
    cpu_s: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    seeds_seen: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, figures: Figures) -> None:
        """Count one seed."""
        self.seeds += 1
        self.hours += figures.hours
        self.records += figures.records
        self.seen += figures.seen
        self.seeds_seen.update(name for name, count in figures.seen.items() if count)

    def merge(self, other: Campaign) -> None:
        """Count another campaign."""
        self.seeds += other.seeds
        self.hours += other.hours
        self.records += other.records
        self.cpu_s += other.cpu_s
        self.seen += other.seen
        self.seeds_seen += other.seeds_seen
        self.failures += other.failures


class Stop:
    """Set by Ctrl-C or SIGTERM once `heeded`; the second one ends the process as it would any other."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    def heed(self) -> None:
        """From now on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        signal.signal(number, signal.SIG_DFL)


def run_seed(seed: int, *, hours: float | None = None) -> Figures | Failure:
    """One seed; a failure comes with its trace, made by a second run."""
    try:
        return World(seed, hours=hours).run()
    except Exception:  # noqa: BLE001 -- whatever the code under test raises is a finding
        return _explained(seed, hours)


def _explained(seed: int, hours: float | None) -> Failure:
    world = World(seed, hours=hours, traced=True)
    try:
        world.run()
    except Exception as error:  # noqa: BLE001 -- as above
        where = traceback.format_exception(error)[-6:]
        wrong = f"{type(error).__name__}: {error}\n{''.join(where)}"
        kind = error.kind if isinstance(error, ViolationError) else "crashed"
        return Failure(seed, wrong, tuple(world.trace or ()), kind)
    return Failure(seed, "it failed, and did not fail again: the simulation is not deterministic")


def run_seeds(
    seeds: range,
    *,
    hours: float | None = None,
    until_found: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> Campaign:
    """Many seeds, in this process. `until_found`: stop at the first that fails; `stopped` is asked before each."""
    campaign = Campaign()
    began_s = time.process_time()
    for seed in seeds:
        if stopped():
            break
        result = run_seed(seed, hours=hours)
        if isinstance(result, Figures):
            campaign.add(result)
            continue
        campaign.seeds += 1
        campaign.failures.append(result)
        if until_found:
            break
    campaign.cpu_s = time.process_time() - began_s
    return campaign


def command(seed: int, hours: float | None = None) -> str:
    """What replays a seed."""
    return f"python -m tests.campaigns simulation --trace {seed}" + (f" --hours {hours}" if hours else "")


def told(failure: Failure, *, hours: float | None = None) -> str:
    """A failure for people."""
    lines = (
        f"seed {failure.seed}: {failure.wrong}",
        *failure.trace[-TRACE_LINES:],
        f"replay: {command(failure.seed, hours)}",
    )
    return "\n".join(lines)


def figures(campaign: Campaign, wall_s: float) -> str:
    """The figures of a campaign."""
    cpu_s = max(campaign.cpu_s, 1e-9)
    kinds = Counter(failure.kind for failure in campaign.failures)
    missing = never_seen(campaign.seen)
    seen = "every reaction and fault was seen" if not missing else f"never seen: {', '.join(missing)}"
    lines = [
        f"{campaign.seeds} seeds, {campaign.hours:.0f} simulated hours, {campaign.records} records written",
        f"{campaign.cpu_s:.0f} s CPU, {wall_s:.0f} s wall",
        f"{campaign.hours / cpu_s:.1f} simulated hours and {campaign.seeds / cpu_s:.1f} seeds a second of one core",
        f"{kinds['lost']} lost, {kinds['twice']} twice, {kinds['unjustified']} unjustified repairs",
        f"{kinds['late']} late, {kinds['wrong']} otherwise wrong, {kinds['crashed']} crashed",
        f"{len(campaign.failures)} seeds failed; {seen}",
        "",
        f"{'seen':42} {'times':>9} {'seeds':>6}",
    ]
    lines += [f"{name:42} {count:9} {campaign.seeds_seen[name]:6}" for name, count in sorted(campaign.seen.items())]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """0: everything held; 1: something did not, or was never seen; 2: wrong usage; 130: stopped before its end."""
    parser = argparse.ArgumentParser(prog="tests.campaigns simulation")
    parser.add_argument("--seeds", default="1..300", help="A..B, both included")
    parser.add_argument("--hours", type=float, help="simulated hours with faults a seed (default: each seed draws)")
    parser.add_argument("--trace", type=int, metavar="SEED", help="run one seed and print everything that happens")
    parser.add_argument("--until-found", action="store_true", help="stop at the first seed that fails")
    parser.add_argument("--jobs", type=int, default=1, help="processes; the results do not depend on it")
    options = parser.parse_args(arguments)
    if options.trace is not None:
        return _trace(options.trace, options.hours)
    first, _, last = options.seeds.partition("..")
    seeds = range(int(first), int(last or first) + 1)
    stop = Stop()
    stop.heed()
    print(f"{len(seeds)} seeds, from {seeds[0]} on", file=sys.stderr, flush=True)
    began_s = time.monotonic()
    campaign = Campaign()
    for part in _parts(seeds, stop, options):
        campaign.merge(part)
        _tell(part, options.hours)
        if campaign.seeds % TOLD_EVERY == 0:
            print(f"{campaign.seeds} seeds, {len(campaign.failures)} failed", file=sys.stderr, flush=True)
        if options.until_found and campaign.failures:
            break
    if stop.asked:
        print(f"stopped after {campaign.seeds} of {len(seeds)} seeds")
    print(figures(campaign, time.monotonic() - began_s))
    if campaign.failures or (campaign.seeds >= SEEDS_FOR_ALL and never_seen(campaign.seen)):
        return 1
    return 130 if stop.asked else 0


def _parts(seeds: range, stop: Stop, options: argparse.Namespace) -> Iterator[Campaign]:
    """The campaigns of chunks of the seeds, in order, until all are done or `stop` is asked."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    if options.jobs == 1:
        for chunk in chunks:
            yield run_seeds(chunk, hours=options.hours, until_found=options.until_found, stopped=stop)
            if stop.asked:
                return
        return
    with ProcessPoolExecutor(options.jobs, initializer=_ignore_signals) as pool:
        under_way: deque[Future[Campaign]] = deque()
        for chunk in chunks:
            under_way.append(pool.submit(run_seeds, chunk, hours=options.hours))
            if len(under_way) == 2 * options.jobs:
                yield under_way.popleft().result()
            if stop.asked:
                break
        while under_way:
            yield under_way.popleft().result()


def _ignore_signals() -> None:
    """Ctrl-C reaches every process of the terminal: whoever shares the seeds out decides what ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _tell(campaign: Campaign, hours: float | None) -> None:
    for failure in campaign.failures:
        print(told(failure, hours=hours), end="\n\n", file=sys.stderr, flush=True)


def _trace(seed: int, hours: float | None) -> int:
    world = World(seed, hours=hours, traced=True)
    failed: Exception | None = None
    try:
        world.run()
    except Exception as error:  # noqa: BLE001 -- it is shown behind the trace
        failed = error
    print("\n".join(world.trace or ()))
    if failed is not None:
        traceback.print_exception(failed)
    return 0 if failed is None else 1


if __name__ == "__main__":
    sys.exit(main())
