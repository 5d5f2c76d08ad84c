"""Each bug that was seeded on purpose is found. The cheap ones in each run, all of them with `REPLICATOR_MUTANTS=all`.

`python -m tests.campaigns exhaustive --mutants` prints who finds which, and how fast.
"""

from __future__ import annotations

import os

import pytest

from .mutants import MUTANTS, Mutant, found_by, mutated

CHOSEN = [mutant for mutant in MUTANTS if mutant.cheap or os.environ.get("REPLICATOR_MUTANTS") == "all"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", CHOSEN, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_seeded_bug_is_found(mutant: Mutant) -> None:
    """The walk or a scenario objects to it."""
    assert found_by(mutant) is not None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_seeded_bug_still_applies(mutant: Mutant) -> None:
    """Its source is there exactly once: none of them rots unseen."""
    mutated(mutant)
