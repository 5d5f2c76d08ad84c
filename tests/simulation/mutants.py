"""Bugs seeded on purpose, and after how many seeds the simulation finds each: the proof that it can fail.

`python -m tests.campaigns seeded_bugs [--seeds 300] [--only NAME] [--jobs 2] [--write]` prints the table; `--write`
puts it into docs/reliability-mutants.md, once every bug was hunted. Each mutant is one replacement in a copy of the
sources; a text that is not there exactly once is an error, so that a mutant never silently becomes none.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .run import run_seed
from .world import Figures

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("replicator", "gradata", "tests/simulation")
SEEDS = 300
SECONDS_MAX = 1_800.0
DOCUMENT = ROOT / "docs" / "reliability-mutants.md"
BEGIN, END = "<!-- seeded bugs: written by tests.campaigns seeded_bugs --write -->", "<!-- end of the seeded bugs -->"


@dataclass(frozen=True, slots=True)
class Mutant:
    """In `file`, `old` becomes `new`. `bug`: what that is, in words."""

    name: str
    bug: str
    file: str
    old: str
    new: str


PROGRESS = "replicator/progress"
READING = "replicator/log/reading.py"
APPENDING = "replicator/log/appending.py"
INGEST = "gradata/cloud/domain/plan.py"
COMMIT = "gradata/cloud/store/sqlite/commit.py"
FACTS = "gradata/cloud/store/sqlite/facts.py"
SQLITE = "gradata/cloud/store/sqlite/store.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "unclamped wait",
        "an absurd Retry-After is believed",
        f"{PROGRESS}/transitions.py",
        "return min(max(retry_after_s or 0.0, 0.0), p.policy.retry_after_s_max)",
        "return max(retry_after_s or 0.0, 0.0)",
    ),
    Mutant(
        "upload to strangers",
        "another cloud at another address gets the log",
        f"{PROGRESS}/heads.py",
        "if another and p.endpoint_changed:",
        "if False:",
    ),
    Mutant(
        "reset forward",
        "an order beyond the cursor skips records",
        f"{PROGRESS}/log_side.py",
        "if there.size >= p.cursor.size:",
        "if False:",
    ),
    Mutant(
        "jump over refusals",
        "a head that is near is jumped to",
        f"{PROGRESS}/heads.py",
        "(resend is not None or _near(p, there))",
        "resend is not None",
    ),
    Mutant(
        "refused in a batch",
        "records that an ack names as refused are forgotten",
        f"{PROGRESS}/acks.py",
        "[why for why in ack.refused if 0 <= why.record - load.first < load.count]",
        "[]",
    ),
    Mutant(
        "all refused for good",
        "a proxy that refuses everything makes dead letters wholesale",
        f"{PROGRESS}/refusals.py",
        "if isolation.refused_in_a_row + 1 >= p.policy.refused_in_a_row_max:",
        "if False:",
    ),
    Mutant(
        "errors are breaks",
        "a log that cannot be read begins a new generation",
        f"{PROGRESS}/log_side.py",
        "    return replace(p, log_trouble=failed, load=None, caught_up=True)\n",
        "    return new_generation(p, failed.code) if failed.code != 'ENOENT' else"
        " replace(p, log_trouble=failed, load=None, caught_up=True)\n",
    ),
    Mutant(
        "the same batch for ever",
        "a batch that broke off on its way is sent again as it was",
        f"{PROGRESS}/table.py",
        "            p = broke_off(p, action) if cut else p\n",
        "",
    ),
    Mutant(
        "too slow is away",
        "a body that took too long says nothing of its size",
        "replicator/wire/client.py",
        "return Unavailable(detail, _retry_after(answer, now_wall), cut=True)",
        "return Unavailable(detail, _retry_after(answer, now_wall))",
    ),
    Mutant(
        "one page condemns",
        "one refusal of a proxy makes a dead letter",
        f"{PROGRESS}/refusals.py",
        "    if count >= p.policy.foreign_refusals_max:",
        "    if True:",
    ),
    Mutant(
        "pages are ours",
        "whatever has the status is taken for the cloud's own refusal",
        "replicator/wire/client.py",
        'return media_type == PROBLEM_TYPE and problem.get("code") in REFUSAL_CODES',
        "return bool(media_type or problem or True)",
    ),
    Mutant(
        "generations without end",
        "a cloud that is never content gets the log under ever new names",
        f"{PROGRESS}/transitions.py",
        "    if count >= policy.generations_max:",
        "    if False:",
    ),
    Mutant(
        "deaf to appends",
        "an append waits for the backoff of a cloud that is back",
        f"{PROGRESS}/log_side.py",
        "        p = replace(p, appended_at=now, retry=sooner)",
        "        p = replace(p, appended_at=now)",
    ),
    Mutant(
        "no anchor",
        "the reader does not look whether the cursor still fits",
        READING,
        "if cursor.anchor is not None and not scan.holds(cursor.anchor, cursor.offset):",
        "if False:",
    ),
    Mutant(
        "ships the unsynced",
        "the reader does not sync before records travel",
        READING,
        "        self._make_durable(fd, facts)\n",
        "",
    ),
    Mutant(
        "torn tail sent",
        "a piece of a record is taken for a record",
        "replicator/framing.py",
        "return ends if not ends or data[ends[-1] - 1] == NEWLINE else ends[:-1]",
        "return ends",
    ),
    Mutant(
        "glue",
        "a torn tail is not ended before the next record",
        APPENDING,
        "torn = self._ends_torn(fd)",
        "torn = False",
    ),
    Mutant(
        "short write",
        "what the disk did not take is forgotten",
        APPENDING,
        "while written < len(piece):",
        "if written < len(piece):",
    ),
    Mutant(
        "piece left", "a failed append leaves its piece", APPENDING, "self._disk.ftruncate(fd, end - length)", "pass"
    ),
    Mutant(
        "unsynced append",
        "append returns before the record is durable",
        APPENDING,
        "            self._disk.fdatasync(opened.fd)\n",
        "",
    ),
    Mutant(
        "name not durable",
        "the new log's name is not synced",
        APPENDING,
        "self._disk.sync_directory(os.path.dirname(self.path))",
        "pass",
    ),
    Mutant(
        "root of the wrong place",
        "the envelope tells the root behind the batch",
        "replicator/wire/client.py",
        '"root": cursor.root.hex(),\n        "count"',
        '"root": action.after.root.hex(),\n        "count"',
    ),
    Mutant(
        "504 pauses",
        "a gateway's time-out counts as a wrong address",
        "replicator/wire/client.py",
        "if 500 <= status <= 599:",
        "if 500 <= status <= 503:",
    ),
    Mutant(
        "overlap unseen",
        "other records are accepted in the place of stored ones",
        INGEST,
        "        if stored != sent:\n",
        "        if False:\n",
    ),
    Mutant(
        "gap accepted",
        "a batch one record too far is accepted",
        INGEST,
        "if request.first > size:",
        "if request.first > size + 1:",
    ),
    Mutant(
        "overlap appended",
        "records of the overlap are hashed again",
        INGEST,
        "tree, completed = extend(log.tree, leaves[overlap:])",
        "tree, completed = extend(log.tree, leaves)",
    ),
    Mutant(
        "offset of the overlap",
        "the head's offset counts the overlap twice",
        INGEST,
        "log.offset + sum(lengths[overlap:]),",
        "log.offset + sum(lengths),",
    ),
    Mutant(
        "root unchecked",
        "a fork behind the overlap goes unnoticed",
        INGEST,
        "if below.root != request.root:",
        "if False:",
    ),
    Mutant(
        "batch not learned",
        "an event that is twice in one batch is new twice",
        INGEST,
        "                known[event_id] = content\n",
        "",
    ),
    Mutant(
        "ids cut off",
        "the look-up of known events stops one too early",
        FACTS,
        "if len(rows) <= len(wanted):",
        "if True:",
    ),
    Mutant("no roll back", "a failed transaction stays open", SQLITE, 'self._connection.execute("ROLLBACK")', "pass"),
    Mutant(
        "row by row",
        "a transaction is none: a cut leaves half of it",
        SQLITE,
        '                self._connection.execute("BEGIN IMMEDIATE")\n'
        '                yield self._connection\n                self._connection.execute("COMMIT")\n',
        "                yield self._connection\n",
    ),
    Mutant(
        "failed save is a save",
        "a checkpoint that failed counts as done",
        "replicator/engine.py",
        "            return act.SaveFailed(str(error))\n",
        "            return act.Saved(None)\n",
    ),
    Mutant(
        "orders never end",
        "an order that was carried out stays in the sidecar",
        "replicator/engine.py",
        "done_reset=action.reset_id",
        "done_reset=0",
    ),
    Mutant(
        "tiles not kept",
        "the hashes of new records are not stored",
        COMMIT,
        "            self._write_tiles(log.key, parts)\n",
        "",
    ),
    Mutant(
        "name synced by others",
        "the reader ships a log whose name a power cut may take",
        READING,
        "                self._disk.sync_directory(os.path.dirname(self.path))\n",
        "",
    ),
    Mutant(
        "no budget",
        "requests are made as fast as they can be",
        "replicator/pacing.py",
        "        return max(ready, now)\n",
        "        return now\n",
    ),
)


def source_of(mutant: Mutant, root: Path = ROOT) -> str:
    """The mutated file. ValueError unless the text to replace is there exactly once."""
    text = (root / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: its text is {text.count(mutant.old)} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


@dataclass(frozen=True, slots=True)
class Found:
    """After how many seeds a mutant was found (None: never), how, and how long that took."""

    mutant: Mutant
    seeds: int | None
    how: str
    seconds: float


def hunt(mutant: Mutant, seeds: int = SEEDS) -> Found:
    """Run the simulation on a copy of the sources with this bug in it.

    AssertionError if the seed that finds it fails without the bug, too: that would be no finding of this bug.
    """
    mutated = source_of(mutant)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as place:
        for folder in COPIED:
            shutil.copytree(ROOT / folder, Path(place, folder), ignore=shutil.ignore_patterns("__pycache__"))
        Path(place, mutant.file).write_text(mutated, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "tests.campaigns", "simulation", "--seeds", f"1..{seeds}", "--until-found"],
            cwd=place,
            env={**os.environ, "PYTHONPATH": place, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    seconds = time.monotonic() - began_s
    said = re.search(r"^seed (\d+): (.*)$", done.stderr, re.MULTILINE)
    if said is None:
        assert done.returncode == 0, done.stderr[-2_000:]
        return Found(mutant, None, "", seconds)
    seed = int(said[1])
    assert isinstance(run_seed(seed), Figures), f"seed {seed} fails without the bug, too"
    return Found(mutant, seed, said[2], seconds)


def rows(hunted: Sequence[Found]) -> str:
    """The document's table: what was found soonest first."""
    lines = ["| bug | in | seeds until found | how it shows |", "|---|---|---|---|"]
    for found in sorted(hunted, key=lambda one: one.seeds or 10**9):
        seeds = "not found" if found.seeds is None else str(found.seeds)
        how = found.how.split(": ", 1)[-1] if found.how.startswith("ViolationError") else found.how
        how = re.sub(r"^at [\d.]+ s: ", "", how)[:120].replace("|", "\\|")
        lines.append(f"| {found.mutant.bug} | `{found.mutant.file}` | {seeds} | {how} |")
    return "\n".join(lines)


def write(hunted: Sequence[Found], document: Path = DOCUMENT) -> None:
    """Put the table between its two marks."""
    before, _, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    document.write_text(f"{before}{BEGIN}\n{rows(hunted)}\n{END}{after}", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """0: every mutant was found; 1: some were not."""
    parser = argparse.ArgumentParser(prog="tests.campaigns seeded_bugs")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", help="the name of one mutant")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    options = parser.parse_args(arguments)
    if options.write and options.only is not None:
        parser.error("--write is for the table of all of them")
    wanted = [mutant for mutant in MUTANTS if options.only in (None, mutant.name)]
    print(f"{'mutant':26} {'seeds':>5} {'seconds':>7}  how it was found")
    hunted = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(lambda mutant: hunt(mutant, options.seeds), wanted):
            hunted.append(found)
            seeds = "never" if found.seeds is None else str(found.seeds)
            print(f"{found.mutant.name:26} {seeds:>5} {found.seconds:7.1f}  {found.how[:110]}", flush=True)
    survivors = sum(found.seeds is None for found in hunted)
    if options.write:
        write(hunted)
    print(f"{len(wanted) - survivors} of {len(wanted)} found")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
