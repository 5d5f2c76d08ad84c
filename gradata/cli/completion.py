"""`gradata completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, Subparsers, add_json

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "completion"
HELP = "print shell completions for bash, zsh or fish"
SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class CompletionOptions:
    shell: str
    json: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Print a script that completes commands, options and directories in a shell. It is generated from"
        " the commands: load it again after an upgrade.",
        epilog="bash: source <(gradata completion bash). zsh, after compinit: source <(gradata completion zsh). "
        "fish: gradata completion fish | source. Exit codes: 0 fine, 2 wrong usage.",
    )
    parser.add_argument("shell", choices=SHELLS, help="shell")
    add_json(parser)
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> CompletionOptions:
    return CompletionOptions(chosen.shell, chosen.json)


def run(options: CompletionOptions, terminal: Terminal) -> int:
    """Print the script."""
    from gradata.cli import build_parser, completion_scripts

    script = completion_scripts.SHELLS[options.shell](build_parser())
    if options.json:
        terminal.json({"shell": options.shell, "script": script})
    else:
        terminal.out(script.rstrip("\n"))
    return FINE
