"""What each host says, read by its own reader: recorded stdin, and forms that are by documents or are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gradata.hooks import payloads
from gradata.hooks.host_call import CallNotUnderstood, Edit, FileWrite, HostCall
from gradata.hooks.payloads import gemini, patch_text
from replicator.errors import ConfigurationError

RECORDED = Path(__file__).parents[5] / "fixtures" / "hosts"
AGENTS = {name: name for name in ("codex", "gemini", "hermes", "opencode")} | {"claude": "claude-code"}
NOTE = "/home/user/project/note.txt"
OLD, NEW = "We are pleased to inform you.", "We shipped it."
PATCHED = (
    FileWrite("note.txt", (Edit(f"Dear all,\n{OLD}", f"Dear all,\n{NEW}"),)),
    FileWrite("b.txt", (Edit("two", "two and a half"),)),
    FileWrite("new.txt", content="hello there world\n"),
)
WRITES: dict[str, tuple[FileWrite, ...]] = {
    "claude-PreToolUse-Edit": (FileWrite(NOTE, (Edit(OLD, NEW),)),),
    "claude-PostToolUse-Edit": (FileWrite(NOTE, (Edit(OLD, NEW),), before=OLD + "\n"),),
    "claude-PreToolUse-Write": (FileWrite("/home/user/project/new.txt", content="hello\n"),),
    "claude-PostToolUse-Write-create": (FileWrite("/home/user/project/new.txt", content="hello\n"),),
    "codex-PreToolUse-apply_patch": PATCHED,
    "codex-PostToolUse-apply_patch": PATCHED,
    "gemini-BeforeTool-replace": (FileWrite(NOTE, (Edit(OLD, NEW),)),),
    "gemini-AfterTool-replace": (
        FileWrite(NOTE, (Edit(OLD, NEW),), f"Dear all,\n{NEW}\nBye\n", f"Dear all,\n{OLD}\nBye\n"),
    ),
    "gemini-BeforeTool-write_file": (FileWrite("/home/user/project/new.txt", content="hello there world\n"),),
    "gemini-AfterTool-write_file": (FileWrite("/home/user/project/new.txt", content="hello there world\n", before=""),),
    "hermes-pre_tool_call-patch": (FileWrite(NOTE, (Edit(OLD, NEW),)),),
    "hermes-pre_tool_call-write_file": (FileWrite("/home/user/project/other.txt", content="hello\n"),),
    "hermes-post_tool_call-patch": (FileWrite(NOTE, (Edit(OLD, NEW),)),),
    "hermes-post_tool_call-write_file": (FileWrite(NOTE, content="We shipped it today.\n"),),
    "opencode-tool.execute.before-edit": (FileWrite(NOTE, (Edit(OLD, NEW),)),),
    "opencode-tool.execute.after-edit": (FileWrite(NOTE, (Edit(OLD, NEW),)),),
    "opencode-tool.execute.before-apply_patch": (FileWrite("note.txt", (Edit(OLD, NEW),)),),
    "opencode-tool.execute.after-apply_patch": (FileWrite("note.txt", (Edit(OLD, NEW),)),),
    "opencode-tool.execute.before-write": (FileWrite("/home/user/project/new.txt", content="hello\n"),),
    "opencode-tool.execute.after-write": (FileWrite("/home/user/project/new.txt", content="hello\n"),),
}
MOMENTS = {
    "PreToolUse": "before_tool", "PostToolUse": "after_tool", "PostToolUseFailure": "after_tool",
    "UserPromptSubmit": "turn", "Stop": "turn", "SessionStart": "begin", "SessionEnd": "look", "FileChanged": "look",
    "BeforeTool": "before_tool", "AfterTool": "after_tool", "BeforeAgent": "turn", "AfterAgent": "turn",
    "pre_llm_call": "turn", "post_tool_call": "after_tool", "on_session_end": "turn", "on_session_start": "begin",
    "pre_tool_call": "before_tool", "chat.message": "turn", "session.idle": "turn",
    "tool.execute.before": "before_tool", "tool.execute.after": "after_tool",
}  # fmt: skip
MAY_WRITE = {
    "Bash", "Edit", "Write", "NotebookEdit", "apply_patch", "replace", "write_file", "patch", "terminal", "bash",
    "edit", "write",
}  # fmt: skip


def recorded(name: str, **changes: Any) -> bytes:
    """A recorded call, with some of its fields replaced."""
    return json.dumps(json.loads((RECORDED / f"{name}.json").read_text()) | changes).encode()


def read(name: str, **changes: Any) -> HostCall:
    """The recorded call as its host's reader understands it."""
    call = payloads.read(AGENTS[name.partition("-")[0]], recorded(name, **changes))
    assert isinstance(call, HostCall)
    return call


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.json")))
def test_a_recorded_call_is_understood(name: str) -> None:
    """Event, tool, session, directory, and which texts of which files become which."""
    said = json.loads((RECORDED / f"{name}.json").read_text())
    call = read(name)
    assert call.event == said["hook_event_name"]
    assert call.moment == MOMENTS.get(call.event, "other")
    session, tool = said.get("session_id") or said.get("sessionID"), said.get("tool_name") or said.get("tool")
    assert (call.session, call.cwd, call.tool) == (session, "/home/user/project", tool)
    in_tool = call.moment in ("before_tool", "after_tool")
    assert call.may_write == (in_tool and call.tool in MAY_WRITE)
    assert (call.call is not None) == in_tool
    assert call.outcome == ("failed" if name.endswith("-error") else "done")
    if "NotebookEdit" not in name and not name.endswith("-error"):
        assert call.writes == WRITES.get(name, ())


