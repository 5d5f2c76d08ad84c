"""What a record means as an event: the fast path and the careful one agree."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from gradata.cloud.domain.requests import Lines
from gradata.cloud.protocol.interpret import Meaning, correction_line, meaning_of, read_lines, storable
from replicator.framing import Uninterpretable, event_id_of, interpret, split


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
    b'{"a":' + b"[" * 1_010 + b"]" * 1_010 + b"}\n",
]


@pytest.mark.parametrize("record", RECORDS)
def test_f14_f16_f116_the_fast_path_means_what_framing_means(record: bytes) -> None:
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
