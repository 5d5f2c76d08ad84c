"""The mutation program names what is there, and excuses no change that can be noticed."""

from __future__ import annotations

import pytest

from tests.campaigns.mutation.explained import RULES, why
from tests.campaigns.mutation.run import ROOT, Score, Survivor, changed
from tests.campaigns.mutation.targets import TARGETS, Target


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_target_names_files_and_tests_that_exist(target: Target) -> None:
    """A module that was moved is not silently left out of the score."""
    for name in (*target.files, *target.tests):
        assert (ROOT / name).is_file(), name


def test_each_rule_has_a_reason_and_a_target() -> None:
    """A survivor is excused for a reason that can be read, in a module that is mutated."""
    for rule in RULES:
        assert len(rule.why) > 20
        assert rule.target == ".*" or rule.target in TARGETS


@pytest.mark.parametrize(
    ("target", "function", "old", "new"),
    [
        ("progress", "acked", "if ack.head.size < mine.size:", "if ack.head.size <= mine.size:"),
        ("progress", "compared", "caught_up=False", "caught_up=True"),
        ("progress", "heard", "load=None", ""),
        ("pacing", "Budget.spent", "gone += 1", "gone = 1"),
        ("framing", "reach", "assert record_bytes_max > 0", "assert record_bytes_max >= 0"),
        ("proof", "extend", 'b"\\x01" + a + b', 'b"\\x01" + b + a'),
    ],
)
def test_what_can_be_noticed_is_not_excused(target: str, function: str, old: str, new: str) -> None:
    """Rules are narrow: beside each excused change there are others that a test must find."""
    assert why(target, function, old, new) is None


def test_scores_count_explained_survivors_once() -> None:
    """8 of 10 found, one more cannot be noticed: 80 % of all, 8 of 9 of what can be noticed."""
    target = next(iter(TARGETS.values()))
    score = Score(target, 10, (Survivor("f", "a", "b", "because"), Survivor("f", "a", "c", None)), 1.0)
    assert (score.killed, score.raw, score.of_noticeable) == (8, 0.8, 8 / 9)


def test_a_row_shows_what_changed() -> None:
    """Only the place that differs, with a little around it."""
    assert changed("return x + 1", "return x - 1") == ("return x + 1", "return x - 1")
