"""Give the host the corrections of late, as context for its model.

Read from the end of the log, which is there before any projection is. The answer is a JSON object in the host's form
that carries context and no decision: it can neither allow nor block a tool. An agent's own edits are never given back
as corrections.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from gradata.config import brain_dir as directory

TAIL_BYTES = 256 * 1024
CORRECTIONS_MAX = 5
QUOTED_CHARACTERS = 160

EVENTS = {
    "claude-code": ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse"),
    "codex": ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse"),
    "gemini": ("BeforeAgent",),
    "hermes": ("pre_llm_call",),
    "opencode": ("chat.message",),
    "cursor": ("sessionStart",),  # by its documents
}
"""The events from whose answer a host takes context; at others it is dropped, or refused as invalid."""


def recent(log: str) -> list[dict[str, Any]]:
    """The last corrections of a log, newest first; none if it cannot be read."""
    try:
        with open(log, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - TAIL_BYTES))
            tail = file.read(TAIL_BYTES)
    except OSError:
        return []
    lines = tail.split(b"\n")[(0 if end <= TAIL_BYTES else 1) : -1]  # no half record at either end
    found = []
    for event in _corrections(reversed(lines)):
        found.append(event)
        if len(found) == CORRECTIONS_MAX:
            break
    return found


def _corrections(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if b'"CORRECTION"' not in line:
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        said = event.get("data") if isinstance(event, dict) else None
        if isinstance(said, dict) and isinstance(said.get("final_text"), str) and not _is_agents_own(said):
            yield event


def _is_agents_own(said: Mapping[str, Any]) -> bool:
    """Whether an agent made the edit. Hooks before `source_kind` recorded nothing else, and named its tool."""
    context = said.get("context")
    by_older_hook = isinstance(context, dict) and "agent" in context and "tool" in context
    return str(said.get("source_kind", "agent_edit" if by_older_hook else "user_edit")) == "agent_edit"


def context(brain_dir: str) -> tuple[str, str | None]:
    """What to tell the model, and the id of the newest correction in it; "" if there is nothing to tell."""
    found = recent(directory.Directory(brain_dir).log)
    if not found:
        return "", None
    rows = [_row(event["data"]) for event in found]
    newest = found[0].get("event_id")
    return "Corrections made lately; write the way they do:\n" + "\n".join(rows), str(newest)


def _row(said: dict[str, Any]) -> str:
    draft, final = _quoted(said.get("draft_text")), _quoted(said.get("final_text"))
    return f"- {_quoted(said.get('category') or 'GENERAL')}: instead of {draft} it should be {final}"


def _quoted(text: object) -> str:
    plain = " ".join(str(text or "").split())
    return json.dumps(
        plain if len(plain) <= QUOTED_CHARACTERS else plain[: QUOTED_CHARACTERS - 1] + "…", ensure_ascii=False
    )


def stays_in_context(agent: str) -> bool:
    """Whether a host keeps what it was given for the rest of its session.

    OpenCode makes its system prompt anew for each request. Hermes sends old messages as it sent them first (by the
    source of 0.19.0).
    """
    return agent != "opencode"


def answer(agent: str, event: str, said: str) -> dict[str, Any] | None:
    """The host's form of context without a decision; None for an event from which the host takes none."""
    if event not in EVENTS.get(agent, ()):
        return None
    if agent in ("hermes", "opencode"):
        return {"context": said}
    if agent == "cursor":
        return {"additional_context": said}
    return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": said}}
