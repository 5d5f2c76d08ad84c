"""Where tests stand: a module's unit tests are found from its name; programs that are no tests are campaigns."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.campaigns.__main__ import CAMPAIGNS

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "tests" / "unit"
TESTS = sorted(UNIT.rglob("test_*.py"))
OF_A_PACKAGE = {
    "replicator/wire/test_wire_golden.py": "both sides of the protocol, against fixtures/wire",
    "replicator/wire/test_wire_words.py": "both sides of the protocol, to the last word",
    "gradata/cloud/domain/test_plan_words.py": "the plan's answers to the last word",
}
"""Unit tests whose subject is more than the module of their name, and what it is."""


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.relative_to(UNIT).as_posix())
def test_a_unit_test_is_named_after_its_module(path: Path) -> None:
    """`tests/unit/a/b/test_c.py` is about `a/b/c.py`, or about the package `a/b` if that is called c."""
    place = path.relative_to(UNIT)
    if place.as_posix() in OF_A_PACKAGE:
        return
    name = place.stem.removeprefix("test_")
    parent = ROOT / ("tests" if place.parts[0] == "support" else "") / place.parent
    assert (parent / f"{name}.py").exists() or parent.name == name, (
        f"{place}: tests of a/b/c.py stand in tests/unit/a/b/test_c.py"
    )


def test_what_is_excused_is_there() -> None:
    """An excuse goes with its file."""
    assert [name for name in OF_A_PACKAGE if not (UNIT / name).exists()] == []


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_campaign_can_be_started(name: str) -> None:
    """Each name of the table has a module with a `main`."""
    assert callable(importlib.import_module(CAMPAIGNS[name][0]).main)
