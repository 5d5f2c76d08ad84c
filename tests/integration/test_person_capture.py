"""What hooks capture: a host's calls, a person's editor and other programs on real files, one brain's log."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradata.config import brain_dir
from gradata.config.settings import Settings
from gradata.hooks import payloads, recording, written_files
from gradata.hooks.capture import Captured, capture
from gradata.hooks.host_call import HostCall

OLD, NEW = "We are pleased to inform you.", "We shipped it."
NOTE = f"Dear all,\n{OLD}\nBye\n"


class Desk:
    """A home with a brain, a project, and Claude Code at work in it; a person may edit the files, too."""

    def __init__(self, home: Path, capturing: str = "corrections") -> None:
        self.brain = home / ".gradata" / "brain"
        self.project = home / "project"
        self.project.mkdir(parents=True)
        brain_dir.create(str(self.brain))
        environ = {"HOME": str(home), "GRADATA_CAPTURE": capturing}
        self.settings = Settings.resolve(self.brain, environ=environ)
        self.calls = 0
        self.last = Captured()

    def file(self, name: str = "note.txt", text: str | None = None) -> Path:
        """A file of the project, with this text."""
        path = self.project / name
        if text is not None:
            path.write_text(text)
        return path

    def told(self, event: str, session: str = "s1", agent: str = "claude-code", **said: Any) -> None:
        """The host runs the hook."""
        given = {"session_id": session, "cwd": str(self.project), "hook_event_name": event, **said}
        call = payloads.read(agent, json.dumps(given).encode())
        self.last = capture(self.settings, agent, call)

    def uses(self, tool: str, given: dict[str, Any], work: Callable[[], object], **answer: Any) -> None:
        """The agent calls a tool, which does this work."""
        self.calls += 1
        call = {"tool_name": tool, "tool_input": given, "tool_use_id": f"t{self.calls}"}
        self.told("PreToolUse", **call)
        work()
        self.told("PostToolUse", **call, tool_response=answer)

    def edits(self, path: Path, old: str, new: str, **answer: Any) -> None:
        """The agent replaces a text."""
        given = {"file_path": str(path), "old_string": old, "new_string": new}
        before = path.read_text()
        self.uses("Edit", given, lambda: path.write_text(before.replace(old, new)), originalFile=before, **answer)

    def writes(self, path: Path, text: str, **answer: Any) -> None:
        """The agent writes a whole file."""
        self.uses("Write", {"file_path": str(path), "content": text}, lambda: path.write_text(text), **answer)

    def runs(self, work: Callable[[], object]) -> None:
        """The agent runs a shell command."""
        self.uses("Bash", {"command": "x"}, work)

    def prompt(self, session: str = "s1") -> None:
        """The person writes to the agent."""
        self.told("UserPromptSubmit", session, prompt="go on")

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The log's events."""
        return [json.loads(line) for line in (self.brain / "events.jsonl").read_text().splitlines()]

    @property
    def corrections(self) -> list[tuple[str, str]]:
        """Draft and final of each event, in order."""
        return [(row["data"]["draft_text"], row["data"]["final_text"]) for row in self.rows]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """As people have it."""
    return Desk(tmp_path)


@pytest.fixture
def edited(desk: Desk) -> Path:
    """A note in which the agent wrote one line."""
    path = desk.file(text=NOTE)
    desk.edits(path, OLD, NEW)
    return path


def person_adds_today(path: Path) -> None:
    """The person's editor saves the file."""
    path.write_text(path.read_text().replace(NEW, "We shipped it today."))


TODAY = (NEW, "We shipped it today.")


@pytest.mark.parametrize("event", ["UserPromptSubmit", "Stop", "SessionStart", "SessionEnd", "FileChanged"])
def test_f118_a_persons_edit_is_recorded_once(desk: Desk, edited: Path, event: str) -> None:
    """At the next event of the host, whatever it is; the agent's own edit is not."""
    assert desk.rows == []
    person_adds_today(edited)
    desk.told(event)
    desk.prompt()
    assert desk.corrections == [TODAY]
    (row,) = desk.rows
    assert row["data"]["source_kind"] == "user_edit"
    assert row["tags"] == ["category:CONTENT", "source_kind:user_edit"]
    assert row["data"]["context"] == {
        "agent": "claude-code", "tool": "Edit", "file": "note.txt", "host_session": "s1"
    }  # fmt: skip


