"""`gradata install`: let agents capture corrections and recall them."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_brain, add_json, settled
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from gradata.agents.install import InstallOutcome, InstallPlan
    from gradata.agents.model import AgentPlace
    from gradata.cli.terminal import Terminal

NAME = "install"
HELP = "let agents capture and recall corrections"
AGENT_NAMES = ("claude-code", "codex", "gemini", "cursor", "hermes", "opencode", "all")


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """What was asked for, of `gradata install` and `gradata uninstall`."""

    agent: str
    brain: str | None
    json: bool
    dry_run: bool
    yes: bool
    home: str | None = None
    session_close: bool = False


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Add hooks that capture and recall corrections to agents' configuration files. Nothing that is "
        "installed sends data to the cloud: the replicator does. Of older versions' entries for this "
        "brain, those that sync or record edits are removed; the others stay and are listed. The change "
        "is shown as a diff first, a backup is kept beside each file, and all other bytes of the file are"
        " kept.",
        epilog="Exit codes: 0 done, or nothing to do; 1 a file was not changed, because it is not certain how to "
        "edit it; 2 wrong usage.",
    )
    add_arguments(parser, "agent; all: every agent found on this machine")
    parser.add_argument(
        "--session-close",
        action="store_true",
        help="also install the hook that replicates at the end of a session while write-through is off",
    )
    parser.set_defaults(run=lambda chosen, terminal: run(options_of(chosen), terminal))


def add_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """The arguments that installing and uninstalling share."""
    parser.add_argument("--agent", required=True, choices=AGENT_NAMES, help=what)
    parser.add_argument(
        "--home",
        metavar="DIR",
        help="the agent's configuration folder, if it is neither the default nor named by CODEX_HOME, HERMES_HOME"
        " or CLAUDE_CONFIG_DIR",
    )
    add_brain(parser)
    add_json(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the diff and change nothing")
    parser.add_argument(
        "--yes", action="store_true", help="do not ask for confirmation on a terminal; without one, nothing is asked"
    )


def options_of(chosen: argparse.Namespace) -> InstallOptions:
    """ConfigurationError if a folder is named for several agents."""
    if chosen.home is not None and chosen.agent == "all":
        raise ConfigurationError("--home names one agent's folder", hint="give it together with --agent NAME")
    return InstallOptions(
        chosen.agent, chosen.brain, chosen.json, chosen.dry_run, chosen.yes, chosen.home,
        getattr(chosen, "session_close", False),
    )  # fmt: skip


def run(options: InstallOptions, terminal: Terminal) -> int:
    """Show the changes and apply them."""
    from gradata.agents import install

    brain = settled(options.brain).brain_dir
    place, argv = place_of(options), install.program()
    plans = [
        plan
        for agent in install.chosen_agents(options.agent)
        for plan in install.plan_install(
            place, agent, brain, argv=argv, asked=options.agent != "all", session_close=options.session_close
        )
    ]
    return carry_out(options, terminal, plans)


def place_of(options: InstallOptions) -> AgentPlace:
    """Where the agents are looked for."""
    from gradata.agents.model import AgentPlace

    return AgentPlace(os.path.expanduser("~"), os.environ, options.home)


def carry_out(options: InstallOptions, terminal: Terminal, plans: list[InstallPlan]) -> int:
    """Show the plans, ask for confirmation on a terminal, write, and report the results."""
    from gradata.agents.install import write
    from gradata.agents.known import SDK_ALONE

    changes = [plan for plan in plans if plan.outcome.action == "changed"]
    if not options.json:
        for plan in plans:
            show(plan.outcome, terminal)
    ask = bool(changes) and not options.dry_run and not options.yes and terminal.watched and not options.json
    if ask and not terminal.confirm(f"change {len(changes)} file(s)", yes=False):
        terminal.say("nothing was changed")
        return PROBLEM
    outcomes = [plan.outcome if options.dry_run else write(plan) for plan in plans]
    if options.json:
        terminal.json({"dry_run": options.dry_run, "agents": [asdict(outcome) for outcome in outcomes]})
    else:
        for outcome in outcomes:
            finish(outcome, terminal, dry_run=options.dry_run)
        if any(outcome.removed and outcome.added for outcome in outcomes):
            terminal.say(SDK_ALONE)
    return PROBLEM if any(outcome.action == "refused" for outcome in outcomes) else FINE


def show(outcome: InstallOutcome, terminal: Terminal) -> None:
    """The diff and its notes."""
    if outcome.diff:
        terminal.out(outcome.diff.rstrip("\n").replace("\r", ""))
    for sentence in outcome.said:
        terminal.say(f"{outcome.agent}: {sentence}")


def finish(outcome: InstallOutcome, terminal: Terminal, *, dry_run: bool) -> None:
    """One line of what was done."""
    match outcome.action:
        case "changed":
            verb = "would be changed" if dry_run else "changed"
            kept = f"; as it was: {outcome.backup}" if outcome.backup else ""
            terminal.say(f"{outcome.agent}: {verb}: {outcome.file}{kept}")
        case "unchanged":
            terminal.say(f"{outcome.agent}: nothing to change in {outcome.file}")
        case "refused":
            terminal.fail(f"{outcome.error}; nothing was changed there", outcome.hint or "")
        case "absent":
            pass
