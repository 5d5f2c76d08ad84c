"""One agent of the fleet: a host with its configurations, its hooks and a brain, in a process of its own.

The process is real and stands for Hermes (odd numbers) or Claude Code (even ones): it has a Brain open, corrects at its
pace, and for every n-th edit runs what its configuration says, with the host's JSON on stdin, reading the file anew
each time. Partner: `fleet`, which moves, kills and counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from gradata import doctor
from gradata.doctor import collect
from replicator.lease import Lease, lease_path
from replicator.sidecar import read_only, sidecar_path
from replicator.status import from_json
from tests.acceptance.world import CLI, World, eventually
from tests.support.cloud_fixture import LiveCloud

PACE_JITTER = 0.3
MIGRATED_S = 240.0
PROCESSES = 3
"""How many of the doctors are asked by their command: 27 processes at once would be all that a machine does."""

HOST = """
import json, os, random, re, subprocess, sys, time
from gradata import Brain
os.environ["GRADATA_CAPTURE"] = "all"  # here the agent's own edits are what hooks record
place, kind, config, pace, hook_every, number = sys.argv[1:]
brain = Brain(place)
dice, edit = random.Random(number), 0

def commands():
    text = open(config, encoding="utf-8").read()
    if kind == "claude-code":
        groups = json.loads(text)["hooks"].get("PostToolUse", [])
        return [hook["command"] for group in groups for hook in group["hooks"]]
    part = re.search(r"^  post_tool_call:\\n((?:    .*\\n?|\\n)*)", text, re.M)
    return [json.loads(found) for found in re.findall(r'command: (".*")', part.group(1) if part else "")]

while True:
    edit += 1
    if edit % int(hook_every):
        said = brain.correct(f"draft {edit} of {number}: we are pleased", f"final {edit} of {number}: we shipped it")
        print("promised", said["event_id"], flush=True)
    else:
        texts = {"old_string": f"old {edit} {time.time()}", "new_string": f"new {edit}"}
        call = {"session_id": number, "hook_event_name": "PostToolUse", "tool_name": "Edit",
            "tool_input": {"file_path": "/project/a.md", **texts}} if kind == "claude-code" else {
            "session_id": number, "hook_event_name": "post_tool_call", "tool_name": "patch",
            "tool_input": {"mode": "replace", "path": "/project/a.md", **texts}, "extra": {"status": "ok"}}
        for command in commands():
            done = subprocess.run(command, shell=True, input=json.dumps(call).encode(), capture_output=True)
            print("hooked" if done.returncode == 0 and "hook capture" in command else "failed", flush=True)
    time.sleep(float(pace) * dice.uniform(1 - JITTER, 1 + JITTER))
""".replace("JITTER", str(PACE_JITTER))

OLD_HERMES = """# Hermes of agent {number}
model: anthropic/claude-opus   # as agreed
hooks:
  pre_tool_use:
    - command: "BRAIN_DIR={brain} python -m gradata.hooks.inject_brain_rules"
      id: gradata:hermes:{brain}:pre_tool_use:gradata.hooks.inject_brain_rules
  post_tool_call:
    - command: "BRAIN_DIR={brain} python -m gradata.hooks.auto_correct"
      id: gradata:hermes:{brain}
  on_session_end:
    - command: "BRAIN_DIR={brain} python -m gradata.hooks.session_close"
      id: gradata:hermes:{brain}
      timeout: 15