@pytest.mark.parametrize("tool", ["Read", "Bash", "mcp__files__write"])
def test_a_persons_edit_is_found_before_the_agent_goes_on(desk: Desk, edited: Path, tool: str) -> None:
    """Before a tool that reads the file, or that may change it."""
    person_adds_today(edited)
    desk.uses(tool, {"file_path": str(edited)}, lambda: edited.write_text("the tool's own text of it\n"))
    desk.prompt()
    assert desk.corrections[:1] == [TODAY]


def test_what_a_person_changed_while_the_host_asked_is_the_persons(desk: Desk, edited: Path) -> None:
    """Between the hook before an edit and the edit: the host says what the file held."""
    call = {
        "tool_name": "Edit", "tool_use_id": "t9",
        "tool_input": {"file_path": str(edited), "old_string": "Bye", "new_string": "Cheers"},
    }  # fmt: skip
    desk.told("PreToolUse", **call)
    person_adds_today(edited)
    before = edited.read_text()
    edited.write_text(before.replace("Bye", "Cheers"))
    desk.told("PostToolUse", **call, tool_response={"originalFile": before})
    desk.prompt()
    assert desk.corrections == [TODAY]


def test_a_written_file_is_compared_too(desk: Desk) -> None:
    """A new file is the agent's as a whole."""
    path = desk.file("new.md")
    desk.writes(path, "# Title\n\nIt works well.\n")
    path.write_text("# Title\n\nIt works very well.\n")
    desk.prompt()
    assert desk.corrections == [("It works well.", "It works very well.")]


def test_f119_a_tool_that_changes_the_agents_file_is_no_person(desk: Desk, edited: Path) -> None:
    """A shell of the agent, also one whose end no hook tells of."""
    desk.runs(lambda: person_adds_today(edited))
    desk.prompt()
    desk.told("PreToolUse", tool_name="Bash", tool_input={"command": "x"}, tool_use_id="never followed")
    edited.write_text(edited.read_text().replace("today", "yesterday"))
    desk.told("FileChanged")
    desk.prompt()
    assert desk.rows == []
    assert desk.last.left_out == {"unclear": 1}


def test_f119_another_session_does_not_take_a_running_tools_work_for_a_persons(desk: Desk, edited: Path) -> None:
    """While a shell runs, nothing is decided about files below its directory."""
    call = {"tool_name": "Bash", "tool_input": {"command": "x"}, "tool_use_id": "long"}
    desk.told("PreToolUse", **call)
    person_adds_today(edited)
    desk.prompt("another session")
    desk.told("PostToolUse", **call)
    desk.prompt("another session")
    assert desk.rows == []


def test_an_edit_that_is_written_but_not_yet_told_of_is_no_persons(desk: Desk, edited: Path) -> None:
    """Another hook comes between a tool's write and the hook after it."""
    call = {
        "tool_name": "Edit", "tool_use_id": "t9",
        "tool_input": {"file_path": str(edited), "old_string": NEW, "new_string": "We shipped it at last."},
    }  # fmt: skip
    desk.told("PreToolUse", **call)
    edited.write_text(edited.read_text().replace(NEW, "We shipped it at last."))
    desk.told("FileChanged")
    desk.prompt("another session")
    desk.told("PostToolUse", **call, tool_response={})
    desk.prompt()
    assert desk.rows == []


def test_a_refused_edit_and_then_the_persons_own(desk: Desk, edited: Path) -> None:
    """No hook follows an edit that the person refused; what they do instead is theirs."""
    given = {"file_path": str(edited), "old_string": NEW, "new_string": "We shipped it at last."}
    desk.told("PreToolUse", tool_name="Edit", tool_use_id="refused", tool_input=given)
    person_adds_today(edited)
    desk.prompt()
    assert desk.corrections == [TODAY]


def test_a_refused_edit_of_a_file_with_secrets_is_in_nobodys_way(desk: Desk, edited: Path) -> None:
    """Nothing is kept of that call, so nothing waits for its end."""
    given = {"file_path": str(desk.file(".env", "A=1\n")), "old_string": "1", "new_string": "2"}
    desk.told("PreToolUse", tool_name="Edit", tool_use_id="refused", tool_input=given)
    person_adds_today(edited)
    desk.told("FileChanged")
    assert desk.corrections == [TODAY]


