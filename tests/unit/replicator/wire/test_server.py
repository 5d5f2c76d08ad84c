"""What the server makes of requests: bounded, strict, and the exact records that the client sent."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import accumulate
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator import wire
from replicator.actions import Acked, Beat, Recalled, Send
from replicator.errors import WireError
from replicator.model import Anchor, Batch, Cursor, Head, Hole, Identity, Limits, Refusal
from replicator.proof import EMPTY_ROOT, CompactRange, leaf_hash, leaf_hashes

LOG = "9b2d7c1e-0f4a-4c53-8d5e-2a6b7c8d9e0f"
LIMITS = Limits(body_bytes=2_000_000)
IDENTITY = Identity("brain", "device")
REPORT = wire.Report("live", 10, 0, None, 0, "1.0")
RECORDS = b'{"a": 1}\n\n\x00\n'
ENVELOPE: dict[str, Any] = {
    "schema": 2,
    "brain_id": "brain",
    "device_id": "device",
    "log_id": LOG,
    "cloud_id": None,
    "first": 4,
    "offset": 40,
    "root": "ab" * 32,
    "count": 3,
    "status": {
        "state": "live",
        "log_bytes": 10,
        "backlog_bytes": 0,
        "last_event_at": None,
        "dead_letters": 0,
        "version": "1.0",
    },
}
HOLE = {"length": 9, "leaf": "cd" * 32}


def body(data: bytes = RECORDS, **changes: object) -> bytes:
    fields = ENVELOPE | changes
    return orjson.dumps({name: value for name, value in fields.items() if value != "absent"}) + b"\n" + data


def refused(request: bytes, limits: Limits = LIMITS) -> WireError:
    with pytest.raises(WireError) as caught:
        wire.parse_batch(request, limits)
    return caught.value


@pytest.mark.parametrize("wrap", [bytes, memoryview])
def test_a_batch_is_taken_apart(wrap: Any) -> None:
    """The records come out byte for byte, blank ones and NULs too, from bytes and from a view."""
    got = wire.parse_batch(wrap(body()), LIMITS)
    assert Batch(4, 40, RECORDS, (9, 10, 12)) == got.load
    assert (
        got.envelope.first,
        got.envelope.offset,
        got.envelope.count,
        got.envelope.parent,
        got.envelope.status,
    ) == (4, 40, 3, None, REPORT)


def test_a_batch_without_status_is_one() -> None:
    """The status is a courtesy; records are not refused for its absence."""
    assert wire.parse_batch(body(status="absent"), LIMITS).envelope.status is None


def test_a_hole_is_taken_apart() -> None:
    """A place without bytes gives its length and leaf."""
    got = wire.parse_batch(body(b"", count=1, hole=HOLE), LIMITS)
    assert wire.RecordPlace(4, 40, 9, bytes.fromhex("cd" * 32)) == got.load
    assert isinstance(got.load, wire.RecordPlace)
    assert got.load.end == 49


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "2"),
        ("schema", "absent"),
        ("schema", True),
        ("schema", 1),
        ("brain_id", ""),
        ("brain_id", "x" * 129),
        ("brain_id", "a\x1b[31m"),
        ("brain_id", "a\nb"),
        ("brain_id", 7),
        ("device_id", "absent"),
        ("device_id", None),
        ("log_id", "not-a-uuid"),
        ("log_id", LOG.upper()),
        ("log_id", f"{LOG}\n"),
        ("cloud_id", 7),
        ("cloud_id", ""),
        ("first", -1),
        ("first", True),
        ("first", 2**53 + 1),
        ("first", 4.0),
        ("offset", 3),
        ("offset", 0),
        ("offset", "40"),
        ("root", "AB" * 32),
        ("root", "ab"),
        ("root", None),
        ("count", 0),
        ("count", None),
        ("parent", "x"),
        ("status", 5),
        ("status", {}),
        ("hole", []),
        ("holes", {}),
        ("holes", [7]),
        ("holes", [{"record": 4, "length": 9, "leaf": "cd" * 32}] * 17),
    ],
)
def test_f57_an_envelope_of_another_shape_is_malformed(field: str, value: object) -> None:
    """A wrong field is a 400 that names it."""
    error = refused(body(RECORDS, **{field: value}))
    assert (error.status, error.code) == (400, "malformed")
    assert str(error).startswith((field, "status."))


def test_f55_an_error_does_not_repeat_what_was_sent() -> None:
    """The words of an error end in logs: they name the field, never its content."""
    assert "canary" not in str(refused(body(brain_id="canary\n")))


HOLES = [{"record": 5, **HOLE}, {"record": 7, **HOLE}]


def test_f35_holes_among_records_are_taken_apart() -> None:
    """Each has its offset in the log: behind the records before it and the other holes."""
    got = wire.parse_batch(body(count=5, holes=HOLES), LIMITS)
    leaf = bytes.fromhex(HOLE["leaf"])  # type: ignore[arg-type]
    assert Batch(4, 40, RECORDS, (9, 10, 12)) == got.load
    assert (wire.RecordPlace(5, 49, 9, leaf), wire.RecordPlace(7, 59, 9, leaf)) == got.holes


@pytest.mark.parametrize(
    "holes",
    [
        [{**HOLES[0], "record": 3}],
        [{**HOLES[0], "record": 8}],
        [{**HOLES[0], "record": "5"}],
        [{**HOLES[0], "length": 0}],
        [{**HOLES[0], "leaf": "cd"}],
    ],
)
def test_f57_a_hole_of_another_shape_is_malformed(holes: list[dict[str, object]]) -> None:
    """Before the batch, behind it, without length or leaf: a 400 that names the field."""
    error = refused(body(count=4, holes=holes))
    assert (error.status, error.code) == (400, "malformed")
    assert str(error).startswith("holes[0].")


def test_f57_holes_out_of_order_are_malformed() -> None:
    """Twice the same place, or backwards."""
    for second in (5, 4):
        assert "holes[1].record" in str(refused(body(count=5, holes=[HOLES[0], {**HOLES[1], "record": second}])))


@pytest.mark.parametrize(
    "request_body",
    [
        b"",
        b"\n",
        b"{}",
        b"null\n",
        b"[]\n" + RECORDS,
        b"\x1f\x8b\x08" + b"\x00" * 30,
        b"[" * 1_000_000 + b"\n",
        b'{"schema": 2, "x": "' + b"x" * wire.ENVELOPE_BYTES_MAX + b'"}\n',
        body(count=2),
        body(holes=[{"record": 5, **HOLE}]),
        body(b"", count=1, holes=[{"record": 4, **HOLE}]),
        body(count=4),
        body(RECORDS[:-1]),
        body(b""),
        body(b"\n" * 100_000),
        body(count=1, hole=HOLE),
        body(b"", count=3, hole=HOLE),
        body(b"", count=1, hole={"length": 0, "leaf": "cd" * 32}),
        body(b"", count=1, hole={"length": 9}),
        body(first=0, offset=9),
        body(first=2**53 - 1, offset=2**53),
    ],
    ids=lambda value: f"{len(value)} bytes",
)
def test_f57_what_is_no_batch_is_malformed(request_body: bytes) -> None:
    """Nothing, garbage, a deep envelope, a long one, a torn record, a wrong count: 400, bounded."""
    error = refused(request_body)
    assert (error.status, error.code) == (400, "malformed")


def test_f40_a_newer_schema_is_told_so() -> None:
    """A client newer than the server gets 426, whatever else its envelope holds."""
    error = refused(orjson.dumps({"schema": 3, "everything": "else"}) + b"\n")
    assert (error.status, error.code) == (426, "schema_unsupported")


def test_f36_a_body_over_the_limits_is_too_large() -> None:
    """Bytes and records are bounded, each with 413; at the limit is within it."""
    whole = body()
    assert refused(whole, Limits(body_bytes=len(whole) - 1)).status == 413
    assert refused(whole, Limits(records=2)).code == "body_too_large"
    assert wire.parse_batch(whole, Limits(body_bytes=len(whole), records=3)).envelope.count == 3


def test_f15_a_record_over_the_record_limit_is_no_error_of_the_batch() -> None:
    """Too large a record is refused alone by the ingest; its neighbours must come through here."""
    assert wire.parse_batch(body(), Limits(record_bytes=1)).envelope.count == 3


def test_a_heartbeat_is_taken_apart() -> None:
    """What the client says of its cursor arrives."""
    request = wire.heartbeat_request(IDENTITY, Beat(Cursor(LOG), "cloud"), REPORT)
    expected = wire.HeartbeatRequest("brain", "device", LOG, "cloud", 0, EMPTY_ROOT, REPORT)
    assert expected == wire.parse_heartbeat(request.head)


@pytest.mark.parametrize("request_body", [b"", b"[]", b'{"brain_id": "b"}', b"[" * 100_000])
def test_f57_what_is_no_heartbeat_is_malformed(request_body: bytes) -> None:
    """A heartbeat of another shape is a 400."""
    with pytest.raises(WireError):
        wire.parse_heartbeat(request_body)


CORRECTION: dict[str, Any] = {"brain_id": "b", "event_id": "e", "correction": {"session": 3, "category": "TONE"}}


def test_f40_a_correction_of_an_old_client_is_taken_apart() -> None:
    """Schema 1 needs a brain and a correction; what else there is is kept."""
    got = wire.parse_correction(orjson.dumps(CORRECTION | {"extra": [1]}))
    assert ("b", "e", CORRECTION["correction"], [1]) == (
        got.brain_id,
        got.event_id,
        got.correction,
        got.fields["extra"],
    )


@pytest.mark.parametrize("event_id", [None, ""])
def test_a_correction_without_a_usable_id_has_none(event_id: str | None) -> None:
    """No id, or an empty one, leaves it to the server."""
    assert wire.parse_correction(orjson.dumps(CORRECTION | {"event_id": event_id})).event_id is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"brain_id": None}, "brain_id"),
        ({"brain_id": ""}, "brain_id"),
        ({"brain_id": "a\n"}, "brain_id"),
        ({"correction": None}, "correction"),
        ({"correction": "text"}, "correction"),
        ({"correction": {"category": 5}}, "correction.category"),
        ({"correction": {"session": {}}}, "correction.session"),
        ({"event_id": 5}, "event_id"),
        ({"event_id": "x" * 65}, "event_id"),
        ({"event_id": "a\x00"}, "event_id"),
        ({"schema": 2}, "schema"),
        ({"schema": "1"}, "schema"),
        ({"schema": True}, "schema"),
    ],
)
def test_a_wrong_field_of_a_correction_is_422_and_named(change: dict[str, Any], field: str) -> None:
    """Old clients are told which field is wrong."""
    with pytest.raises(WireError) as caught:
        wire.parse_correction(orjson.dumps(CORRECTION | change))
    assert (caught.value.status, caught.value.code) == (422, "invalid_field")
    assert str(caught.value).startswith(f"{field} must be ")


@pytest.mark.parametrize("request_body", [b"", b"[]", b"{", b"\xff", b"[" * 1_000_000])
def test_f57_what_is_no_correction_is_malformed(request_body: bytes) -> None:
    """Anything but a JSON object is a 400."""
    with pytest.raises(WireError) as caught:
        wire.parse_correction(request_body)
    assert caught.value.status == 400


def test_f40_a_correction_of_a_newer_schema_is_told_so() -> None:
    """426 in this form too."""
    with pytest.raises(WireError) as caught:
        wire.parse_correction(orjson.dumps(CORRECTION | {"schema": 3}))
    assert caught.value.status == 426


def test_a_long_list_of_flagged_records_is_cut_and_its_count_is_true() -> None:
    """An ack stays within what a client reads; refused records are named first; the counts stay whole."""
    head = Head(LOG, 20_000, b"r" * 32, 10**9)
    flagged = tuple(Refusal(number, "not_json", "words " * 30) for number in range(19_990))
    refusals = tuple(Refusal(number, "record_too_large", "words") for number in range(19_990, 20_000))
    encoded = wire.ack_body(Acked("c", head, flagged=flagged, refused=refusals, limits=LIMITS))
    got = wire.read_ack(200, {}, encoded, now_wall=0.0)
    assert isinstance(got, Acked)
    assert len(encoded) <= wire.ANSWER_BYTES_MAX
    assert [item.record for item in got.refused] == list(range(19_990, 20_000))
    assert [item.record for item in got.flagged] == list(range(len(got.flagged)))
    assert len(got.flagged) > 1_000
    assert (got.flagged_count, got.refused_count) == (19_990, 10)


def test_an_ack_without_limits_announces_none() -> None:
    """A cloud that names no limits sends none."""
    assert b"limits" not in wire.ack_body(Acked("c", Head(LOG, 0, EMPTY_ROOT)))


def test_a_long_list_of_logs_is_cut_and_says_so() -> None:
    """The newest logs are listed as far as an answer reaches."""
    entries = [wire.LogEntry(Head(LOG, number, b"r" * 32, number), "d" * 128) for number in range(1_000)]
    encoded = wire.logs_body(entries)
    got = wire.read_logs(200, {}, encoded, now_wall=0.0)
    assert isinstance(got, Recalled)
    assert len(encoded) <= wire.ANSWER_BYTES_MAX
    assert [head.size for head in got.heads] == list(range(len(got.heads)))
    assert orjson.loads(encoded)["truncated"]
    assert not orjson.loads(wire.logs_body(entries[:1]))["truncated"]


def test_f14_an_event_id_that_utf8_cannot_hold_does_not_break_an_answer() -> None:
    """A lone surrogate in an event_id is replaced: the root says what is there, not the id."""
    encoded = wire.ack_body(Acked("c", Head(LOG, 1, b"r" * 32, 9, "a\ud800")))
    assert orjson.loads(encoded)["head"]["event_id"] == "a?"


def test_f59_a_problem_says_its_words_inertly() -> None:
    """A problem has the members of RFC 9457 and the code; control characters do not pass; None is left out."""
    problem = orjson.loads(wire.problem_body(400, "malformed", "a\x1b[2J\r\n", record=None, supported=[1, 2]))
    assert problem == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "a\ufffd[2J\ufffd\ufffd",
        "code": "malformed",
        "supported": [1, 2],
    }


records = st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"") + b"\n"), min_size=1, max_size=20)


@given(before=st.lists(st.binary(min_size=1, max_size=9), max_size=5), batch=records, parent=st.none() | st.just(LOG))
def test_what_the_client_sends_the_server_gets(before: list[bytes], batch: list[bytes], parent: str | None) -> None:
    """Any records behind any cursor cross unchanged, with the place where they belong."""
    tree = CompactRange.EMPTY.extended(leaf_hashes(before))
    offset = sum(map(len, before))
    cursor = Cursor(LOG, offset, tree, None, Anchor.of(before[-1]) if before else None, parent)
    load = Batch(len(before), offset, b"".join(batch), tuple(accumulate(map(len, batch))))
    request = wire.batch_request(IDENTITY, Send(cursor, load, tree.extended(leaf_hashes(batch)), "cloud"), REPORT)
    got = wire.parse_batch(request.head + request.data, Limits())
    expected = wire.Envelope(
        2, "brain", "device", LOG, "cloud", len(before), offset, tree.root, len(batch), parent, REPORT
    )
    assert expected == got.envelope
    assert load == got.load
    assert request.body_bytes == len(request.head) + len(load.data)


@given(batch=st.lists(records.map(lambda some: some[0]), min_size=2, max_size=9), chosen=st.sets(st.integers(0, 8)))
def test_f35_a_batch_with_holes_crosses(batch: list[bytes], chosen: set[int]) -> None:
    """The bytes of the others cross unchanged; each hole stands where its record was, with length and leaf."""
    holes = tuple(sorted(number for number in chosen if number < len(batch)))[: len(batch) - 1]
    leaves = tuple(leaf_hashes(batch))
    ends = tuple(accumulate(map(len, batch)))
    load = Batch(0, 0, b"".join(batch), ends, leaves, holes)
    request = wire.batch_request(IDENTITY, Send(Cursor(LOG), load, CompactRange.EMPTY.extended(leaves)), REPORT)
    got = wire.parse_batch(request.head + request.data, Limits())
    assert isinstance(got.load, Batch)
    assert list(got.load.records()) == [record for number, record in enumerate(batch) if number not in holes]
    assert got.holes == tuple(
        wire.RecordPlace(number, ends[number] - len(batch[number]), len(batch[number]), leaves[number])
        for number in holes
    )


@given(record=st.binary(min_size=1, max_size=99))
def test_a_hole_crosses(record: bytes) -> None:
    """A place without bytes crosses with its leaf, and its bytes stay behind."""
    hole = Hole(0, 0, len(record), leaf_hash(record), Anchor.of(record))
    send = Send(Cursor(LOG), hole, CompactRange.EMPTY.extended([hole.leaf]))
    request = wire.batch_request(IDENTITY, send, REPORT)
    assert request.data == b""
    assert wire.RecordPlace(0, 0, hole.length, hole.leaf) == wire.parse_batch(request.head, Limits()).load


@given(st.binary(max_size=300) | st.binary(max_size=50).map(lambda tail: body() + tail))
def test_f57_parsing_raises_nothing_but_wire_errors(request_body: bytes) -> None:
    """Any bytes are a request or a WireError, in each of the three forms."""
    parsers = (lambda raw: wire.parse_batch(raw, LIMITS), wire.parse_heartbeat, wire.parse_correction)
    for parse in parsers:
        # Only a WireError is expected; anything else fails the test.
        with contextlib.suppress(WireError):
            parse(request_body)


@pytest.mark.parametrize("brief", [True, False])
def test_f53_a_report_says_that_no_word_will_follow(brief: bool) -> None:
    """Of a hook, and of nobody else; to a server that does not know it, the status is what it was."""
    report = replace(REPORT, brief=brief)
    request = wire.heartbeat_request(IDENTITY, Beat(Cursor(LOG)), report)
    assert (b'"brief":true' in request.head, b"brief" in request.head) == (brief, brief)
    assert report == wire.parse_heartbeat(request.head).status


def test_f59_a_report_with_odd_words_crosses_inertly() -> None:
    """What a person or an operating system put into the status cannot break a request."""
    report = wire.Report("paused", 1, 1, None, 0, "1", trouble="a\ud800\x1b" + "y" * 1_000)
    request = wire.heartbeat_request(IDENTITY, Beat(Cursor(LOG)), report)
    status = wire.parse_heartbeat(request.head).status
    assert status is not None
    assert status.trouble is not None
    assert status.trouble.startswith("a\ufffd\ufffdyy")
    assert len(status.trouble) == 300
