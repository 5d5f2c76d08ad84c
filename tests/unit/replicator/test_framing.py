"""framing: bytes into records, and what can be read from one. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator import framing
from replicator.framing import ODD_DEPTH_MAX, Uninterpretable, event_id_of, interpret, reach, split

LOGS = Path(__file__).parents[3] / "fixtures" / "logs"
ROW = re.compile(r"^\| (\S+\.jsonl) \| (.+?) \| (\d+) \| (.+?) \| (\d+) \|$", re.MULTILINE)
TABLE = {
    name: (int(count), flagged, int(torn))
    for name, _, count, flagged, torn in ROW.findall((LOGS / "README.md").read_text())
}
LINES = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b" ")), max_size=12)


def by_hash(record: bytes) -> str:
    return "sha256:" + hashlib.sha256(record).hexdigest()[:32]


def records_of(content: bytes) -> list[bytes]:
    ends = split(content)
    return [content[start:end] for start, end in zip((0, *ends), ends, strict=False)]


# ---------------------------------------------------------------- split


@given(LINES, st.binary(max_size=12).map(lambda tail: tail.replace(b"\n", b" ")))
def test_f01_every_whole_record_is_found_and_the_torn_tail_is_not(lines: list[bytes], tail: bytes) -> None:
    """Ends lie behind each newline, nowhere else, and what stands behind the last one is covered by none."""
    content = b"".join(line + b"\n" for line in lines) + tail
    assert records_of(content) == [line + b"\n" for line in lines]


@given(LINES, st.integers(0, 14))
def test_no_more_records_than_wanted_are_named(lines: list[bytes], records_max: int) -> None:
    """`records_max` bounds how many ends are computed; the first ones are those of the whole."""
    content = b"".join(line + b"\n" for line in lines)
    assert split(content, records_max) == split(content)[:records_max]


@pytest.mark.parametrize("content", [b"", b"{", b"half a record"])
def test_f03_a_log_without_a_newline_has_no_record(content: bytes) -> None:
    """0 bytes, 1 byte, and a first record without its newline hold no record yet."""
    assert split(content) == ()


def test_f14_only_the_newline_byte_ends_a_record() -> None:
    """Carriage returns, vertical tabs, NULs and the bytes of U+2028, U+2029 and U+0085 stand inside a record."""
    content = "a\rb\vc\fd\x00e\u2028f\u2029g\u0085h\x1ci\n".encode()
    assert split(content) == (len(content),)


# ---------------------------------------------------------------- reach


@given(LINES, st.binary(max_size=12).map(lambda tail: tail.replace(b"\n", b" ")), st.integers(1, 14))
def test_f15_reach_ends_where_the_first_over_long_line_begins(lines: list[bytes], tail: bytes, longest: int) -> None:
    """All lines before the place fit the limit; the line that begins there, torn or whole, does not."""
    content = b"".join(line + b"\n" for line in lines) + tail
    start = 0
    while start < len(content):
        end = content.find(b"\n", start) + 1 or len(content)
        if end - start > longest:
            break
        start = end
    assert reach(content, longest) == start


# ---------------------------------------------------------------- interpret


def test_the_table_names_every_log() -> None:
    """Each fixture has its row with a reason, and each row its file."""
    assert set(TABLE) == {path.name for path in LOGS.glob("*.jsonl")}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_f14_each_oddity_is_framed_and_flagged_as_its_row_says(name: str) -> None:
    """Record count, torn bytes and codes of each fixture; what is not flagged is read as an object."""
    count, flagged, torn = TABLE[name]
    content = (LOGS / name).read_bytes()
    records = records_of(content)
    codes = {index: row.code for index, row in enumerate(map(interpret, records)) if isinstance(row, Uninterpretable)}
    expected = {int(index): code for index, code in re.findall(r"(\d+) (\w+)", flagged)}
    assert (len(records), codes, len(content) - sum(map(len, records))) == (count, expected, torn)
    assert b"".join(records) == content[: len(content) - torn]


def test_f14_what_only_python_can_read_is_read() -> None:
    """NaN and lone surrogates, which orjson refuses, come from the standard library."""
    assert repr(interpret(b'{"a": [NaN, Infinity, "\\ud83d"]}\n')) == repr(
        {"a": [float("nan"), float("inf"), "\ud83d"]}
    )


@pytest.mark.parametrize(("depth", "readable"), [(ODD_DEPTH_MAX - 1, True), (ODD_DEPTH_MAX, False), (100_000, False)])
def test_f14_depth_of_odd_records_has_a_limit_of_its_own(depth: int, readable: bool) -> None:
    """An odd record is read up to a fixed depth, whatever the version of Python and the stack."""
    record = b'{"n": NaN, "beside": [[]], "a": ' + b"[" * depth + b"]" * depth + b"}\n"
    assert isinstance(interpret(record), dict) is readable


def test_f14_depth_is_counted_behind_strings_and_in_objects_too() -> None:
    """Brackets in a string hide no nesting behind it, and objects nest like lists."""
    lists = b'{"n": NaN, "text": "[\\"", "a": ' + b"[" * ODD_DEPTH_MAX + b"]" * ODD_DEPTH_MAX + b"}\n"
    objects = b'{"n": NaN, "a": ' + b'{"a":' * ODD_DEPTH_MAX + b"1" + b"}" * ODD_DEPTH_MAX + b"}\n"
    assert interpret(lists) == interpret(objects) == Uninterpretable("not_json")


def test_f14_what_json_calls_no_blank_is_none() -> None:
    """A line of vertical tabs and form feeds is no blank line."""
    assert interpret(b"\x0b\x0c\n") == Uninterpretable("not_json")


def test_f14_an_integer_beyond_64_bits_is_read_as_a_float() -> None:
    """What orjson can read is read by orjson: its answer is the one that is documented."""
    assert repr(interpret(b'{"n": 36893488147419103232}\n')) == repr({"n": 36893488147419103232.0})


def test_a_limit_below_one_byte_is_a_programmers_mistake() -> None:
    """No line fits it: nothing could ever be read."""
    with pytest.raises(AssertionError):
        reach(b"\n", 0)


def test_f14_brackets_within_strings_are_no_depth() -> None:
    """Only nesting counts: neither brackets in strings, behind escaped quotes or not, nor brackets that close."""
    row = {"n": float("nan"), "text": '[{"' * 600, "list": [[] for _ in range(600)]}
    assert repr(interpret(json.dumps(row).encode() + b"\n")) == repr(row)


def test_f14_a_backslash_outside_of_strings_is_no_json() -> None:
    """Bytes that only look like an escape do not confuse the depth; the record is simply no JSON."""
    assert interpret(b"\\[" * 600) == Uninterpretable("not_json")


def test_an_integer_of_too_many_digits_is_not_json_when_orjson_refuses_the_record() -> None:
    """Python's own limit on digits is an answer like another, not an exception."""
    assert interpret(b'{"n": NaN, "i": ' + b"9" * 10_000 + b"}\n") == Uninterpretable("not_json")


