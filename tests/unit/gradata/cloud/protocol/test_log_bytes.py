"""Parts of a stored log: which range was asked for, and what stands where bytes were taken away."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradata.cloud.protocol.log_bytes import Span, filler, wanted_span


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (None, Span(0, 100)),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=90-", Span(90, 100)),
        ("bytes=-5", Span(95, 100)),
        ("bytes=-500", Span(0, 100)),
        ("bytes=10-900", Span(10, 100)),
        ("bytes=-0", None),
        ("bytes=100-", None),
        ("bytes=5-4", Span(0, 100)),
        ("bytes=1-2,4-5", Span(0, 100)),
        ("bytes=-", Span(0, 100)),
        ("chapters=1-2", Span(0, 100)),
    ],
)
def test_ranges(field: str | None, expected: Span | None) -> None:
    """RFC 9110, section 14: one range of bytes, cut at the end; what is no such range is ignored."""
    assert wanted_span(field, 100) == expected


def test_a_range_of_nothing() -> None:
    """An empty log has no bytes to ask for."""
    assert (wanted_span(None, 0), wanted_span("bytes=0-", 0), wanted_span("bytes=-1", 0)) == (Span(0, 0), None, None)


@given(st.integers(1, 90), st.integers(0, 90), st.integers(0, 90))
def test_a_filler_is_one_line_of_its_length(length: int, start: int, end: int) -> None:
    """JSON where it fits, else blanks; every part of it is the part of the whole."""
    words = {"gradata_hole": {"record": 7, "length": length}}
    whole = filler(words, length, Span(0, length))
    assert (len(whole), whole.count(b"\n"), whole[-1:]) == (length, 1, b"\n")
    assert whole.isspace() or json.loads(whole) == words
    start, end = min(start, length), min(end, length)
    if start <= end:
        assert filler(words, length, Span(start, end)) == whole[start:end]