def test_a_call_has_the_same_name_before_and_after() -> None:
    """What ran is told from what began, also where the host gives no id."""
    for before, after in [
        ("claude-PreToolUse-Edit", "claude-PostToolUse-Edit"),
        ("codex-PreToolUse-apply_patch", "codex-PostToolUse-apply_patch"),
        ("gemini-BeforeTool-replace", "gemini-AfterTool-replace"),
    ]:
        assert read(before).call == read(after).call


def test_a_notebooks_cell_is_an_edit_of_its_file() -> None:
    """The cell's source became another, and the whole file is known on both sides."""
    (write,) = read("claude-PostToolUse-NotebookEdit").writes
    assert write.edits == (Edit("print(1)", "print(2)"),)
    assert write.before is not None
    assert write.before.startswith('{"cells"')
    assert write.content is not None
    assert '"print(2)"' in write.content


def test_claude_says_that_a_write_is_staged_or_was_changed_by_a_person() -> None:
    """Two flags of the answer."""
    answer = json.loads(recorded("claude-PostToolUse-Edit"))["tool_response"]
    assert read("claude-PostToolUse-Edit", tool_response={**answer, "staged": True}).outcome == "staged"
    assert read("claude-PostToolUse-Edit", tool_response={**answer, "userModified": True}).accepted_with_changes
    assert not read("claude-PostToolUse-Edit").accepted_with_changes


def test_gemini_says_what_a_person_made_of_a_written_file() -> None:
    """`modified_by_user`: the model's text and the person's stand in the same call."""
    given = {"file_path": NOTE, "content": "person\n", "modified_by_user": True, "ai_proposed_content": "model\n"}
    (write,) = read("gemini-AfterTool-write_file", tool_input=given).writes
    assert write.by_person == Edit("model\n", "person\n")
    (unmarked,) = read("gemini-AfterTool-write_file", tool_input={**given, "modified_by_user": False}).writes
    assert unmarked.by_person is None


def test_gemini_says_what_a_person_made_of_a_replaced_text() -> None:
    """Old and new are the whole file there, so the person's part is the region that changed."""
    given = {
        "file_path": NOTE, "old_string": "Dear all,\nWe are pleased.\nBye\n", "ai_proposed_content": "We shipped it.",
        "new_string": "Dear all,\nWe shipped it today.\nBye\n", "modified_by_user": True,
    }  # fmt: skip
    (write,) = read("gemini-AfterTool-replace", tool_input=given).writes
    assert write.by_person == Edit("We shipped it.", "We shipped it today.")