@given(st.binary(max_size=40) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_nothing_raises_and_every_record_has_an_identity(record: bytes) -> None:
    """`interpret` and `event_id_of` are total; an id fits into 64 characters."""
    assert isinstance(interpret(record), dict | Uninterpretable)
    assert 0 < len(event_id_of(record)) <= framing.EVENT_ID_CHARACTERS_MAX


# ---------------------------------------------------------------- identity


@pytest.mark.parametrize("event_id", ["x", "01KAQ8Z9J4V6T3M2N1P0QRSTVW", "a" * 64, "ä\u2028 \U0001f600", "sha256:abc"])
def test_f16_a_usable_event_id_is_the_identity(event_id: str) -> None:
    """A string of 1 to 64 characters counts as it stands."""
    assert event_id_of(json.dumps({"event_id": event_id}).encode() + b"\n") == event_id


@pytest.mark.parametrize("event_id", ["", None, 7, 1.5, True, [], {}, "a" * 65, "a\0b", "\ud800", "\udfffa"])
def test_f16_any_other_event_id_leaves_identity_to_the_bytes(event_id: object) -> None:
    """Empty, too long, no string, or nothing that a store could hold: the hash of the bytes is the identity."""
    line = json.dumps({"event_id": event_id}).encode()
    assert event_id_of(line + b"\n") == by_hash(line)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_f16_the_line_end_is_no_part_of_the_identity(end: bytes) -> None:
    """One newline and one carriage return before it do not count; so Windows and Linux agree."""
    assert event_id_of(b'{"type": "X"}' + end) == by_hash(b'{"type": "X"}')


@pytest.mark.parametrize(
    ("record", "hashed"), [(b"a\r\r\n", b"a\r"), (b"a\n\n", b"a\n"), (b"a\r", b"a\r"), (b"\n", b""), (b"\r\n", b"")]
)
def test_f16_no_more_than_one_line_end_is_taken_off(record: bytes, hashed: bytes) -> None:
    """What stands before the one line end belongs to the record, and a lone carriage return is none."""
    assert event_id_of(record) == by_hash(hashed)


def test_f16_same_bytes_are_one_event_and_other_bytes_another() -> None:
    """Rows without an id: identical ones share an identity, different ones do not."""
    records = [b'{"type": "X", "n": 1}\n', b'{"type": "X", "n": 1}\n', b'{"type": "X", "n": 2}\n']
    assert len(set(map(event_id_of, records))) == 2
