"""300 seeds of the simulation, and the proof that it can fail: every reaction is seen, seeded bugs are found."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from .mutants import BEGIN, END, MUTANTS, Found, hunt, source_of, write
from .oracle import ViolationError
from .reactions import never_seen
from .run import run_seeds, told
from .world import HEAL_S, World

SEEDS = 300
CHUNK = 10
FAULTLESS_SEED = 32
CHUNKS = [range(first, first + CHUNK) for first in range(1, SEEDS + 1, CHUNK)]


def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "simulation"
    shared.mkdir(exist_ok=True)
    return shared


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_nothing_is_lost_twice_or_healed_without_a_cause(
    seeds: range, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each seed: 0 lost, 0 twice, 0 unjustified repairs, byte-equal; who is last: every reaction was seen."""
    campaign = run_seeds(seeds)
    assert not campaign.failures, "\n\n".join(map(told, campaign.failures))
    shared = together(tmp_path_factory)
    written = shared / f"{seeds[0]}.part"
    written.write_text(json.dumps(campaign.seen), encoding="utf-8")
    written.rename(shared / f"{seeds[0]}.json")
    done = sorted(shared.glob("*.json"))
    if len(done) == len(CHUNKS):
        seen = sum((Counter(json.loads(part.read_text(encoding="utf-8"))) for part in done), Counter[str]())
        assert never_seen(seen) == [], "never seen in the whole run"


@pytest.mark.parametrize("seed", [3, 7, 25])
def test_a_seed_names_a_run(seed: int) -> None:
    """The same seed makes the same trace, line by line, so that a failure can be replayed."""
    first, second = World(seed, hours=1.0, traced=True).run(), World(seed, hours=1.0, traced=True).run()
    assert first == second
    assert len(first.trace) > 10


@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGINT, "1"), (signal.SIGTERM, "1"), (signal.SIGTERM, "2")])
def test_a_run_that_is_stopped_prints_its_sums(number: signal.Signals, jobs: str) -> None:
    """Hours of simulation are not lost to an impatient person: what was run is counted, and the exit code says 130."""
    command = [
        sys.executable,
        "-m",
        "tests.campaigns",
        "simulation",
        "--seeds",
        "1..100000",
        "--jobs",
        jobs,
        "--hours",
        "0.02",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "100000 seeds, from 1 on\n"
        running.send_signal(number)
        said, errors = running.communicate(timeout=120)
    assert running.returncode == 130, errors
    assert re.search(r"^stopped after \d+ of 100000 seeds\n\d+ seeds, ", said)
    assert "0 lost, 0 twice, 0 unjustified repairs" in said
    assert "never seen: absorbed again" in said


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_source(mutant: object) -> None:
    """Each bug seeded on purpose changes the present source, so that none of them is none."""
    assert source_of(mutant)  # type: ignore[arg-type]


def test_the_table_of_bugs_is_written_between_its_marks(tmp_path: Path) -> None:
    """What stands around it stays; sooner found is higher up, and what was not found says so."""
    document = tmp_path / "bugs.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nbehind\n", encoding="utf-8")
    one, two, three = MUTANTS[:3]
    hunted = [
        Found(one, None, "", 1.0),
        Found(two, 9, "Odd: a|b", 1.0),
        Found(three, 1, "ViolationError: at 1.5 s: x", 1.0),
    ]
    write(hunted, document)
    lines = document.read_text(encoding="utf-8").splitlines()
    assert (lines[:2], lines[-2:]) == (["before", BEGIN], [END, "behind"])
    assert [line.split(" | ", 2)[2] for line in lines[4:-2]] == ["1 | x |", "9 | Odd: a\\|b |", "not found |  |"]


@pytest.mark.parametrize("name", ["overlap appended", "piece left"])
def test_a_bug_is_found(name: str) -> None:
    """A bug in the cloud and one in the client are found within the seeds of a normal run; the table has the others."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)
    assert hunt(mutant).seeds is not None


def lose_a_row(world: World) -> None:
    """A row vanishes at the cloud, and no fault is to blame."""
    world.clouds[0].lose_rows(1)


def double_an_event(world: World) -> None:
    """One event stands in the projection twice."""
    world.clouds[0].store._connection.executescript(
        "DROP INDEX events_by_id; INSERT INTO events (brain_key, event_id, content, stored_at, type)"
        " SELECT brain_key, event_id, content, stored_at, type FROM events LIMIT 1;"
    )


def invent_an_event(world: World) -> None:
    """The projection has an event that nobody wrote, as if one had two names."""
    world.clouds[0].store._connection.executescript(
        "INSERT INTO events (brain_key, event_id, content, stored_at, type)"
        " SELECT brain_key, 'another', content, stored_at, type FROM events LIMIT 1;"
        "UPDATE brains SET events = events + 1;"
    )


def empty_the_cloud(world: World) -> None:
    """The cloud is made anew, and the client replays: right, had it had a cause."""
    world.clouds[0].lose_everything()


def append_unseen(world: World) -> None:
    """A record is there, and nobody looks."""
    world.directories[0].disk.append_unlocked(world.directories[0].path, b'{"late":1}\n')


def take_a_promise_back(world: World) -> None:
    """What was promised is gone when the power comes back."""
    world.directories[0].disk.replace(world.directories[0].path, b"")
    world.directories[0].power_cut()


@pytest.mark.parametrize(
    ("sabotage", "at_s", "kind"),
    [
        (lose_a_row, 3_000.0, "lost"),
        (take_a_promise_back, 3_000.0, "lost"),
        (double_an_event, 3_600.0 + HEAL_S, "twice"),
        (invent_an_event, 3_600.0 + HEAL_S, "twice"),
        (empty_the_cloud, 3_000.0, "unjustified"),
        (append_unseen, 3_600.0 + HEAL_S - 0.001, "late"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_oracle_can_fail(sabotage: Callable[[World], None], at_s: float, kind: str) -> None:
    """Each counter of the figures counts: what is spoilt on purpose is found, and called by its name."""
    world = World(FAULTLESS_SEED, hours=1.0)
    world.clock.after(at_s, lambda: sabotage(world))
    with pytest.raises(ViolationError) as found:
        world.run()
    assert found.value.kind == kind


def test_a_faultless_world_holds() -> None:
    """The seed of the sabotages is one in which nothing is found without them."""
    assert World(FAULTLESS_SEED, hours=1.0).run().faults == ()
