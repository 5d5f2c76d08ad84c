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
HELP = "let agents capture corrections and recall them; older cloud-sync entries are removed"
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
    """Declare the command."""
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Write what captures corrections and recalls them into agents' configuration files, never anything"
        " that syncs with the cloud: the replicator does that. Older versions' entries for this brain are removed."
        " Shown as a diff; a backup is kept beside each file; everything else in it keeps its bytes.",
        epilog="Exit codes: 0 done, or nothing to do; 1 a file was left as it is, because it is not certain how to"
        " change it; 2 wrong usage.",
    )
    add_arguments(parser, "which agent; all: those that are on this machine")
    parser.add_argument(
        "--session-close",
        action="store_true",
        help="also write the hook that replicates at a session's end while write-through is switched off",
    )
    parser.set_defaults(run=lambda chosen, terminal: run(options_of(chosen), terminal))


def add_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """The arguments that installing and uninstalling share."""
    parser.add_argument("--agent", required=True, choices=AGENT_NAMES, help=what)
    parser.add_argument(
        "--home",
        metavar="DIR",
        help="the agent's own folder, if it is neither the usual one nor named by the environment"
        " (what CODEX_HOME, HERMES_HOME or CLAUDE_CONFIG_DIR would name)",
    )
    add_brain(parser)
    add_json(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the diff, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask on a terminal; elsewhere nothing is asked")


def options_of(chosen: argparse.Namespace) -> InstallOptions:
    """What was asked for. ConfigurationError if a folder is named for several agents."""
    if chosen.home is not None and chosen.agent == "all":
        raise ConfigurationError("--home names one agent's folder", hint="give it together with --agent NAME")
    return InstallOptions(
        chosen.agent, chosen.brain, chosen.json, chosen.dry_run, chosen.yes, chosen.home,
        getattr(chosen, "session_close", False),
    )  # fmt: skip


def run(options: InstallOptions, terminal: Terminal) -> int:
    """Show what changes, and change it."""
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
    """Show the plans, ask where a person can be asked, write, and say what came of it."""
    from gradata.agents.install import write

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
    return PROBLEM if any(outcome.action == "refused" for outcome in outcomes) else FINE


def show(outcome: InstallOutcome, terminal: Terminal) -> None:
    """The diff, and what is to be known about it."""
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
