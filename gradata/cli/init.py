"""`gradata init`: create a brain."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, Subparsers, add_json

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "init"
HELP = "create a brain, unless there is one"


@dataclass(frozen=True, slots=True)
class InitOptions:
    brain: str | None
    json: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Create a brain directory with an empty log and its ids. Existing files are kept.",
        epilog="Exit codes: 0 the brain exists now, 1 it cannot be created there, 2 wrong usage.",
    )
    parser.add_argument("dir", nargs="?", metavar="DIR", help="directory (default: as for --brain of other commands)")
    parser.add_argument("--brain", metavar="DIR", help="same as DIR")
    add_json(parser)
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> InitOptions:
    return InitOptions(chosen.dir or chosen.brain, chosen.json)


def run(options: InitOptions, terminal: Terminal) -> int:
    """Create the brain and report whether it will be replicated."""
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
