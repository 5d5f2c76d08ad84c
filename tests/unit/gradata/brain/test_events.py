"""Events and their lines: the row's form, ids, hashes, redaction, readable data."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradata.brain.events import (
    DEPTH_MAX,
    EVENT_KEYS,
    LINE_BYTES_MAX,
    Ulids,
    build,
    canonical,
    content_hash,
    legacy_id,
    line_of,
    readable,
    signed,
    utc_now,
)
from gradata.errors import EventError

VECTORS = json.loads((Path(__file__).parents[4] / "fixtures" / "id_vectors.json").read_text())
NOW = datetime(2026, 11, 23, 5, 58, 22, 828816, tzinfo=UTC)
CROCKFORD = frozenset("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def _event(said: object, **options: Any) -> dict[str, Any]:
    given_options = {"tags": ["category:TONE"], "session": 1, "now": NOW} | options
    event = build("CORRECTION", "brain.correct", said, **given_options)
    return signed(event, brain_id="b", device_id="dev_d", event_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_legacy_ids_are_those_of_old_versions(vector: dict[str, str]) -> None:
    """The legacy id of each known row is the one that was computed for it then."""
    assert legacy_id(json.loads(vector["line"])) == vector["legacy_event_id"]


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_content_hashes_are_those_of_old_versions(vector: dict[str, str | None]) -> None:
    """The content hash of each known row is the recorded one; data that is no object has none."""
    assert content_hash(json.loads(str(vector["line"]))) == vector["content_hash"]


def test_the_legacy_id_of_a_row_without_anything_is_that_of_its_defaults() -> None:
    """Missing keys count as empty text, null, an empty object and an empty list."""
    empty = b'{"data":{},"session":null,"source":"","tags":[],"ts":"","type":""}'
    assert legacy_id({}) == hashlib.sha256(empty).hexdigest()[:32]


def test_the_canonical_form_is_total() -> None:
    """Keys sorted, no blanks, text as it is, the rest by `str`; a lone surrogate is no error."""
    assert canonical({"b": "é", "a": PurePosixPath("/x")}) == '{"a":"/x","b":"é"}'.encode()
    assert canonical("\ud800") == b'"\xed\xa0\x80"'


def test_a_line_has_the_form_of_rows_that_exist() -> None:
    """Key order, separators, unescaped text and the single newline are exactly those of 0.7.x."""
    event = _event({"text": "é\u2028\n"})
    line = line_of(event)
    assert tuple(json.loads(line)) == EVENT_KEYS
    assert line.startswith(
        b'{"ts": "2026-11-23T05:58:22.828816+00:00", "session": 1, "type": "CORRECTION", "source": "brain.correct", '
        b'"data": {"text": "\xc3\xa9\xe2\x80\xa8\\n"}, "tags": ["category:TONE"], "valid_from": "2026'
    )
    assert line.endswith(b', "content_hash": "' + str(event["content_hash"]).encode() + b'"}\n')
    assert line.count(b"\n") == 1


def test_a_timestamp_at_a_whole_second_has_no_fraction() -> None:
    """`ts` leaves the fraction away at 0 microseconds, as rows that exist do."""
    assert _event({}, now=NOW.replace(microsecond=0))["ts"] == "2026-11-23T05:58:22+00:00"


def test_the_hash_is_of_what_was_stored() -> None:
    """The content hash is taken after redaction, so a reader of the line computes the same."""
    event = _event({"mail": "to bob@example.com"})
    assert content_hash(json.loads(line_of(event))) == event["content_hash"]
    assert event["data"] == {"mail": "to [REDACTED_EMAIL]"}


# ---------------------------------------------------------------- ids


def test_ulids_rise_within_one_millisecond_and_when_the_clock_goes_back() -> None:
    """F22: ids of one process sort as they were made, whatever the clock does."""
    times = iter([1000, 1000, 1000, 400, 2000, 1999])
    ulids = Ulids(clock_ms=lambda: next(times))
    made = [ulids.next() for _ in range(6)]
    assert made == sorted(set(made))
    assert all(len(each) == 26 and set(each) <= CROCKFORD for each in made)


def test_a_ulid_is_its_time_and_its_randomness() -> None:
    """The encoding is the standard's: 48 bits of milliseconds, 80 random bits, Crockford's alphabet."""
    assert Ulids(lambda: 1_469_918_176_385, lambda n: b"\x00" * n).next() == "01ARYZ6S410000000000000000"


@pytest.mark.parametrize("time_ms", [0, -5])
def test_a_clock_before_1970_makes_the_first_ulid(time_ms: int) -> None:
    """F22: a clock that is wrong by decades is no reason for an id that is none."""
    assert Ulids(lambda: time_ms, bytes).next() == "0" * 26


def test_ulids_of_one_millisecond_differ_by_four_random_bytes_and_one() -> None:
    """80 random bits in a new millisecond, 32 in the same one; a later one is that of its time."""
    times = iter([1000, 1000, 2000])
    ulids = Ulids(lambda: next(times), lambda count: b"\1" * count)
    values = [_decoded(ulids.next()) for _ in range(3)]
    random = int.from_bytes(b"\1" * 10, "big")
    assert values == [1000 << 80 | random, (1000 << 80 | random) + 1 + 0x01010101, 2000 << 80 | random]


def _decoded(ulid: str) -> int:
    value = 0
    for character in ulid:
        value = value * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(character)
    return value


def test_many_ulids_are_distinct() -> None:
    """100,000 ids made as fast as possible never repeat and rise throughout."""
    ulids = Ulids()
    made = [ulids.next() for _ in range(100_000)]
    assert made == sorted(set(made))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_f43_a_forked_child_makes_other_ulids() -> None:
    """Parent and child, at the same frozen clock and after the same history, never make the same id."""
    ulids = Ulids(clock_ms=lambda: 1000)
    ulids.next()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, "".join(ulids.next() for _ in range(50)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    theirs = {text[i : i + 26] for i in range(0, len(text), 26)}
    assert len(theirs) == 50
    assert theirs.isdisjoint(ulids.next() for _ in range(50))


# ---------------------------------------------------------------- readable data


class _Colour(Enum):
    RED = "red"


class _Tone(str, Enum):  # noqa: UP042 -- its str() is not its value
    WARM = "warm"


class _Opaque:
    pass


class _Shown:
    def __repr__(self) -> str:
        return "shown"


class _Said:
    def __str__(self) -> str:
        return "said"


class _Place:
    def __fspath__(self) -> bytes:
        return b"/x"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b", "a"}, ["a", "b"]),
        ((1, 2.5, None, True), [1, 2.5, None, True]),
        (NOW, "2026-11-23T05:58:22.828816+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (b"a\xff", "a\\xff"),
        (Path("/x"), str(Path("/x"))),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (_Colour.RED, "red"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (2**70, 2**70),
        (2**1024 - 1, 2**1024 - 1),
        ({2, 10, "a"}, ["a", 10, 2]),
        ({_Tone.WARM: _Tone.WARM}, {"warm": "warm"}),
        (_Shown(), "shown"),
        (_Said(), "said"),
        (_Place(), "/x"),
        ("lone \ud800", "lone \\ud800"),
        ({1: "a", None: "b", (2, 3): "c"}, {"1": "a", "None": "b", "[2, 3]": "c"}),
        ({"who": {"x@y.example": "z@y.example"}}, {"who": {"[REDACTED_EMAIL]": "[REDACTED_EMAIL]"}}),
    ],
)
def test_what_json_lacks_becomes_readable(value: object, expected: object) -> None:
    """Each value that JSON cannot hold has one readable form, and the line made of it parses back to it."""
    held = readable(value)
    assert held == expected
    assert json.loads(line_of({"data": held}))["data"] == expected


def _nested(depth: int) -> list[Any]:
    outer: list[Any] = []
    for _ in range(depth - 1):
        outer = [outer]
    return outer


@pytest.mark.parametrize(
    "value",
    [{1: "a", "1": "b"}, _Opaque(), len, _nested(DEPTH_MAX + 1), 2**1024, {"x": [object()]}],
    ids=["same-name", "opaque", "function", "deep", "huge-integer", "inner"],
)
def test_what_would_lose_something_is_refused(value: object) -> None:
    """Colliding keys, opaque objects, depth and huge integers are a clear error with a hint, not a guess."""
    with pytest.raises(EventError) as raised:
        readable(value)
    assert (str(raised.value), raised.value.hint) in {
        ("two keys of data have the same name in JSON", "make all keys strings"),
        ("data holds a _Opaque, which has no readable form", "turn it into text, numbers, lists, dicts"),
        ("data holds a object, which has no readable form", "turn it into text, numbers, lists, dicts"),
        (
            "data holds a builtin_function_or_method, which has no readable form",
            "turn it into text, numbers, lists, dicts",
        ),
        ("data is nested more than 100 deep, or contains itself", "flatten it"),
        ("data holds an integer of more than 1,024 bits", "turn it into text"),
    }


def _in_a_key(depth: int) -> dict[Any, int]:
    key: tuple[Any, ...] = ()
    for _ in range(depth - 2):
        key = (key,)
    return {key: 1}


def _in_values(depth: int) -> dict[str, Any]:
    outer: dict[str, Any] = {}
    for _ in range(depth - 1):
        outer = {"a": outer}
    return outer


def _in_sets(depth: int) -> frozenset[Any]:
    outer: frozenset[Any] = frozenset()
    for _ in range(depth - 1):
        outer = frozenset({outer})
    return outer


def _in_an_enum(depth: int) -> Enum:
    return Enum("Deep", {"X": _nested(depth - 1)})["X"]


@pytest.mark.parametrize("nested", [_nested, _in_a_key, _in_values, _in_sets, _in_an_enum])
def test_depth_is_counted_in_whatever_holds_others(nested: Callable[[int], Any]) -> None:
    """The named limit holds exactly: in lists, keys, values, sets and members of an Enum."""
    readable(nested(DEPTH_MAX))
    with pytest.raises(EventError, match="nested more than 100 deep"):
        readable(nested(DEPTH_MAX + 1))


def test_a_cycle_ends() -> None:
    """At the limit of depth, not at that of the stack."""
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(EventError):
        readable(cycle)


@pytest.mark.parametrize(
    ("passed", "message", "hint"),
    [
        (("", "s", {}, []), "event_type must be text of 1 to 200 characters", "pass a short name"),
        (("T", " ", {}, []), "source must be text of 1 to 200 characters", "pass a short name"),
        (("T" * 201, "s", {}, []), "event_type must be text of 1 to 200 characters", "pass a short name"),
        (("T", "s", [], []), "data must be a mapping, not list", "pass a dict"),
        (("T", "s", "text", []), "data must be a mapping, not str", "pass a dict"),
        (("T", "s", {}, "tag"), "tags must be a list of texts", "pass a list"),
        (("T", "s", {}, [1]), "a tag must be text of 1 to 200 characters", "pass a short name"),
    ],
)
def test_events_without_a_proper_name_or_data_are_refused(passed: Any, message: str, hint: str) -> None:
    """Type, source, data and tags are checked before a line exists, and the error says what to pass."""
    event_type, source, said, tags = passed
    with pytest.raises(EventError) as raised:
        build(event_type, source, said, tags=tags, session=None, now=NOW)
    assert (str(raised.value), raised.value.hint) == (message, hint)


def test_names_of_200_characters_are_taken() -> None:
    """The limit is one past which there is none."""
    assert build("T" * 200, "s", {}, tags=["t" * 200], session=None, now=NOW)["tags"] == ["t" * 200]


def test_a_line_that_no_cloud_takes_is_refused() -> None:
    """A line over the limit is an error that names both sizes, and says what to do; one at the limit is none."""
    fits = "x" * (LINE_BYTES_MAX - len(b'{"data": ""}\n'))
    assert len(line_of({"data": fits})) == LINE_BYTES_MAX
    with pytest.raises(EventError) as raised:
        line_of({"data": fits + "x"})
    assert str(raised.value) == "the event has 16,777,217 bytes, more than 16,777,216"
    assert raised.value.hint == "store the large part elsewhere and emit a reference to it"


def test_a_line_is_json_or_none() -> None:
    """What JSON has no word for was turned into text before; to find it here is a mistake of ours."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        line_of({"data": math.nan})


def test_now_is_aware() -> None:
    """Rows hold UTC, whatever zone the machine is in."""
    assert utc_now().tzinfo is UTC


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner)))
def test_readable_values_stay_readable(value: object) -> None:
    """Whatever JSON-like value goes in, the result is one valid line and does not change when done again."""
    held = readable(value)
    assert readable(held) == held
    assert json.loads(line_of({"data": held})) == {"data": held}
