"""Which tests belong to which failure of docs/failures.md: a test has the failure's number in its name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "docs" / "failures.md"
_ROW = re.compile(r"^(\| (F\d+b?) \| .* \| .* \|)[^|\n]*\|$", re.MULTILINE)
_IN_A_NAME = re.compile(r"(?<=_)f\d+b?(?=_|$)")


def files_by_number() -> dict[str, list[Path]]:
    """For each failure number the files that have tests of it, in alphabetical order."""
    found: dict[str, list[Path]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for number in sorted(_numbers_in(path)):
            found.setdefault(number, []).append(path)
    return found


def _numbers_in(path: Path) -> set[str]:
    names = [
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    return {f"F{number[1:]}" for name in names for number in _IN_A_NAME.findall(name)}


def catalogued(text: str) -> list[str]:
    """The numbers of the catalogue's rows, in their order."""
    return [row[2] for row in _ROW.finditer(text)]


def with_tests(text: str) -> str:
    """The catalogue with the last column as it would be now."""
    tests = files_by_number()

    def row(found: re.Match[str]) -> str:
        links = [f"[{path.stem}](../{path.relative_to(ROOT).as_posix()})" for path in tests.get(found[2], [])]
        return f"{found[1]} {', '.join(links) or 'none yet'} |"

    return _ROW.sub(row, text)
