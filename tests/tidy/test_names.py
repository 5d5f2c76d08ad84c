"""One name, one thing: no public class or type alias of the two packages has the name of another one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("replicator", "gradata") for path in (ROOT / package).rglob("*.py"))
_PUBLIC = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")


def public_names(tree: ast.Module) -> Iterator[str]:
    """Classes at any depth, and type aliases of the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name
    for node in tree.body:
        if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call | ast.Constant):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def places_by_name() -> dict[str, list[str]]:
    """For each public name the modules that define it."""
    found: dict[str, list[str]] = {}
    for path in SOURCES:
        for name in public_names(ast.parse(path.read_text(encoding="utf-8"))):
            if _PUBLIC.fullmatch(name):
                found.setdefault(name, []).append(path.relative_to(ROOT).as_posix())
    return found


def test_a_public_name_stands_for_one_thing() -> None:
    """Qualify a name by its subject: `BrainStanding`, not a second `Standing`."""
    assert {name: places for name, places in places_by_name().items() if len(places) > 1} == {}
