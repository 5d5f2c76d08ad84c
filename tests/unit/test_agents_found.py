"""What a home's agents have of gradata: old entries, ours, and when each last ran."""

from __future__ import annotations

import json
from pathlib import Path

from gradata.agents import findings, fired
from gradata.agents.hosts import AGENTS, entry_id

OLD_CLAUDE = {
    "hooks": {
        "PostToolUse": [
            {"hooks": [{"type": "command", "command": "BRAIN_DIR=/b python -m gradata.hooks.auto_correct"}]},
            {"hooks": [{"type": "command", "command": "prettier --write"}]},
        ],
        "Stop": [{"hooks": [{"type": "command", "command": "BRAIN_DIR=/b python -m gradata.hooks.session_close"}]}],
    }
}
OLD_HERMES = """
hooks:
  pre_tool_use:
    - command: python -m gradata.hooks.inject_brain_rules
      id: gradata:hermes:/b:pre_tool_use:gradata.hooks.inject_brain_rules
  on_session_end:
    - command: python -m gradata.hooks.session_close
      id: gradata:hermes:/b
"""


def put(home: Path, agent: str, text: str) -> Path:
    """Write an agent's file."""
    path = home.joinpath(*AGENTS[agent].file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_home_without_agents_has_nothing(tmp_path: Path) -> None:
    """No file, no finding."""
    assert findings(str(tmp_path)) == type(findings(str(tmp_path)))()


def test_old_cloud_sync_entries_are_found_with_event_and_brain(tmp_path: Path) -> None:
    """Those that sync are told from those that capture, and from other tools' hooks."""
    put(tmp_path, "claude-code", json.dumps(OLD_CLAUDE))
    found = findings(str(tmp_path)).old
    assert [(each.event, each.brain, each.sync) for each in found] == [
        ("PostToolUse", "/b", False),
        ("Stop", "/b", True),
    ]
    assert found[1].command == "gradata install --agent claude-code --brain /b"


def test_f53_an_event_that_its_host_never_runs_is_found(tmp_path: Path) -> None:
    """The name that Hermes ignores, which kept a fleet silent for five days."""
    put(tmp_path, "hermes", OLD_HERMES)
    found = findings(str(tmp_path)).old
    assert [(each.event, each.brain, each.sync, each.ignored) for each in found] == [
        ("pre_tool_use", "/b", False, True),
        ("on_session_end", "/b", True, False),
    ]
    assert "never runs it" in found[0].words


def test_a_brains_path_is_the_same_however_it_was_written(tmp_path: Path) -> None:
    """A slash behind it, as older installers and people write it, makes no other brain."""
    command = "python -m gradata.hooks.session_close --brain-dir /b/"
    put(tmp_path, "opencode", json.dumps({"hooks": {"sessionEnd": [{"command": command}]}}))
    (found,) = findings(str(tmp_path), "/b").old
    assert (found.brain, found.sync) == ("/b", True)


def test_entries_of_other_brains_are_left_out(tmp_path: Path) -> None:
    """Doctor examines one brain; an entry that names none is everybody's."""
    put(tmp_path, "hermes", OLD_HERMES)
    assert findings(str(tmp_path), "/other").old == ()
    put(tmp_path, "hermes", "hooks:\n  on_session_end:\n  - command: python -m gradata.hooks.session_close\n")
    assert [each.brain for each in findings(str(tmp_path), "/other").old] == [None]


def test_f53_a_hook_that_never_fired_is_told_from_one_that_did(tmp_path: Path) -> None:
    """The record of a hook's last run, without any text of the user."""
    ours = {"hooks": {"postTool": [{"command": "gradata hook capture --entry gradata:opencode:/b"}]}}
    put(tmp_path, "opencode", json.dumps(ours))
    (never,) = findings(str(tmp_path)).hooks
    assert (never.kind, never.brain, never.last_fired_at, never.trouble) == ("capture", "/b", None, None)
    fired.note(str(tmp_path), entry_id("opencode", "/b"), "capture", unknown_forms=2)
    (once,) = findings(str(tmp_path)).hooks
    assert once.last_fired_at is not None
    assert once.unknown_forms == 2
    record = Path(fired.path_of(str(tmp_path), entry_id("opencode", "/b"), "capture"))
    assert record.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    """Silence must not look like health: file and line are named."""
    put(tmp_path, "claude-code", '{\n  "hooks": "gradata"\n  oops\n}')
    (unread,) = findings(str(tmp_path)).unread
    assert "settings.json, line 3" in unread.why
