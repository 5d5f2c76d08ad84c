"""Values for the templates: an event as a correction, numbers and times as text.

Pure. Every text of an event is escaped by the templates; nothing here marks anything as safe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from gradata.cloud.dashboard.text_diff import Piece, difference
from gradata.cloud.domain.severities import SEVERITIES
from gradata.cloud.service.fleet_state import size, span
from gradata.cloud.store.values import StoredEvent
from replicator.framing import Uninterpretable, interpret

SUMMARY_CHARACTERS_MAX = 400


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction as a page shows it."""

    cursor: int
    category: str | None
    severity: str | None
    severity_class: str
    session: int | str | None
    stored_at: int
    summary: str
    pieces: Sequence[Piece]


def correction_of(event: StoredEvent) -> Correction:
    """An event in the form of this product, or of older clients; texts that are missing stay empty."""
    interpreted = interpret(event.record or b"")
    fields: Mapping[str, Any] = {} if isinstance(interpreted, Uninterpretable) else interpreted
    inner = fields.get("data")
    if not isinstance(inner, dict):
        inner = fields.get("correction")
    data: Mapping[str, Any] = inner if isinstance(inner, dict) else fields
    draft = _text(data, "draft_text", "draft_preview", "draft")
    final = _text(data, "final_text", "final_preview", "final")
    summary = _text(data, "summary", "description")
    return Correction(
        cursor=event.cursor,
        category=event.category,
        severity=event.severity,
        severity_class=event.severity if event.severity in SEVERITIES else "",
        session=event.session,
        stored_at=event.stored_at,
        summary=summary[:SUMMARY_CHARACTERS_MAX],
        pieces=difference(draft, final) if draft or final else (),
    )


def _text(data: Mapping[str, Any], *names: str) -> str:
    found = next((data[name] for name in names if isinstance(data.get(name), str)), "")
    # A lone surrogate is in no encoding, so no page could be sent with it.
    return found.encode("utf-8", "replace").decode("utf-8") if isinstance(found, str) else ""


def environment() -> Environment:
    """The templates, with their words for numbers and times. Everything is escaped."""
    made = Environment(
        loader=PackageLoader("gradata.cloud.dashboard"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "iso": _iso,
        "clock": _clock,
        "number": "{:,}".format,
        "bytes": lambda count: size(count) if count else "none",
        "span": lambda seconds: "none" if not seconds else span(seconds),
        "sentence": lambda words: words[:1].upper() + words[1:],
        "worst": lambda values: max(values, default=0.0),
    }
    return made


def _at(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _iso(microseconds: int) -> str:
    return _at(microseconds).isoformat(timespec="seconds")


def _clock(microseconds: int) -> str:
    return f"{_at(microseconds):%Y-%m-%d %H:%M} UTC"


def static_files() -> dict[str, bytes]:
    """The files that the pages name, by their path; they are few and small."""
    root = resources.files("gradata.cloud.dashboard").joinpath("static")
    found: dict[str, bytes] = {}
    for folder, prefix in ((root, ""), (root.joinpath("vendor"), "vendor/")):
        found |= {prefix + file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    return found
