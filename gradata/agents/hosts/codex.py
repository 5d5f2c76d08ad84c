"""Codex: `hooks.json` or `config.toml` below ~/.codex or CODEX_HOME. Seen with 0.171.0.

A hook runs only after a person accepted its hash in `/hooks`; until then it is skipped in silence. The acceptance is
kept in config.toml under the hook's place (file, event, number of its group), so our groups stand behind all others.
The hash is that of the release named above, found equal to the one its app-server lists.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from gradata.agents.command import SESSION_TIMEOUT_S, TIMEOUT_S, handlers
from gradata.agents.files import read_text
from gradata.agents.model import Agent, AgentFile, AgentPlace, AgentTrust, Entry, Hook, UnsureError

_TOOLS = "apply_patch|Bash"
_HOOKS = (
    Hook("recall", ("hooks", "SessionStart"), handlers(TIMEOUT_S)),
    Hook("recall", ("hooks", "UserPromptSubmit"), handlers(TIMEOUT_S)),
    Hook("capture", ("hooks", "PreToolUse"), handlers(TIMEOUT_S, _TOOLS)),
    Hook("capture", ("hooks", "PostToolUse"), handlers(TIMEOUT_S, _TOOLS)),
    Hook("capture", ("hooks", "Stop"), handlers(TIMEOUT_S)),
)
_CLOSE = Hook("session-close", ("hooks", "Stop"), handlers(SESSION_TIMEOUT_S))
"""Not at SessionEnd, which Codex cuts off after three seconds."""
_CURE = "start codex, type /hooks, and trust the hooks of gradata"


def _folder(place: AgentPlace) -> str:
    return place.folder("CODEX_HOME", ".codex")


def _files(place: AgentPlace, _: str | None) -> tuple[AgentFile, ...]:
    """Hooks in both files load with a warning at each start, so ours go where the user's are; else into hooks.json."""
    listed, config = (os.path.join(_folder(place), name) for name in ("hooks.json", "config.toml"))
    if _has_hooks(config) and not os.path.exists(listed):
        return (AgentFile(config, "toml", _HOOKS, _CLOSE),)
    return (AgentFile(listed, "json", _HOOKS, _CLOSE), AgentFile(config, "toml"))


def _has_hooks(config: str) -> bool:
    """Whether config.toml has hooks of events that Codex knows. One that cannot be read is for the edit to refuse."""
    hooks = _config(config).get("hooks")
    return isinstance(hooks, dict) and any(key[:1].isupper() and _not_ours(value) for key, value in hooks.items())


def _not_ours(groups: Any) -> bool:
    return any("--entry gradata:" not in repr(group) for group in groups) if isinstance(groups, list) else True


def _config(path: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(read_text(path) or "")
    except (UnsureError, OSError, ValueError):
        return {}


def trust_hash(event: str, group: Mapping[str, Any], handler: Mapping[str, Any]) -> str:
    """What Codex wants a person to accept: the SHA-256 of event, matcher, command and timeout."""
    said: dict[str, Any] = {"event_name": _snake(event)}
    if group.get("matcher") is not None:
        said["matcher"] = group["matcher"]
    said["hooks"] = [
        {"type": "command", "command": handler["command"], "timeout": handler.get("timeout", 600), "async": False}
    ]
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def trust_key(file: str, entry: Entry) -> str:
    """Where its acceptance stands: `<file>:<event>:<group>:<handler>`."""
    return f"{file}:{_snake(entry.event)}:{entry.path[2]}:{entry.path[4] if len(entry.path) > 4 else 0}"


def _snake(event: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", event).lower()


def _trust(place: AgentPlace, file: AgentFile, tree: Any, entries: Sequence[Entry]) -> AgentTrust:
    config = _config(os.path.join(_folder(place), "config.toml"))
    features, hooks = config.get("features"), config.get("hooks")
    if isinstance(features, dict) and features.get("hooks") is False:
        return AgentTrust("off", "hooks are switched off in config.toml", "take `hooks = false` out of [features]")
    states = hooks.get("state") if isinstance(hooks, dict) else None
    states = states if isinstance(states, dict) else {}
    waiting, modified = 0, 0
    for entry in entries:
        state = states.get(trust_key(file.path, entry)) or states.get(trust_key(os.path.realpath(file.path), entry))
        state = state if isinstance(state, dict) else {}
        if state.get("enabled") is False:
            return AgentTrust("off", f"its hook for {entry.event} is disabled", "start codex, type /hooks, enable it")
        group = tree["hooks"][entry.event][entry.path[2]]
        accepted = state.get("trusted_hash")
        if accepted != trust_hash(entry.event, group, group["hooks"][entry.path[4]]):
            waiting, modified = waiting + 1, modified + (accepted is not None)
    if waiting:
        changed = f" ({modified} of them changed since)" if modified else ""
        why = f"{waiting} of {len(entries)} hooks wait for a person's trust{changed}: Codex skips them in silence"
        return AgentTrust("untrusted", why, _CURE)
    return AgentTrust("trusted")


CODEX = Agent(
    "codex",
    "Codex",
    _folder,
    (".codex",),
    _files,
    session_end=("session_end", "SessionEnd", "Stop"),
    unknown_events=("pre_tool", "post_tool", "session_end"),
    consent=f"Codex skips a new or changed hook, without a word, until a person trusts it: {_CURE}",
    trust=_trust,
)
