"""What the pages show, without a server: differences, corrections, sessions, addresses, charts, vendored files."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradata.cloud.dashboard.formatting import correction_of, environment, static_files
from gradata.cloud.dashboard.pages import local_path
from gradata.cloud.dashboard.text_diff import CHARACTERS_MAX, Piece, difference
from gradata.cloud.domain.daily_counts import DayKind
from gradata.cloud.http.session_cookie import SESSION_S, make_session, read_session
from gradata.cloud.routes.monitoring import chart_json, lag_json
from gradata.cloud.store.values import StoredEvent

SECRET = b"s" * 32


@settings(deadline=None)
@given(st.text("ab .\n<", max_size=60), st.text("ab .\n<", max_size=60))
def test_a_difference_is_both_texts(draft: str, final: str) -> None:
    """What is kept or cut is the draft, what is kept or added the final; no piece is empty."""
    pieces = difference(draft, final)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == draft
    assert "".join(piece.text for piece in pieces if piece.kind != "cut") == final
    assert all(piece.text for piece in pieces)


def test_a_difference_is_made_of_words() -> None:
    """Not of letters, and neighbouring words are one change."""
    assert difference("the user does not exists.", "the user does not exist.") == [
        Piece("kept", "the user does not "),
        Piece("cut", "exists"),
        Piece("added", "exist"),
        Piece("kept", "."),
    ]
    assert difference("it is so good", "it was bad") == [
        Piece("kept", "it "), Piece("cut", "is so good"), Piece("added", "was bad"),
    ]  # fmt: skip


@pytest.mark.timeout(10)
def test_a_difference_is_bounded() -> None:
    """Texts of a million characters are shown up to a limit, and unrelated ones as replaced."""
    pieces = difference("a b " * 250_000, "c d " * 250_000)
    assert [piece.kind for piece in pieces] == ["cut", "added"]
    assert max(len(piece.text) for piece in pieces) <= CHARACTERS_MAX + 1


def event(record: bytes | None) -> StoredEvent:
    """An event with this record."""
    return StoredEvent(7, "id", 1_764_000_000_000_000, None, record, "CORRECTION", "TONE", "minor", 3, None)


@pytest.mark.parametrize(
    "record",
    [
        {"data": {"draft_text": "a", "final_text": "b"}},
        {"correction": {"draft_preview": "a", "final_preview": "b"}},
        {"draft": "a", "final": "b"},
    ],
)
def test_every_form_of_a_correction_is_shown(record: dict[str, object]) -> None:
    """This product's, the older client's, and that of hooks."""
    assert correction_of(event(json.dumps(record).encode())).pieces == [Piece("cut", "a"), Piece("added", "b")]


@pytest.mark.parametrize("record", [None, b"", b"garbage", b"[]\n", b'{"data": 3}\n', b'{"data": {"draft_text": 4}}\n'])
def test_what_has_no_texts_is_shown_without(record: bytes | None) -> None:
    """Nothing in a record can break a page."""
    assert correction_of(event(record)).pieces == ()


def test_f59_texts_are_inert() -> None:
    """Markup, quotes and lone surrogates of an event are text in the page."""
    nasty = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\ud800{{7*7}}"
    record = json.dumps({"data": {"draft_text": nasty, "final_text": "x", "summary": nasty}}).encode()
    shown = str(environment().get_template("parts.html").module.correction(correction_of(event(record))))  # type: ignore[attr-defined]
    shown.encode()
    assert "<script" not in shown
    assert "<img" not in shown
    assert "{{7*7}}" in shown


def test_a_session_is_its_keys_for_a_while() -> None:
    """Until it ends; with another secret, another key or another end it is nobody's."""
    token = make_session("gk_live_abcd1234", SECRET, now_s=1_764_000_000)
    session = read_session(token, SECRET, now_s=1_764_000_000 + SESSION_S - 1)
    assert session is not None
    assert (session.prefix, session.ends_s) == ("gk_live_abcd1234", 1_764_000_000 + SESSION_S)
    assert read_session(token, SECRET, now_s=1_764_000_000 + SESSION_S) is None
    assert read_session(token, b"t" * 32, now_s=1_764_000_000) is None
    for forged in (token.replace("abcd", "abce"), token.replace(".17", ".27"), token[:-1], token + "0", "", "a.b.c"):
        assert read_session(forged, SECRET, now_s=1_764_000_000) is None


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example/", "/\\evil", "javascript:alert(1)", "/api/v1/feed", "", "/\n/x"]
)
def test_signing_in_leads_nowhere_else(path: str) -> None:
    """Only to a page of this server."""
    assert local_path(path) == "/"
    assert local_path("/brain?id=a%20b") == "/brain?id=a%20b"


def test_charts_count_corrections_alone() -> None:
    """Each day, by category (the rarest together) and by severity in its order."""
    days = ["2025-11-23", "2025-11-24"]
    counts = [(DayKind("2025-11-24", "CORRECTION", f"C{n}", "major" if n % 2 else "minor"), n) for n in range(1, 9)]
    found = chart_json(days, [*counts, (DayKind(days[0], "NOTE", "", ""), 99)])
    assert found["total"] == [0, 36]
    assert [(row["name"], row["total"]) for row in found["categories"]] == [
        ("C8", 8), ("C7", 7), ("C6", 6), ("C5", 5), ("C4", 4), ("C3", 3), ("other", 3),
    ]  # fmt: skip
    assert [(row["name"], row["counts"]) for row in found["severities"]] == [("minor", [0, 20]), ("major", [0, 16])]


def test_lags_are_of_events_that_name_their_time() -> None:
    """Oldest first, in seconds; a clock that is ahead gives none below zero."""
    times = ["2025-11-24T15:59:59Z", None, "2025-11-24T15:59:50Z", "2099-01-01T00:00:00Z"]
    events = [StoredEvent(1, "i", 1_764_000_000_000_000, None, None, "C", None, None, None, ts) for ts in times]
    assert [lag for _, lag in lag_json(events)] == [0.0, 10.0, 1.0]


def test_vendored_files_are_what_the_table_says() -> None:
    """Unchanged since they were taken: hash by hash; the licence is beside them."""
    files = static_files()
    rows = re.findall(r"\| `([^`]+)` \| `([0-9a-f]{64})` \|", files["vendor/README.md"].decode())
    assert {name for name, _ in rows} == {"uPlot.iife.min.js", "uPlot.min.css"}
    assert all(hashlib.sha256(files[f"vendor/{name}"]).hexdigest() == digest for name, digest in rows)
    assert b"MIT License" in files["vendor/uPlot.LICENSE"]
