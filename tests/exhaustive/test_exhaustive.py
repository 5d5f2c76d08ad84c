"""The whole state space of `progress` in a small world: safety in each state, liveness from each of them.

A larger fault budget: `REPLICATOR_FAULTS=3 pytest tests/exhaustive`, or
`python -m tests.campaigns exhaustive --faults 3`, which prints the figures.
"""

from __future__ import annotations

import os

import pytest

from replicator import progress
from replicator.progress import OUTCOMES_OF

from .logs import LOGS, first_state
from .walk import Figures, Walk

FAULTS = int(os.environ.get("REPLICATOR_FAULTS", "2"))
FEWER = {"two bad ones": 1, "poisons": 1}
"""Logs whose walks are large, or where more of them are three refusals in a row for ever: so many faults less."""
STATES_MIN = 1_000

TABLE = {(action.__name__, outcome.__name__) for action, outcomes in OUTCOMES_OF.items() for outcome in outcomes}
"""Each pair of action and outcome that there is."""


def walk(name: str, faults: int) -> Figures:
    return Walk(progress, [first_state(name, faults=faults)], states_max=20_000_000).run()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LOGS)
def test_nothing_is_lost_and_everything_arrives(name: str) -> None:
    """F13 F23 F26-F39: in each reachable state nothing is lost; from each of them a kind world delivers everything."""
    figures = walk(name, max(0, FAULTS - FEWER.get(name, 0)))
    assert figures.states > STATES_MIN


def test_the_walk_meets_the_whole_table() -> None:
    """Each outcome of each action occurs: a walk that never saw a reaction proves nothing about it."""
    assert walk("empty", 2).outcomes == TABLE
