"""The corpus of agents' configurations: before, after installing, and after uninstalling again.

    python -m tests.agents_corpus --write

writes the results anew; they are then reviewed as a diff. `NAME.before` is the file as it was; a case without it is a
file that was not there. Partner: `tests/unit/test_agents_corpus.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gradata.agents import editing
from gradata.agents.hosts import AGENTS
from gradata.agents.model import Edited

CORPUS = Path(__file__).parents[1] / "fixtures" / "agents"
BRAIN = "/home/u/brain"
PROGRAM = ("/usr/local/bin/gradata",)
MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Case:
    """One configuration of one agent."""

    agent: str
    name: str

    @property
    def before(self) -> str | None:
        """The file as it was; None: there was none."""
        return self.text("before")

    def text(self, part: str) -> str | None:
        """One part of the case; None if there is no such file."""
        path = CORPUS / self.agent / f"{self.name}.{part}"
        return path.read_bytes().decode() if path.exists() else None

    def install(self, text: str | None, made: Edited | None = None) -> Edited:
        """Install into this text."""
        known = None if made is None else made.made
        agent = AGENTS[self.agent]
        return editing.install(agent, text, brain=BRAIN, program=PROGRAM, name=self.name, made=known)

    def uninstall(self, installed: Edited, text: str | None = None) -> Edited:
        """Uninstall from what was installed, or from `text`."""
        held = text if text is not None else installed.text
        assert held is not None
        return editing.uninstall(AGENTS[self.agent], held, brain=BRAIN, name=self.name, made=installed.made)


def cases() -> Iterator[Case]:
    """All of the corpus, and of each agent a file that is not there."""
    for agent in AGENTS:
        yield Case(agent, MISSING)
        yield from (Case(agent, path.stem) for path in sorted((CORPUS / agent).glob("*.before")))


def main() -> None:
    """Write the results anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    for case in cases():
        installed = case.install(case.before)
        gone = case.uninstall(installed)
        for part, text in (("after", installed.text), ("uninstalled", gone.text)):
            path = CORPUS / case.agent / f"{case.name}.{part}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(text.encode())


if __name__ == "__main__":
    main()
