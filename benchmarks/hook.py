"""What a hook costs its host: the whole process, from start to exit; baseline: an interpreter that does nothing.

Run: python -m benchmarks.hook [--calls 60]

With a live lease holder in another process (a Brain that replicates to a real cloud), without a key, and with nobody
who replicates, where the hook sends for itself.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.figures import cloud, show, tell, wait_for, workplace
from gradata import Brain

SCRIPT = Path(sys.executable).with_name("gradata")
GRADATA = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "gradata"]


class Letter:
    """A file in which the agent wrote a paragraph, and what Claude Code says about it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "letter.md"
        self.agents = "We are happy to inform you that your request has been received. " * 3
        self.path.write_text(f"Dear all,\n\n{self.agents}\n\nKind regards\n")

    def told(self, event: str, **more: object) -> bytes:
        """One call on stdin."""
        cwd = str(self.path.parent)
        return json.dumps({"session_id": "bench", "cwd": cwd, "hook_event_name": event, **more}).encode()

    def agent_edits(self, number: int) -> bytes:
        """The agent has replaced the paragraph."""
        new = f"{number}: {self.agents}"
        self.path.write_text(f"Dear all,\n\n{new}\n\nKind regards\n")
        given = {"file_path": str(self.path), "old_string": self.agents, "new_string": new}
        return self.told("PostToolUse", tool_name="Edit", tool_use_id=f"t{number}", tool_input=given, tool_response={})

    def nothing_happens(self, _: int) -> bytes:
        """The agent is about to run a command."""
        return self.told("PreToolUse", tool_name="Read", tool_input={"file_path": str(self.path)})

    def person_edits(self, number: int) -> bytes:
        """A person has changed the paragraph, and writes to the agent."""
        self.path.write_text(self.path.read_text().replace("happy", f"happy {number} times"))
        return self.told("UserPromptSubmit", prompt="go on")


Say = Callable[[int], bytes]


def timed(command: Sequence[str], count: int, environ: dict[str, str], say: Say) -> list[float]:
    """Seconds of each of `count` processes."""
    times = []
    for number in range(count):
        raw = say(number)
        began = time.perf_counter()
        subprocess.run(command, input=raw, stdout=subprocess.DEVNULL, env=environ, check=True)
        times.append(time.perf_counter() - began)
    return times


def busy_s(command: Sequence[str], count: int, environ: dict[str, str], say: Say) -> float:
    """Processor seconds of one of `count` processes: what a busy machine cannot inflate."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    timed(command, count, environ, say)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / count


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=60)
    calls = parser.parse_args().calls
    with workplace() as place, cloud(place / "cloud") as (url, key):
        environ = {**os.environ, "GRADATA_ENDPOINT": url, "GRADATA_API_KEY": key}
        without_key = {**os.environ, "GRADATA_ENDPOINT": url}

        def hook(kind: str, brain: Path) -> list[str]:
            return [*GRADATA, "hook", kind, "--entry", f"gradata:claude-code:{brain}"]

        letter = Letter(place)
        baseline = timed([sys.executable, "-c", "pass"], calls, environ, letter.nothing_happens)
        show("python -c pass (baseline)", baseline)
        with Brain.init(place / "live", endpoint=url, key=key) as brain:
            brain.correct("a draft", "a final")
            wait_for(lambda: brain.replicator is not None and bool(getattr(brain.replicator, "leads", False)), 20)
            command = hook("capture", place / "live")
            timed(command, 3, environ, letter.agent_edits)
            live = timed(command, calls, environ, letter.agent_edits)
            show("hook capture after the agent's edit, another process holds the lease", live)
            tell("  of it, processor time", busy_s(command, calls, environ, letter.agent_edits) * 1e3, "ms")
            show("hook capture, nothing happened", timed(command, calls, environ, letter.nothing_happens))
            found = timed(hook("recall", place / "live"), calls, environ, letter.person_edits)
            show("hook recall at a prompt, a person's edit is recorded", found)
        Brain.init(place / "local").close()
        timed(hook("capture", place / "local"), 1, without_key, letter.agent_edits)
        local = timed(hook("recall", place / "local"), calls, without_key, letter.person_edits)
        show("hook recall at a prompt, a person's edit is recorded, no key", local)
        Brain.init(place / "alone").close()
        timed(hook("capture", place / "alone"), 1, environ, letter.agent_edits)
        alone = timed(hook("recall", place / "alone"), max(5, calls // 6), environ, letter.person_edits)
        show("the same, nobody replicates: it sends for itself", alone)
        middle = sorted(baseline)[calls // 2]
        tell("median after the agent's edit / baseline", sorted(live)[calls // 2] / middle, "times")
        tell("median with a person's edit / baseline", sorted(found)[calls // 2] / middle, "times")


if __name__ == "__main__":
    main()
