"""The cloud's small pure parts: rate, ranges, fillers, bounded decompression, interpretation."""

from __future__ import annotations

import gzip
import itertools
import json
from typing import Any

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from gradata.cloud.domain.rate_limit import Rate, RateLimiter, policy_field, state_field
from gradata.cloud.domain.requests import Lines
from gradata.cloud.http.body import Inflater
from gradata.cloud.protocol.interpret import Meaning, correction_line, meaning_of, read_lines, storable
from gradata.cloud.protocol.log_bytes import Span, filler, wanted_span
from replicator.errors import WireError
from replicator.framing import Uninterpretable, event_id_of, interpret, split


def test_a_rate_passes_its_burst_and_then_its_pace() -> None:
    """10 at once, then one each tenth of a second; a refused request spends nothing and says how long to wait."""
    rate = Rate(600, burst=10)
    busy = 0.0
    for number in range(10):
        verdict = rate.judge(busy, 100.0)
        assert (verdict.passed, verdict.remaining) == (True, 9 - number)
        busy = verdict.busy_until
    refused = rate.judge(busy, 100.0)
    assert (refused.passed, refused.busy_until, round(refused.retry_after_s, 6)) == (False, busy, 0.1)
    assert rate.judge(busy, 100.1).passed
    assert rate.judge(busy, 200.0).remaining == 9


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 0.3), max_size=400))
def test_a_rate_is_never_exceeded(gaps: list[float]) -> None:
    """In any minute no more than 600 and the burst pass; a client at the steady pace is never refused."""
    rate = Rate(600, burst=10)
    now, busy, passed = 50.0, 0.0, []
    for gap in gaps:
        now += gap
        verdict = rate.judge(busy, now)
        busy = verdict.busy_until
        if verdict.passed:
            passed.append(now)
    for start, end in ((a, b) for a in range(len(passed)) for b in range(a, len(passed), 7)):
        assert end - start + 1 <= (passed[end] - passed[start]) * 10 + 10 + 1e-6
    busy = 0.0
    for step in range(100):
        verdict = rate.judge(busy, 500 + step * 0.1)
        busy = verdict.busy_until
        assert verdict.passed


def test_the_header_fields() -> None:
    """As the protocol gives them; with nothing spent the burst remains."""
    now = 7.0
    limiter = RateLimiter(Rate(600, burst=10), clock=lambda: now)
    rate = limiter.rate
    assert rate is not None
    assert (policy_field(rate), state_field(rate, None)) == ('"brain";q=600;w=60', '"brain";r=10;t=0')
    assert state_field(rate, limiter.admit("brain")) == '"brain";r=9;t=1'
    assert RateLimiter(None, clock=lambda: now).admit("brain") is None


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


@pytest.mark.parametrize("encoding", ["gzip", "zstd", None])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_body_arrives_in_any_pieces(encoding: str | None, step: int) -> None:
    """Whole at the limit; one byte more is 413."""
    content = bytes(range(256)) * 20
    packed = content
    if encoding:
        packed = gzip.compress(content) if encoding == "gzip" else zstd.compress(content)

    def feed_all(inflater: Inflater) -> None:
        for piece in (*(packed[start : start + step] for start in range(0, len(packed), step)), b""):
            inflater.feed(piece)

    inflater = Inflater(encoding, bytes_max=len(content))
    feed_all(inflater)
    assert inflater.body() == content
    with pytest.raises(WireError) as refused:
        feed_all(Inflater(encoding, bytes_max=len(content) - 1))
    assert refused.value.status == 413


def columns_of(lines: Lines) -> tuple[Any, ...]:
    columns = lines.columns
    return tuple(
        column[0]
        for column in (columns.types, columns.categories, columns.severities, columns.sessions, columns.timestamps)
    )


RECORDS = [
    b'{"event_id": "a", "type": "T", "session": 3, "ts": "2026", "data": {"category": "C", "severity": "S"}}\n',
    b'{"event_id": "", "type": null, "data": null}\n',
    b'{"event_id": 7, "type": ["x"], "session": true}\n',
    b'{"event_id": "' + b"x" * 65 + b'", "session": "4.5"}\r\n',
    b'{"event_id": "\\u0000", "type": "\\u0000", "session": 1180591620717411303424, "ts": 1.5}\n',
    b'{"event_id": "\\ud800", "type": "\\ud800", "session": 4.5, "ts": NaN}\n',
    b'\xef\xbb\xbf{"event_id": "bom", "category": "flat", "ts": 1e300}\n',
    b'{"event_id": "a", "event_id": "b", "data": "{}", "ts": true}\n',
    '{"event_id": "日本", "type": "\u2028"}\n'.encode(),
    b"\n",
    b"  \r\n",
    b"[]\n",
    b'{"a": "\xff"}\n',
    b"\0\0\0\n",
    b'{"a": \n',
    b'{"a":' + b"[" * 3_000 + b"]" * 3_000 + b"}\n",
]


