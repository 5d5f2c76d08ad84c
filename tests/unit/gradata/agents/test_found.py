"""What a home's agents have of gradata: old entries, ours, and when each last ran."""

from __future__ import annotations

import json
from pathlib import Path

from gradata.agents import findings, fired
from gradata.agents.catalog import AGENTS
from gradata.agents.command import entry_id
from gradata.agents.hosts import codex
from gradata.agents.install import InstallOutcome, plan_install, write
from gradata.agents.model import AgentPlace

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
    names = {"claude-code": "settings.json", "hermes": "config.yaml", "opencode": "opencode.json"}
    path = home.joinpath(*AGENTS[agent].default, names[agent])
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
    assert found[1].command == "run: gradata install --agent claude-code --brain /b"


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
    put(tmp_path, "claude-code", json.dumps({"hooks": {"Stop": [{"command": command}]}}))
    (found,) = findings(str(tmp_path), "/b").old
    assert (found.brain, found.sync) == ("/b", True)


def test_entries_of_other_brains_are_left_out(tmp_path: Path) -> None:
    """Doctor examines one brain; an entry that names none is everybody's."""
    put(tmp_path, "hermes", OLD_HERMES)
    assert findings(str(tmp_path), "/other").old == ()
    put(tmp_path, "hermes", "hooks:\n  on_session_end:\n  - command: python -m gradata.hooks.session_close\n")
    assert [each.brain for each in findings(str(tmp_path), "/other").old] == [None]


def installed(home: Path, agent: str, environ: dict[str, str] | None = None) -> list[InstallOutcome]:
    """Install for the brain /b."""
    place = AgentPlace(str(home), environ or {})
    plans = plan_install(place, AGENTS[agent], "/b", argv=["/usr/bin/gradata"], asked=True)
    return [write(plan) for plan in plans]


def test_f53_a_hook_that_never_fired_is_told_from_one_that_did(tmp_path: Path) -> None:
    """The record of a hook's last run, without any text of the user."""
    installed(tmp_path, "opencode")
    (never,) = findings(str(tmp_path), "/b").agents
    assert (never.installed, never.last_fired_at, never.trouble) == ("yes", None, None)
    fired.note(str(tmp_path), entry_id("opencode", "/b"), "capture", unknown_forms=2, captured_at=5.0)
    (once,) = findings(str(tmp_path), "/b").agents
    assert once.last_fired_at is not None
    assert (once.unknown_forms, once.last_capture_at, once.last_recall_at) == (2, 5.0, None)
    record = Path(fired.path_of(str(tmp_path), entry_id("opencode", "/b"), "capture"))
    assert record.stat().st_mode & 0o777 == 0o600


def test_a_capture_at_a_prompt_is_a_capture_too(tmp_path: Path) -> None:
    """The hook that recalls also looks for what a person changed, so either record may hold the later time."""
    installed(tmp_path, "opencode")
    fired.note(str(tmp_path), entry_id("opencode", "/b"), "capture", captured_at=5.0)
    fired.note(str(tmp_path), entry_id("opencode", "/b"), "recall", captured_at=7.0, recalled_at=8.0)
    (found,) = findings(str(tmp_path), "/b").agents
    assert (found.last_capture_at, found.last_recall_at) == (7.0, 8.0)


def test_a_host_without_our_hooks_is_named(tmp_path: Path) -> None:
    """It is on the machine, and nothing captures there."""
    put(tmp_path, "claude-code", "{}")
    (found,) = findings(str(tmp_path), "/b").agents
    assert (found.agent, found.installed) == ("claude-code", "no")


def test_a_profile_without_hooks_is_half_an_installation(tmp_path: Path) -> None:
    """Hermes does not run the default file's hooks in a profile that was made later."""
    put(tmp_path, "hermes", "model: x\n")
    installed(tmp_path, "hermes")
    profile = tmp_path / ".hermes" / "profiles" / "worker" / "config.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text("model: y\n")
    (found,) = findings(str(tmp_path), "/b").agents
    assert found.installed == "partly"
    assert any(str(profile) in missing for missing in found.missing)
    installed(tmp_path, "hermes")
    assert findings(str(tmp_path), "/b").agents[0].installed == "yes"


