"""Hooks and the cloud: who sends what a hook appended, and what never leaves by a hook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from gradata.agents import fired
from gradata.config.settings import Settings
from gradata.hooks import recording, session_close
from tests.acceptance.conftest import MakeWorld
from tests.acceptance.front import Front
from tests.acceptance.world import ROOT, World, status_of
from tests.support.cloud_fixture import LiveCloud

OFF = {"GRADATA_DISABLE_WRITE_THROUGH": "1"}


def hook(world: World, kind: str, **environ: str) -> dict[str, Any]:
    """Run one of the agent's hooks, as its host does; what it wrote down."""
    number = world.log.stat().st_size  # another edit each time
    given = {"file_path": "/project/a.md", "old_string": f"old {number}", "new_string": f"new {number}"}
    edit = {"hook_event_name": "PostToolUse", "tool_name": "Edit", "tool_input": given}
    entry = f"gradata:claude-code:{world.directory}"
    command = [sys.executable, "-W", "error", "-m", "gradata", "hook", kind, "--entry", entry]
    done = subprocess.run(
        command, input=json.dumps(edit).encode(), capture_output=True, timeout=60, check=False, cwd=ROOT,
        env=world.environ(GRADATA_CAPTURE="all", **environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return fired.last(str(world.home), entry, kind)


def test_the_lease_holder_sends_what_a_hook_appended(world: World) -> None:
    """F44: the hook appends and is gone; the process that holds the lease is told by the file, or its timer."""
    brain = world.brain()
    brain.correct("a", "b")
    world.settle()
    assert hook(world, "capture")["replication"] == "left to the replicator"
    world.settle()
    assert len(world.event_ids()) == 2
    assert status_of(brain).dead_letters == 0


def test_a_hook_sends_for_itself_where_nobody_replicates(world: World) -> None:
    """The event is in the cloud before the host goes on (at the first hook, where the machine is not busy)."""
    world.run("init")
    said = hook(world, "capture")["replication"]
    if said != "acknowledged":  # a second was too short
        settings = Settings.resolve(world.directory, environ=world.environ())
        assert recording.replicate(settings, {}, drain_s=60)["replication"] == "acknowledged"
    assert world.in_step()
    (log,) = world.logs()
    assert world.head(log["log_id"])["client"]["brief"]  # F53: no word is expected of it between two hooks
    assert world.run("replicate", "--once").returncode == 0
    assert "brief" not in world.head(log["log_id"])["client"]


def test_a_persons_edit_is_in_the_cloud_after_the_hosts_next_event(world: World) -> None:
    """The agent's edit stays here; what a person made of it arrives within seconds, whoever replicates."""
    brain = world.brain()
    brain.correct("a", "b")
    world.settle()
    note = world.home / "note.txt"
    note.write_text("We shipped it.\n")
    given = {"file_path": str(note), "old_string": "We are pleased", "new_string": "We shipped it."}
    calls: list[dict[str, Any]] = [
        {"hook_event_name": "PostToolUse", "tool_name": "Edit", "tool_input": given},
        {"hook_event_name": "UserPromptSubmit"},
    ]
    for call, kind, text in zip(
        calls, ("capture", "recall"), ("We shipped it.\n", "We shipped it today.\n"), strict=True
    ):
        note.write_text(text)
        command = [sys.executable, "-m", "gradata", "hook", kind, "--entry", f"gradata:claude-code:{world.directory}"]
        said = json.dumps({"session_id": "s", "cwd": str(world.home), **call}).encode()
        subprocess.run(command, input=said, check=True, capture_output=True, timeout=60, cwd=ROOT, env=world.environ())
    world.settle(5)
    assert [json.loads(line)["data"]["final_text"] for line in world.log.read_bytes().splitlines()] == [
        "b",
        "We shipped it today.",
    ]


def test_f29_a_hook_does_not_wait_twice_for_a_cloud_that_is_away(world: World, front: Front) -> None:
    """It tries for a second, then leaves the next ones alone for a while; nothing is lost."""
    front.always(503)
    world.run("init")
    assert hook(world, "capture")["replication"].startswith("waits")
    assert hook(world, "capture")["replication"] == "waits: the cloud did not answer the hook before"
    front.heal()
    assert world.run("replicate", "--once").returncode == 0
    assert len(world.event_ids()) == 2


def test_f29_what_one_hook_could_not_send_the_next_one_of_the_agent_sends(world: World, front: Front) -> None:
    """A prompt's hook records, the cloud is away; the hook at the end of the turn is another one, and sends it."""
    front.always(503)
    world.run("init")
    entry = f"gradata:claude-code:{world.directory}"
    assert hook(world, "recall")["replication"].startswith("waits")
    front.heal()
    fired.write(str(world.home), entry, "replication", {"drain_again_at": 1.0})  # the wait is over
    command = [sys.executable, "-m", "gradata", "hook", "capture", "--entry", entry]
    said = json.dumps({"hook_event_name": "Stop", "session_id": "s", "cwd": str(world.home)}).encode()
    for _ in range(20):  # a second may be too short on a busy machine
        subprocess.run(command, input=said, check=True, capture_output=True, timeout=60, cwd=ROOT, env=world.environ())
        if fired.last(str(world.home), entry, "replication")["drain_again_at"] is None:
            break
        fired.write(str(world.home), entry, "replication", {"drain_again_at": 1.0})
    assert len(world.event_ids()) == 1


def test_f50_nothing_leaves_by_session_close_while_write_through_is_on(world: World) -> None:
    """The replicator sends; the hook at a session's end only graduates."""
    world.run("init")
    world.append(b'{"type": "NOTE", "event_id": "one"}\n')
    assert hook(world, "session-close")["replication"] == "left to the replicator"
    assert world.standing is None


def test_f50_session_close_replicates_while_write_through_is_off(world: World) -> None:
    """The way back: capture appends only, the end of the session sends."""
    world.run("init", **OFF)
    assert hook(world, "capture", **OFF)["replication"].startswith("off")
    assert world.standing is None
    said = hook(world, "session-close", **OFF)["replication"]
    if said != "acknowledged":  # five seconds were too short
        settings = Settings.resolve(world.directory, environ=world.environ(**OFF))
        assert session_close.replicate(settings, drain_s=60)["replication"] == "acknowledged"
    assert world.in_step()


def test_f52_nothing_leaves_by_any_hook_against_the_users_will(world: World) -> None:
    """Consent is asked by hooks, too, whatever is switched off."""
    world.run("init")
    (world.directory / "cloud-config.json").write_text('{"sync_enabled": false}')
    assert hook(world, "capture")["replication"].startswith("off")
    assert hook(world, "session-close", **OFF)["replication"] == "off"
    assert world.standing is None


def test_installed_hooks_are_what_the_host_can_run(make_world: MakeWorld, shared_cloud: LiveCloud) -> None:
    """From an old configuration to a correction in the cloud, by the commands that stand in the file."""
    world = make_world(shared_cloud)
    world.run("init")
    settings = world.home / ".claude" / "settings.json"
    settings.parent.mkdir()
    old = {"type": "command", "command": f"BRAIN_DIR={world.directory} python -m gradata.hooks.session_close"}
    before = json.dumps({"hooks": {"Stop": [{"hooks": [old]}]}}, indent=2)
    settings.write_text(before)

    planned = world.run("install", "--agent", "all", "--dry-run")
    assert planned.returncode == 0
    assert '-            "command": "BRAIN_DIR=' in planned.stdout
    assert settings.read_text() == before

    done = world.run("install", "--agent", "all", "--json")
    assert done.returncode == 0, done.stderr
    answer = {each["agent"]: each for each in json.loads(done.stdout)["agents"]}
    assert answer["claude-code"]["action"] == "changed"
    assert {each["action"] for name, each in answer.items() if name != "claude-code"} == {"absent"}

    hooks = json.loads(settings.read_text())["hooks"]
    (group,) = hooks["PostToolUse"]
    (entry,) = group["hooks"]
    note = world.home / "note.txt"
    given = {"file_path": str(note), "content": "We shipped it."}
    write = {"hook_event_name": "PostToolUse", "tool_name": "Write", "tool_input": given}
    environ = world.environ(PYTHONPATH=os.pathsep.join([str(ROOT), *sys.path]))
    for text, call in (("We shipped it.", write), ("We shipped it today.", {"hook_event_name": "Stop"})):
        note.write_text(text)
        said = json.dumps(call).encode()
        subprocess.run(entry["command"], shell=True, input=said, check=True, timeout=60, env=environ)
    assert world.run("replicate", "--once").returncode == 0
    assert [event["type"] for event in world.events()] == ["CORRECTION"]

    assert world.run("uninstall", "--agent", "all").returncode == 0
    assert "gradata" not in settings.read_text()


def test_what_is_refused_is_said_and_exits_with_one(world: World) -> None:
    """A file with a key twice: named with its line, and left alone."""
    world.run("init")
    settings = world.home / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"a": 1,\n"a": 2}\n')
    done = world.run("install", "--agent", "claude-code")
    assert done.returncode == 1
    assert "settings.json, line 2" in done.stderr
    assert settings.read_text() == '{"a": 1,\n"a": 2}\n'
