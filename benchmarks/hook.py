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
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import cloud, show, tell, wait_for, workplace
from gradata import Brain

SCRIPT = Path(sys.executable).with_name("gradata")
GRADATA = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "gradata"]


def said(number: int) -> bytes:
    """What Claude Code says after an edit of some hundred characters."""
    old = f"{number}: " + "We are pleased to inform you that your request has been received. " * 3
    edit = {"file_path": "/project/letter.md", "old_string": old, "new_string": old.replace("pleased to", "happy to")}
    call = {"session_id": "bench", "hook_event_name": "PostToolUse", "tool_name": "Edit", "tool_input": edit}
    return json.dumps(call).encode()


def timed(command: Sequence[str], count: int, environ: dict[str, str]) -> list[float]:
    """Seconds of each of `count` processes."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        subprocess.run(command, input=said(number), stdout=subprocess.DEVNULL, env=environ, check=True)
        times.append(time.perf_counter() - began)
    return times


def busy_s(command: Sequence[str], count: int, environ: dict[str, str]) -> float:
    """Processor seconds of one of `count` processes: what a busy machine cannot inflate."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    timed(command, count, environ)
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

        baseline = timed([sys.executable, "-c", "pass"], calls, environ)
        show("python -c pass (baseline)", baseline)
        with Brain.init(place / "live", endpoint=url, key=key) as brain:
            brain.correct("a draft", "a final")
            wait_for(lambda: brain.replicator is not None and bool(getattr(brain.replicator, "leads", False)), 20)
            timed(hook("capture", place / "live"), 3, environ)
            live = timed(hook("capture", place / "live"), calls, environ)
            show("hook capture, another process holds the lease", live)
            tell("  of it, processor time", busy_s(hook("capture", place / "live"), calls, environ) * 1e3, "ms")
            show("hook recall", timed(hook("recall", place / "live"), calls, environ))
        Brain.init(place / "local").close()
        show("hook capture, no key", timed(hook("capture", place / "local"), calls, without_key))
        Brain.init(place / "alone").close()
        alone = timed(hook("capture", place / "alone"), max(5, calls // 6), environ)
        show("hook capture, nobody replicates: it sends for itself", alone)
        tell("median with a lease holder / baseline", sorted(live)[calls // 2] / sorted(baseline)[calls // 2], "times")


if __name__ == "__main__":
    main()
