"""What programs written for the published SDK call: docs/migrating.md lists it, and each of its lines is run here."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradata import Brain
from gradata.brain.brain import Ports
from gradata.brain.sdk_names import SDK_METHODS
from replicator.errors import ConfigurationError

DOCUMENT = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text("utf-8")
SECTION = DOCUMENT.partition("### What programs call")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| `(.+?)` \| (works|`\w+`) \| .+ \|$", SECTION, re.MULTILINE)
ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (AttributeError, ConfigurationError, ImportError, KeyError, ValueError)
}


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the lines of the table use: `Brain`, an open `brain`, its `dir`, and the path of a `new` one."""
    for variable in [name for name in os.environ if name.startswith("GRADATA_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GRADATA_CLOUD_SYNC_DISABLE", "1")
    with contextlib.ExitStack() as open_brains:
        brain = open_brains.enter_context(Brain.init(tmp_path / "brain"))
        yield {"Brain": Brain, "brain": brain, "dir": tmp_path / "brain", "new": tmp_path / "new"}


@pytest.mark.parametrize(("call", "here"), ROWS, ids=[call for call, _ in ROWS])
def test_each_call_of_the_table_does_what_it_says(names: dict[str, Any], call: str, here: str) -> None:
    """It works, or raises the exception that is named, with words."""
    program = compile(call, "docs/migrating.md", "exec" if call.startswith(("from ", "import ")) else "eval")
    if here == "works":
        made = eval(program, names)
        if isinstance(made, Brain):
            made.close()
        return
    with pytest.raises(ERRORS[here.strip("`")]) as caught:
        eval(program, names)
    assert len(str(caught.value)) > 20


def test_the_table_is_read_whole() -> None:
    """Every line between its head and the next section is one of those that were run."""
    lines = [line for line in SECTION.splitlines() if line.startswith("| `")]
    assert len(lines) == len(ROWS) >= 25


def test_what_is_said_of_a_new_brain_is_its_first_event(tmp_path: Path) -> None:
    """Once: an existing brain is opened as it is."""
    for _ in range(2):
        with Brain.init(tmp_path / "b", domain="Sales", company="Acme", environ={"HOME": str(tmp_path)}) as brain:
            found = brain.query_events("BRAIN_INIT")
    assert [event["data"] for event in found] == [{"domain": "Sales", "company": "Acme"}]


def test_the_id_is_the_row_and_none_while_it_is_behind(tmp_path: Path) -> None:
    """As `query_events` shows it; a database that cannot be written to makes no correction fail."""
    with Brain.init(tmp_path / "b", environ={"HOME": str(tmp_path)}) as brain:
        first, second = brain.correct("a b", "a c"), brain.emit("NOTE", "me")
        assert [event["id"] for event in brain.query_events()] == [second["id"], first["id"]]
        assert first["_persisted"] == {"jsonl": True, "sqlite": True}
        brain.close()
        brain.db_path.unlink()
        brain.db_path.mkdir()
        third = brain.correct("d e", "d f")
        assert (third["id"], third["_persisted"]) == (None, {"jsonl": True, "sqlite": False})


def test_both_names_of_the_key_are_one(tmp_path: Path) -> None:
    """The same under both is fine; two that differ are a mistake that is told."""
    options: dict[str, Any] = {"environ": {"HOME": str(tmp_path)}, "ports": Ports(open_replicator=lambda *_: None)}
    with Brain.init(tmp_path / "b", api_key="gk_live_a", key="gk_live_a", **options) as brain:
        assert brain.settings.read_key() == "gk_live_a"
    with pytest.raises(ValueError, match="differ"):
        Brain(tmp_path / "b", api_key="gk_live_a", key="gk_live_b", **options)


def test_methods_of_the_sdk_are_no_attributes(names: dict[str, Any]) -> None:
    """`hasattr` says no, and the error says where they are; none of ours is among them."""
    brain = names["brain"]
    assert not any(hasattr(brain, name) for name in SDK_METHODS)
    with pytest.raises(AttributeError, match="is a method of the SDK"):
        brain.export  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'serach'"):
        brain.serach  # noqa: B018
