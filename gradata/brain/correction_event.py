"""Validates a correction's arguments and builds the fields of its event's data.

Pure. Rules, messages and fields are unchanged since 0.6.0: programs match on them. Partners: `correction_diff`, which
finds the changes, and `brain`, which calls this first, before anything is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from gradata.brain import correction_diff
from gradata.brain.redaction.redaction import RedactedText, redact, without_placeholders

PREVIEW_CHARACTERS_MAX = 2_000
CATEGORY_CHARACTERS_MAX = 64
PLATFORM = "raw-python"


def correction_data(
    draft: str,
    final: str,
    *,
    category: str | None,
    scope: str | None,
    applies_to: str | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The data of a CORRECTION; of `options` those that are set. Bounded time.

    Texts are redacted before they are cut, so that no cut leaves half a secret. Raises ValueError for a category
    or scope that is none.
    """
    chosen_scope, chosen = scope_of(scope), category_of(category)
    redacted, redacted_final = redact(draft), redact(final)
    words, words_of_final = without_placeholders(redacted), without_placeholders(redacted_final)
    found = correction_diff.analyse(draft, final, words, words_of_final)
    data = {
        "draft_text": RedactedText(redacted[:PREVIEW_CHARACTERS_MAX]),
        "final_text": RedactedText(redacted_final[:PREVIEW_CHARACTERS_MAX]),
        "edit_distance": found.distance.value,
        "severity": found.severity,
        "outcome": found.severity,
        "major_edit": found.severity in ("major", "discarded"),
        "category": chosen or found.category,
        "summary": found.summary,
        "classifications": [
            {"category": each.category, "severity": found.severity, "description": each.description}
            for each in found.classifications
        ],
        "lines_added": found.lines_added,
        "lines_removed": found.lines_removed,
        "correction_scope": chosen_scope,
        "applies_to": applies_to,
        "platform_source": PLATFORM,
    }
    if max(len(redacted), len(redacted_final)) > PREVIEW_CHARACTERS_MAX:
        data["texts_sha256"] = _digest(redacted, redacted_final)
    if found.distance.estimated:
        data["edit_distance_estimated"] = True
    return data | {name: value for name, value in options.items() if value}


def _digest(draft: str, final: str) -> str:
    """Of texts that are cut: what tells two corrections apart whose first characters are the same."""
    parts = (str(len(draft)), draft, final)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def check_texts(draft: object, final: object) -> None:
    """ValueError unless the texts are a correction: not both empty, not the same, not too long together."""
    if not isinstance(draft, str) or not isinstance(final, str):
        raise ValueError("draft and final must be text")
    if not draft and not final:
        raise ValueError("Both draft and final are empty: nothing to correct.")
    if draft == final:
        raise ValueError("draft and final are identical: no correction detected.")
    if len(draft) + len(final) > correction_diff.TEXT_CHARACTERS_MAX:
        raise ValueError(
            f"Combined input length ({len(draft) + len(final)}) exceeds limit ({correction_diff.TEXT_CHARACTERS_MAX})."
        )


def checked_session(session: object) -> int | None:
    """The session, or None if none is named; ValueError for anything but a positive integer."""
    if session is None:
        return None
    if isinstance(session, int) and not isinstance(session, bool) and 0 < session < 1 << 63:
        return session
    raise ValueError(f"session must be a positive integer, got {session!r}")


def scope_of(scope: str | None) -> str:
    """The scope in its one form; ValueError for an unknown one."""
    chosen = "domain" if scope is None else str(scope).strip().lower()
    if chosen not in correction_diff.SCOPES:
        raise ValueError(f"scope must be one of {', '.join(correction_diff.SCOPES)}")
    return chosen


def category_of(category: object) -> str | None:
    """Upper case, redacted, at most 64 characters; None if there is none."""
    if not isinstance(category, str | None):
        raise ValueError("category must be text")
    return redact((category or "").strip())[:CATEGORY_CHARACTERS_MAX].upper() or None
