"""The documents are true: what is made from the code equals it, links lead somewhere, each notice is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replicator.status import HINTS
from tests.tidy.generated import ROOT, documents, layers, renewed

DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md")))
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")
_NOTICE = re.compile(r"Notice\(\s*\"([a-z_]+)\"")


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_generated_parts_are_what_the_code_says(path: Path) -> None:
    """Services and the API reference; mend with: python -m tests.tidy.generated."""
    text = path.read_text(encoding="utf-8")
    assert renewed(text) == text, "run: python -m tests.tidy.generated"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link names a file that is there."""
    for target in _LINK.findall(path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("folder", ["docs", "docs/decisions"])
def test_the_index_leads_to_every_page(folder: str) -> None:
    """A page that no index names is found by nobody."""
    index = ROOT / folder / "index.md"
    text = index.read_text(encoding="utf-8")
    linked = {(index.parent / target).resolve() for target in _LINK.findall(text)}
    pages = {page.resolve() for page in index.parent.glob("*.md")} - {index.resolve()}
    assert sorted(page.name for page in pages - linked) == []


@pytest.mark.parametrize("container", ["replicator", "gradata", "gradata.cloud"])
def test_the_code_map_names_every_package(container: str) -> None:
    """A package that docs/architecture.md does not describe is found by nobody."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    code_map = text[text.index("## Code map: replicator") : text.index("## The table of decisions")]
    rows = "\n".join(line.split("|")[1] for line in code_map.splitlines() if line.startswith("| `"))
    assert [name for layer in layers(container) for name in layer if f"`{name}`" not in rows] == []


def test_every_notice_is_explained() -> None:
    """One entry in the operating manual for each code that can be told: meaning, cause, cure."""
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "replicator").rglob("*.py")]
    codes = set(HINTS) | {code for text in sources for code in _NOTICE.findall(text)}
    manual = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    rows = "\n".join(line.split("|")[1] for line in manual.splitlines() if line.startswith("| `"))
    missing = {code for code in codes if f"`{code}`" not in rows}
    assert not missing, f"docs/operating.md explains no {sorted(missing)}"
    assert len(codes) > 15


def test_the_map_of_the_code_names_files_that_exist() -> None:
    """Whoever looks something up in CONTRIBUTING.md finds the file."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:replicator|gradata|tests|docs|fixtures|benchmarks|\.ci)/[\w./-]*)", text)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists() and "NAME" not in name and "a/b" not in name] == []