terminal: {{backend: local}}
"""


def old_claude(brain: str) -> str:
    """Claude Code's settings with an older version's hooks."""

    def group(module: str) -> list[dict[str, Any]]:
        command = f"BRAIN_DIR={brain} python -m gradata.hooks.{module}"
        return [{"hooks": [{"type": "command", "command": command, "id": f"gradata:claude-code:{brain}"}]}]

    hooks = {"PostToolUse": group("auto_correct"), "Stop": group("session_close"), "PreCompact": group("pre_compact")}
    return json.dumps({"model": "opus", "hooks": hooks}, indent=2)


class Agent:
    """One agent: its home, its process, and what it promised."""

    def __init__(self, home: Path, cloud: LiveCloud, number: int, pace_s: float, hook_every: int) -> None:
        self.number = number
        self.world = World(home, cloud)
        self.world.keep_key(None)  # corrections stay here until it is moved
        self.kind = "hermes" if number % 2 else "claude-code"
        self.promised: list[str] = []
        self.hooks_done = 0
        self._arguments = (str(pace_s), str(hook_every), str(number))
        self.configs = {
            "hermes": home / ".hermes" / "config.yaml",
            "claude-code": home / ".claude" / "settings.json",
        }
        brain = str(self.world.directory)
        texts = {"hermes": OLD_HERMES.format(number=number, brain=brain), "claude-code": old_claude(brain)}
        for agent, path in self.configs.items():
            path.parent.mkdir(parents=True)
            path.write_text(texts[agent])
        self.world.run("init")
        self.start()

    def start(self) -> None:
        """Start the host."""
        self.process = self.world.start(HOST, self.kind, str(self.configs[self.kind]), *self._arguments)
        self._listener = threading.Thread(target=self._listen, args=(self.process,), daemon=True)
        self._listener.start()

    def kill(self) -> None:
        """SIGKILL, and hear what it had promised."""
        self.process.kill()
        self._listener.join()
        self.process.wait()

    def close(self) -> None:
        """End it."""
        self.world.close()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for said in process.stdout:
            if said.startswith("promised ") and said.endswith("\n"):
                self.promised.append(said.split()[1])
            self.hooks_done += said == "hooked\n"

    @property
    def pid(self) -> int:
        """The host's process, which must not change when it is moved."""
        return self.process.pid

    def migrate(self) -> float:
        """Give it a key and `install --agent all`; seconds until all that its log held is in the cloud."""
        done = self.cli("install", "--agent", "all", "--json", "--brain", str(self.world.directory))
        assert done.returncode == 0, done.stdout + done.stderr
        end = self.world.log.stat().st_size
        began = time.monotonic()
        self.world.keep_key(self.world.cloud.key)
        try:
            eventually(lambda: self.acknowledged >= end, MIGRATED_S)
        except AssertionError:
            raise AssertionError(f"agent {self.number}, {self.process.poll()}: {self.doctor()}") from None
        took_s = time.monotonic() - began
        eventually(lambda: self.leads, MIGRATED_S)  # a hook may have sent it all before the agent looked for a key
        return took_s

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of this user, outside the agent."""
        command = [sys.executable, "-c", CLI, *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=self.world.environ(),
            cwd=self.world.home,
        )

    def doctor(self) -> dict[str, tuple[str, str]]:
        """What doctor says now: status and detail by the check's name; a process for the first, the rest as it does."""
        if self.number >= PROCESSES:
            facts = collect.collect(str(self.world.directory), None, ask_cloud=True, environ=self.world.environ())
            return {found.name: (found.status, found.detail) for found in doctor.examine(facts)}
        told = json.loads(self.cli("doctor", "--json", "--brain", str(self.world.directory)).stdout)
        return {check["name"]: (check["status"], check["detail"]) for check in told["checks"]}

    def drain(self) -> None:
        """Replicate what a killed agent left."""
        assert self.cli("replicate", "--once", "--quiet", "--brain", str(self.world.directory)).returncode == 0

    @property
    def acknowledged(self) -> int:
        """How much of the log is durably acknowledged, in bytes."""
        standing = self.world.standing
        return 0 if standing is None else standing.cursor.offset

    @property
    def state(self) -> str:
        """What its replicator says of itself."""
        view = read_only(sidecar_path(str(self.world.log)))
        if view is None:
            return "off"
        try:
            saved = view.status()
        finally:
            view.close()
        status = None if saved is None else from_json(saved)
        return "off" if status is None else status.state

    @property
    def leads(self) -> bool:
        """Whether this very process replicates."""
        holder = Lease.holder(lease_path(str(self.world.log)))
        return holder is not None and holder.pid == self.pid

    def logs(self) -> list[dict[str, Any]]:
        """What the cloud has of it."""
        cloud = self.world.cloud
        url = f"{cloud.url}/logs?brain={self.world.brain_id}"
        answer = self.world._http.get(url, headers={"Authorization": f"Bearer {cloud.key}"})
        return answer.json()["logs"] if answer.status_code == 200 else []  # 403: a brain that it never heard of

    def events(self) -> list[dict[str, Any]]:
        """The events of its own log."""
        return [json.loads(line) for line in self.world.whole.splitlines()]

    def old_entries(self) -> int:
        """How many of an older version's entries that sync or record edits its configurations hold."""
        modules = [f"gradata.hooks.{name}" for name in ("session_close", "auto_correct")]
        return sum(path.read_text().count(module) for path in self.configs.values() for module in modules)


def make_agents(directory: Path, count: int, cloud: LiveCloud, *, pace_s: float, hook_every: int) -> list[Agent]:
    """The whole fleet, started."""
    return [Agent(directory / f"home-{n}", cloud, n, pace_s, hook_every) for n in range(count)]
