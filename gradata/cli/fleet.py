"""`gradata fleet`: list every brain of a cloud; exits 1 if one needs attention, for use in cron."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_duration, add_endpoint, add_json

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "fleet"
HELP = "list a cloud's brains, problems first"


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """`silent_s`: seconds."""

    endpoint: str | None
    silent_s: float
    json: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="List every brain that the key can read, as seen by the cloud. A silent brain is a problem, too.",
        epilog="States: refused, paused, silent, quiet and incomplete need attention; forked and lagging recover by "
        "themselves; live is up to date. Exit codes: 0 no alert, 1 an alert, or the cloud does not answer,"
        " 2 wrong usage.",
    )
    add_endpoint(parser)
    add_duration(parser, "--silent-for", "5m", "a brain without a heartbeat for this long is silent")
    add_json(parser)
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> FleetOptions:
    return FleetOptions(chosen.endpoint, chosen.silent_for, chosen.json)


def run(options: FleetOptions, terminal: Terminal) -> int:
    """Print the fleet. Returns 1 if there is an alert."""
    from gradata.config.settings import Settings
    from gradata.replicate.fleet_client import ask_fleet

    answer = ask_fleet(Settings.resolve(None, options.endpoint), silent_s=options.silent_s)
    if options.json:
        terminal.json(answer)
    else:
        _show(answer["brains"], terminal)
    return PROBLEM if answer["alerts"] else FINE


def _show(brains: list[dict[str, Any]], terminal: Terminal) -> None:
    if not brains:
        terminal.out("no brains")
        return
    rows = [
        [
            brain["brain_id"],
            brain["state"],
            _minute(brain["last_event_at"]),
            _minute(brain["last_ack_at"]),
            f"{sum(device['backlog_bytes'] for device in brain['devices']):,}",
        ]
        for brain in brains
    ]
    terminal.table(["brain", "state", "last event", "last ack", "backlog (bytes)"], rows)
    for brain in brains:
        if brain["alert"]:
            mend = f" Run: {brain['command']}" if brain["command"] else ""
            since = f", since {_minute(brain['since'])}" if brain["since"] else ""
            terminal.warn(f"{brain['brain_id']}: {brain['words']}{since}.{mend}")


def _minute(at: str | None) -> str:
    return "never" if at is None else f"{at[:16].replace('T', ' ')} UTC"
