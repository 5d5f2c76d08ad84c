"""`gradata demo`: the main scenario, end to end, on this machine."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_json, needs_server

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "demo"
HELP = "watch a correction survive a killed cloud, end to end, in a temporary directory"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    keep: bool
    json: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Run a cloud and a brain in a temporary directory, kill the cloud, record more corrections, "
        "restart it, and compare the replica with the log byte for byte. Real processes, real output.",
        epilog="Exit codes: 0 every step did what was promised, 1 one did not.",
    )
    parser.add_argument("--keep", action="store_true", help="keep the directory and print how to inspect it")
    add_json(parser)
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> DemoOptions:
    return DemoOptions(chosen.keep, chosen.json)


def run(options: DemoOptions, terminal: Terminal) -> int:
    """Run the demo. Returns 1 if a step fails."""
    with needs_server():
        from gradata.cloud import server  # noqa: F401 -- only to see that it is there
    from gradata.trials import demo

    shown = demo.run(keep=options.keep, on_step=None if options.json else lambda step: terminal.out(step.shown))
    if options.json:
        terminal.json(demo.as_json(shown))
    elif shown.kept is not None:
        terminal.say(f"kept: {shown.kept}\nlook at it with:\n" + "\n".join(f"  {line}" for line in shown.look))
    return FINE if shown.held else PROBLEM
