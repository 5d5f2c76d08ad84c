"""The corpus of agents' configurations: before, after installing, and after uninstalling again.

    python -m tests.support.agents_corpus --write

writes the results anew; they are then reviewed as a diff. `NAME.before` is the file as it was; a case without it is a
file that was not there. Partner: `tests/unit/gradata/agents/test_editing.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gradata.agents import editing
from gradata.agents.catalog import AGENTS
from gradata.agents.model import Agent, AgentFile, AgentPlace, Edited

CORPUS = Path(__file__).parents[2] / "fixtures" / "agents"
BRAIN = "/home/u/brain"
PROGRAM = ("/usr/local/bin/gradata",)
MISSING = "missing"


def _file(agent: str, name: str) -> AgentFile:
    """One of an agent's files as in a home where nothing is."""
    found = AGENTS[agent].files(AgentPlace("/home/u"), BRAIN)
    return next(file for file in found if Path(file.path).name == name)


FILES = {
    "claude-code": ("claude-code", _file("claude-code", "settings.json")),
    "codex": ("codex", replace(_file("codex", "hooks.json"), path="/home/u/.codex/config.toml", format="toml")),
    "codex-hooks": ("codex", _file("codex", "hooks.json")),
    "codex-clear": ("codex", _file("codex", "config.toml")),
    "cursor": ("cursor", _file("cursor", "mcp.json")),
    "cursor-hooks": ("cursor", _file("cursor", "hooks.json")),
    "gemini": ("gemini", _file("gemini", "settings.json")),
    "hermes": ("hermes", _file("hermes", "config.yaml")),
    "opencode": ("opencode", _file("opencode", "opencode.json")),
}
"""By folder of the corpus: the agent, and which of its files. `codex`: where the user's hooks are in config.toml;
`codex-clear`: where they are not, so that it is only cleared."""


@dataclass(frozen=True, slots=True)
class Case:
    """One configuration of one agent's file."""

    folder: str
    name: str

    @property
    def agent(self) -> Agent:
        """Whose file it is."""
        return AGENTS[FILES[self.folder][0]]

    @property
    def file(self) -> AgentFile:
        """Which file it is."""
        return FILES[self.folder][1]

    @property
    def before(self) -> str | None:
        """The file as it was; None: there was none."""
        return self.text("before")

    def text(self, part: str) -> str | None:
        """One part of the case; None if there is no such file."""
        path = CORPUS / self.folder / f"{self.name}.{part}"
        return path.read_bytes().decode() if path.exists() else None

    def install(self, text: str | None, made: Edited | None = None) -> Edited:
        """Install into this text."""
        known = None if made is None else made.made
        return editing.install(self.agent, self.file, text, brain=BRAIN, program=PROGRAM, made=known)

    def uninstall(self, installed: Edited, text: str | None = None) -> Edited:
        """Uninstall from what was installed, or from `text`."""
        held = text if text is not None else installed.text
        if held is None:
            return Edited(None, {})
        return editing.uninstall(self.agent, self.file, held, brain=BRAIN, made=installed.made)


def cases() -> Iterator[Case]:
    """All of the corpus, and of each agent a file that is not there."""
    for folder in FILES:
        yield Case(folder, MISSING)
        yield from (Case(folder, path.stem) for path in sorted((CORPUS / folder).glob("*.before")))


def main() -> None:
    """Write the results anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    for case in cases():
        installed = case.install(case.before)
        gone = case.uninstall(installed)
        for part, text in (("after", installed.text), ("uninstalled", gone.text)):
            path = CORPUS / case.folder / f"{case.name}.{part}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(text.encode())


if __name__ == "__main__":
    main()
