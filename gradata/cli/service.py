"""`gradata service print`: print a unit that runs `gradata replicate --follow` as a service."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, get_args

from gradata.cli.commands import FINE, Subparsers, add_brain, add_endpoint, add_json

if TYPE_CHECKING:
    from gradata.cli.service_units import ServiceKind
    from gradata.cli.terminal import Terminal

NAME = "service"
HELP = "print a unit that runs `gradata replicate --follow` as a service"
KINDS = ("systemd", "launchd", "compose", "k8s")


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    kind: ServiceKind
    brain: str | None
    endpoint: str | None
    metrics: str | None
    json: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(NAME, help=HELP, description="Units for service managers.")
    parts = parser.add_subparsers(metavar="PART", required=True, parser_class=type(parser))
    show = parts.add_parser(
        "print",
        help="print a unit, plist or manifest",
        description="Print the unit on stdout, and where to save it and what to run on stderr. It contains no key: it"
        " names the file or secret that does. Writes nothing.",
        epilog="Exit codes: 0 printed, 2 wrong usage.",
    )
    show.add_argument("kind", choices=KINDS, help="service manager")
    add_brain(show)
    add_endpoint(show)
    show.add_argument("--metrics", metavar="HOST:PORT", help="serve Prometheus metrics there")
    add_json(show)
    show.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> ServiceOptions:
    return ServiceOptions(chosen.kind, chosen.brain, chosen.endpoint, chosen.metrics, chosen.json)


def run(options: ServiceOptions, terminal: Terminal) -> int:
    """Print the unit."""
    from gradata.cli.service_units import ServiceKind, ServiceTarget, service
    from gradata.config.settings import Settings
    from gradata.replicate.metrics_exporter import parse_address
    from replicator.sink import check_endpoint

    assert get_args(ServiceKind) == KINDS
    if options.metrics is not None:
        parse_address(options.metrics)
    settings = Settings.resolve(options.brain, options.endpoint)
    installed = shutil.which("gradata")
    made = service(
        options.kind,
        ServiceTarget(
            settings.brain_dir,
            check_endpoint(settings.endpoint),
            settings.key_file,
            (installed,) if installed is not None else (sys.executable, "-m", "gradata"),
            options.metrics,
        ),
    )
    if options.json:
        terminal.json(asdict(made))
        return FINE
    terminal.say(f"save it as {made.path}, then run:")
    for command in made.commands:
        terminal.say(f"  {command}")
    terminal.out(made.text.rstrip("\n"))
    return FINE
