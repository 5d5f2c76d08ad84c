"""`gradata uninstall`: take gradata's entries out of agents' configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradata.cli.commands import Subparsers, add_brain, add_json
from gradata.cli.install import Options, add_agent, carry_out, home_of

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
    add_agent(parser, "which agent, or all")
    add_brain(parser)
    add_json(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the diff, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask on a terminal; elsewhere nothing is asked")
    parser.set_defaults(
        run=lambda chosen, terminal: run(
            Options(chosen.agent, chosen.brain, chosen.json, chosen.dry_run, chosen.yes), terminal
        )
    )


def run(options: Options, terminal: Terminal) -> int:
    """Show what changes, and change it. The brain may be gone already."""
    from gradata.agents import install
    from gradata.config.settings import Settings

    brain, home = Settings.resolve(options.brain).brain_dir, home_of()
    plans = [install.plan_uninstall(home, agent, brain) for agent in install.chosen_agents(options.agent)]
    return carry_out(options, terminal, plans, lambda plan: install.write(home, plan))