@pytest.mark.parametrize("record", RECORDS)
def test_f14_f16_the_fast_path_means_what_framing_means(record: bytes) -> None:
    """Identity and flags are those of `framing`, whatever path a record takes; what is interpreted can be stored."""
    meaning = meaning_of(record)
    expected = interpret(record)
    if isinstance(expected, Uninterpretable):
        assert meaning == expected.code
        return
    assert isinstance(meaning, Meaning)
    assert meaning.event_id == event_id_of(record)
    for text in (meaning.type, meaning.category, meaning.severity, meaning.session, meaning.ts):
        assert not isinstance(text, str) or storable(text) == text


NUL = "\\u0000"
PLAIN = RECORDS[0]
NULS = [
    f'{{"event_id": "{NUL}", "type": "T"}}\n',
    f'{{"event_id": "x", "type": "a{NUL}"}}\n',
    f'{{"event_id": "x", "data": {{"category": "{NUL}"}}}}\n',
    f'{{"event_id": "x", "data": {{"severity": "{NUL}"}}}}\n',
    f'{{"event_id": "x", "ts": "{NUL}"}}\n',
    f'{{"event_id": "x", "session": "{NUL}"}}\n',
    f'{{"event_id": "x", "text": "{NUL}", "data": {{"draft_text": "{NUL}"}}}}\n',
    '{"event_id": "x", "text": "carriage\\rreturn"}\r\n',
    '{"event_id": "x", "text": "\r inside"}\n',
]


@pytest.mark.parametrize("odd", [*RECORDS, *map(str.encode, NULS)])
def test_f14_f16_f59_a_batch_means_what_its_records_mean_one_by_one(odd: bytes) -> None:
    """Whatever stands among plain neighbours: ids, flags, contents and columns are those of each record alone."""
    records = [PLAIN, odd, PLAIN]
    together = read_lines(b"".join(records), tuple(itertools.accumulate(map(len, records))))
    for place, record in enumerate(records):
        alone = read_lines(record, (len(record),))
        meaning = meaning_of(record)
        assert together.records[place] == record
        assert (together.leaves[place], together.contents[place]) == (alone.leaves[0], alone.contents[0])
        assert together.event_ids[place] == alone.event_ids[0]
        assert together.flags.get(place) == alone.flags.get(0) == (meaning if isinstance(meaning, str) else None)
        assert together.columns.of([place]) == alone.columns.of([0])
        assert isinstance(meaning, str) or Meaning(alone.event_ids[0] or "", *columns_of(alone)) == meaning


def test_f14_an_odd_neighbour_changes_nothing_for_the_others() -> None:
    """A batch with odd records says of each what it says of it alone."""
    data = b"".join(RECORDS)
    lines = read_lines(data, split(data))
    assert list(lines.records) == RECORDS
    for place, record in enumerate(RECORDS):
        alone = read_lines(record, split(record))
        assert (lines.event_ids[place], lines.contents[place]) == (alone.event_ids[0], alone.contents[0])
        assert lines.flags.get(place) == alone.flags.get(0)
        assert lines.columns.of([place]) == alone.columns.of([0])


def test_timestamps_in_seconds_become_dates() -> None:
    """Hooks write the time as a float; a time that no date can have is left out."""
    times = [meaning_of(b'{"event_id": "x", "ts": %s}\n' % ts) for ts in (b"0", b"1.5", b"1e300", b"-1e300")]
    assert [meaning.ts for meaning in times if isinstance(meaning, Meaning)] == [
        "1970-01-01T00:00:00+00:00",
        "1970-01-01T00:00:01.500000+00:00",
        None,
        None,
    ]


def test_a_correction_of_schema_1_is_an_event() -> None:
    """Its fields become columns, whatever they hold."""
    line = correction_line(b"{}\n", "a\0", {"category": "C", "session": "s", "created_at": 0})
    assert (line.event_ids, line.columns.types, line.columns.categories) == (("a\\u0000",), ("CORRECTION",), ("C",))
    assert (line.columns.sessions, line.columns.timestamps) == (("s",), ("1970-01-01T00:00:00+00:00",))
