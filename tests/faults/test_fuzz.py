"""A short run of each fuzz target: the committed corpus, and some hundred changes of it that are the same each time."""

from __future__ import annotations

import random

import pytest

from tests.campaigns.fuzz.plain import changed, corpus
from tests.campaigns.fuzz.targets import TARGETS

CHANGED = {"framing": 1_500, "envelope": 1_500, "records": 800, "answers": 3_000, "append": 800}


@pytest.mark.parametrize("name", TARGETS)
def test_f14_f32_f57_arbitrary_bytes_break_nothing(name: str) -> None:
    """Every input of the corpus and its changes: refused or read as said, without an unexpected exception."""
    inputs = corpus(name)
    assert inputs
    rng = random.Random(1)
    for data in [*inputs, *(changed(rng, inputs) for _ in range(CHANGED[name]))]:
        TARGETS[name](data)
