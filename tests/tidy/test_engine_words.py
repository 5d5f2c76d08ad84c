"""The engine knows logs and records: nothing that it says at run time is of the product that stands on it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradata.hints import HINTS
from tests.tidy.generated import ROOT

MODULES = sorted((ROOT / "replicator").rglob("*.py"))
WORDS = re.compile("gradata|brain|correction", re.IGNORECASE)
OF_THE_PROTOCOL = {
    "replicator/wire/__init__.py": {"CorrectionRequest", "correction_body", "parse_correction"},  # of schema 1
    "replicator/wire/common.py": {"application/vnd.gradata.batch"},
    "replicator/wire/client.py": {"brain_id", "brain_deleted", "/logs?brain="},
    "replicator/wire/replica.py": {"brain_id"},
    "replicator/wire/server.py": {"brain_id", "correction", "correction.", "correction.session"},
    "replicator/sink/reader.py": {"/logs?brain=", "/brains", "brains", "brain_id"},
    "replicator/testing/replica.py": {"gradata_hole", "brain"},
    "replicator/recovery/local.py": {'{"gradata_'},
    "replicator/recovery/restore.py": {
        '{"gradata_',
        r'\{"gradata_(hole|erased|expired|lost)":\{"(?:record":(\d{1,15})|first":(\d{1,15}),"end":(\d{1,15}))',
    },
}
"""Names of fields, paths and codes that docs/protocol.md has."""


def said(path: Path) -> Iterator[str]:
    """The texts in a module that are no docstrings and no annotations."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in silent:
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_text_of_the_engine_speaks_of_the_product(path: Path) -> None:
    """Messages, hints, headers and lines at exit: who replicates an orders.log reads nothing of brains."""
    allowed = OF_THE_PROTOCOL.get(path.relative_to(ROOT).as_posix(), set())
    found = {text for text in said(path) if WORDS.search(text)}
    assert found <= allowed


def test_each_hint_of_the_product_is_for_a_code_of_the_engine() -> None:
    """A code that was renamed would leave its hint unread."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)
    assert [code for code in HINTS if f'"{code}"' not in text] == []
