"""`gradata torture`: inject faults into a scratch brain and cloud, and count losses."""

from __future__ import annotations

import argparse
import random
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_json, needs_server

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal
    from gradata.trials.torture import TortureReport

NAME = "torture"
HELP = "inject crashes, power cuts and rollbacks into a scratch brain and cloud, then count losses"
TERMINATED = 143


@dataclass(frozen=True, slots=True)
class TortureOptions:
    """`seed` None: any."""

    minutes: float
    seed: int | None
    json: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Run a cloud and a brain with several writers in a temporary directory. For some minutes, kill "
        "writers, replicators and the server, disturb the network, roll the cloud back, rotate keys, and,"
        " where permitted (root on Linux), fill the disk and cut its power. Then count what was promised "
        "to callers, what the cloud has, what is lost and what is stored twice. Ctrl-C ends it and "
        "removes everything.",
        epilog="Exit codes: 0 nothing is lost or stored twice, and both sides have the same bytes; 1 otherwise.",
    )
    parser.add_argument("--minutes", type=_minutes, default=5.0, metavar="N", help="duration in minutes (5)")
    parser.add_argument("--seed", type=int, help="seed for the faults; reproducible as far as real processes are")
    add_json(parser)
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _minutes(text: str) -> float:
    if not text.replace(".", "", 1).isdecimal() or not 0 < float(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is no number of minutes")
    return float(text)


def _options(chosen: argparse.Namespace) -> TortureOptions:
    return TortureOptions(chosen.minutes, chosen.seed, chosen.json)


def run(options: TortureOptions, terminal: Terminal) -> int:
    """Run the campaign, count, and print the result."""
    with needs_server():
        from gradata.cloud import server  # noqa: F401 -- only to see that it is there
    from gradata.trials import torture

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end)
    seed = random.randrange(1_000_000) if options.seed is None else options.seed  # noqa: S311 -- no secrets
    terminal.say(f"seed {seed}; {options.minutes:g} minutes; Ctrl-C ends it and removes everything")
    found = torture.run(
        minutes=options.minutes,
        seed=seed,
        on_act=lambda at_s, name, did: terminal.say(f"{at_s:7.1f} s  {name:<26} {did}"),
    )
    if options.json:
        terminal.json(torture.as_json(found))
    else:
        _show(found, terminal)
    return FINE if found.held else PROBLEM


def _end(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(TERMINATED)


def _show(found: TortureReport, terminal: Terminal) -> None:
    counts = found.counts
    for why in found.not_tried:
        terminal.out(f"not tried  {why}")
    terminal.facts([(name, times) for name, times in sorted(found.acts.items())])
    terminal.facts(
        [
            ("promised", counts.promised),
            ("refused", f"{counts.refused} (calls that failed, or said that the disk does not confirm it)"),
            ("stored", f"{counts.stored} events, {counts.megabytes} MB, {counts.drained_s} s after the last act"),
            ("lost", counts.lost),
            ("twice", counts.twice),
            ("roots equal", "yes" if counts.roots_equal else "NO"),
            ("bytes equal", "yes" if counts.bytes_equal else "NO"),
            ("generations", counts.generations),
            ("dead letters", counts.dead_letters),
        ]
    )
    terminal.marked("ok" if found.held else "fail", "every promise was kept" if found.held else "A PROMISE WAS BROKEN")
