"""Writing agents' files: whole or not at all, where they really are, and never over somebody else's change."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from gradata.agents import files, findings, fired, install
from gradata.agents.catalog import AGENTS
from gradata.agents.command import entry_id
from gradata.agents.install import InstallOutcome
from gradata.agents.model import AgentPlace

CLAUDE = AGENTS["claude-code"]
BEFORE = '{\n  "model": "opus"\n}\n'


def do(home: Path, *, brain: str = "", agent: str = "claude-code", asked: bool = True) -> InstallOutcome:
    """Install for one agent; what came of its first file."""
    place, named = AgentPlace(str(home)), brain or str(home / "brain")
    plans = install.plan_install(place, AGENTS[agent], named, argv=["/usr/bin/gradata"], asked=asked)
    outcomes = [install.write(plan) for plan in plans]
    return outcomes[0]


def undo(home: Path, agent: str = "claude-code") -> InstallOutcome:
    """Uninstall for one agent; what came of its first file."""
    plans = install.plan_uninstall(AgentPlace(str(home)), AGENTS[agent], str(home / "brain"))
    outcomes = [install.write(plan) for plan in plans]
    return outcomes[0]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A user's settings, readable by others as many are."""
    path = tmp_path / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text(BEFORE)
    path.chmod(0o644)
    (tmp_path / "brain").mkdir()
    return path


def test_the_mode_is_kept_and_a_backup_is_beside_it(tmp_path: Path, settings: Path) -> None:
    """The file keeps its mode; the backup has the bytes and the mode of before."""
    outcome = do(tmp_path)
    assert outcome.action == "changed"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o644
    assert outcome.backup is not None
    assert Path(outcome.backup).read_text() == BEFORE
    assert stat.S_IMODE(os.stat(outcome.backup).st_mode) == 0o644
    assert "+" in outcome.diff
    assert "hook capture" in outcome.diff


def test_the_second_time_nothing_is_written(tmp_path: Path, settings: Path) -> None:
    """No change, no backup, not even another inode."""
    do(tmp_path)
    before = settings.stat()
    assert do(tmp_path).action == "unchanged"
    assert settings.stat().st_ino == before.st_ino
    assert len(list(settings.parent.iterdir())) == 2


def test_uninstall_gives_back_the_bytes_and_forgets(tmp_path: Path, settings: Path) -> None:
    """Nothing of what was remembered stays, either."""
    do(tmp_path)
    assert undo(tmp_path).action == "changed"
    assert settings.read_text() == BEFORE
    assert list((tmp_path / ".gradata" / "agents").iterdir()) == []
    assert undo(tmp_path).action == "unchanged"


def test_a_file_that_was_not_there_is_private_and_goes_again(tmp_path: Path) -> None:
    """Made 0600 in a directory of its own; removed by uninstalling."""
    file = tmp_path / ".codex" / "hooks.json"
    assert do(tmp_path, agent="codex").action == "changed"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert undo(tmp_path, "codex").action == "changed"
    assert not file.exists()


def test_an_agent_that_is_not_here_is_left_alone_by_all(tmp_path: Path) -> None:
    """`--agent all` makes no files for agents that nobody has."""
    assert do(tmp_path, agent="hermes", asked=False).action == "absent"
    assert not (tmp_path / ".hermes").exists()


def test_f56_a_symlink_is_followed_and_stays_one(tmp_path: Path, settings: Path) -> None:
    """People keep their configuration in a repository of their own."""
    real = tmp_path / "dotfiles" / "claude.json"
    real.parent.mkdir()
    settings.rename(real)
    settings.symlink_to(real)
    outcome = do(tmp_path)
    assert settings.is_symlink()
    assert "hook capture" in real.read_text()
    assert outcome.backup is not None
    assert Path(outcome.backup).parent == real.parent
    undo(tmp_path)
    assert settings.is_symlink()
    assert real.read_text() == BEFORE


def test_a_file_that_changes_meanwhile_is_left_alone(tmp_path: Path, settings: Path) -> None:
    """The host writes its own settings, too."""
    place = AgentPlace(str(tmp_path))
    (plan,) = install.plan_install(place, CLAUDE, str(tmp_path / "brain"), argv=["gradata"], asked=True)
    settings.write_text('{"model": "sonnet"}')
    outcome = install.write(plan)
    assert outcome.action == "refused"
    assert "changed by someone else" in (outcome.error or "")
    assert settings.read_text() == '{"model": "sonnet"}'


@pytest.mark.parametrize("content", [b"{ no json", b'{"a": "\xff"}', b'{"a":1,"a":2}'])
def test_what_is_not_understood_is_not_touched(tmp_path: Path, settings: Path, content: bytes) -> None:
    """Refused with file and line; no backup, no draft, no other byte."""
    settings.write_bytes(content)
    outcome = do(tmp_path)
    assert outcome.action == "refused"
    assert f"{settings}, line 1: " in (outcome.error or "")
    assert settings.read_bytes() == content
    assert len(list(settings.parent.iterdir())) == 1


