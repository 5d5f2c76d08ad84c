"""`gradata init`: make a brain."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, Subparsers, add_json

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "init"
HELP = "make a brain, unless there is one"


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    brain: str | None
    json: bool


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Make a brain's directory with an empty log and its ids. What is there already is kept.",
        epilog="Exit codes: 0 there is a brain now, 1 none can be made there, 2 wrong usage.",
    )
    parser.add_argument("dir", nargs="?", metavar="DIR", help="where (default: as for --brain of other commands)")
    parser.add_argument("--brain", metavar="DIR", help="the same as DIR")
    add_json(parser)
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> Options:
    return Options(chosen.dir or chosen.brain, chosen.json)


def run(options: Options, terminal: Terminal) -> int:
    """Make the brain, and say whether it will replicate."""
    from gradata.config import brain_dir
    from gradata.config.settings import Settings, why_local

    settings = Settings.resolve(options.brain)
    new = not os.path.lexists(os.path.join(settings.brain_dir, brain_dir.BRAIN_ID_NAME))
    place = brain_dir.create(settings.brain_dir)
    identity = brain_dir.identify(place)
    local = why_local(settings)
    if options.json:
        answer = {"brain": place.path, "brain_id": identity.brain_id, "device_id": identity.device_id, "new": new}
        terminal.json({**answer, "replicates": local is None, "why_not": None if local is None else local.why})
        return FINE
    terminal.out(f"{'made' if new else 'there is already'} a brain at {place.path} (id {identity.brain_id})")
    if local is None:
        terminal.say(f"its corrections are replicated to {settings.endpoint}")
    else:
        terminal.say(f"its corrections stay on this machine: {local.why}; {local.hint}")
    return FINE
