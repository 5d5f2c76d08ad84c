"""The agents that can be given a memory: their files, the events they know, and the entries we write there.

Files and events are those of the hosts' own documents and of what older versions installed. A name that a host does
not know is never written: it would be ignored in silence, which is how a fleet once stayed behind for five days.
The entry's id (`gradata:<agent>:<brain>`) is an argument of its command: hosts drop or refuse keys that they do not
know, but none touches a command. It says whose entry it is, and to the hook itself which agent and which brain.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from gradata.agents.model import Agent, Hook, Kind

COMMAND, PROGRAM, ARGUMENTS = "\0command", "\0program", "\0arguments"
"""Stand in an item for the whole command line, for the program alone, and for its arguments as a list."""
TIMEOUT_S = 10
"""What hosts are told to allow: the hook needs a fraction of a second, a busy machine more."""
SESSION_TIMEOUT_S = 60
"""At the end of a session: graduation took its time with older versions, too."""

_EDITS = "Edit|MultiEdit|Write"


def _claude(matcher: str | None, timeout_s: int = TIMEOUT_S) -> Mapping[str, Any]:
    hook = {"type": "command", "command": COMMAND, "timeout": timeout_s}
    return {"hooks": [hook]} if matcher is None else {"matcher": matcher, "hooks": [hook]}


def _gemini(matcher: str | None, timeout_s: int = TIMEOUT_S) -> Mapping[str, Any]:
    hook = {"name": "gradata", "type": "command", "command": COMMAND, "timeout": timeout_s * 1000}
    return {"hooks": [hook]} if matcher is None else {"matcher": matcher, "hooks": [hook]}


def _plain(**more: Any) -> Mapping[str, Any]:
    return {"command": COMMAND, **more}


CLAUDE_CODE = Agent(
    "claude-code",
    "Claude Code",
    (".claude", "settings.json"),
    "json",
    (
        Hook("recall", ("hooks", "PreToolUse"), _claude(_EDITS)),
        Hook("capture", ("hooks", "PostToolUse"), _claude(_EDITS)),
    ),
    session_close=Hook("session-close", ("hooks", "Stop"), _claude(None, SESSION_TIMEOUT_S)),
    session_end=("Stop", "SessionEnd", "SubagentStop"),
)
CODEX = Agent(
    "codex",
    "Codex",
    (".codex", "config.toml"),
    "toml",
    (Hook("recall", ("hooks", "pre_tool"), _plain()), Hook("capture", ("hooks", "post_tool"), _plain())),
    session_close=Hook("session-close", ("hooks", "session_end"), _plain()),
    session_end=("session_end", "Stop"),
)
GEMINI = Agent(
    "gemini",
    "Gemini CLI",
    (".gemini", "settings.json"),
    "json",
    (
        Hook("recall", ("hooks", "BeforeAgent"), _gemini(None)),
        Hook("capture", ("hooks", "AfterTool"), _gemini("replace|write_file|edit")),
    ),
    session_close=Hook("session-close", ("hooks", "SessionEnd"), _gemini(None, SESSION_TIMEOUT_S)),
    session_end=("SessionEnd", "sessionEnd"),
)
CURSOR = Agent(
    "cursor",
    "Cursor",
    (".cursor", "mcp.json"),
    "json",
    (Hook("mcp", ("mcpServers", "gradata"), {"command": PROGRAM, "args": ARGUMENTS}, in_list=False),),
)
HERMES = Agent(
    "hermes",
    "Hermes",
    (".hermes", "config.yaml"),
    "yaml",
    (
        Hook("recall", ("hooks", "pre_tool_call"), _plain(matcher="patch|write_file|edit_file", timeout=TIMEOUT_S)),
        Hook("capture", ("hooks", "post_tool_call"), _plain(matcher="patch|write_file|edit_file", timeout=TIMEOUT_S)),
    ),
    session_close=Hook("session-close", ("hooks", "on_session_end"), _plain(timeout=SESSION_TIMEOUT_S)),
    session_end=("on_session_end", "session_end"),
    ignored=("pre_tool_use", "post_tool_use", "session_end", "stop", "session_close"),
)
OPENCODE = Agent(
    "opencode",
    "OpenCode",
    (".config", "opencode", "config.json"),
    "json",
    (Hook("recall", ("hooks", "preTool"), _plain()), Hook("capture", ("hooks", "postTool"), _plain())),
    session_close=Hook("session-close", ("hooks", "sessionEnd"), _plain()),
    session_end=("sessionEnd",),
)
AGENTS: Mapping[str, Agent] = {each.name: each for each in (CLAUDE_CODE, CODEX, GEMINI, CURSOR, HERMES, OPENCODE)}


def entry_id(agent: str, brain: str) -> str:
    """Whose an entry is: `gradata:<agent>:<absolute brain path>`."""
    return f"gradata:{agent}:{brain}"


def filled(hook: Hook, program: Sequence[str], agent: str, brain: str) -> Any:
    """The item as it is written, for one brain."""
    argv = [*program, "hook", hook.kind, "--entry", entry_id(agent, brain)]
    values = {COMMAND: shlex.join(argv), PROGRAM: argv[0], ARGUMENTS: argv[1:]}

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return values.get(value, value)
        if isinstance(value, Mapping):
            return {name: fill(each) for name, each in value.items()}
        return [fill(each) for each in value] if isinstance(value, list | tuple) else value

    return fill(hook.item)


_KIND = re.compile(r"\bhook\s+(capture|recall|session-close|mcp)\b")


def kind_in(command: str) -> Kind | None:
    """Which of our hooks a command runs."""
    found = _KIND.search(command)
    return found.group(1) if found else None  # type: ignore[return-value]
