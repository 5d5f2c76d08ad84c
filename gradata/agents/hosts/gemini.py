"""Gemini CLI: `settings.json` below ~/.gemini. Seen with 0.61.0.

A hook is switched off by its name (`hooksConfig.disabled`), so each of ours has a name of its own. A matcher is an
unanchored regular expression: ours are anchored, so that no tool of an MCP server meets them. Timeouts are in
milliseconds. GEMINI_CLI_HOME takes the place of the user's home.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from gradata.agents.command import SESSION_TIMEOUT_S, TIMEOUT_S, handlers
from gradata.agents.model import Agent, AgentFile, AgentPlace, AgentTrust, Entry, EntryKind, Hook


def _hook(kind: EntryKind, event: str, matcher: str | None = None, timeout_s: int = TIMEOUT_S) -> Hook:
    return Hook(kind, ("hooks", event), handlers(timeout_s * 1000, matcher, name=f"gradata-{kind}-{event}"))


_HOOKS = (
    _hook("recall", "BeforeAgent"),
    _hook("capture", "BeforeTool", "^(replace|write_file|read_file|run_shell_command)$"),
    _hook("capture", "AfterTool", "^(replace|write_file|run_shell_command)$"),
    _hook("capture", "AfterAgent"),
)
_CLOSE = _hook("session-close", "SessionEnd", timeout_s=SESSION_TIMEOUT_S)


def _folder(place: AgentPlace) -> str:
    if place.own is None and place.environ.get("GEMINI_CLI_HOME"):
        return os.path.join(os.path.abspath(place.environ["GEMINI_CLI_HOME"]), ".gemini")
    return place.folder(None, ".gemini")


def _files(place: AgentPlace, _: str | None) -> tuple[AgentFile, ...]:
    return (AgentFile(os.path.join(_folder(place), "settings.json"), "json", _HOOKS, _CLOSE),)


def _trust(_: AgentPlace, file: AgentFile, tree: Any, entries: Sequence[Entry]) -> AgentTrust:
    said = tree.get("hooksConfig") if isinstance(tree, dict) else None
    if not isinstance(said, dict):
        return AgentTrust("trusted")
    if said.get("enabled") is False:
        return AgentTrust("off", f'"hooksConfig.enabled" is false in {file.path}', "set it to true")
    disabled = said.get("disabled")
    names = {str(name) for name in disabled} if isinstance(disabled, list) else set()
    ours = sorted(names & {f"gradata-{entry.kind}-{entry.event}" for entry in entries})
    if ours:
        return AgentTrust("off", f"disabled in {file.path}: {', '.join(ours)}", "take them out of hooksConfig.disabled")
    return AgentTrust("trusted")


GEMINI = Agent(
    "gemini",
    "Gemini CLI",
    _folder,
    (".gemini",),
    _files,
    session_end=("SessionEnd", "sessionEnd"),
    unknown_events=("preCall",),
    trust=_trust,
)
