"""Hermes: `config.yaml` below ~/.hermes or HERMES_HOME, and one more for each profile. Seen with 0.19.0.

A hook in the default file does not run in a profile, so each profile's file gets its own. Context is taken from
`pre_llm_call` alone. A person consents to each pair of event and command (`shell-hooks-allowlist.json`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from gradata.agents.command import COMMAND, SESSION_TIMEOUT_S, TIMEOUT_S
from gradata.agents.files import read_text
from gradata.agents.model import Agent, AgentFile, AgentPlace, AgentTrust, Entry, EntryKind, Hook, UnsureError

PROFILES_MAX = 100


def _hook(kind: EntryKind, event: str, matcher: str | None = None, timeout_s: int = TIMEOUT_S) -> Hook:
    more = {} if matcher is None else {"matcher": matcher}
    return Hook(kind, ("hooks", event), {"command": COMMAND, **more, "timeout": timeout_s})


_HOOKS = (
    _hook("recall", "pre_llm_call"),
    _hook("capture", "pre_tool_call", "patch|write_file|read_file|terminal|execute_code"),
    _hook("capture", "post_tool_call", "patch|write_file|terminal|execute_code"),
    _hook("capture", "on_session_end"),
)
_CLOSE = _hook("session-close", "on_session_end", timeout_s=SESSION_TIMEOUT_S)
_CURE = "run hermes once in a terminal and allow them, or: hermes --accept-hooks"


def _folder(place: AgentPlace) -> str:
    return place.folder("HERMES_HOME", ".hermes")


def _files(place: AgentPlace, _: str | None) -> tuple[AgentFile, ...]:
    folder = _folder(place)
    homes = [folder, *_profiles(os.path.join(folder, "profiles"))]
    return tuple(AgentFile(os.path.join(home, "config.yaml"), "yaml", _HOOKS, _CLOSE) for home in homes)


def _profiles(folder: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))[:PROFILES_MAX]
    except OSError:
        return []
    homes = [os.path.join(folder, name) for name in names]
    return [home for home in homes if os.path.isfile(os.path.join(home, "config.yaml"))]  # else it is not set up yet


def _trust(_: AgentPlace, file: AgentFile, tree: Any, entries: Sequence[Entry]) -> AgentTrust:
    if isinstance(tree, dict) and str(tree.get("hooks_auto_accept")).lower() in ("true", "yes", "on", "1"):
        return AgentTrust("trusted")
    path = os.path.join(os.path.dirname(file.path), "shell-hooks-allowlist.json")
    try:
        said = json.loads(read_text(path) or "{}")
    except (UnsureError, OSError, ValueError) as error:
        return AgentTrust("unknown", f"{path} cannot be read: {error}")
    approvals = said.get("approvals") if isinstance(said, dict) else None
    allowed = {
        (each.get("event"), each.get("command"))
        for each in (approvals if isinstance(approvals, list) else [])
        if isinstance(each, dict)
    }
    waiting = sum((entry.event, entry.command) not in allowed for entry in entries)
    if waiting:
        return AgentTrust("untrusted", f"{waiting} of {len(entries)} hooks in {file.path} wait for consent", _CURE)
    return AgentTrust("trusted")


HERMES = Agent(
    "hermes",
    "Hermes",
    _folder,
    (".hermes",),
    _files,
    session_end=("on_session_end", "session_end"),
    unknown_events=("pre_tool_use", "post_tool_use", "session_end", "stop", "session_close"),
    consent=f"Hermes asks for consent before it runs a new hook, and skips it without a terminal: {_CURE}",
    trust=_trust,
)
