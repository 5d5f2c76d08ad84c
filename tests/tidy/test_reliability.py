"""docs/reliability.md names a test for each promise: each of them is there, so that no promise outlives its proof."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.campaigns.__main__ import CAMPAIGNS

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "reliability.md"
DOCUMENTS = (DOCUMENT, ROOT / "docs" / "testing.md", ROOT / "docs" / "scaling.md")
NAMED = re.compile(r"`(tests/[\w/.]+\.py)::(test_\w+)`")
GUARANTEE = re.compile(r"^(\d+)\. (.*?)(?=^\d+\. |^## |\Z)", re.MULTILINE | re.DOTALL)


def guarantees() -> list[tuple[int, str]]:
    """The numbered sentences, each with all that stands below it."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("<!-- guarantees -->")[2].partition("\n## ")[0]
    return [(int(number), text) for number, text in GUARANTEE.findall(section)]


def names_in(path: Path) -> set[str]:
    """The names of a file's tests; none if there is no such file."""
    if not path.exists():
        return set()
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_guarantee_names_tests_that_exist() -> None:
    """Each numbered promise has at least one test, and every test that the document names is there."""
    named = NAMED.findall(DOCUMENT.read_text(encoding="utf-8"))
    gone = [f"{path}::{name}" for path, name in named if name not in names_in(ROOT / path)]
    assert gone == []
    assert [number for number, text in guarantees() if not NAMED.search(text)] == []


def test_guarantees_are_numbered_without_a_gap() -> None:
    """A number names a promise for good: 1, 2, 3, …"""
    numbers = [number for number, _ in guarantees()]
    assert numbers
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_command_of_the_documents_is_a_program_that_exists() -> None:
    """`python -m x.y` of a document is a module or package of this repository that can be run, or a campaign."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    modules = set(re.findall(r"python -m ([\w.]+)(?: (\w+))?", text))
    assert modules
    for module, name in modules:
        place = ROOT.joinpath(*module.split("."))
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module
        assert module != "tests.campaigns" or name in ("", *CAMPAIGNS), name