def test_a_file_without_permission_to_write_is_not_replaced(tmp_path: Path, settings: Path) -> None:
    """A read-only file is a decision of its owner (root may write everything, so it is not asked here)."""
    if os.geteuid() == 0:
        settings.unlink()
        settings.mkdir()
        assert do(tmp_path).action == "refused"
        return
    settings.chmod(0o444)
    assert do(tmp_path).action == "refused"
    assert settings.read_text() == BEFORE


def test_installing_is_remembered_so_that_silence_can_be_told(tmp_path: Path, settings: Path) -> None:
    """F53: since when a hook could have fired; kept when it is installed again."""
    do(tmp_path)
    (before,) = findings(str(tmp_path)).agents
    assert before.installed_at is not None
    assert before.last_fired_at is None
    do(tmp_path)
    assert findings(str(tmp_path)).agents == (before,)
    assert settings.exists()


def test_the_older_graduation_is_kept_for_our_hook_alone(tmp_path: Path, settings: Path) -> None:
    """Its command leaves the configuration, and is where our session-close finds it."""
    command = "python -m gradata.hooks.session_close"
    hook = {"type": "command", "command": command}
    settings.write_text(json.dumps({"hooks": {"Stop": [{"hooks": [hook]}]}}))
    outcome = do(tmp_path)
    brain = str(tmp_path / "brain")
    assert fired.last(str(tmp_path), entry_id("claude-code", brain), "session-close")["graduation"] == command
    assert command not in settings.read_text()
    assert any("graduation goes on" in said for said in outcome.said)


