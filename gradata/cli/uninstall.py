"""`gradata uninstall`: remove gradata's entries from agents' configuration files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradata.cli.commands import Subparsers
from gradata.cli.install import InstallOptions, add_arguments, carry_out, options_of, place_of

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "uninstall"
HELP = "remove gradata's entries from agents' configuration files"


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Remove this brain's entries from agents' configuration files. Each file is then as it was "
        "before, byte for byte. The brain and its log are not touched.",
        epilog="Exit codes: 0 done, or nothing to do; 1 a file was not changed, because it is not certain how to "
        "edit it; 2 wrong usage.",
    )
    add_arguments(parser, "agent, or all")
    parser.set_defaults(run=lambda chosen, terminal: run(options_of(chosen), terminal))


def run(options: InstallOptions, terminal: Terminal) -> int:
    """Show the changes and apply them. The brain itself may no longer exist."""
    from gradata.agents import install
    from gradata.config.settings import Settings

    brain, place = Settings.resolve(options.brain).brain_dir, place_of(options)
    plans = [
        plan for agent in install.chosen_agents(options.agent) for plan in install.plan_uninstall(place, agent, brain)
    ]
    return carry_out(options, terminal, plans)
