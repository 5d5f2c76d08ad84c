"""300 seeds of the simulation, and the proof that it can fail: every reaction is seen, seeded bugs are found."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from .faults import FAULTS
from .mutants import MUTANTS, hunt, source_of
from .run import run_seeds, told
from .world import World

SEEDS = 300
CHUNK = 10
CHUNKS = [range(first, first + CHUNK) for first in range(1, SEEDS + 1, CHUNK)]

REACTIONS = (
    "absorbed again",
    "answer 401",
    "answer 409",
    "answer 429",
    "answer 503",
    "append failed",
    "append not durable",
    "batch halved",
    "batch halved by records",
    "cloud_changed",
    "compared",
    "confirmed: gone",
    "confirmed: held",
    "conflict: diverged",
    "conflict: gap",
    "conflicting event",
    "dead_letter",
    "denied",
    "disagreement",
    "flagged",
    "gone",
    "group of several",
    "held",
    "jumped",
    "leader killed between steps",
    "log missing",
    "log_unreadable",
    "malformed",
    "misconfigured",
    "new_generation",
    "no_key",
    "read in mid-write",
    "recovered",
    "refused by the cloud",
    "refusing",
    "request: hole",
    "resend",
    "reset",
    "rewound",
    "rows mended",
    "sends up to a near head again",
    "sidecar",
    "sidecar rebuilt from the cloud",
    "taken over by another process",
    "throttled",
    "too_old",
    "torn tail ended",
    "transaction failed",
    "unavailable",
    "waited for the budget",
    "writer killed in mid-write",
)
"""What the whole run must see at least once: a reaction that never happens is not tested."""


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
        wanted = {*REACTIONS, *(f"fault: {fault.name}" for fault in FAULTS)}
        assert wanted - seen.keys() == set(), "never seen in the whole run"


@pytest.mark.parametrize("seed", [3, 7, 25])
def test_a_seed_names_a_run(seed: int) -> None:
    """The same seed makes the same trace, line by line, so that a failure can be replayed."""
    first, second = World(seed, hours=1.0, traced=True).run(), World(seed, hours=1.0, traced=True).run()
    assert first == second
    assert len(first.trace) > 10


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_source(mutant: object) -> None:
    """Each bug seeded on purpose changes the present source, so that none of them is none."""
    assert source_of(mutant)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["overlap unseen", "upload to strangers"])
def test_a_bug_is_found(name: str) -> None:
    """A bug in the cloud and one in the client are found within the seeds of a normal run; the table has the others."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)
    assert hunt(mutant).seeds is not None
