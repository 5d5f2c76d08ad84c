"""Agents' configurations before, after installing, and after uninstalling: the corpus, and what may never change."""

from __future__ import annotations

import difflib
import json
import re

import pytest

from gradata.agents import editing
from gradata.agents.catalog import AGENTS
from gradata.agents.known import entries
from gradata.agents.model import AgentPlace, UnsureError
from tests.support.agents_corpus import BRAIN, FILES, MISSING, PROGRAM, Case, cases

CASES = list(cases())
IDS = [f"{case.folder}-{case.name}" for case in CASES]
CLEAN = [case for case in CASES if "gradata" not in (case.before or "")]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_results_are_the_reviewed_ones(case: Case) -> None:
    """Byte for byte, both ways."""
    installed = case.install(case.before)
    assert installed.text == case.text("after")
    assert case.uninstall(installed).text == case.text("uninstalled")


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_installing_twice_is_installing_once(case: Case) -> None:
    """The second time nothing changes, with and without what the first one remembered."""
    installed = case.install(case.before)
    assert case.install(installed.text, installed).text == installed.text
    assert case.install(installed.text).text == installed.text


@pytest.mark.parametrize("case", CLEAN, ids=[f"{case.folder}-{case.name}" for case in CLEAN])
def test_uninstalling_gives_back_the_bytes_of_before(case: Case) -> None:
    """Where nothing of an older version stood: exactly the file that was there, or none."""
    assert case.uninstall(case.install(case.before)).text == case.before


@pytest.mark.parametrize("case", CLEAN, ids=[f"{case.folder}-{case.name}" for case in CLEAN])
def test_bytes_outside_the_entries_stay(case: Case) -> None:
    """Seen without our entries' own code: the text of before is all there, in order; only text is put in between.

    Where something empty (`{}`, `[]`, `~`) is filled, or nothing was there, those few characters alone may go.
    """
    before, after = case.before or "", case.install(case.before).text or ""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    lost = "".join(before[a:b] for kind, a, b, _, _ in matcher.get_opcodes() if kind in ("delete", "replace"))
    assert lost.strip(" \t\r\n~") == ""


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_no_cloud_sync_entry_of_this_brain_is_left(case: Case) -> None:
    """None of an older version's entries that sync or capture, and none that syncs is written."""
    installed = case.install(case.before)
    found = entries(case.agent, editing.read(case.file, installed.text).tree)
    assert not [entry for entry in found if (entry.sync or entry.captures) and entry.brain in (None, BRAIN)]
    assert not [entry for entry in found if entry.ours and entry.sync]
    assert {hook.kind for hook in case.file.hooks} <= {entry.kind for entry in found if entry.brain == BRAIN}


EVENTS = {
    "claude-code": {
        "SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure", "Stop", "SessionEnd",
    },
    "codex": {"SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop"},
    "codex-hooks": {"SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop"},
    "cursor-hooks": {"afterFileEdit"},
    "gemini": {"BeforeAgent", "BeforeTool", "AfterTool", "AfterAgent", "SessionEnd"},
    "hermes": {"pre_llm_call", "pre_tool_call", "post_tool_call", "on_session_end"},
}  # fmt: skip
"""What the hosts were seen to run (docs/agents.md); Cursor by its documents."""


@pytest.mark.parametrize("folder", FILES)
def test_only_events_that_the_host_runs_are_written(folder: str) -> None:
    """F53: hosts ignore every other name in silence."""
    file = FILES[folder][1]
    hooks = [*file.hooks, *filter(None, [file.session_close])]
    assert {hook.place[1] for hook in hooks if hook.place[0] == "hooks"} <= EVENTS.get(folder, set())


