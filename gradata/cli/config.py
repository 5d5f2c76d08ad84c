"""`gradata config`: show every setting and its origin."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, Subparsers, add_brain, add_endpoint, add_json

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "config"
HELP = "show every setting and its origin"


@dataclass(frozen=True, slots=True)
class ConfigOptions:
    brain: str | None
    endpoint: str | None
    json: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Show every setting with its origin: argument, environment variable, configuration file or "
        "default. Of the API key only the origin is shown. Changes nothing.",
        epilog="Files: ~/.gradata/config.toml, and config.toml in the brain's directory, which takes precedence. "
        "Exit codes: 0 fine, 2 wrong usage, or a file or variable is invalid.",
    )
    add_brain(parser)
    add_endpoint(parser)
    add_json(parser)
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> ConfigOptions:
    return ConfigOptions(chosen.brain, chosen.endpoint, chosen.json)


def run(options: ConfigOptions, terminal: Terminal) -> int:
    """Print the settings."""
    from gradata.config.settings import Settings, checked, consent

    settings = checked(Settings.resolve(options.brain, options.endpoint))
    rows = settings.shown()
    files = settings.configs()
    refused = consent(settings.brain_dir)
    if options.json:
        terminal.json(
            {
                "settings": [asdict(row) for row in rows],
                "files": [{"path": file.path, "exists": file.exists} for file in files],
                "consent_refused": None if refused is None else refused.why,
            }
        )
        return FINE
    shown = [(row.name, "-" if row.value is None else _text(row.value), row.origin) for row in rows]
    terminal.table(("setting", "value", "from"), shown)
    for file in files:
        terminal.say(f"{'read' if file.exists else 'not there'}: {file.path}")
    if refused is not None:
        terminal.say(f"nothing leaves this machine: {refused.why}")
    return FINE


def _text(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
