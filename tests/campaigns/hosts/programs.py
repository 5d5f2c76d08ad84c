"""How each host is installed, configured, trusted and run: the versions are those of docs/agents.md."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from tests.campaigns.hosts.fake_model import ToolCall
from tests.campaigns.hosts.world import AGENTS_TEXT, COMMAND_S, NO_NETWORK, HostWorld

INSTALL_S = 600


class MovedHome(NamedTuple):
    """How a host's home is moved: the variable, the usual folder, and what the variable names it below."""

    variable: str
    usual: str
    inner: str = ""


OLD = "We are pleased to inform you."
PATCH = f"""*** Begin Patch
*** Update File: note.txt
@@
-{AGENTS_TEXT}
+{AGENTS_TEXT} Really.
*** Update File: second.txt
@@
-two
+two and a half
*** Add File: new.txt
+hello
*** End Patch"""


class HostProgram:
    """One host. What is the same for all stands here; a subclass says what is its own."""

    agent: ClassVar[str]
    package: ClassVar[str]
    version: ClassVar[str]
    registry: ClassVar[Literal["npm", "pypi"]] = "npm"
    binary: ClassVar[str]
    moves: ClassVar[MovedHome]
    lists: ClassVar[bool] = False
    """Whether it has a way to list its hooks."""

    def __init__(self, cache: Path, version: str | None = None) -> None:
        self.version_run = version or self.version
        self._folder = cache / f"{self.agent}-{self.version_run}"

    def install(self) -> None:
        """Into the cache, with the registry's own client; nothing if it is there."""
        if self.program.exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        if self.registry == "npm":
            npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(self._folder)]
            commands = [[*npm, f"{self.package}@{self.version_run}"]]
        else:
            python = str(self._folder / "bin" / "python")
            wanted = self.package if self.version_run == "latest" else f"{self.package}=={self.version_run}"
            commands = [["uv", "venv", "-q", "--clear", str(self._folder)]]
            commands += [["uv", "pip", "install", "-q", "--python", python, wanted]]
        for command in commands:
            subprocess.run(command, check=True, timeout=INSTALL_S)

    @property
    def program(self) -> Path:
        """The file that is run."""
        folder = self._folder / "node_modules" / ".bin" if self.registry == "npm" else self._folder / "bin"
        return folder / self.binary

    def found_version(self, world: HostWorld) -> str:
        """What it says of itself."""
        done = self.call(world, ["--version"])
        return done.stdout.strip().splitlines()[0] if done.returncode == 0 else "?"

    def call(self, world: HostWorld, arguments: Sequence[str], **environ: str) -> subprocess.CompletedProcess[str]:
        """Run it in the project; without stdin."""
        return subprocess.run(
            [str(self.program), *arguments], capture_output=True, text=True, timeout=COMMAND_S * 3, check=False,
            cwd=world.project, env={**world.environ, **environ}, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def folder(self, world: HostWorld) -> Path:
        """The host's own folder, wherever it was moved."""
        moved = world.environ.get(self.moves.variable)
        return world.home / self.moves.usual if moved is None else Path(moved) / self.moves.inner

    def move(self, world: HostWorld) -> None:
        """Take its folder elsewhere, and say so in its variable."""
        elsewhere = world.root / "elsewhere"
        usual = world.home / self.moves.usual
        (elsewhere / self.moves.inner).parent.mkdir(parents=True, exist_ok=True)
        usual.rename(elsewhere / self.moves.inner)
        world.environ[self.moves.variable] = str(elsewhere)

    def configure(self, world: HostWorld, port: int) -> None:
        """Write the user's own configuration."""
        raise NotImplementedError(f"{self.agent} says it")

    def session(self, world: HostWorld, port: int, **environ: str) -> subprocess.CompletedProcess[str]:
        """One prompt, to its end."""
        raise NotImplementedError(f"{self.agent} says it")

    def calls(self, world: HostWorld) -> dict[str, ToolCall]:
        """What the model does in the first session, by what it is: read, edit, failing, patch, write."""
        raise NotImplementedError(f"{self.agent} says it")

    def trust(self, world: HostWorld) -> None:
        """What a person does so that the host runs new hooks."""

    def listed(self, world: HostWorld) -> int:
        """How many of our hooks it lists."""
        raise NotImplementedError(f"{self.agent} has no such list")


class ClaudeCode(HostProgram):
    """Claude Code, without a person: edits are accepted."""

    agent, package, version, binary = "claude-code", "@anthropic-ai/claude-code", "2.1.332", "claude"
    moves = MovedHome("CLAUDE_CONFIG_DIR", ".claude")

    def configure(self, world: HostWorld, port: int) -> None:
        """A user's settings."""
        _write(world.home / ".claude" / "settings.json", '{\n  "model": "sonnet"\n}\n')

    def session(self, world: HostWorld, port: int, **environ: str) -> subprocess.CompletedProcess[str]:
        """In print mode."""
        model = {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}", "ANTHROPIC_API_KEY": "dummy"}
        arguments = ["-p", "fix the note", "--permission-mode", "acceptEdits", "--allowedTools", "Bash"]
        return self.call(world, arguments, **model, **environ)

    def calls(self, world: HostWorld) -> dict[str, ToolCall]:
        """Edit, Write."""
        note = {"file_path": str(world.note)}
        return {
            "read": ToolCall("Read", note),
            "edit": ToolCall("Edit", {**note, "old_string": OLD, "new_string": AGENTS_TEXT}),
            "failing": ToolCall("Edit", {**note, "old_string": "no such text", "new_string": "x"}),
            "write": ToolCall("Write", {"file_path": str(world.project / "new.txt"), "content": "hello\n"}),
            "shell": ToolCall("Bash", {"command": "echo four >> second.txt", "description": "append"}),
        }


class Codex(HostProgram):
    """Codex; a person trusts hooks in its /hooks, here by what /hooks writes."""

    agent, package, version, binary = "codex", "@openai/codex", "0.171.0", "codex"
    moves = MovedHome("CODEX_HOME", ".codex")
    lists = True

    def configure(self, world: HostWorld, port: int) -> None:
        """A provider of the user's own."""
        table = {
            "name": "fake", "base_url": f"http://127.0.0.1:{port}/v1", "wire_api": "responses",
            "requires_openai_auth": False, "supports_websockets": False,
        }  # fmt: skip
        rows = "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
        text = f'model = "gpt-5.5"\nmodel_provider = "fake"\n\n[model_providers.fake]\n{rows}'
        _write(world.home / ".codex" / "config.toml", text)

    def session(self, world: HostWorld, port: int, **environ: str) -> subprocess.CompletedProcess[str]:
        """`codex exec`, without its sandbox, with its trust of hooks."""
        arguments = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "fix the note"]
        return self.call(world, arguments, **environ)

    def calls(self, world: HostWorld) -> dict[str, ToolCall]:
        """Its one edit tool is apply_patch."""
        edit = PATCH[: PATCH.index("*** Update File: second")].replace(f"-{AGENTS_TEXT}\n+{AGENTS_TEXT} Really.", "{}")
        failing = f"{edit.format('-no such text' + chr(10) + '+x')}*** End Patch"
        return {
            "read": ToolCall("exec_command", {"cmd": "cat note.txt"}),
            "edit": ToolCall("apply_patch", f"{edit.format(f'-{OLD}{chr(10)}+{AGENTS_TEXT}')}*** End Patch", True),
            "failing": ToolCall("apply_patch", failing, True),
            "patch": ToolCall("apply_patch", PATCH, True),
            "shell": ToolCall("exec_command", {"cmd": "echo four >> second.txt"}),
        }

    def hooks(self, world: HostWorld) -> list[Mapping[str, Any]]:
        """What `hooks/list` of its app-server answers."""
        asked = [
            {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "campaign", "version": "1"}}},
            {"method": "initialized"},
            {"id": 2, "method": "hooks/list", "params": {"cwds": [str(world.project)]}},
        ]
        command = [str(self.program), "app-server"]
        with subprocess.Popen(
            command, cwd=world.project, env=world.environ, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as server:  # fmt: skip
            assert server.stdin is not None
            assert server.stdout is not None
            for each in asked:
                server.stdin.write(json.dumps(each) + "\n")
                server.stdin.flush()
            answer = next(said for said in map(json.loads, server.stdout) if said.get("id") == 2)
            server.kill()
        return [hook for data in answer["result"]["data"] for hook in data["hooks"]]

    def trust(self, world: HostWorld) -> None:
        """The accepted hashes, where Codex keeps them."""
        path = self.folder(world) / "config.toml"
        rows = [
            f"[hooks.state.{json.dumps(hook['key'])}]\ntrusted_hash = {json.dumps(hook['currentHash'])}\n"
            for hook in self.hooks(world)
        ]
        path.write_text(path.read_text() + "\n" + "\n".join(rows))
        tomllib.loads(path.read_text())

    def listed(self, world: HostWorld) -> int:
        """Those that it would run."""
        return sum(
            hook["trustStatus"] == "trusted" and "gradata:codex:" in hook["command"] for hook in self.hooks(world)
        )


class GeminiCli(HostProgram):
    """Gemini CLI, without a person: tools are accepted."""

    agent, package, version, binary = "gemini", "@google/gemini-cli", "0.61.0", "gemini"
    moves = MovedHome("GEMINI_CLI_HOME", ".gemini", ".gemini")

    def configure(self, world: HostWorld, port: int) -> None:
        """With comments, which it allows."""
        text = '{\n  // by key\n  "security": {"auth": {"selectedType": "gemini-api-key"}}\n}\n'
        _write(world.home / ".gemini" / "settings.json", text)

    def session(self, world: HostWorld, port: int, **environ: str) -> subprocess.CompletedProcess[str]:
        """In a folder that counts as trusted: else no hook of the user runs."""
        model = {"GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{port}", "GEMINI_API_KEY": "dummy"}
        arguments = ["-m", "gemini-2.5-flash", "--skip-trust", "--approval-mode", "yolo", "-p", "fix the note"]
        return self.call(world, arguments, **model, **environ)

    def calls(self, world: HostWorld) -> dict[str, ToolCall]:
        """`replace` and `write_file`."""
        note = {"file_path": str(world.note)}
        edit = {**note, "instruction": "say it shorter"}
        return {
            "read": ToolCall("read_file", note),
            "edit": ToolCall("replace", {**edit, "old_string": OLD, "new_string": AGENTS_TEXT}),
            "failing": ToolCall("replace", {**edit, "old_string": "no such text", "new_string": "x"}),
            "write": ToolCall("write_file", {"file_path": str(world.project / "new.txt"), "content": "hello\n"}),
            "shell": ToolCall("run_shell_command", {"command": "echo four >> second.txt"}),
        }


class Hermes(HostProgram):
    """Hermes; a person consents in a terminal, here by its own option for that."""

    agent, package, version, binary = "hermes", "hermes-agent", "0.19.0", "hermes"
    moves = MovedHome("HERMES_HOME", ".hermes")
    registry = "pypi"
    lists = True

    def configure(self, world: HostWorld, port: int) -> None:
        """A model of the user's own."""
        text = (
            "# my hermes\nmodel:\n  default: fake-model\n  provider: custom\n"
            f"  base_url: http://127.0.0.1:{port}/v1\n  api_key: dummy\n  context_length: 200000\n"
        )
        _write(world.home / ".hermes" / "config.yaml", text)

    def session(self, world: HostWorld, port: int, **environ: str) -> subprocess.CompletedProcess[str]:
        """One question."""
        return self.call(world, ["chat", "-q", "fix the note"], **environ)

    def calls(self, world: HostWorld) -> dict[str, ToolCall]:
        """`patch` in both of its modes, and `write_file`."""
        replace = {"mode": "replace", "path": str(world.note)}
        return {
            "read": ToolCall("read_file", {"path": str(world.note)}),
            "edit": ToolCall("patch", {**replace, "old_string": OLD, "new_string": AGENTS_TEXT}),
            "failing": ToolCall("patch", {**replace, "old_string": "no such text", "new_string": "x"}),
            "patch": ToolCall("patch", {"mode": "patch", "patch": PATCH}),
            "write": ToolCall("write_file", {"path": str(world.project / "other.txt"), "content": "hello\n"}),
            "shell": ToolCall("terminal", {"command": "echo four >> second.txt"}),
        }

    def trust(self, world: HostWorld) -> None:
        """Consent is stored for each pair of event and command."""
        self.call(world, ["--accept-hooks", "chat", "-q", "hello"])

    def listed(self, world: HostWorld) -> int:
        """Those that are allowed."""
        said = self.call(world, ["hooks", "list"]).stdout
        return sum("gradata" in line and "allowed" in line and "not allowed" not in line for line in said.splitlines())


class OpenCode(HostProgram):
    """OpenCode: the program alone, from the package for this machine."""

    agent, package, version, binary = "opencode", "opencode-linux-x64", "1.18.33", "opencode"
    moves = MovedHome("XDG_CONFIG_HOME", ".config/opencode", "opencode")
    older: ClassVar[tuple[str, ...]] = ("1.2.4", "1.15.13", "1.17.0", "1.18.3")
    model: ClassVar[str] = "m"

    @property
    def program(self) -> Path:
        """Without the launcher of its main package."""
        return self._folder / "node_modules" / self.package / "bin" / self.binary

    def configure(self, world: HostWorld, port: int) -> None:
        """A provider of the user's own; the start with a plugin fetches a package, so its network is open."""
        for name in NO_NETWORK:
            world.environ.pop(name, None)
        model = {"name": self.model, "tool_call": True, "limit": {"context": 100_000, "output": 4_000}}
        options = {"baseURL": f"http://127.0.0.1:{port}/v1", "apiKey": "x"}
        provider = {"npm": "@ai-sdk/openai-compatible", "name": "fake", "options": options}
        said = {
            "$schema": "https://opencode.ai/config.json", "model": f"fake/{self.model}",
            "provider": {"fake": {**provider, "models": {self.model: model}}},
        }  # fmt: skip
        _write(world.home / ".config" / "opencode" / "opencode.json", json.dumps(said, indent=2) + "\n")

    def session(self, world: HostWorld, port: int, **environ: str) -> subprocess.CompletedProcess[str]:
        """One prompt."""
        return self.call(world, ["run", "fix the note"], **environ)

    def calls(self, world: HostWorld) -> dict[str, ToolCall]:
        """`edit` and `write`."""
        note = {"filePath": str(world.note)}
        return {
            "read": ToolCall("read", note),
            "edit": ToolCall("edit", {**note, "oldString": OLD, "newString": AGENTS_TEXT}),
            "failing": ToolCall("edit", {**note, "oldString": "no such text", "newString": "x"}),
            "write": ToolCall("write", {"filePath": str(world.project / "new.txt"), "content": "hello\n"}),
            "shell": ToolCall("bash", {"command": "echo four >> second.txt", "description": "append"}),
        }


class OpenCodeWithPatch(OpenCode):
    """OpenCode gives a model of this name `apply_patch` in the place of its other edit tools."""

    model = "gpt-5"

    def calls(self, world: HostWorld) -> dict[str, ToolCall]:
        """The same patches as Codex."""
        codex = Codex(self._folder.parent).calls(world)
        patches = {
            name: ToolCall("apply_patch", {"patchText": codex[name].arguments}) for name in ("edit", "failing", "patch")
        }
        others = super().calls(world)
        return {"read": others["read"], **patches, "shell": others["shell"]}


PROGRAMS: tuple[type[HostProgram], ...] = (ClaudeCode, Codex, GeminiCli, Hermes, OpenCode)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def missing_tools() -> list[str]:
    """The registries' clients that this machine lacks."""
    return [name for name in ("npm", "uv", "node") if shutil.which(name) is None and os.name == "posix"]
