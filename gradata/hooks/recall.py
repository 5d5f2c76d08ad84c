"""Give the host the corrections of late, as context for its model.

Read from the end of the log, which is there before any projection is. The answer is a JSON object in the host's form
that carries context and no decision: it can neither allow nor block a tool. Said once a session, until there is more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from gradata.config import brain_dir as directory

TAIL_BYTES = 256 * 1024
CORRECTIONS_MAX = 5
QUOTED_CHARACTERS = 160


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
        if isinstance(said, dict) and isinstance(said.get("final_text"), str):
            yield event


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
    return f"- {said.get('category', 'GENERAL')}: instead of {draft} it should be {final}"


def _quoted(text: object) -> str:
    plain = " ".join(str(text or "").split())
    return json.dumps(
        plain if len(plain) <= QUOTED_CHARACTERS else plain[: QUOTED_CHARACTERS - 1] + "…", ensure_ascii=False
    )


def answer(agent: str, event: str | None, said: str) -> dict[str, Any]:
    """The host's form of context without a decision."""
    if agent == "hermes":
        return {"context": said}
    default = "BeforeAgent" if agent == "gemini" else "PreToolUse"
    return {"hookSpecificOutput": {"hookEventName": event or default, "additionalContext": said}}
