"""The examples of the documents: code blocks behind `<!-- example: NAME -->`, for the tests that run each by name."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"<!-- example: (?P<name>\w+) -->\n```(?P<language>\w+)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


def examples(document: str) -> dict[str, str]:
    """The code of each named example of a document, such as `docs/library.md`."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return {found["name"]: found["code"] for found in _BLOCK.finditer(text)}