@pytest.mark.parametrize(
    ("before", "after", "proposed", "region"),
    [
        ("a\nold\nz\n", "a\nnew two\nz\n", "new one", "new two"),
        ("x = old(1)\n", "x = newer(1)\n", "new", "newer"),
        ("a\nb\nc\n", "a\nB1\nB2\nc\n", "B", "B1\nB2"),
        ("same\n", "same\n", "model", ""),
    ],
)
def test_the_persons_region_is_what_stands_where_the_model_proposed(
    before: str, after: str, proposed: str, region: str
) -> None:
    """Without what the line shares with the file before."""
    assert gemini.persons_region(before, after, proposed) == region


def test_a_patch_may_move_and_remove_files() -> None:
    """What is moved is removed at one place and written at another."""
    text = (
        "*** Begin Patch\n*** Delete File: gone.txt\n*** Update File: a.txt\n*** Move to: b.txt\n@@ def f\n"
        " keep\n-old\n+new\n@@\n same\n*** End Patch\n"
    )
    assert patch_text.writes(text) == (
        FileWrite("gone.txt", removed=True),
        FileWrite("a.txt", removed=True),
        FileWrite("b.txt", (Edit("keep\nold", "keep\nnew"),)),
    )
    assert patch_text.writes("a text about *** Update File: x") == ()


EDITED = (FileWrite("/w/a", (Edit("x", "y"),)),)
BY_FORM: dict[str, tuple[dict[str, Any], HostCall]] = {
    "opencode": (
        {"hook_event_name": "tool.execute.after", "sessionID": "s", "cwd": "/w", "callID": "c", "tool": "edit",
         "args": {"filePath": "/w/a", "oldString": "x", "newString": "y"}, "metadata": {"diff": ""}},
        HostCall("after_tool", "tool.execute.after", "s", "/w", "edit", "c", True, EDITED),
    ),
    "cursor": (
        {"hook_event_name": "afterFileEdit", "conversation_id": "s", "workspace_roots": ["/w"], "file_path": "/w/a",
         "edits": [{"old_string": "x", "new_string": "y"}]},
        HostCall("after_tool", "afterFileEdit", "s", "/w", "afterFileEdit", None, True, EDITED),
    ),
}  # fmt: skip


@pytest.mark.parametrize("agent", BY_FORM)
def test_the_form_of_our_plugin_and_that_of_the_documents(agent: str) -> None:
    """Nothing was recorded of these two."""
    said, call = BY_FORM[agent]
    assert payloads.read(agent, json.dumps(said).encode()) == call


UNKNOWN = {
    "nothing": b"",
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "a list": b"[1]",
    "no event": b'{"secret text": 1}',
    "no tool": b'{"hook_event_name": "PostToolUse", "secret text": 1}',
    "a newer form": b'{"hook_event_name": "PostToolUse", "tool_name": "Edit", "tool_input": {"before": "secret text"}}',
    "not UTF-8": b'{"tool_name": "\xff"}',
    "too long": b" " * (payloads.BYTES_MAX + 1) + b"{}",
}


@pytest.mark.parametrize("raw", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_is_not_understood_quotes_no_value(raw: bytes) -> None:
    """Doctor tells of it: the event and names of keys."""
    call = payloads.read("claude-code", raw)
    assert isinstance(call, CallNotUnderstood)
    assert "secret text" not in call.why + call.event


def test_another_hosts_form_is_not_guessed() -> None:
    """Each reader knows its own host's tools and names alone."""
    call = payloads.read("hermes", recorded("claude-PostToolUse-Edit"))
    assert isinstance(call, HostCall)
    assert call.moment == "other"
    with pytest.raises(ConfigurationError, match="unheard-of"):
        payloads.read("unheard-of", recorded("claude-PostToolUse-Edit"))
