"""progress: the table of legal pairs of action and outcome, and what it asserts."""

from __future__ import annotations

from typing import get_args

import pytest

from replicator import actions as act
from replicator.model import Policy
from replicator.progress import OUTCOMES_OF, Progress, advance

ACTIONS, OUTCOMES = get_args(act.Action), get_args(act.Outcome)
ILLEGAL = [
    pytest.param(action, outcome, id=f"{action.__name__}-{outcome.__name__}")
    for action in ACTIONS
    for outcome in OUTCOMES
    if outcome not in OUTCOMES_OF[action]
]


def test_each_action_and_each_outcome_stands_in_the_table() -> None:
    """Nothing can be done, and nothing can come of it, that has no row."""
    assert set(OUTCOMES_OF) == set(ACTIONS)
    assert {outcome for outcomes in OUTCOMES_OF.values() for outcome in outcomes} == set(OUTCOMES)
    assert len(ILLEGAL) == len(ACTIONS) * len(OUTCOMES) - sum(map(len, OUTCOMES_OF.values())) > 100


@pytest.mark.parametrize(("action", "outcome"), ILLEGAL)
def test_a_pair_that_is_not_in_the_table_asserts(action: type[act.Action], outcome: type[act.Outcome]) -> None:
    """An outcome of another action is a programmer's mistake, never a transition."""
    p = Progress.start(None, policy=Policy(), endpoint="https://here/api/v1")
    message = f"{outcome.__name__} is no outcome of {action.__name__}"
    with pytest.raises(AssertionError, match=message):
        advance(p, action.__new__(action), outcome.__new__(outcome), began=0.0, now=0.0, jitter=0.5)
