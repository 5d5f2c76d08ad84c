"""A short bad day of a small fleet; the whole one by `python -m tests.campaigns bad_day`."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.bad_day import run


def test_f30_f31_a_fleet_through_servers_that_die_is_stored_once(tmp_path: Path) -> None:
    """Both API processes are killed and PostgreSQL restarted: each promise is kept once, and every feed saw it."""
    figures = run(tmp_path, agents=3, seconds=4, rate=10)
    assert figures.fine, figures
    assert (figures.promised, figures.stored) == (120, 120)
