"""What hosts say about an edit, in each one's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gradata.hooks.reading import Edit, Edits, Skipped, Unknown, read

OLD, NEW = "We are pleased", "We shipped"
PATCH = f"*** Begin Patch\n*** Update File: a.md\n@@\n Dear all,\n-{OLD}\n+{NEW}\n@@ x\n same\n*** End Patch\n"
PATCHED = Edit(f"Dear all,\n{OLD}", f"Dear all,\n{NEW}")


def said(**words: Any) -> bytes:
    """A host's JSON."""
    return json.dumps(words).encode()


UNDERSTOOD = {
    "claude-code Edit": said(
        session_id="s", cwd="/w", hook_event_name="PostToolUse", tool_name="Edit",
        tool_input={"file_path": "/w/src/a.py", "old_string": OLD, "new_string": NEW}, tool_use_id="t",
    ),
    "claude-code MultiEdit": said(
        tool_name="MultiEdit", tool_input={"file_path": "a", "edits": [{"old_string": OLD, "new_string": NEW}]}
    ),
    "claude-code Write": said(
        tool_name="Write", tool_input={"file_path": "a", "content": NEW}, tool_response={"originalFile": OLD}
    ),
    "gemini replace": said(tool_name="replace", tool_input={"file_path": "a", "old_string": OLD, "new_string": NEW}),
    "hermes patch": said(tool_name="patch", tool_input={"path": "a", "old_string": OLD, "new_string": NEW}),
    "opencode edit": said(tool="edit", args={"filePath": "a", "oldString": OLD, "newString": NEW}),
    "cursor afterFileEdit": said(
        hook_event_name="afterFileEdit", file_path="a", edits=[{"old_string": OLD, "new_string": NEW}]
    ),
}  # fmt: skip


@pytest.mark.parametrize("raw", UNDERSTOOD.values(), ids=UNDERSTOOD.keys())
def test_an_edit_is_understood_in_every_hosts_words(raw: bytes) -> None:
    """The draft and the final, whatever their names."""
    told = read(raw)
    assert isinstance(told, Edits)
    assert told.edits == (Edit(OLD, NEW),)


@pytest.mark.parametrize("words", [{"input": PATCH}, {"command": PATCH}, {"patch": PATCH}])
def test_a_patch_is_an_edit_for_each_hunk_that_changes(words: dict[str, str]) -> None:
    """Codex's own form; a hunk that changes nothing is none."""
    told = read(said(tool_name="apply_patch", tool_input=words))
    assert isinstance(told, Edits)
    assert told.edits == (PATCHED,)


def test_a_files_path_is_told_below_the_working_directory_alone() -> None:
    """No path of the machine leaves it."""
    first = read(UNDERSTOOD["claude-code Edit"])
    assert isinstance(first, Edits)
    assert first.file == "src/a.py"
    assert first.session == "s"
    assert first.call == "t"
    second = read(
        said(tool_name="Edit", cwd="/w", tool_input={"file_path": "/h/b", "old_string": OLD, "new_string": NEW})
    )
    assert isinstance(second, Edits)
    assert second.file == "b"


SKIPPED = {
    "another tool": said(tool_name="Bash", tool_input={"command": "ls"}),
    "a new file": said(tool_name="Write", tool_input={"file_path": "a", "content": NEW}),
    "nothing before": said(tool_name="Edit", tool_input={"old_string": "", "new_string": NEW}),
    "no change": said(tool_name="Edit", tool_input={"old_string": NEW, "new_string": NEW}),
    "a failure": said(
        tool_name="Edit", tool_input={"old_string": OLD, "new_string": NEW}, tool_response={"error": "no match"}
    ),
}


@pytest.mark.parametrize("raw", SKIPPED.values(), ids=SKIPPED.keys())
def test_what_corrects_nothing_is_skipped(raw: bytes) -> None:
    """It is understood, and there is nothing to record."""
    assert isinstance(read(raw), Skipped)


UNKNOWN = {
    "nothing": b"",
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "a list": b"[1]",
    "no tool": said(secret="the text", other=1),
    "an edit in other words": said(tool_name="Edit", tool_input={"before": OLD, "after": NEW}),
    "not UTF-8": b'{"tool_name": "\xff"}',
}


@pytest.mark.parametrize("raw", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_is_not_understood_is_unknown_and_quotes_no_text(raw: bytes) -> None:
    """Doctor tells of it: names of keys, never what they hold."""
    told = read(raw)
    assert isinstance(told, Unknown)
    assert OLD not in repr(told)
    assert "the text" not in repr(told)
