"""`gradata hook`: what an agent's host runs. People run it to try out what a host would see."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, Parser, Subparsers, add_brain, add_json
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "hook"
HELP = "what agents run: capture a person's edits, recall corrections, close a session"
_KINDS = {
    "capture": "record what a person changed in the texts that an agent wrote",
    "recall": "print the corrections of late as the host's context",
    "session-close": "graduate lessons as before; replicate if write-through is switched off",
    "mcp": "serve corrections to a host over stdin and stdout",
}
_CAPTURE = """Read a host's JSON on stdin, keep what its agent wrote, and record what a person made of it since. With
`capture = "all"` the agent's own edits, too. What is not understood records nothing and is noted for `gradata
doctor`."""
_RECALL = """Print the last corrections in the host's form, as context for its model, without any decision. First
what a person changed is recorded, as by `capture`."""
_SESSION_CLOSE = """Run the older SDK's graduation, if `gradata install` found one, with its cloud-sync part switched
off. Only with GRADATA_DISABLE_WRITE_THROUGH=1 is anything replicated from here."""
_MCP = "A server of the Model Context Protocol with two tools: correct and recall."
_LONG = {"capture": _CAPTURE, "recall": _RECALL, "session-close": _SESSION_CLOSE, "mcp": _MCP}


def add_parser(commands: Subparsers) -> None:
    """Declare the command and its kinds."""
    parser = commands.add_parser(
        NAME, help=HELP, description="The programs that `gradata install` writes into agents' configurations."
    )
    kinds = parser.add_subparsers(title="hooks", metavar="HOOK", required=True, parser_class=Parser)
    for kind, short in _KINDS.items():
        inner = kinds.add_parser(
            kind,
            help=short,
            description=_LONG[kind],
            epilog="Exit codes: 0 always, so that no host is stopped, but 2 for wrong usage.",
        )
        inner.add_argument("--entry", metavar="ID", help="gradata:AGENT:BRAIN, as `gradata install` writes it")
        inner.add_argument("--agent", metavar="NAME", default="unknown", help="whose hook it is (without --entry)")
        add_brain(inner)
        add_json(inner)
        inner.set_defaults(run=run, kind=kind)


def run(chosen: argparse.Namespace, terminal: Terminal) -> int:
    """Run one hook."""
    from gradata.hooks.program import Asked, entry_of
    from gradata.hooks.program import run as run_hook

    del terminal
    agent, brain = chosen.agent, chosen.brain
    if chosen.entry is not None:
        named = entry_of(chosen.entry)
        if named is None:
            raise ConfigurationError(f"{chosen.entry} is no entry", hint="write gradata:AGENT:BRAIN")
        agent, brain = named
    return run_hook(Asked(chosen.kind, agent, brain, chosen.json)) or FINE
