"""The mutation score of the pure core: `python -m tests.campaigns mutation [TARGET …] [--jobs 2] [--keep DIR]`.

mutmut makes every small change that it knows to a module (another operator, another constant, an argument left out)
and runs the module's own tests against each. What survives is a hole in the tests or changes nothing that anybody
could notice; the latter stand in `explained` with the reason. Exit 0: every survivor is explained and each score is at
least 95 %; 1: not so; 2: wrong usage.

The tests run in a copy without tests/conftest.py (its fixtures start servers, which pure modules do not need). Needs
the group `mutation`: `uv run --all-extras --group mutation python -m tests.campaigns mutation proof`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .explained import why
from .targets import TARGETS, Target

ROOT = Path(__file__).resolve().parents[3]
COPIED = ("replicator", "gradata", "tests", "fixtures")
SCORE_MIN = 0.95
SURVIVED, NO_TESTS = 0, 33
"""Exit codes by which mutmut tells them; 5 is pytest's for no tests."""
CONFTEST = """from hypothesis import settings

settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
settings.load_profile("mutation")
"""
"""The same examples in each run, so that a score can be repeated."""


_DIFFS = """
import json, sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
print(json.dumps([get_diff_for_mutant(name) for name in sys.argv[1:]]))
"""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A change that no test objected to. `why`: the reason it cannot be noticed, if one is written down."""

    name: str
    old: str
    new: str
    why: str | None


@dataclass(frozen=True, slots=True)
class Score:
    """What became of all changes to one target."""

    target: Target
    mutants: int
    survivors: tuple[Survivor, ...]
    seconds: float

    @property
    def killed(self) -> int:
        """Changes that a test objected to, or that never ended."""
        return self.mutants - len(self.survivors)

    @property
    def raw(self) -> float:
        """The share of all changes that was found."""
        return self.killed / max(1, self.mutants)

    @property
    def of_noticeable(self) -> float:
        """The share of those that can be noticed at all."""
        return self.killed / max(1, self.mutants - sum(one.why is not None for one in self.survivors))


def workspace(target: Target, place: Path) -> None:
    """A copy of the sources in which mutmut finds what to change and which tests to run."""
    for folder in COPIED:
        shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__", "conftest.py"))
    package = target.files[0].partition("/")[0]
    other = "gradata" if package == "replicator" else "replicator"
    lines = ["[mutmut]", f"source_paths={package}", "only_mutate=", *(f"    {file}" for file in target.files)]
    lines += ["also_copy=", *(f"    {folder}" for folder in (other, "fixtures"))]
    lines += ["pytest_add_cli_args_test_selection=", *(f"    {test}" for test in target.tests)]
    lines += ["pytest_add_cli_args=", "    -q", "    --import-mode=importlib", "    -p", "    no:cacheprovider"]
    lines += ["use_git_change_detection=false", "track_dependencies=false", "timeout_multiplier=10"]
    (place / "setup.cfg").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (place / "tests" / "conftest.py").write_text(CONFTEST, encoding="utf-8")


def _mutmut(place: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "mutmut", *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"mutmut {arguments[0]} failed:\n{done.stdout[-3_000:]}\n{done.stderr[-1_000:]}")
    return done.stdout


def _diffs(place: Path, names: list[str]) -> list[str]:
    """The change of each of these mutants; one process for all, since each costs seconds to begin."""
    command = [sys.executable, "-c", _DIFFS, *names]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def _survivor(name: str, diff: str, target: str) -> Survivor:
    lines = diff.splitlines()
    old = " ".join(line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---"))
    new = " ".join(line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++"))
    short = re.sub(r"^.*?\.x_?|__mutmut_\d+$", "", name).replace("ǁ", ".").lstrip(".")
    return Survivor(short, old, new, why(target, short, old, new))


def score(target: Target, *, jobs: int = 1, keep: Path | None = None) -> Score:
    """Change one target in every way, and run its tests against each."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as temporary:
        place = keep / target.name if keep is not None else Path(temporary)
        workspace(target, place)
        _mutmut(place, "run", "--max-children", str(jobs))
        codes: dict[str, int | None] = {}
        for meta in (place / "mutants").rglob("*.meta"):
            codes |= json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        alive = [name for name, code in codes.items() if code in (None, SURVIVED, NO_TESTS, 5)]
        diffs = zip(sorted(alive), _diffs(place, sorted(alive)), strict=True)
        survivors = tuple(_survivor(name, diff, target.name) for name, diff in diffs)
    return Score(target, len(codes), survivors, time.monotonic() - began_s)


def told(result: Score) -> str:
    """One row of the table."""
    explained = sum(one.why is not None for one in result.survivors)
    return (
        f"{result.target.name:12} {result.mutants:7} {result.killed:6} {len(result.survivors):8} {explained:9}"
        f" {result.raw:7.1%} {result.of_noticeable:10.1%} {result.seconds:7.0f}"
    )


def row(result: Score, one: Survivor) -> str:
    """A survivor as a row of the document's table."""
    old, new = (f"`{text.replace('|', chr(92) + '|')}`" if text else "" for text in changed(one.old, one.new))
    return f"| {result.target.name} | `{one.name}` | {old} | {new} | {one.why or '**unexplained**'} |"


def changed(old: str, new: str) -> tuple[str, str]:
    """What differs, with a few characters around it."""
    start = next((place for place, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    tail = 0
    while tail < min(len(old), len(new)) - start and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    begin = max(0, start - 24)
    return old[begin : len(old) - max(0, tail - 16)].strip(), new[begin : len(new) - max(0, tail - 16)].strip()


def main(arguments: list[str] | None = None) -> int:
    """0: every score is high enough, every survivor explained; 1: not so."""
    parser = argparse.ArgumentParser(
        prog="tests.campaigns mutation", description="The mutation score of the pure core."
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; none: all of them")
    parser.add_argument("--jobs", type=int, default=1, help="tests at a time")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep mutmut's workspaces there")
    parser.add_argument("--explained", action="store_true", help="print the explained survivors too")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the rows of the document's tables there")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target {unknown[0]}; there are {', '.join(TARGETS)}")
    print(f"{'target':12} mutants killed survived explained   score noticeable seconds")
    results = []
    for name in options.targets or TARGETS:
        results.append(score(TARGETS[name], jobs=options.jobs, keep=options.keep))
        print(told(results[-1]), flush=True)
    for result in results:
        for one in result.survivors:
            if one.why is None or options.explained:
                print(f"\n{result.target.name}: {one.name}\n  - {one.old}\n  + {one.new}\n  {one.why or 'UNEXPLAINED'}")
    if options.table is not None:
        rows = [*map(told, results), "", *(row(result, one) for result in results for one in result.survivors)]
        options.table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    mutants, killed = sum(one.mutants for one in results), sum(one.killed for one in results)
    explained = sum(survivor.why is not None for one in results for survivor in one.survivors)
    print(f"\nall: {killed} of {mutants} found ({killed / mutants:.1%}), {explained} more cannot be noticed")
    print(f"{killed / (mutants - explained):.1%} of those that can be noticed")
    good = all(one.of_noticeable >= SCORE_MIN and all(s.why for s in one.survivors) for one in results)
    return 0 if good else 1