def test_a_tool_that_never_ended_is_given_up_and_what_it_may_have_changed_is_nobodys(
    desk: Desk, edited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that was killed: after a while its files are compared again."""
    desk.told("PreToolUse", "gone", tool_name="Bash", tool_input={"command": "x"}, tool_use_id="never followed")
    person_adds_today(edited)
    desk.prompt("another session")
    monkeypatch.setattr(written_files, "CALL_S", -1.0)
    desk.prompt("another session")
    assert desk.rows == []
    assert desk.last.left_out == {"unclear": 1}


def test_a_rewind_is_no_edit(desk: Desk, edited: Path) -> None:
    """The host brings back what the file held before one of the agent's edits."""
    desk.edits(edited, NEW, "We shipped it at last.")
    desk.edits(edited, "at last", "after all")
    edited.write_text(edited.read_text().replace("after all", "at last"))
    desk.prompt()
    assert desk.rows == []
    assert desk.last.left_out == {"reverted": 1}


def test_a_very_long_write_is_awaited_without_being_kept(desk: Desk, edited: Path) -> None:
    """More than is kept of a call: the file is not decided about while the call runs."""
    long = {"file_path": str(edited), "content": "x" * (written_files.RECORD_BYTES_MAX + 1)}
    desk.told("PreToolUse", tool_name="Write", tool_use_id="long", tool_input=long)
    person_adds_today(edited)
    desk.told("FileChanged")
    assert desk.rows == []


def test_a_failed_edit_is_no_edit(desk: Desk, edited: Path) -> None:
    """Neither the agent's nor a person's."""
    desk.told(
        "PostToolUseFailure", tool_name="Edit", tool_use_id="t9", error="no",
        tool_input={"file_path": str(edited), "old_string": "x", "new_string": "y"},
    )  # fmt: skip
    desk.prompt()
    assert desk.rows == []


def test_f118_with_capture_all_each_edit_of_the_agent_is_recorded_once(tmp_path: Path) -> None:
    """And says whose it is; a failed one is not."""
    desk = Desk(tmp_path, "all")
    path = desk.file(text=NOTE)
    desk.edits(path, OLD, NEW)
    desk.writes(path, NOTE.replace(OLD, "We shipped it early."))
    desk.told(
        "PostToolUseFailure", tool_name="Edit", tool_use_id="t9",
        tool_input={"file_path": str(path), "old_string": "x", "new_string": "y"},
    )  # fmt: skip
    path.write_text(path.read_text().replace("early", "late"))
    desk.prompt()
    assert [row["data"]["source_kind"] for row in desk.rows] == ["agent_edit", "agent_edit", "user_edit"]
    assert desk.corrections[0] == (OLD, NEW)
    assert desk.corrections[2] == ("We shipped it early.", "We shipped it late.")


def test_a_call_that_is_told_twice_is_one(tmp_path: Path) -> None:
    """Some hosts run hooks under an old and a new name."""
    desk = Desk(tmp_path, "all")
    path = desk.file(text=NEW + "\n")
    call = {
        "tool_name": "Edit", "tool_use_id": "t", "tool_response": {},
        "tool_input": {"file_path": str(path), "old_string": OLD, "new_string": NEW},
    }  # fmt: skip
    desk.told("PostToolUse", **call)
    desk.told("PostToolUse", **call)
    assert desk.corrections == [(OLD, NEW)]


def test_claudes_user_modified_is_exact(desk: Desk) -> None:
    """The draft is the text of the call before the tool, the final that of the call after it."""
    path = desk.file(text=NOTE)
    given = {"file_path": str(path), "old_string": OLD, "new_string": NEW}
    desk.told("PreToolUse", tool_name="Edit", tool_use_id="t1", tool_input=given)
    path.write_text(NOTE.replace(OLD, "We shipped it today."))
    desk.told(
        "PostToolUse", tool_name="Edit", tool_use_id="t1", tool_input={**given, "new_string": "We shipped it today."},
        tool_response={"userModified": True, "originalFile": NOTE},
    )  # fmt: skip
    desk.prompt()
    assert desk.corrections == [TODAY]
    path.write_text(path.read_text().replace("today", "yesterday"))
    desk.prompt()
    assert desk.corrections == [TODAY], "the person's own text is no draft of the agent's"


def test_the_rest_of_a_proposal_that_a_person_changed_is_the_agents(desk: Desk) -> None:
    """The lines that the person left as they were can be corrected later."""
    path = desk.file("new.md")
    given = {"file_path": str(path), "content": "first line\nsecond line\nthird line\n"}
    desk.told("PreToolUse", tool_name="Write", tool_use_id="t1", tool_input=given)
    text = "first line\nsecond line by a person\nthird line\n"
    path.write_text(text)
    answer = {"type": "create", "userModified": True, "originalFile": None}
    desk.told(
        "PostToolUse", tool_name="Write", tool_use_id="t1", tool_input={**given, "content": text}, tool_response=answer
    )
    assert desk.corrections == [(given["content"], text)]
    path.write_text(text.replace("third line", "third and last line").replace("by a person", "by the person"))
    desk.prompt()
    assert desk.corrections[1:] == [("third line", "third and last line")]


def test_geminis_modified_by_user_is_exact(desk: Desk) -> None:
    """Both texts stand in one call."""
    path = desk.file(text=NOTE)
    said = {
        "tool_name": "write_file",
        "tool_input": {
            "file_path": str(path), "content": NOTE.replace(OLD, "We shipped it today."),
            "modified_by_user": True, "ai_proposed_content": NOTE.replace(OLD, NEW),
        },
    }  # fmt: skip
    desk.told("BeforeTool", agent="gemini", **said)
    path.write_text(NOTE.replace(OLD, "We shipped it today."))
    desk.told("AfterTool", agent="gemini", **said, tool_response={"returnDisplay": {"originalContent": NOTE}})
    desk.told("AfterAgent", agent="gemini")
    ((draft, final),) = desk.corrections
    assert (draft, final) == (NOTE.replace(OLD, NEW), NOTE.replace(OLD, "We shipped it today."))


def test_a_staged_edit_is_not_written_yet(desk: Desk, edited: Path) -> None:
    """What will be written later by the host is no person's."""
    given = {"file_path": str(edited), "old_string": NEW, "new_string": "We shipped it at last."}
    desk.told("PostToolUse", tool_name="Edit", tool_use_id="t", tool_input=given, tool_response={"staged": True})
    edited.write_text(edited.read_text().replace(NEW, "We shipped it at last."))
    desk.prompt()
    assert desk.rows == []


def test_each_file_of_a_patch_is_kept(desk: Desk) -> None:
    """Codex: names of files stand only in the patch."""
    one, two = desk.file("a.txt", "one first\ntwo\n"), desk.file("b.txt", "three first\nfour\n")
    patch = (
        "*** Begin Patch\n*** Update File: a.txt\n@@\n-one first\n+one again\n"
        "*** Update File: b.txt\n@@\n-three first\n+three again\n*** End Patch"
    )
    said = {"tool_name": "apply_patch", "tool_use_id": "t", "tool_input": {"command": patch}}
    desk.told("PreToolUse", agent="codex", **said)
    one.write_text("one again\ntwo\n")
    two.write_text("three again\nfour\n")
    desk.told("PostToolUse", agent="codex", **said, tool_response="Exit code: 0\n")
    two.write_text("three again and again\nfour\n")
    desk.told("UserPromptSubmit", agent="codex")
    assert desk.corrections == [("three again", "three again and again")]


def test_a_notebook_is_compared_by_its_cells(desk: Desk) -> None:
    """What running it printed into the file is no edit."""

    def notebook(source: str, printed: str = "") -> str:
        outputs = [{"output_type": "stream", "text": printed}] if printed else []
        cell = {"cell_type": "code", "id": "c1", "metadata": {}, "source": [source], "outputs": outputs}
        return json.dumps({"cells": [cell], "nbformat": 4, "nbformat_minor": 5})

    path = desk.file("x.ipynb", notebook("print('one')"))
    given = {"notebook_path": str(path), "cell_id": "c1", "new_source": "print('two things')", "edit_mode": "replace"}
    before = path.read_text()
    desk.uses(
        "NotebookEdit", given, lambda: path.write_text(notebook("print('two things')")),
        old_source="print('one')", original_file=before, updated_file=notebook("print('two things')"),
    )  # fmt: skip
    path.write_text(notebook("print('two things')", "two things\n"))
    desk.prompt()
    assert desk.rows == []
    path.write_text(notebook("print('two good things')", "two things\n"))
    desk.prompt()
    assert desk.corrections == [("print('two things')", "print('two good things')")]


@pytest.mark.parametrize("name", [".env", ".env.local", "server.pem", "id_rsa", "id_ed25519.pub", "x.key"])
def test_files_that_hold_secrets_are_neither_captured_nor_kept(tmp_path: Path, name: str) -> None:
    """Not even with `capture = "all"`."""
    desk = Desk(tmp_path, "all")
    path = desk.file(name, "A=first value\n")
    desk.edits(path, "first value", "second value")
    path.write_text("A=second secret value\n")
    desk.prompt()
    assert desk.rows == []
    kept = Path(written_files.directory_of(desk.settings.home, str(desk.brain)))
    assert not any(b"second" in each.read_bytes() for each in kept.iterdir())


def test_a_file_with_a_private_key_is_not_captured(tmp_path: Path) -> None:
    """Of some lines of a key alone, no redaction could tell what they are."""
    desk = Desk(tmp_path, "all")
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END PRIVATE KEY-----\n"
    path = desk.file("settings.py", key + "NAME = 'first name'\n")
    desk.edits(path, "first name", "second name")
    desk.edits(path, "MIIEvQIBADAN", "MIIEvQIBADAO")
    path.write_text(path.read_text().replace("ADAO", "ADAP").replace("second name", "third name"))
    desk.prompt()
    assert desk.rows == []
    kept = Path(written_files.directory_of(desk.settings.home, str(desk.brain)))
    assert not any(b"MIIE" in each.read_bytes() for each in kept.iterdir())


def test_f120_what_is_no_text_or_too_large_is_not_captured(desk: Desk, tmp_path: Path) -> None:
    """Binary files, 100 MB, a FIFO, a directory, and a file that becomes one of them."""
    path = desk.file(text=NOTE)
    for content in (b"\0binary We shipped it today.\n", b"\xff\xfe We shipped it today.\n"):
        path.write_text(NOTE)
        desk.edits(path, OLD, NEW)
        path.write_bytes(content)
        desk.prompt()
    with open(path, "wb") as file:
        file.truncate(100_000_000)
    desk.uses("Edit", {"file_path": str(path), "old_string": "a", "new_string": "b"}, lambda: None)
    path.unlink()
    os.mkfifo(path)
    desk.uses("Edit", {"file_path": str(path), "old_string": "a", "new_string": "b"}, lambda: None)
    desk.uses("Edit", {"file_path": str(tmp_path), "old_string": "a", "new_string": "b"}, lambda: None)
    desk.prompt()
    assert desk.rows == []


def test_other_line_ends_are_no_edit(desk: Desk, edited: Path) -> None:
    """An editor that writes CRLF, or a byte order mark."""
    edited.write_bytes(b"\xef\xbb\xbf" + edited.read_bytes().replace(b"\n", b"\r\n"))
    desk.prompt()
    assert desk.rows == []
    edited.write_bytes(edited.read_bytes().replace(b"it.", b"it today."))
    desk.prompt()
    assert desk.corrections == [TODAY]


def test_f120_what_is_not_understood_makes_nothing_a_persons(desk: Desk, edited: Path) -> None:
    """A newer form of a host's call may be an edit."""
    edited.write_text(edited.read_text().replace("it.", "it by a tool."))
    desk.told("PostToolUse", tool_name="Edit", tool_input={"path": str(edited), "changes": []})
    desk.prompt()
    assert desk.rows == []
    assert desk.last.left_out == {"unclear": 1}


def test_f119_left_out_changes_are_counted(desk: Desk) -> None:
    """By reason, since the brain's first hook."""
    paths = [desk.file(f"{n}.txt", NOTE) for n in range(3)]
    for path in paths:
        desk.edits(path, OLD, NEW)
    for path in paths:
        person_adds_today(path)
    desk.prompt()
    assert desk.rows == []
    assert desk.last.left_out == {"many_files": 3}
    head = desk.project / ".git"
    head.mkdir()
    desk.edits(paths[0], "Dear all", "Dear everybody")
    paths[0].write_text(paths[0].read_text().replace("everybody", "team and everybody"))
    (head / "HEAD").write_text("ref: refs/heads/other\n")
    desk.prompt()
    assert desk.rows == []
    assert desk.last.left_out == {"many_files": 3, "version_control": 1}


def test_what_is_kept_is_private_and_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """0700, 0600, and the files that were touched longest ago go first."""
    monkeypatch.setattr(written_files, "FILES_MAX", 3)
    paths = [desk.file(f"{n}.txt", NOTE) for n in range(5)]
    for path in paths:
        desk.edits(path, OLD, NEW)
    kept = Path(written_files.directory_of(desk.settings.home, str(desk.brain)))
    assert kept.stat().st_mode & 0o777 == 0o700
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in kept.iterdir())
    assert len(list(kept.glob("file-*"))) == 3
    monkeypatch.setattr(written_files, "BYTES_MAX", 1)
    desk.edits(paths[0], NEW, "We shipped it again.")
    assert list(kept.glob("file-*")) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 99}', b'{"version": 1, "files": {"a": 1}}', b"[]"])
