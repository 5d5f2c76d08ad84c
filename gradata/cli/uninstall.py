"""`gradata uninstall`: take gradata's entries out of agents' configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradata.cli.commands import Subparsers
from gradata.cli.install import InstallOptions, add_arguments, carry_out, options_of, place_of

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "uninstall"
HELP = "take gradata's entries out of agents' configurations"


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Take this brain's entries out of agents' configuration files: each file is then as it was before,"
        " byte for byte. The brain and its log are not touched.",
        epilog="Exit codes: 0 done, or nothing to do; 1 a file was left as it is, because it is not certain how to"
        " change it; 2 wrong usage.",
    )
    add_arguments(parser, "which agent, or all")
    parser.set_defaults(run=lambda chosen, terminal: run(options_of(chosen), terminal))


def run(options: InstallOptions, terminal: Terminal) -> int:
    """Show what changes, and change it. The brain may be gone already."""
    from gradata.agents import install
    from gradata.config.settings import Settings

    brain, place = Settings.resolve(options.brain).brain_dir, place_of(options)
    plans = [
        plan for agent in install.chosen_agents(options.agent) for plan in install.plan_uninstall(place, agent, brain)
    ]
    return carry_out(options, terminal, plans)
