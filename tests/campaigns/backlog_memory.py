"""Backlogs of one size, one behind the other: does what the allocator keeps of them level off?

    python -m tests.campaigns backlog_memory [--times 12] [--records 6000]

A brain gets so many records of 1 KB at once and drains; then it counts what lives in it and what is kept (`census`).
Partner: `soak`, in which each backlog may be larger than those before.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from tests.acceptance.world import World, hear
from tests.support.cloud_fixture import LiveCloud

DRAINING = """
import json, pathlib, sys
from gradata import Brain
from replicator.log import LogWriter
from tests.acceptance.world import line
from tests.campaigns import census
brain, records = Brain(sys.argv[1]), int(sys.argv[3])
for time in range(int(sys.argv[2])):
    writer = LogWriter(brain.log_path)
    writer.append_run(b"".join(line(time * records + number, "x" * 900) for number in range(records)))
    writer.close()
    brain.correct(f"draft {time}", "the final")
    drained = brain.drain(120)
    assert drained.reason == "caught_up", drained
    resident = int(pathlib.Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])
    print(json.dumps(census.count() | {"resident": resident}), flush=True)
"""


def main() -> int:
    """Run and print a line for each backlog."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=12)
    parser.add_argument("--records", type=int, default=6_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kept-") as directory:
        (Path(directory) / "cloud").mkdir()
        cloud = LiveCloud(Path(directory) / "cloud", {"limits": {"requests_per_minute": None}})
        world = World(Path(directory) / "home", cloud)
        try:
            world.brain(GRADATA_DISABLE_WRITE_THROUGH="1").close()
            process = world.start(DRAINING, str(chosen.times), str(chosen.records))
            for _ in range(chosen.times):
                said = json.loads(hear(process))
                print(", ".join(f"{name} {said[name]:,.0f}" for name in ("resident", "heap", "kept", "blocks")))
            process.wait(60)
            print(f"log and replica equal: {world.in_step()}")
        finally:
            world.close()
            cloud.close()
    return 0
