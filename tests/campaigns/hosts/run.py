"""Run the real hosts: `python -m tests.campaigns hosts [HOST …] [--newest] [--record DIR] [--cache DIR]`.

Installs the pinned versions of docs/agents.md from npm and PyPI into a cache outside this checkout (about 2 GB), runs
each host against a fake model on loopback, and prints a row for each step. Exit 0: all held; 1: some did not; 2: wrong
usage, or a tool is missing. `--newest` takes the newest versions instead: what fails then, a newer host does otherwise.
`--record` keeps what the hosts gave to the hooks, without this machine's paths: fixtures/hosts is made of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.campaigns.hosts.programs import PROGRAMS, Hermes, HostProgram, OpenCode, OpenCodeWithPatch, missing_tools
from tests.campaigns.hosts.scenarios import HostStep, moved_home, older_opencode, profile, story
from tests.campaigns.hosts.world import HostWorld
from tests.support.cloud_fixture import LiveCloud

Story = Callable[[Any, HostWorld], Iterator[HostStep]]
MARKS = {True: "held", False: "FAILED", None: "-"}


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [program.agent for program in PROGRAMS]
    parser.add_argument("hosts", nargs="*", metavar="HOST", help=f"which: {', '.join(names)}; none: all")
    parser.add_argument("--newest", action="store_true", help="the newest version of each instead of the pinned one")
    parser.add_argument("--record", type=Path, metavar="DIR", help="keep what the hosts gave to the hooks")
    parser.add_argument("--cache", type=Path, default=_cache(), metavar="DIR", help="where the hosts are installed")
    asked = parser.parse_args()
    if unknown := set(asked.hosts) - set(names):
        parser.error(f"no such host: {', '.join(sorted(unknown))}")
    if lacking := missing_tools():
        parser.error(f"this machine lacks {', '.join(lacking)}")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="hosts-cloud-") as folder:
        cloud = LiveCloud(Path(folder), {"limits": {}})
        try:
            for program in _programs(asked):
                for steps in _stories(program, newest=asked.newest):
                    failed += _run(program, steps, cloud, asked.record)
        finally:
            cloud.close()
    print(f"{failed} steps failed" if failed else "all steps held")
    return 1 if failed else 0


def _programs(asked: argparse.Namespace) -> Iterator[HostProgram]:
    for kind in PROGRAMS:
        if asked.hosts and kind.agent not in asked.hosts:
            continue
        version = "latest" if asked.newest else None
        yield kind(asked.cache, version)
        if kind is OpenCode:
            yield OpenCodeWithPatch(asked.cache, version)
        if kind is OpenCode and not asked.newest:
            yield from (OpenCode(asked.cache, version) for version in OpenCode.older)


def _stories(program: HostProgram, *, newest: bool) -> Iterator[Story]:
    if isinstance(program, OpenCode) and program.version_run != program.version and not newest:
        yield older_opencode
        return
    yield story
    if isinstance(program, OpenCodeWithPatch):
        return
    yield moved_home
    if isinstance(program, Hermes):
        yield profile


def _run(program: HostProgram, steps: Story, cloud: LiveCloud, record: Path | None) -> int:
    program.install()
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        root = Path(folder).resolve()
        world = HostWorld(root, cloud, root / "records" if record is not None else None)
        name = steps.__name__.replace("_", " ")
        print(f"\n{program.agent} {program.version_run} ({program.found_version(world)}), {name}", flush=True)
        failed = 0
        for step in steps(program, world):
            failed += step.held is False
            print(f"  {MARKS[step.held]:7} {step.name:45} {step.detail}", flush=True)
        if record is not None:
            _keep(world, program.agent, record)
    return failed


def _keep(world: HostWorld, agent: str, record: Path) -> None:
    """One file for each event and tool, the first of its kind, without the paths of this machine."""
    record.mkdir(parents=True, exist_ok=True)
    assert world.records is not None
    for path in sorted(world.records.glob("*.json")):
        try:
            said = json.loads(path.read_bytes())
        except ValueError:
            continue
        event, tool = said.get("hook_event_name", "none"), said.get("tool_name") or said.get("tool")
        kept = record / f"{'-'.join(filter(None, [agent, event, tool]))}.json"
        if not kept.exists():
            text = json.dumps(said, indent=1, ensure_ascii=False).replace(str(world.home), "/home/user")
            kept.write_text(text + "\n")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "gradata" / "campaigns" / "hosts"


if __name__ == "__main__":
    sys.exit(main())