def test_a_broken_index_is_begun_anew(desk: Desk, edited: Path, content: bytes) -> None:
    """Nothing is captured of what is not known any more, and everything of what comes after."""
    kept = Path(written_files.directory_of(desk.settings.home, str(desk.brain)))
    (kept / "index.json").write_bytes(content)
    person_adds_today(edited)
    desk.prompt()
    assert desk.rows == []
    desk.edits(edited, "Bye", "Bye for now")
    edited.write_text(edited.read_text().replace("for now", "for today"))
    desk.prompt()
    assert desk.corrections == [("Bye for now", "Bye for today")]


def test_a_link_in_the_place_of_what_is_kept_is_not_followed(desk: Desk, tmp_path: Path) -> None:
    """Nothing is written elsewhere, and the host goes on."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".gradata" / "written").symlink_to(tmp_path / "elsewhere")
    desk.edits(desk.file(text=NOTE), OLD, NEW)
    assert desk.last.trouble is not None
    assert list((tmp_path / "elsewhere").rglob("*.json")) == []


def test_a_hook_that_died_between_keeping_and_appending_loses_and_doubles_nothing(
    desk: Desk, edited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next hook appends what the log lacks."""

    class Killed(BaseException):
        """The process ends here."""

    def die(*_: object) -> None:
        raise Killed

    person_adds_today(edited)
    with monkeypatch.context() as patched:
        patched.setattr(recording, "append", die)
        with pytest.raises(Killed):
            desk.prompt()
    assert desk.rows == []
    desk.prompt()
    assert desk.corrections == [TODAY]
    real = recording.append

    def append_and_die(log: str, lines: list[bytes]) -> None:
        real(log, lines)
        raise Killed

    edited.write_text(edited.read_text().replace("today", "this week"))
    with monkeypatch.context() as patched:
        patched.setattr(recording, "append", append_and_die)
        with pytest.raises(Killed):
            desk.prompt()
    desk.prompt()
    assert desk.corrections == [TODAY, (NEW, "We shipped it this week.")]


