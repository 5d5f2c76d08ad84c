"""Kill -9 at random, a few rounds; many by `python -m tests.campaigns kills --rounds 200`."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.kills import run


def test_f17_f23_f44_kills_at_random_break_no_promise(tmp_path: Path) -> None:
    """Writers, replicators and the server die in the middle: 0 lost, 0 twice, roots and bytes equal."""
    figures = run(6, 20_261_123, tmp_path)
    assert figures.promised > 0
    assert sum(figures.kills.values()) >= 6
    assert figures.fine, figures
