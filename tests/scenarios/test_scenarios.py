"""Scenario scripts in fixtures/scenarios: what the real engine does, step by step, in words.

After a change that is meant, `python -m tests.scenarios --regenerate` writes them anew; the diff is the review.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .script import regenerate

FOLDER = Path(__file__).parents[2] / "fixtures" / "scenarios"
SCRIPTS = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_scenario(script: Path) -> None:
    """F04-F13, F23-F39: the script prints what its file says."""
    text = script.read_text(encoding="utf-8")
    assert regenerate(text) == text


def test_there_are_scenarios() -> None:
    """An empty folder would prove nothing."""
    assert len(SCRIPTS) >= 14