def test_an_interrupted_write_leaves_the_file_as_it_was(
    tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new content is beside the file, durable, before it takes its name."""

    def full(_: object, __: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    outcome = do(tmp_path)
    assert outcome.action == "refused"
    assert "No space left" in (outcome.error or "")
    assert settings.read_text() == BEFORE
    assert not [name for name in os.listdir(settings.parent) if name.endswith(str(os.getpid()))]


def test_a_home_that_cannot_be_written_changes_nothing_and_is_said_once(tmp_path: Path, settings: Path) -> None:
    """What is remembered comes first: where it cannot be kept, the host's file is not touched."""
    (tmp_path / ".gradata").write_text("no directory")
    outcome = do(tmp_path)
    assert (outcome.action, outcome.hint) == ("refused", "check the permissions")
    assert settings.read_text() == BEFORE
    assert [path.name for path in settings.parent.iterdir()] == ["settings.json"]


def test_a_host_whose_folder_is_none_is_refused(tmp_path: Path) -> None:
    """A file where the folder should be: one refusal, and it is left as it is."""
    (tmp_path / ".claude").write_text("no directory")
    assert do(tmp_path).action == "refused"
    assert (tmp_path / ".claude").read_text() == "no directory"


def test_a_configuration_that_the_host_itself_refuses_is_left_for_its_owner(tmp_path: Path) -> None:
    """Codex does not start with it, so nothing is cleared there; the line is named, once."""
    config = tmp_path / ".codex" / "config.toml"
    config.parent.mkdir()
    config.write_text("model = \n")
    place = AgentPlace(str(tmp_path))
    plans = install.plan_install(place, AGENTS["codex"], "/b", argv=["/usr/bin/gradata"], asked=True)
    outcomes = [install.write(plan) for plan in plans]
    assert [outcome.action for outcome in outcomes].count("refused") == 1
    assert f"{config}, line 1: " in (outcomes[-1].error or "")
    assert config.read_text() == "model = \n"


def test_hooks_go_where_the_users_own_hooks_of_codex_are(tmp_path: Path) -> None:
    """Hooks in both of its files load with a warning at each start."""
    config = tmp_path / ".codex" / "config.toml"
    config.parent.mkdir()
    before = '[[hooks.Stop]]\n[[hooks.Stop.hooks]]\ntype = "command"\ncommand = "say done"\n'
    config.write_text(before)
    assert do(tmp_path, agent="codex").file == str(config)
    assert not (tmp_path / ".codex" / "hooks.json").exists()
    assert config.read_text().startswith(before)
    assert do(tmp_path, agent="codex").action == "unchanged"
    assert undo(tmp_path, "codex").action == "changed"
    assert config.read_text() == before


def test_every_profile_of_hermes_gets_hooks_and_loses_them(tmp_path: Path) -> None:
    """A profile does not run the default file's hooks."""
    homes = [tmp_path / ".hermes", tmp_path / ".hermes" / "profiles" / "worker"]
    for home in homes:
        home.mkdir(parents=True)
        (home / "config.yaml").write_text("model: x\n")
    place, brain = AgentPlace(str(tmp_path)), str(tmp_path / "brain")
    plans = install.plan_install(place, AGENTS["hermes"], brain, argv=["/usr/bin/gradata"], asked=True)
    assert {install.write(plan).action for plan in plans} == {"changed"}
    assert all("pre_llm_call" in (home / "config.yaml").read_text() for home in homes)
    assert [install.write(plan).action for plan in install.plan_uninstall(place, AGENTS["hermes"], brain)] == [
        "changed", "changed",
    ]  # fmt: skip
    assert all((home / "config.yaml").read_text() == "model: x\n" for home in homes)


def test_a_named_home_is_remembered_for_uninstalling(tmp_path: Path) -> None:
    """`--home` once: uninstalling finds the file again without it."""
    elsewhere = tmp_path / "srv" / "hermes"
    elsewhere.mkdir(parents=True)
    place, brain = AgentPlace(str(tmp_path), own=str(elsewhere)), str(tmp_path / "brain")
    (plan,) = install.plan_install(place, AGENTS["hermes"], brain, argv=["/usr/bin/gradata"], asked=True)
    assert install.write(plan).file == str(elsewhere / "config.yaml")
    assert not (tmp_path / ".hermes").exists()
    assert undo(tmp_path, "hermes").action == "changed"
    assert list(elsewhere.iterdir()) == []


def test_moved_homes_are_those_of_the_hosts_own_variables(tmp_path: Path) -> None:
    """Each host's variable, as it reads it."""
    moved = {
        "claude-code": {"CLAUDE_CONFIG_DIR": "/m/claude"},
        "codex": {"CODEX_HOME": "/m/codex"},
        "gemini": {"GEMINI_CLI_HOME": "/m/home"},
        "hermes": {"HERMES_HOME": "/m/hermes"},
        "opencode": {"XDG_CONFIG_HOME": "/m/config", "OPENCODE_CONFIG": "/m/mine.json"},
    }
    found = {
        agent: [file.path for file in AGENTS[agent].files(AgentPlace(str(tmp_path), environ), "/b")]
        for agent, environ in moved.items()
    }
    assert found["claude-code"] == ["/m/claude/settings.json"]
    assert found["codex"] == ["/m/codex/hooks.json", "/m/codex/config.toml"]
    assert found["gemini"] == ["/m/home/.gemini/settings.json"]
    assert found["hermes"] == ["/m/hermes/config.yaml"]
    assert found["opencode"][0].startswith("/m/config/opencode/plugins/gradata-")
    assert {"/m/config/opencode/opencode.json", "/m/mine.json"} <= set(found["opencode"])


def test_what_stops_opencode_is_taken_out_of_each_of_its_configurations(tmp_path: Path) -> None:
    """Its plugin is written, the key of an earlier release goes, and uninstalling leaves no file of ours."""
    folder = tmp_path / ".config" / "opencode"
    folder.mkdir(parents=True)
    command = "gradata hook capture --entry gradata:opencode:/b"
    for name in ("config.json", "opencode.jsonc"):
        (folder / name).write_text(json.dumps({"hooks": {"postTool": [{"command": command}]}, "theme": "x"}))
    place = AgentPlace(str(tmp_path))
    plans = install.plan_install(place, AGENTS["opencode"], "/b", argv=["/usr/bin/gradata"], asked=True)
    outcomes = [install.write(plan) for plan in plans]
    assert [outcome.action for outcome in outcomes] == ["changed"] * 3
    assert all(json.loads((folder / name).read_text()) == {"theme": "x"} for name in ("config.json", "opencode.jsonc"))
    assert (outcomes[0].backup, len(list((folder / "plugins").iterdir()))) == (None, 1)
    for plan in install.plan_uninstall(place, AGENTS["opencode"], "/b"):
        install.write(plan)
    assert list((folder / "plugins").glob("*")) == []


def test_what_the_sdk_wrote_and_stays_is_listed_by_its_names(tmp_path: Path, settings: Path) -> None:
    """Taken: what syncs and what records edits. The rest is named in one line, and in the JSON's `left`."""
    modules = ("session_close", "auto_correct", "secret_scan", "inject_brain_rules")
    groups = [{"hooks": [{"type": "command", "command": f"python -m gradata.hooks.{name}"}]} for name in modules]
    settings.write_text(json.dumps({"hooks": {"PostToolUse": groups}}))
    outcome = do(tmp_path)
    assert [each.rpartition(".")[2] for each in outcome.removed] == ["session_close", "auto_correct"]
    assert [each.rpartition(".")[2] for each in outcome.left] == ["secret_scan", "inject_brain_rules"]
    assert [said for said in outcome.said if said.endswith(": secret_scan, inject_brain_rules")]
