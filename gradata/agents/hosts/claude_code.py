"""Claude Code: `settings.json` below ~/.claude or CLAUDE_CONFIG_DIR. Seen with 2.1.332.

Context reaches the model before it writes anything only from SessionStart and UserPromptSubmit. A shell command is
hooked on both sides, so that what it changed is not taken for a person's work; one that fails ends in
PostToolUseFailure. An Edit that does not apply fires nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from gradata.agents.command import SESSION_TIMEOUT_S, TIMEOUT_S, handlers
from gradata.agents.model import Agent, AgentFile, AgentPlace, AgentTrust, Entry, Hook

_HOOKS = (
    Hook("recall", ("hooks", "SessionStart"), handlers(TIMEOUT_S)),
    Hook("recall", ("hooks", "UserPromptSubmit"), handlers(TIMEOUT_S)),
    Hook("capture", ("hooks", "PreToolUse"), handlers(TIMEOUT_S, "Edit|Write|NotebookEdit|Read|Bash")),
    Hook("capture", ("hooks", "PostToolUse"), handlers(TIMEOUT_S, "Edit|Write|NotebookEdit|Bash")),
    Hook("capture", ("hooks", "PostToolUseFailure"), handlers(TIMEOUT_S, "Bash")),
    Hook("capture", ("hooks", "Stop"), handlers(TIMEOUT_S)),
)
_CLOSE = Hook("session-close", ("hooks", "Stop"), handlers(SESSION_TIMEOUT_S))


def _folder(place: AgentPlace) -> str:
    return place.folder("CLAUDE_CONFIG_DIR", ".claude")


def _files(place: AgentPlace, _: str | None) -> tuple[AgentFile, ...]:
    return (AgentFile(os.path.join(_folder(place), "settings.json"), "json", _HOOKS, _CLOSE),)


def _trust(_: AgentPlace, file: AgentFile, tree: Any, __: Sequence[Entry]) -> AgentTrust:
    if isinstance(tree, dict) and tree.get("disableAllHooks") is True:
        return AgentTrust("off", f'"disableAllHooks" is true in {file.path}', "take it out there")
    return AgentTrust("trusted")


CLAUDE_CODE = Agent(
    "claude-code",
    "Claude Code",
    _folder,
    (".claude",),
    _files,
    session_end=("Stop", "SessionEnd", "SubagentStop"),
    trust=_trust,
)