def test_f120_where_nothing_can_be_kept_nothing_is_captured_wrongly(desk: Desk, edited: Path) -> None:
    """A disk that takes no more: the agent's later edit is not taken for a person's when there is room again."""
    kept = Path(written_files.directory_of(desk.settings.home, str(desk.brain)))
    call = {
        "tool_name": "Edit", "tool_use_id": "t9",
        "tool_input": {"file_path": str(edited), "old_string": NEW, "new_string": "We shipped it at last."},
    }  # fmt: skip
    for name in ("index.json", next(kept.glob("file-*")).name):
        blocker = kept / f"{name}.{os.getpid()}"
        edited.write_text(edited.read_text().replace(NEW, "We shipped it at last."))
        blocker.mkdir()
        desk.told("PostToolUse", **call, tool_response={})
        blocker.rmdir()
        assert desk.last.trouble is not None
        desk.prompt()
        assert desk.rows == []
        desk.edits(edited, "We shipped it at last.", NEW)


TOKEN = re.compile(r"(?:base|agent|tool|person)-\d+")
ACTS = (
    "edit",
    "edit",
    "write",
    "shell",
    "person",
    "person",
    "insert",
    "delete",
    "turn",
    "stop",
    "look",
    "fail",
    "refuse",
)


def act(desk: Desk, path: Path, does: str, number: int, place: int) -> None:
    """One thing that happens to a file; every word that somebody writes says who it was, and when."""
    lines = path.read_text().splitlines()
    at = place % len(lines)

    def put(changed: list[str]) -> None:
        path.write_text("".join(f"{line}\n" for line in changed))
        os.utime(path, (number * 10, number * 10))

    given = {"file_path": str(path), "old_string": lines[at], "new_string": f"agent-{number}"}
    match does:
        case "edit":
            desk.edits(path, lines[at], f"{lines[at]} agent-{number}")
        case "write":
            desk.writes(path, "".join(f"agent-{number}{n} line of words here\n" for n in range(1 + at)))
        case "shell":
            desk.runs(lambda: put([*lines[:at], f"{lines[at]} tool-{number}", *lines[at + 1 :]]))
        case "person":
            put([*lines[:at], f"{lines[at]} person-{number}", *lines[at + 1 :]])
        case "insert":
            put([*lines[:at], f"person-{number} new line", *lines[at:]])
        case "delete":
            put(lines[:at] + lines[at + 1 :] or lines)
        case "turn" | "stop" | "look":
            desk.told({"turn": "UserPromptSubmit", "stop": "Stop", "look": "FileChanged"}[does])
        case "fail":
            desk.told("PostToolUseFailure", tool_name="Edit", tool_use_id=f"f{number}", tool_input=given)
        case "refuse":
            desk.told("PreToolUse", tool_name="Edit", tool_use_id=f"r{number}", tool_input=given)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 1), st.integers(0, 9)), min_size=3, max_size=25))
