"""A home, a project and a brain for one host, and what is seen there after its sessions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cloud_fixture import LiveCloud

ROOT = Path(__file__).resolve().parents[3]
AGENTS_TEXT, PERSONS_TEXT = "We shipped it.", "We shipped it on Monday."
NOTE = "Dear all,\n\nWe are pleased to inform you.\n\nYours\n"
SECOND = "one\ntwo\nthree\n"
COMMAND_S = 120
QUIET = {
    "DISABLE_TELEMETRY": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "GEMINI_TELEMETRY_ENABLED": "false",
    "TERM": "dumb",
}
"""Hosts report and update themselves otherwise."""
_NOWHERE, _HERE = "http://127.0.0.1:9", "127.0.0.1,localhost"
NO_NETWORK = {
    "http_proxy": _NOWHERE, "https_proxy": _NOWHERE, "HTTP_PROXY": _NOWHERE, "HTTPS_PROXY": _NOWHERE,
    "no_proxy": _HERE, "NO_PROXY": _HERE,
}  # fmt: skip
"""Nothing but loopback is reached."""


@dataclass(slots=True)
class HostWorld:
    """One host's surroundings below `root`. `records`: where the hooks' stdin is kept; None: it is not."""

    root: Path
    cloud: LiveCloud
    records: Path | None = None
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (self.home, self.project):
            path.mkdir(parents=True)
        self.note.write_text(NOTE)
        self.second.write_text(SECOND)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self.environ = {**kept, **QUIET, **NO_NETWORK, "HOME": str(self.home)}
        ours = self.home / ".gradata"
        ours.mkdir()
        (ours / "config.toml").write_text(f'endpoint = "{self.cloud.url}"\n')
        (ours / "key").write_text(self.cloud.key)
        (ours / "key").chmod(0o600)
        if self.records is not None:
            self._record(self.records)
        assert self.gradata("init").returncode == 0

    @property
    def home(self) -> Path:
        """The user's home."""
        return self.root / "home"

    @property
    def project(self) -> Path:
        """Where the host works."""
        return self.root / "home" / "project"

    @property
    def note(self) -> Path:
        """The file that everybody edits."""
        return self.project / "note.txt"

    @property
    def second(self) -> Path:
        """Another file, for a patch of several."""
        return self.project / "second.txt"

    def gradata(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """`gradata …` of this checkout."""
        python = sys.executable if self.records is None else str(self.root / "bin" / "python")
        paths = os.pathsep.join([str(ROOT), *sys.path])
        return subprocess.run(
            [python, "-m", "gradata", *arguments], capture_output=True, text=True, timeout=COMMAND_S, check=False,
            cwd=self.project, env={**self.environ, "PYTHONPATH": paths, **environ},
        )  # fmt: skip

    def corrections(self) -> list[dict[str, Any]]:
        """The data of the log's corrections."""
        log = self.home / ".gradata" / "brain" / "events.jsonl"
        events = [json.loads(line) for line in log.read_bytes().splitlines()] if log.exists() else []
        return [event["data"] for event in events if event["type"] == "CORRECTION"]

    def in_cloud(self, count: int, within_s: float) -> float | None:
        """Seconds until so many corrections are in the cloud; None: they did not come in time."""
        brain = (self.home / ".gradata" / "brain" / ".tenant_id").read_text().strip()
        url = f"{self.cloud.url}/events?brain={brain}&limit=1000"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.cloud.key}"})
        began, pause = time.monotonic(), threading.Event()
        while True:
            with urllib.request.urlopen(request, timeout=within_s) as answer:
                events = json.load(answer)["events"]
            taken = time.monotonic() - began
            if sum(event["type"] == "CORRECTION" for event in events) >= count:
                return taken
            if taken > within_s:
                return None
            pause.wait(0.05)

    def check(self, agent: str) -> tuple[str, str]:
        """Status and detail of doctor's line for this agent."""
        said = json.loads(self.gradata("doctor", "--json", "--no-cloud").stdout)
        name = f"agent_{agent.replace('-', '_')}"
        return next((each["status"], each["detail"]) for each in said["checks"] if each["name"] == name)

    def _record(self, records: Path) -> None:
        """A `gradata` that keeps its stdin, beside an interpreter, so that `gradata install` writes that one."""
        records.mkdir(parents=True, exist_ok=True)
        folder = self.root / "bin"
        folder.mkdir()
        (folder / "python").symlink_to(sys.executable)
        script = folder / "gradata"
        real = Path(sysconfig.get_path("scripts")) / "gradata"
        script.write_text(f'#!/bin/sh\ntee "{records}/$(date +%s%N)-$$.json" | "{real}" "$@"\n')
        script.chmod(0o755)
