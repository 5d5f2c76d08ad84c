"""The command line: `gradata COMMAND …`, one module per command.

A command module has NAME and HELP, `add_parser(commands)` which declares its options, an immutable `Options` value, and
`run(options, terminal)` which calls one function of the library, prints the result and returns the exit code. It
imports what it needs when it runs, so that `gradata --help` is fast.

Exit codes: 0 success; 1 a problem was found, or something external failed; 2 wrong usage, nothing was attempted; 128 +
N ended by signal N. Every error ends with `error: …` and, if there is one, `hint: …` on stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from gradata.cli import (
    brains,
    completion,
    config,
    correct,
    cursor,
    dead_letters,
    demo,
    doctor,
    fleet,
    hook,
    init,
    install,
    keys,
    redact,
    replicate,
    restore,
    sdk_verbs,
    serve,
    service,
    status,
    store,
    torture,
    uninstall,
    verify,
)
from gradata.cli.commands import FINE, INTERRUPTED, PROBLEM, USAGE, Parser, exit_code
from gradata.cli.terminal import Terminal
from gradata.hints import hint_of
from replicator.errors import ReplicatorError

COMMANDS = (
    init, install, uninstall, correct, replicate, status, verify, restore, cursor, dead_letters, doctor, config, redact,
    fleet, service, serve, store, keys, brains, hook, demo, torture, completion,
)  # fmt: skip
"""In the order of `gradata --help`."""

__all__ = ["COMMANDS", "build_parser", "main"]


def build_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="gradata",
        description="Record corrections durably on this machine and replicate them to the cloud, with proof.",
        epilog="Help for one command: gradata COMMAND --help",
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Prints every expected error; any other exception is a bug."""
    terminal = Terminal()
    if (told := sdk_verbs.gone(sys.argv[1:] if argv is None else argv)) is not None:
        terminal.fail(*told)
        return USAGE
    try:
        chosen = build_parser().parse_args(argv)
        return int(chosen.run(chosen, terminal))
    except SystemExit as leaving:  # argparse's help, version and wrong usage; a signal that ends a command
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or FINE
        raise
    except ReplicatorError as error:
        terminal.fail(str(error), hint_of(error))
        return exit_code(error)
    except KeyboardInterrupt:
        terminal.fail("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output is gone (`| head`). Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PROBLEM


class _Version(argparse.Action):
    """Looks up the version only when asked: that reads the metadata of installed packages."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, *_: object) -> NoReturn:
        from gradata.cli.commands import version

        Terminal().out(f"gradata {version()}")
        raise SystemExit(FINE)


assert USAGE == 2
