"""OpenCode's plugin, run by a JavaScript engine: what it hands over, and that it breaks nothing for the host."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gradata.agents.plugin_text import plugin_text

NODE = shutil.which("node")
DRIVER = """
import { Gradata } from "./plugin.mjs"
const hooks = await Gradata({ directory: "/w" })
const system = []
const input = { tool: "edit", sessionID: "s", callID: "c" }
const args = { filePath: "/w/a", oldString: "x", newString: "y" }
await hooks["chat.message"]({ sessionID: "s" })
await hooks["tool.execute.before"](input, { args })
await hooks["tool.execute.after"]({ ...input, args }, { metadata: { diff: "d" }, title: "t", output: "o" })
await hooks["tool.execute.before"]({ tool: "grep", sessionID: "s", callID: "d" }, { args: {} })
await hooks.event({ event: { type: "session.idle", properties: { sessionID: "s" } } })
await hooks.event({ event: { type: "file.edited", properties: {} } })
await hooks["experimental.chat.system.transform"]({ sessionID: "s" }, { system })
await hooks["experimental.chat.system.transform"]({ sessionID: "other" }, { system })
console.log(JSON.stringify(system))
"""
HOOK = """
import json, sys
with open(sys.argv[1], "a") as file:
    file.write(json.dumps([sys.argv[2:], json.load(sys.stdin)]) + "\\n")
if "recall" in sys.argv:
    print(json.dumps({"context": "write shorter"}))
"""


def run(folder: Path, program: list[str]) -> tuple[list[str], list[Any]]:
    """What the plugin added to the system prompt, and what each hook was given."""
    assert NODE is not None
    (folder / "plugin.mjs").write_text(plugin_text(program, "opencode", "/b", ["recall", "capture"]))
    (folder / "driver.mjs").write_text(DRIVER)
    done = subprocess.run([NODE, "driver.mjs"], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    given = folder / "given"
    return json.loads(done.stdout), [
        json.loads(row) for row in given.read_text().splitlines()
    ] if given.exists() else []


@pytest.mark.skipif(NODE is None, reason="this machine has no JavaScript engine (node)")
def test_the_plugin_hands_calls_to_the_hook_and_recall_to_the_model(tmp_path: Path) -> None:
    """Each call once, in the form that the hook reads; context stands in the system prompt of every session."""
    (tmp_path / "hook.py").write_text(HOOK)
    system, given = run(tmp_path, [sys.executable, str(tmp_path / "hook.py"), str(tmp_path / "given")])
    assert system == ["write shorter", "write shorter"]
    assert {tuple(arguments[2:]) for arguments, _ in given} == {("--entry", "gradata:opencode:/b")}
    assert [(arguments[1], said["hook_event_name"], said["sessionID"], said["cwd"]) for arguments, said in given] == [
        ("recall", "chat.message", "s", "/w"),
        ("capture", "tool.execute.before", "s", "/w"),
        ("capture", "tool.execute.after", "s", "/w"),
        ("capture", "session.idle", "s", "/w"),
        ("recall", "chat.message", "other", "/w"),
    ]
    before, after = given[1][1], given[2][1]
    assert (before["tool"], before["callID"], before["args"]["newString"]) == ("edit", "c", "y")
    assert "metadata" not in before
    assert after["args"] == before["args"]
    assert after["metadata"] == {"diff": "d"}


@pytest.mark.skipif(NODE is None, reason="this machine has no JavaScript engine (node)")
@pytest.mark.parametrize("program", [["/nowhere/gradata"], ["false"], ["echo", "no json"]])
def test_a_hook_that_is_gone_or_fails_changes_nothing_for_the_host(tmp_path: Path, program: list[str]) -> None:
    """No exception reaches OpenCode, and nothing is added to the prompt."""
    assert run(tmp_path, program) == ([], [])
