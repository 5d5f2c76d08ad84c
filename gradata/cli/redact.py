"""`gradata redact`: show what redaction removes from a text."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_json
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from gradata.brain.redaction.redaction import SecretFinding
    from gradata.cli.terminal import Terminal

NAME = "redact"
HELP = "show what would be removed from a text before it is recorded"
BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RedactOptions:
    """`file`: a path, or `-` for stdin."""

    file: str
    json: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Print kind and position of each secret that redaction removes from a text, as it does for every "
        "text of an event before it is written. Never prints the secret. Changes nothing.",
        epilog="Secrets without a recognisable form, such as a password in an assignment, are not found: see "
        "docs/security.md. Exit codes: 0 nothing found, 1 something found, 2 wrong usage.",
    )
    parser.add_argument("file", metavar="FILE", help="text file; - is stdin")
    parser.add_argument("--check", action="store_true", required=True, help="only report; required")
    add_json(parser)
    parser.set_defaults(run=lambda chosen, terminal: run(RedactOptions(chosen.file, chosen.json), terminal))


def run(options: RedactOptions, terminal: Terminal) -> int:
    """Print what would be removed."""
    from gradata.brain.redaction.redaction import findings

    text = terminal.read() if options.file == "-" else _read(options.file)
    found = _shown(text, findings(text))
    if options.json:
        terminal.json({"file": options.file, "found": found})
        return PROBLEM if found else FINE
    for each in found:
        terminal.out(f"{options.file}:{each['line']}:{each['column']}: {each['kind']}, {each['characters']} characters")
    if not found:
        terminal.say("nothing would be removed")
    return PROBLEM if found else FINE


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", hint="name a text file") from error
    if len(raw) > BYTES_MAX:
        raise ConfigurationError(f"{path} has more than {BYTES_MAX:,} bytes", hint="split it")
    return raw.decode("utf-8", "backslashreplace")


def _shown(text: str, found: list[SecretFinding]) -> list[dict[str, object]]:
    """Kind, line and column (from 1, in characters) and length of each. Nothing of the text."""
    begins = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    shown: list[dict[str, object]] = []
    for each in found:
        line = bisect_right(begins, each.start)
        column = each.start - begins[line - 1] + 1
        shown.append({"kind": each.kind, "line": line, "column": column, "characters": each.end - each.start})
    return shown
