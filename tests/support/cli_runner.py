"""The command line as a process, in a home of its own: `cli("status", "--json")` in tests that use the fixture `cli`.

Nothing of the user who runs the tests is seen: no brain, key or setting. Warnings are errors in the process, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

COMMAND_S = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its answer; the whole of stdout must be one JSON object."""
        return dict(json.loads(self.out))


@dataclass(slots=True)
class CommandLine:
    """Runs `gradata` with a home, a brain and an environment of this test."""

    home: Path
    brain: Path
    environ: dict[str, str]
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def __call__(self, *arguments: str, stdin: str | None = None, **environ: str) -> Done:
        """Run one command to its end."""
        done = subprocess.run(
            self._command(arguments), env={**self.environ, **environ}, input=stdin or "", capture_output=True,
            text=True, timeout=COMMAND_S, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Begin a command; it is killed at the end of the test if it still runs."""
        process = subprocess.Popen(
            self._command(arguments), env={**self.environ, **environ}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.running.append(process)
        return process

    def use(self, url: str, key: str | None) -> None:
        """Have the commands replicate to this cloud."""
        self.environ["GRADATA_ENDPOINT"] = url
        if key is not None:
            self.environ["GRADATA_API_KEY"] = key

    def close(self) -> None:
        """End what still runs."""
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate()

    @property
    def log(self) -> Path:
        """The brain's log."""
        return self.brain / "events.jsonl"

    def append(self, count: int) -> bytes:
        """Records as some other writer would append them; returns them."""
        start = self.log.read_bytes().count(b"\n") if self.log.exists() else 0
        records = b"".join(b'{"type": "NOTE", "event_id": "e%d"}\n' % number for number in range(start, start + count))
        with self.log.open("ab") as file:
            file.write(records)
        return records

    @staticmethod
    def _command(arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-W", "error", "-m", "gradata", *arguments]


def last_lines(done: Done) -> tuple[str, str]:
    """The last two lines of stderr, which are `error: …` and `hint: …` of a command that failed."""
    error, hint = done.err.splitlines()[-2:]
    return error, hint


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line, with a brain that was made by `gradata init`'s own function but holds nothing."""
    from gradata.config.brain_dir import create

    home, brain = tmp_path / "home", tmp_path / "brain"
    home.mkdir()
    create(str(brain))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GRADATA_", "BRAIN_"))}
    command_line = CommandLine(home, brain, {**kept, "HOME": str(home), "GRADATA_BRAIN": str(brain)})
    yield command_line
    command_line.close()
