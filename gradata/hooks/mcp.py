"""Corrections for hosts that take a server of the Model Context Protocol: two tools over stdin and stdout.

`correct` records, `recall` gives back. It lives as long as its host, so it is a Brain that replicates by itself. Only
what the two tools need of the protocol is spoken (2025-06-18 and before: initialize, ping, tools/list, tools/call);
everything else is answered as an unknown method, notifications not at all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import IO, Any

from gradata.agents import fired
from gradata.brain.brain import Brain
from gradata.config.settings import Settings
from gradata.hints import hint_of
from gradata.hooks import recall
from replicator.errors import ReplicatorError

PROTOCOL = "2025-06-18"
LINE_BYTES_MAX = 16 * 1024 * 1024
CLOSE_S = 1.0

_TEXT = {"type": "string"}
TOOLS = (
    {
        "name": "correct",
        "description": "Record that a draft of yours was corrected by the user into a final text.",
        "inputSchema": {
            "type": "object",
            "properties": {"draft": _TEXT, "final": _TEXT, "category": _TEXT},
            "required": ["draft", "final"],
        },
    },
    {
        "name": "recall",
        "description": "The user's corrections of late. Ask before you write for them.",
        "inputSchema": {"type": "object", "properties": {}},
    },
)


def serve(settings: Settings, agent: str, environ: Mapping[str, str], *, stdin: IO[bytes] | None = None) -> int:
    """Answer until stdin ends; always 0. One JSON value a line, both ways."""
    home = settings.home
    entry = f"gradata:{agent}:{settings.brain_dir}"
    fired.note(home, entry, "mcp", trouble=None)
    brain: Brain | None = None
    try:
        brain = Brain(settings.brain_dir, environ=environ)
    except ReplicatorError as error:
        fired.note(home, entry, "mcp", trouble=f"{error}; {hint_of(error)}")
    try:
        source = stdin if stdin is not None else sys.stdin.buffer
        while line := source.readline(LINE_BYTES_MAX):
            if (said := answer(line, brain, agent, settings.brain_dir)) is not None:
                sys.stdout.write(json.dumps(said) + "\n")
                sys.stdout.flush()
    finally:
        if brain is not None:
            brain.close(CLOSE_S)
    return 0


def answer(line: bytes, brain: Brain | None, agent: str, brain_dir: str) -> dict[str, Any] | None:
    """The answer to one line; None to what wants none."""
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        return _failed(None, -32700, "no JSON")
    if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
        return None if isinstance(asked, dict) and "id" not in asked else _failed(None, -32600, "no request")
    if "id" not in asked:
        return None
    given = asked.get("params")
    params: Mapping[str, Any] = given if isinstance(given, dict) else {}
    match asked["method"]:
        case "initialize":
            wanted = params.get("protocolVersion")
            result: dict[str, Any] = {
                "protocolVersion": wanted if isinstance(wanted, str) and wanted <= PROTOCOL else PROTOCOL,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "gradata", "version": "1"},
            }
        case "ping":
            result = {}
        case "tools/list":
            result = {"tools": list(TOOLS)}
        case "tools/call":
            result = _called(params, brain, agent, brain_dir)
        case method:
            return _failed(asked["id"], -32601, f"unknown method {method}")
    return {"jsonrpc": "2.0", "id": asked["id"], "result": result}


def _called(params: Mapping[str, Any], brain: Brain | None, agent: str, brain_dir: str) -> dict[str, Any]:
    """The result of a tool: what went wrong is its text, for the model to read."""
    given = params.get("arguments")
    arguments: Mapping[str, Any] = given if isinstance(given, dict) else {}
    if params.get("name") == "recall":
        return _said(recall.context(brain_dir)[0] or "There are no corrections yet.")
    if params.get("name") != "correct":
        return _said(f"There is no tool {params.get('name')!r}.", failed=True)
    if brain is None:
        return _said("The brain cannot be opened; run: gradata doctor", failed=True)
    try:
        event = brain.correct(
            arguments.get("draft", ""), arguments.get("final", ""), arguments.get("category"), agent_type=agent
        )
    except (ValueError, ReplicatorError) as error:
        return _said(f"Not recorded: {error}", failed=True)
    return _said(
        f"Recorded{' before' if event['duplicate'] else ''}: {event['data']['summary'] or event['data']['category']}"
    )


def _said(text: str, *, failed: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def _failed(number: object, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
