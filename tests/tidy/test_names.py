"""One word for one thing: no public class of the engine has a name that another public class of it has."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.tidy.generated import ROOT


def test_no_public_class_name_of_the_engine_stands_for_two_things() -> None:
    """A reader who meets a name knows which class it is."""
    homes = defaultdict(list)
    for path in sorted((ROOT / "replicator").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(path.relative_to(ROOT).as_posix())
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}
