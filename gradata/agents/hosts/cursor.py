"""Cursor: `hooks.json` and `mcp.json` below ~/.cursor. By its documents: the program itself was not run.

`afterFileEdit` is the only hook that is written: it stands in all versions of the documents. Recall is a tool of our
MCP server, since no event that takes context for the model is certain.
"""

from __future__ import annotations

import os

from gradata.agents.command import ARGUMENTS, COMMAND, PROGRAM
from gradata.agents.model import Agent, AgentFile, AgentPlace, Hook

_EDITED = Hook("capture", ("hooks", "afterFileEdit"), {"command": COMMAND})
_SERVER = Hook("mcp", ("mcpServers", "gradata"), {"command": PROGRAM, "args": ARGUMENTS}, in_list=False)
_BLANK = '{\n  "version": 1\n}\n'


def _folder(place: AgentPlace) -> str:
    return place.folder(None, ".cursor")


def _files(place: AgentPlace, _: str | None) -> tuple[AgentFile, ...]:
    hooks, servers = (os.path.join(_folder(place), name) for name in ("hooks.json", "mcp.json"))
    return (AgentFile(hooks, "json", (_EDITED,), blank=_BLANK), AgentFile(servers, "json", (_SERVER,)))


CURSOR = Agent("cursor", "Cursor", _folder, (".cursor",), _files)
