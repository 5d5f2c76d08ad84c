"""A small fleet moved from hooks to write-through; 27 agents by `python -m tests.campaigns fleet --agents 27`."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.fleet import run


def test_f33_f44_f53_a_fleet_is_moved_and_survives_without_stopping_an_agent(tmp_path: Path) -> None:
    """Installed one by one; the cloud away, a key rotated, agents killed: nothing lost or twice, and doctor is true."""
    figures = run(tmp_path, 3, outage_s=0.5, steady_s=1.0, pace_s=0.5, hook_every=9, asked_max=1)
    assert figures.promised > 0
    assert figures.fine, figures.untrue or figures