def test_f119_whatever_happens_only_a_persons_words_correct_an_agents(acts: list[tuple[str, int, int]]) -> None:
    """What is new in a final is a person's, what stands in a draft is an agent's, and nothing is recorded twice."""
    with tempfile.TemporaryDirectory() as home:
        desk = Desk(Path(home))
        base = "".join(f"base-{n} line of words here\n" for n in range(6))
        files = [desk.file(f"{n}.txt", base) for n in range(2)]
        for number, (does, file, place) in enumerate(acts, start=1):
            act(desk, files[file], does, number, place)
        desk.prompt()
        corrections = desk.corrections
    assert len(set(corrections)) == len(corrections)
    for draft, final in corrections:
        assert "agent-" in draft
        assert all(word.startswith("person-") for word in set(TOKEN.findall(final)) - set(TOKEN.findall(draft)))


RECORDED = Path(__file__).parents[2] / "fixtures" / "hosts"
HOSTS = {"claude": "claude-code"}
LINES = (
    "*** Begin Patch", "*** Update File: note.txt", "*** Add File: b", "*** Delete File: ", "*** Move to: ", "@@",
    f"-{NEW}", "+x", " y", "*** End Patch", "\0", "\ud800", "Dear all,", "note.txt", "/", "..", "",
)  # fmt: skip
WORDS = st.lists(st.sampled_from(LINES), max_size=6).map("\n".join)
ANYTHING = st.none() | st.booleans() | st.integers() | WORDS | st.lists(WORDS | st.integers(), max_size=2)