def test_a_home_that_was_moved_is_found_again_without_its_variable(tmp_path: Path) -> None:
    """CODEX_HOME stands in the environment of the host, not in the one where doctor runs; two homes are told apart."""
    (tmp_path / ".codex").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outcomes = installed(tmp_path, "codex", {"CODEX_HOME": str(elsewhere)})
    assert [outcome.file for outcome in outcomes] == [str(elsewhere / "hooks.json")]
    assert sum(f"another home of Codex, {tmp_path}/.codex" in said for each in outcomes for said in each.said) == 1
    assert list((tmp_path / ".codex").iterdir()) == []
    (found,) = findings(str(tmp_path), "/b").agents
    assert (found.installed, found.files) == ("yes", (str(elsewhere / "hooks.json"),))


def test_codex_tells_hooks_that_wait_for_trust(tmp_path: Path) -> None:
    """A hook whose hash nobody accepted is skipped in silence; one that changed since asks again."""
    installed(tmp_path, "codex")
    file = tmp_path / ".codex" / "hooks.json"
    (waiting,) = findings(str(tmp_path), "/b").agents
    assert waiting.trust.state == "untrusted"
    names = {"PreToolUse": "pre_tool_use", "PostToolUse": "post_tool_use", "Stop": "stop"}
    names |= {"SessionStart": "session_start", "UserPromptSubmit": "user_prompt_submit"}
    rows = [
        f'[hooks.state."{file}:{names[event]}:0:0"]\n'
        f'trusted_hash = "{codex.trust_hash(event, group, group["hooks"][0])}"\n'
        for event, (group,) in json.loads(file.read_text())["hooks"].items()
    ]
    (tmp_path / ".codex" / "config.toml").write_text("".join(rows))
    assert findings(str(tmp_path), "/b").agents[0].trust.state == "trusted"
    file.write_text(file.read_text().replace('"timeout": 10', '"timeout": 11', 1))
    (changed,) = findings(str(tmp_path), "/b").agents
    assert (changed.trust.state, "1 of them changed since" in changed.trust.why) == ("untrusted", True)
    (tmp_path / ".codex" / "config.toml").write_text("[features]\nhooks = false\n")
    assert findings(str(tmp_path), "/b").agents[0].trust.state == "off"


def test_the_hash_of_a_codex_hook_is_the_one_that_codex_lists() -> None:
    """As `hooks/list` of codex-cli 0.171.0 gave it for this very hook."""
    command = "python3 /tmp/hosts/x/rec.py /tmp/hosts/x/h-codex/rec.jsonl none"
    handler = {"type": "command", "command": command, "timeout": 10}
    listed = "sha256:22a11e27c06d421d91e1d3a65de853423d6465ed5480bc8d5714eb6118d93f8e"
    assert codex.trust_hash("PreToolUse", {"matcher": "apply_patch|Bash"}, handler) == listed


def test_hermes_tells_hooks_that_wait_for_consent(tmp_path: Path) -> None:
    """Consent is for the pair of event and command; a gateway without a terminal never gives it."""
    put(tmp_path, "hermes", "model: x\n")
    installed(tmp_path, "hermes")
    assert findings(str(tmp_path), "/b").agents[0].trust.state == "untrusted"
    command = "/usr/bin/gradata hook {} --entry gradata:hermes:/b"
    pairs = {
        "pre_llm_call": "recall", "pre_tool_call": "capture", "post_tool_call": "capture", "on_session_end": "capture",
    }  # fmt: skip
    approvals = [{"event": event, "command": command.format(kind)} for event, kind in pairs.items()]
    (tmp_path / ".hermes" / "shell-hooks-allowlist.json").write_text(json.dumps({"approvals": approvals}))
    assert findings(str(tmp_path), "/b").agents[0].trust.state == "trusted"


def test_hooks_that_a_user_switched_off_are_told(tmp_path: Path) -> None:
    """Claude Code as a whole, Gemini as a whole or by name."""
    put(tmp_path, "claude-code", '{"disableAllHooks": true}')
    installed(tmp_path, "claude-code")
    settings = tmp_path / ".gemini" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"hooksConfig": {"disabled": ["gradata-capture-AfterTool"]}}')
    installed(tmp_path, "gemini")
    claude, gemini = findings(str(tmp_path), "/b").agents
    assert claude.trust.state == gemini.trust.state == "off"
    assert "gradata-capture-AfterTool" in gemini.trust.why


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    """Silence must not look like health: file and line are named."""
    put(tmp_path, "claude-code", '{\n  "hooks": "gradata"\n  oops\n}')
    (unread,) = findings(str(tmp_path)).unread
    assert "settings.json, line 3" in unread.why
