"""`gradata doctor`: what is wrong, since when, how much waits, and what to run."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_brain, add_endpoint, add_json

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "doctor"
HELP = "say what is wrong, since when, how much waits, and what to run"


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    brain: str | None
    endpoint: str | None
    json: bool
    cloud: bool


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Examine a brain and its replication. Changes nothing; true with the replicator dead, the cloud"
        " away or the sidecar lost.",
        epilog="[+] ok, [-] skipped, [!] worth a look, [X] broken. Exit codes: 0 healthy or degraded, 1 broken,"
        " 2 wrong usage.",
    )
    add_brain(parser)
    add_endpoint(parser)
    add_json(parser)
    cloud = parser.add_mutually_exclusive_group()
    cloud.add_argument("--cloud", action="store_true", default=True, help="ask the cloud too (the default)")
    cloud.add_argument("--no-cloud", dest="cloud", action="store_false", help="do not ask the cloud")
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> Options:
    return Options(chosen.brain, chosen.endpoint, chosen.json, chosen.cloud)


def run(options: Options, terminal: Terminal) -> int:
    """Print the findings; 1 if any check failed."""
    from gradata import doctor, doctor_facts

    findings = doctor.examine(doctor_facts.collect(options.brain, options.endpoint, ask_cloud=options.cloud))
    verdict = doctor.health(findings)
    if options.json:
        terminal.json({"status": verdict, "checks": [asdict(finding) for finding in findings]})
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            mark = doctor.MARKS[finding.status]
            terminal.marked(finding.status, f"  [{mark}] {finding.name:<{width}}   {finding.detail}")
        terminal.out(f"\n{verdict}")
    return PROBLEM if verdict == "broken" else FINE