def changed(said: Any, at: int, value: Any) -> Any:
    """The call with one of its values replaced, the n-th of them all."""
    places = [(said, key) for key in said]
    for holder, key in places:
        if isinstance(holder[key], dict):
            places += [(holder[key], inner) for inner in holder[key]]
    holder, key = places[at % len(places)]
    holder[key] = value
    return said


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(path.name for path in RECORDED.glob("*ool*.json"))),
    st.lists(st.tuples(st.integers(0, 40), ANYTHING), max_size=3),
)
def test_f120_whatever_a_host_says_is_answered(name: str, changes: list[tuple[int, Any]]) -> None:
    """Recorded calls with other values in some places: nothing is raised, and what was recorded before stands."""
    host = name.partition("-")[0]
    with tempfile.TemporaryDirectory() as home:
        desk = Desk(Path(home), "all")
        desk.edits(desk.file(text=NOTE), OLD, NEW)
        said = json.loads((RECORDED / name).read_text().replace("/home/user/project", str(desk.project)))
        for at, value in changes:
            said = changed(said, at, value)
        capture(desk.settings, HOSTS.get(host, host), payloads.read(HOSTS.get(host, host), json.dumps(said).encode()))
        desk.prompt()
        assert desk.corrections[0] == (OLD, NEW)


def test_two_brains_are_told_apart(desk: Desk, tmp_path: Path) -> None:
    """Each keeps for itself what agents wrote."""
    other = tmp_path / "other"
    brain_dir.create(str(other))
    path = desk.file(text=NOTE)
    desk.edits(path, OLD, NEW)
    desk.settings = replace(desk.settings, brain_dir=str(other))
    person_adds_today(path)
    desk.prompt()
    assert (other / "events.jsonl").read_bytes() == b""
    assert isinstance(payloads.read("claude-code", b'{"hook_event_name": "Stop"}'), HostCall)