def test_what_the_sdk_wrote_stays_unless_it_syncs_or_captures() -> None:
    """Of its standard profile two of sixteen hooks go; secret_scan, rules and the rest are left, and named."""
    case = Case("claude-code", "sdk-standard-profile")
    installed = case.install(case.before)
    assert sorted(entry.command.rpartition(".")[2] for entry in installed.removed) == ["auto_correct", "session_close"]
    left = {entry.command.rpartition(".")[2] for entry in installed.left}
    assert len(left) == 14
    assert left >= {"secret_scan", "config_protection", "rule_enforcement", "generated_runner", "inject_brain_rules"}


def test_no_matcher_of_gemini_meets_a_tool_of_an_mcp_server() -> None:
    """Its matchers are unanchored regular expressions: ours meet its own tools by their whole names alone."""
    items = [hook.item for hook in FILES["gemini"][1].hooks]
    matchers = [item["matcher"] for item in items if "matcher" in item]
    assert len(matchers) == 2
    for matcher in matchers:
        assert re.search(matcher, "replace")
        assert not any(re.search(matcher, name) for name in ("mcp_fs_replace", "replace_all", "fs__write_file", "edit"))


def test_each_hook_of_gemini_has_a_name_of_its_own() -> None:
    """Its users switch hooks off by name."""
    file = FILES["gemini"][1]
    names = [hook.item["hooks"][0]["name"] for hook in [*file.hooks, *filter(None, [file.session_close])]]
    assert len(set(names)) == len(names)


def test_a_key_that_stops_opencode_goes_whichever_brain_wrote_it() -> None:
    """The host does not start with it; what else stands there stays."""
    case = Case("opencode", MISSING)
    command = "gradata hook capture --entry gradata:opencode:/somebody/else"
    before = json.dumps({"hooks": {"postTool": [{"command": command}]}, "theme": "x"})
    assert json.loads(case.install(before).text or "") == {"theme": "x"}
    assert case.install(case.text("before")).text is None


@pytest.mark.parametrize("agent", ["claude-code", "codex", "hermes"])
def test_graduation_goes_on_where_the_cloud_sync_entry_also_graduated(agent: str) -> None:
    """The older command is kept aside for our session-close, which stands in its place."""
    case = Case(agent, "old-all-events")
    installed = case.install(case.before)
    assert installed.graduation is not None
    assert "gradata.hooks.session_close" in installed.graduation[BRAIN]
    assert "gradata.hooks.session_close" not in (installed.text or "")
    assert "hook session-close" in (installed.text or "")


@pytest.mark.parametrize("folder", FILES)
def test_brains_come_and_go_in_any_order(folder: str) -> None:
    """Three brains in one file; whichever order they leave in, the file is as it was."""
    agent, file = AGENTS[FILES[folder][0]], FILES[folder][1]
    before = (Case(folder, "other-hooks").before or Case(folder, "plain").before) or None
    text, made = before, {}
    for brain in ("/a", "/b", "/c"):
        edited = editing.install(agent, file, text, brain=brain, program=PROGRAM, made=made)
        text, made = edited.text, dict(edited.made)
    for brain in ("/b", "/c", "/a"):
        if text is not None:
            text = editing.uninstall(agent, file, text, brain=brain, made=made).text
    assert text == before


def test_entries_of_a_brain_that_is_gone_are_removed_too() -> None:
    """Nothing of it can be lost, and nobody else would ever remove them."""
    case = Case("claude-code", "old-several-brains")
    kept = case.install(case.before)
    assert [entry.brain for entry in kept.left] == ["/home/u/other"]
    gone = frozenset({"/home/u/other"})
    edited = editing.install(case.agent, case.file, case.before, brain=BRAIN, program=PROGRAM, is_gone=gone)
    assert edited.left == ()
    assert "session_close" not in (edited.text or "")


def test_a_moved_program_replaces_its_entries() -> None:
    """Installed again from another place: the entries are its, and not twice."""
    case = Case("hermes", MISSING)
    first = case.install("model: x\n")
    moved = editing.install(
        case.agent, case.file, first.text, brain=BRAIN, program=["/opt/gradata"], made=first.made
    )  # fmt: skip
    assert (moved.text or "").count("/opt/gradata") == len(case.file.hooks)
    assert "/usr/local/bin" not in (moved.text or "")
    assert case.uninstall(moved).text == "model: x\n"


