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
