"""Understand what a host says about one call of a tool: which texts became which.

Pure. Every host has its own names for the same things (`old_string`, `oldString`; `tool_input`, `args`), so names are
looked up in lists, not by host: a host that borrows another's form is understood, too. What is no edit is `Skipped`;
what should be one and is not understood is `Unknown`, with the names of its keys and none of its texts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

BYTES_MAX = 16 * 1024 * 1024
EDITS_MAX = 100
_NAMES_MAX = 20

_TOOL = ("tool_name", "toolName", "tool", "name")
_INPUT = ("tool_input", "toolInput", "input", "args", "arguments", "params", "parameters")
_RESPONSE = ("tool_response", "toolResponse", "result", "output", "response")
_OLD = ("old_string", "oldString", "old_str", "old_text", "oldText", "original", "search", "draft")
_NEW = ("new_string", "newString", "new_str", "new_text", "newText", "replacement", "replace", "final")
_CONTENT = ("content", "contents", "text", "file_text")
_BEFORE = ("originalFile", "original_file", "original_content", "old_content", "oldContent")
_FILE = ("file_path", "filePath", "path", "file", "filename")
_PATCH = ("patch", "input", "diff", "command")
_SESSION = ("session_id", "sessionId", "sessionID", "conversation_id")
_CALL = ("tool_use_id", "toolUseId", "tool_call_id", "callID", "call_id")
_EDITS = frozenset(
    [
        "edit",
        "multiedit",
        "write",
        "replace",
        "write_file",
        "edit_file",
        "patch",
        "apply_patch",
        "str_replace",
        "str_replace_editor",
        "str_replace_based_edit_tool",
        "multi_edit",
        "afterfileedit",
    ]
)
_WRITES = frozenset({"write", "write_file"})


class Edit(NamedTuple):
    """One text that became another."""

    draft: str
    final: str


class Edits(NamedTuple):
    """A call that edited. `tool`, `file` and `session` for the event; `call` names it, if the host does."""

    edits: tuple[Edit, ...]
    tool: str
    file: str | None
    session: str | None
    call: str | None


class Skipped(NamedTuple):
    """Nothing to record, and why."""

    why: str


class Unknown(NamedTuple):
    """It should be understood and is not. `shape`: names of keys, no values."""

    why: str
    shape: tuple[str, ...]


def read(raw: bytes) -> Edits | Skipped | Unknown:
    """What the host said on stdin."""
    if not raw.strip():
        return Unknown("nothing on stdin", ())
    if len(raw) > BYTES_MAX:
        return Unknown(f"more than {BYTES_MAX:,} bytes on stdin", ())
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        return Unknown("stdin is no JSON", ())
    if not isinstance(said, dict):
        return Unknown("stdin is no JSON object", ())
    return _call(said)


def session_of(raw: bytes) -> tuple[str | None, str | None]:
    """The host's name for its session, and for its event; None where it gives none."""
    try:
        said = json.loads(raw) if len(raw) <= BYTES_MAX else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return None, None
    return _text(said, _SESSION), _text(said, ("hook_event_name", "hookEventName", "event"))


def _call(said: Mapping[str, Any]) -> Edits | Skipped | Unknown:
    event = _text(said, ("hook_event_name", "hookEventName", "event"))
    tool = _text(said, _TOOL) or (event if event is not None and "edit" in event.lower() else None)
    given = next((said[name] for name in _INPUT if isinstance(said.get(name), dict)), said)
    if tool is None and not _has(given, _OLD):
        return Unknown("it names no tool", _shape(said))
    if tool is not None and tool.rpartition("__")[2].lower() not in _EDITS and not _has(given, _OLD):
        return Skipped(f"{tool} is no edit")
    response = next((said[name] for name in _RESPONSE if name in said), None)
    if isinstance(response, dict) and (response.get("success") is False or response.get("error")):
        return Skipped("the tool failed")
    found = list(_edits(given, response, (tool or "").lower()))
    if not found:
        if (tool or "").lower() in _WRITES and _has(given, _CONTENT):
            return Skipped("a file was written, and what it was before is not said")
        return Unknown("an edit without its texts", _shape(given))
    changed = tuple(edit for edit in found if edit.draft.strip() and edit.draft != edit.final)[:EDITS_MAX]
    if not changed:
        return Skipped("nothing was there before, or nothing changed")
    file = _text(given, _FILE) or _text(said, _FILE)
    return Edits(
        changed, tool or "edit", _short(file, _text(said, ("cwd",))), _text(said, _SESSION), _text(said, _CALL)
    )


def _edits(given: Mapping[str, Any], response: Any, tool: str) -> Iterator[Edit]:
    several = given.get("edits")
    if isinstance(several, list):
        for each in several:
            if isinstance(each, dict) and (edit := _pair(each)) is not None:
                yield edit
        return
    if (edit := _pair(given)) is not None:
        yield edit
        return
    for name in _PATCH:
        patch = given.get(name)
        if isinstance(patch, str) and "*** Begin Patch" in patch:
            yield from _patched(patch)
            return
    before = _text(response, _BEFORE) if isinstance(response, dict) else None
    after = _text(given, _CONTENT)
    if tool in _WRITES and before is not None and after is not None:
        yield Edit(before, after)


def _pair(given: Mapping[str, Any]) -> Edit | None:
    old = next((given[name] for name in _OLD if isinstance(given.get(name), str)), None)
    new = next((given[name] for name in _NEW if isinstance(given.get(name), str)), None)
    return None if old is None or new is None else Edit(old, new)


def _patched(patch: str) -> Iterator[Edit]:
    """The hunks of an `apply_patch` text: context and `-` lines are the draft, context and `+` lines the final."""
    draft: list[str] = []
    final: list[str] = []
    for line in [*patch.split("\n"), "@@"]:
        if line.startswith(("@@", "***")):
            if draft and draft != final:
                yield Edit("\n".join(draft), "\n".join(final))
            draft, final = [], []
        elif line.startswith("-"):
            draft.append(line[1:])
        elif line.startswith("+"):
            final.append(line[1:])
        elif line.startswith(" "):
            draft.append(line[1:])
            final.append(line[1:])


def _text(said: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if isinstance(value := said.get(name), str)), None)


def _has(said: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    return any(name in said for name in names) or isinstance(said.get("edits"), list)


def _shape(said: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(str(name)[:40] for name in said)[:_NAMES_MAX])


def _short(file: str | None, cwd: str | None) -> str | None:
    """A file's path below where the agent works, else its name alone: no path of the machine leaves it."""
    if file is None:
        return None
    below = cwd is not None and file.startswith(cwd.rstrip("/\\") + os.sep)
    return file[len(cwd.rstrip("/\\")) + 1 :] if below and cwd is not None else os.path.basename(file)