REFUSED = [
    ("claude-code", '{\n  "a": 1,\n  "a": 2\n}\n', "line 3", 'the key "a" is there twice'),
    ("claude-code", '{\n  "a": 1\n  "b": 2\n}\n', "line 3", "a comma"),
    ("claude-code", '{"hooks": []}', "line 1", "hooks is not an object"),
    ("claude-code", '{"hooks": {\n"PostToolUse": {}}}', "line 2", "PostToolUse is not a list"),
    ("claude-code", "[1]\n", "line 1", "not an object"),
    ("claude-code", '{"a": 1}\n{"b": 2}\n', "line 2", "behind the end"),
    ("claude-code", "[" * 100_000, "line 1", "nested too deep"),
    ("codex", "a = 1\na = 2\n", "line 2", ""),
    ("codex", "[hooks]\nPostToolUse = [{hooks = []}]\n", "line 1", "another form"),
    ("codex", "hooks = 1\n", "line 1", "another form"),
    ("hermes", "a: 1\n\tb: 2\n", "line 2", "\\t"),
    ("hermes", "a: 1\nb: 2\na: 3\n", "line 3", "is there twice"),
    ("hermes", "a: 1\n---\nb: 2\n", "line 3", "several documents"),
    ("hermes", "x: &h\n  post_tool_call: []\nhooks: *h\n", "line 1", "anchor"),
    ("hermes", "d: &d {a: 1}\nhooks:\n  <<: *d\n", "line 3", "merged"),
    ("hermes", "hooks: yes please\n", "line 1", "neither a list nor a mapping"),
    ("hermes", "hooks:\n  post_tool_call: fmt\n", "line 2", "neither"),
]


@pytest.mark.parametrize(("agent", "text", "line", "why"), REFUSED)
def test_what_is_not_certain_is_refused(agent: str, text: str, line: str, why: str) -> None:
    """The file and the line are named, and there is no result to write."""
    with pytest.raises(UnsureError) as refused:
        Case(agent, MISSING).install(text)
    assert str(refused.value).startswith(f"{FILES[agent][1].path}, {line}: ")
    assert why in str(refused.value)


@pytest.mark.parametrize("folder", FILES)
def test_a_brain_with_odd_characters_in_its_path_is_found_again(folder: str) -> None:
    """Spaces, quotes and colons survive every format's quoting."""
    agent, file = AGENTS[FILES[folder][0]], FILES[folder][1]
    brain = "/home/u/my 'own' brain: \"a\"\\b é"
    installed = editing.install(agent, file, None, brain=brain, program=PROGRAM)
    found = entries(agent, editing.read(file, installed.text).tree)
    assert {entry.brain for entry in found} == ({brain} if file.hooks else set())
    assert editing.uninstall(agent, file, installed.text or "", brain=brain, made=installed.made).text in (None, "")


def test_the_plugin_of_opencode_names_its_brain_and_goes_whole() -> None:
    """A file of our own for each brain: read back, written once, and removed."""
    brain = "/home/u/my 'own' brain: \"a\"\\b é"
    agent = AGENTS["opencode"]
    file = agent.files(AgentPlace("/home/u"), brain)[0]
    installed = editing.install(agent, file, None, brain=brain, program=PROGRAM)
    found = entries(agent, editing.read(file, installed.text).tree)
    assert {(entry.kind, entry.brain, entry.ours) for entry in found} == {
        ("recall", brain, True),
        ("capture", brain, True),
    }
    assert editing.install(agent, file, installed.text, brain=brain, program=PROGRAM).text == installed.text
    assert editing.uninstall(agent, file, installed.text or "", brain=brain).text is None
    with pytest.raises(UnsureError, match="not gradata's plugin"):
        editing.install(agent, file, "export const Mine = 1\n", brain=brain, program=PROGRAM)
