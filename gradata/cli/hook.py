"""`gradata hook`: the programs that agents run. Can be run by hand to see their output."""

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
    "recall": "print recent corrections as context for the agent",
    "session-close": "run the older SDK's graduation; replicate if write-through is off",
    "mcp": "serve corrections to an agent over stdin and stdout",
}
_CAPTURE = (
    "Read the agent's JSON from stdin, remember what the agent wrote, and record what a person changed in it "
    'since. With `capture = "all"` the agent\'s own edits are recorded, too. Input that is not understood '
    "records nothing and is reported by `gradata doctor`."
)
_RECALL = (
    "Print the last corrections as context for the model, in the agent's format and without any decision. "
    "Records a person's changes first, as `capture` does."
)
_SESSION_CLOSE = (
    "Run the older SDK's graduation, if `gradata install` found one, with its cloud sync disabled. Replicates"
    " only with GRADATA_DISABLE_WRITE_THROUGH=1."
)
_MCP = "A server of the Model Context Protocol with two tools: correct and recall."
_LONG = {"capture": _CAPTURE, "recall": _RECALL, "session-close": _SESSION_CLOSE, "mcp": _MCP}


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME, help=HELP, description="The programs that `gradata install` writes into agents' configurations."
    )
    kinds = parser.add_subparsers(title="hooks", metavar="HOOK", required=True, parser_class=Parser)
    for kind, short in _KINDS.items():
        inner = kinds.add_parser(
            kind,
            help=short,
            description=_LONG[kind],
            epilog="Exit codes: always 0, so that no agent is blocked; 2 for wrong usage.",
        )
        inner.add_argument("--entry", metavar="ID", help="gradata:AGENT:BRAIN, as written by `gradata install`")
        inner.add_argument("--agent", metavar="NAME", default="unknown", help="agent (without --entry)")
        add_brain(inner)
        add_json(inner)
        inner.set_defaults(run=run, kind=kind)


def run(chosen: argparse.Namespace, terminal: Terminal) -> int:
    """Run one hook."""
    from gradata.hooks.program import HookRequest, entry_of
    from gradata.hooks.program import run as run_hook

    del terminal
    agent, brain = chosen.agent, chosen.brain
    if chosen.entry is not None:
        named = entry_of(chosen.entry)
        if named is None:
            raise ConfigurationError(f"{chosen.entry} is no entry", hint="write gradata:AGENT:BRAIN")
        agent, brain = named
    return run_hook(HookRequest(chosen.kind, agent, brain, chosen.json)) or FINE
