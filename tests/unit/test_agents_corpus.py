"""Agents' configurations before, after installing, and after uninstalling: the corpus, and what may never change."""

from __future__ import annotations

import difflib

import pytest

from gradata.agents import editing
from gradata.agents.hosts import AGENTS
from gradata.agents.known import entries
from gradata.agents.model import UnsureError
from tests.agents_corpus import BRAIN, PROGRAM, Case, cases

CASES = list(cases())
IDS = [f"{case.agent}-{case.name}" for case in CASES]
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


@pytest.mark.parametrize("case", CLEAN, ids=[f"{case.agent}-{case.name}" for case in CLEAN])
def test_uninstalling_gives_back_the_bytes_of_before(case: Case) -> None:
    """Where nothing of an older version stood: exactly the file that was there, or none."""
    assert case.uninstall(case.install(case.before)).text == case.before


@pytest.mark.parametrize("case", CLEAN, ids=[f"{case.agent}-{case.name}" for case in CLEAN])
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
    """None of an older version's entries, and none that syncs is written."""
    installed = case.install(case.before)
    agent = AGENTS[case.agent]
    found = entries(agent, editing.read(agent, installed.text, case.name).tree)
    assert not [entry for entry in found if not entry.ours and entry.brain in (None, BRAIN)]
    assert not [entry for entry in found if entry.ours and entry.sync]
    assert {hook.kind for hook in agent.hooks} <= {entry.kind for entry in found if entry.brain == BRAIN}


def test_hermes_gets_only_events_that_it_knows() -> None:
    """It ignores every other name in silence."""
    agent = AGENTS["hermes"]
    close = agent.session_close
    assert close is not None
    names = {hook.place[1] for hook in (*agent.hooks, close)}
    assert names == {"pre_tool_call", "post_tool_call", "on_session_end"}


@pytest.mark.parametrize("agent", ["claude-code", "codex", "hermes", "opencode"])
def test_graduation_goes_on_where_the_cloud_sync_entry_also_graduated(agent: str) -> None:
    """The older command is kept aside for our session-close, which stands in its place."""
    case = Case(agent, "old-all-events")
    installed = case.install(case.before)
    assert installed.graduation is not None
    assert "gradata.hooks.session_close" in installed.graduation[BRAIN]
    assert "gradata.hooks.session_close" not in (installed.text or "")
    assert "hook session-close" in (installed.text or "")


def test_brains_come_and_go_in_any_order() -> None:
    """Three brains in one file; whichever order they leave in, the file is as it was."""
    for agent in AGENTS.values():
        before = (Case(agent.name, "other-hooks").before or Case(agent.name, "plain").before) or None
        text, made = before, {}
        for brain in ("/a", "/b", "/c"):
            edited = editing.install(agent, text, brain=brain, program=PROGRAM, name="f", made=made)
            text, made = edited.text, dict(edited.made)
        for brain in ("/b", "/c", "/a"):
            assert text is not None
            text = editing.uninstall(agent, text, brain=brain, name="f", made=made).text
        assert text == before, agent.name


def test_entries_of_a_brain_that_is_gone_are_removed_too() -> None:
    """Nothing of it can be lost, and nobody else would ever remove them."""
    case = Case("claude-code", "old-several-brains")
    agent = AGENTS["claude-code"]
    kept = case.install(case.before)
    assert [entry.brain for entry in kept.left] == ["/home/u/other"]
    gone = frozenset({"/home/u/other"})
    edited = editing.install(agent, case.before, brain=BRAIN, program=PROGRAM, name="f", is_gone=gone)
    assert edited.left == ()
    assert "session_close" not in (edited.text or "")


def test_a_moved_program_replaces_its_entries() -> None:
    """Installed again from another place: the entries are its, and not twice."""
    agent = AGENTS["hermes"]
    first = editing.install(agent, "model: x\n", brain=BRAIN, program=PROGRAM, name="f")
    moved = editing.install(agent, first.text, brain=BRAIN, program=["/opt/gradata"], name="f", made=first.made)
    assert (moved.text or "").count("/opt/gradata") == len(agent.hooks)
    assert "/usr/local/bin" not in (moved.text or "")
    assert editing.uninstall(agent, moved.text or "", brain=BRAIN, name="f", made=moved.made).text == "model: x\n"


REFUSED = [
    ("claude-code", '{\n  "a": 1,\n  "a": 2\n}\n', "line 3", 'the key "a" is there twice'),
    ("claude-code", '{\n  "a": 1\n  "b": 2\n}\n', "line 3", "a comma"),
    ("claude-code", '{"hooks": []}', "line 1", "hooks is not an object"),
    ("claude-code", '{"hooks": {\n"PostToolUse": {}}}', "line 2", "PostToolUse is not a list"),
    ("claude-code", "[1]\n", "line 1", "not an object"),
    ("claude-code", '{"a": 1}\n{"b": 2}\n', "line 2", "behind the end"),
    ("claude-code", "[" * 100_000, "line 1", "nested too deep"),
    ("codex", "a = 1\na = 2\n", "line 2", ""),
    ("codex", "[hooks]\npost_tool = [{command = 'fmt'}]\n", "line 1", "another form"),
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
        editing.install(AGENTS[agent], text, brain=BRAIN, program=PROGRAM, name="/home/u/file")
    assert str(refused.value).startswith(f"/home/u/file, {line}: ")
    assert why in str(refused.value)


def test_a_brain_with_odd_characters_in_its_path_is_found_again() -> None:
    """Spaces, quotes and colons survive every format's quoting."""
    brain = "/home/u/my 'own' brain: \"a\"\\b é"
    for agent in AGENTS.values():
        installed = editing.install(agent, None, brain=brain, program=PROGRAM, name="f")
        found = entries(agent, editing.read(agent, installed.text, "f").tree)
        assert {entry.brain for entry in found} == {brain}, agent.name
        assert editing.uninstall(agent, installed.text or "", brain=brain, name="f", made=installed.made).text is None
