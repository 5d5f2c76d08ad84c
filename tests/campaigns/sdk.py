"""The published SDK beside this program, and replaced by it: as docs/migrating.md says.

    python -m tests.campaigns sdk [--versions 0.4.0,0.5.0,0.6.0] [--corrections 20]

Each version is installed from PyPI into an environment of its own. With the SDK kept: its brain is replicated while it
corrects, nothing of its files changes, and its own client talks to the same cloud. With it replaced: its brain is
opened, corrected and closed here, and the SDK still opens it, encrypted brains too. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.acceptance.world import World, eventually
from tests.support.cloud_fixture import LiveCloud

ARRIVES_S = 5.0
OURS = {".tenant_id", ".device_id", "logs"}
"""What this program may add to a brain's directory, beside `.replicator*`."""

CORRECT = """
import json, sys, time
from gradata import Brain
directory, first, count, key = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] or None
import os
options = {"encryption_key": key} if key else {}
if not os.path.isdir(directory):
    Brain.init(directory, domain="Sales", interactive=False)
brain = Brain(directory, **options)
for number in range(first, first + count):
    brain.correct(f"Dear Sir, draft {number} of the report", f"Hi, final {number} of the memo")
found = len(brain.query_events(event_type="CORRECTION", limit=10_000))
if hasattr(brain, "close"):
    brain.close()
print(json.dumps({"corrections": found}))
"""
CLIENT = """
import json, sys
from pathlib import Path
from gradata.cloud.client import CloudClient
client = CloudClient(sys.argv[1], api_key=sys.argv[2], endpoint=sys.argv[3])
print(json.dumps({"connected": client.connect(), "sync": client.sync()}))
"""


class Sdk:
    """One version of it, in an environment of its own."""

    def __init__(self, directory: Path, version: str) -> None:
        self.version = version
        self._python = directory / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        wanted = [f"gradata=={version}", "cryptography"]
        subprocess.run([str(self._python), "-m", "pip", "install", "-q", *wanted], check=True)

    def run(self, program: str, *arguments: str, home: Path) -> dict[str, Any]:
        """What a program of the SDK's user prints."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("GRADATA_", "PYTHON"))}
        done = subprocess.run(
            [str(self._python), "-c", program, *arguments], env=mine | {"HOME": str(home)}, cwd=home,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"gradata {self.version}: {done.stderr[-2000:]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))


def names(directory: Path) -> set[str]:
    """The files and directories of a brain that are not the replicator's."""
    return {path.name for path in directory.iterdir() if not path.name.startswith(".replicator")}


def lines(world: World) -> int:
    """How many records the log has."""
    return world.log.read_bytes().count(b"\n")


def kept(sdk: Sdk, world: World, corrections: int) -> dict[str, object]:
    """The SDK corrects while `gradata replicate --follow` runs beside it."""
    sdk.run(CORRECT, str(world.directory), "0", "2", "", home=world.home)
    before = names(world.directory)
    follower = world.follow()
    eventually(world.in_step, 60)
    added = names(world.directory) - before - OURS
    sdk.run(CORRECT, str(world.directory), "2", str(corrections), "", home=world.home)
    appended = time.monotonic()
    eventually(world.in_step, 60)
    waited_s = time.monotonic() - appended
    told = sdk.run(CLIENT, str(world.directory), world.cloud.key, world.cloud.url, home=world.home)
    again = sdk.run(CORRECT, str(world.directory), "500", "1", "", home=world.home)
    eventually(world.in_step, 60)
    follower.terminate()
    follower.wait(30)
    ids = world.event_ids()
    return {
        "arrived_s": round(waited_s, 2),
        "late": waited_s > ARRIVES_S,
        "lost": lines(world) - len(ids),
        "twice": len(ids) - len(set(ids)),
        "added": sorted(added),
        "corrections_seen_by_sdk": again["corrections"] - (corrections + 3),
        "client": "fine" if told["connected"] and told["sync"].get("status") == "ok" else f"WRONG {told}",
    }


def replaced(sdk: Sdk, world: World, key: str) -> dict[str, object]:
    """The brain is opened here, corrected and closed; then the SDK opens it again.

    Versions before 0.7 do not read the log: what is corrected here is in their database unless that is encrypted.
    """
    sdk.run(CORRECT, str(world.directory), "0", "3", key, home=world.home)
    sealed = world.directory / "system.db.enc"
    content = sealed.read_bytes() if sealed.exists() else b""
    with world.brain() as brain:
        brain.correct("We are pleased to inform you", "We shipped it")
        world.settle()
        here = len(brain.query_events("CORRECTION"))
    changed = sealed.exists() and sealed.read_bytes() != content
    plain = bool(key) and (world.directory / "system.db").exists()
    found = sdk.run(CORRECT, str(world.directory), "10", "1", key, home=world.home)
    expected = 4 if key else 5
    return {"seen_here": here - 4, "seen_by_sdk": found["corrections"] - expected, "plain": plain, "changed": changed}


def wrong(figures: dict[str, object]) -> list[str]:
    """The names of what is not as it should be."""
    fine = {"client": "fine", "added": [], "arrived_s": figures.get("arrived_s")}
    return [name for name, value in figures.items() if value != fine.get(name, 0)]


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="the published SDK beside this program")
    parser.add_argument("--versions", default="0.4.0,0.5.0,0.6.0")
    parser.add_argument("--corrections", type=int, default=20)
    chosen = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="sdk-"))
    (directory / "cloud").mkdir()
    cloud = LiveCloud(directory / "cloud", {"limits": {"requests_per_minute": None}})
    failures = 0
    try:
        for version in chosen.versions.split(","):
            sdk = Sdk(directory / f"sdk-{version}", version)
            ways: list[tuple[str, str]] = [("kept", ""), ("replaced", ""), ("encrypted", "a passphrase")]
            for way, key in ways:
                world = World(directory / f"{version}-{way}", cloud)
                try:
                    figures = kept(sdk, world, chosen.corrections) if way == "kept" else replaced(sdk, world, key)
                finally:
                    world.close()
                failures += len(wrong(figures))
                print(f"{version} {way:10} {figures}" + (f"  WRONG: {wrong(figures)}" if wrong(figures) else ""))
    finally:
        cloud.close()
    if failures:
        print(f"NOT FINE; everything is kept in {directory}")
        return 1
    shutil.rmtree(directory)
    return 0
