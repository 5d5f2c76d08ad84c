"""The protocol to the last word: what stands in requests and answers, what an error says, where each bound lies.

Whoever reads an error has nothing else to go by, and other programs read these forms; so each is compared whole.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import orjson
import pytest

from replicator import wire
from replicator.actions import (
    Acked,
    Beat,
    Denied,
    Garbled,
    Heard,
    Misconfigured,
    Recalled,
    Refused,
    Send,
    TooOld,
    Unavailable,
)
from replicator.errors import WireError
from replicator.model import Anchor, Batch, Cursor, Head, Identity, Limits, Refusal
from replicator.proof import EMPTY_ROOT, CompactRange
from replicator.wire.common import Fields, limits_json, plain, read_head, read_limits, read_refusal, read_report
from replicator.wire.server import _fitting
from tests.unit.replicator.wire.test_server import (
    CORRECTION,
    ENVELOPE,
    HOLE,
    IDENTITY,
    LIMITS,
    LOG,
    REPORT,
    body,
    refused,
)

HEAD = Head(LOG, 3, b"r" * 32, 161, "01")
HEAD_JSON = {"log_id": LOG, "size": 3, "offset": 161, "root": (b"r" * 32).hex(), "event_id": "01"}
STATUS = ENVELOPE["status"]
THEN = 1_000_000_000.0


def raised(call: Any, *arguments: Any) -> WireError:
    with pytest.raises(WireError) as caught:
        call(*arguments)
    return caught.value


# ------------------------------------------------------------------------------ what is wrong with a request


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "2"}, "schema must be an integer from 0 to 2^53"),
        ({"schema": 1}, "schema must be 2 in a batch"),
        ({"brain_id": ""}, "brain_id must be a string of 1 to 128 printable characters"),
        ({"log_id": "x"}, "log_id must be a uuid in lower case with hyphens"),
        ({"first": -1}, "first must be an integer from 0 to 2^53"),
        ({"count": 0}, "count must be an integer from 1 to 2^53"),
        ({"root": "ab"}, "root must be 64 lower-case hex digits"),
        ({"offset": 3}, "offset must be 0 for the first record, and at least `first` for others"),
        ({"offset": 0}, "offset must be 0 for the first record, and at least `first` for others"),
        ({"first": 2**53 - 2, "offset": 2**53}, "count must be such that the log stays below 2^53 records"),
        ({"status": 5}, "status must be an object"),
        ({"status": {**STATUS, "state": 1}}, "status.state must be a string of 1 to 128 printable characters"),
        ({"status": {**STATUS, "trouble": 1}}, "status.trouble must be a string of at most 300 characters"),
        ({"hole": []}, "hole must be an object"),
        ({"hole": HOLE}, "a hole must have count 1 and no record behind it"),
        ({"hole": {"length": 0}, "count": 1, "data": b""}, "hole.length must be an integer from 1 to 2^53"),
        ({"hole": {"length": 1}, "count": 1, "data": b""}, "hole.leaf must be 64 lower-case hex digits"),
        ({"holes": {}}, "holes must be a list"),
        ({"holes": [1]}, "holes must be a list of objects"),
        ({"holes": [HOLE] * 17}, "holes must be at most 16 places without bytes"),
        ({"holes": [{"record": 3}], "count": 4}, "holes[0].record must be an integer from 4 to 2^53"),
        ({"holes": [{"record": 8}], "count": 4}, "holes[0].record must be a record of this batch"),
        ({"holes": [{"record": 5, "length": 0}], "count": 4}, "holes[0].length must be an integer from 1 to 2^53"),
        ({"count": 2}, "count must be the number of records in the body, each with its newline"),
    ],
)
def test_a_batch_that_is_refused_is_told_why(change: dict[str, Any], words: str) -> None:
    """The field by its whole name and what it must be; 400."""
    error = refused(body(**change))
    assert (str(error), error.status, error.code) == (words, 400, "malformed")


@pytest.mark.parametrize(
    ("request_body", "words"),
    [
        (b"", "the first line must be an envelope of at most 65536 bytes"),
        (b"\n", "the body is not JSON"),
        (b"{\n", "the body is not JSON"),
        (b"[]\n", "the body is not a JSON object"),
    ],
)
def test_what_has_no_envelope_is_told_so(request_body: bytes, words: str) -> None:
    """Before any field is looked at."""
    assert str(refused(request_body)) == words


def test_what_is_beyond_a_limit_or_a_schema_is_told_so() -> None:
    """With the code that a program goes by."""
    errors = [
        refused(body(), Limits(body_bytes=10)),
        refused(body(), Limits(records=2)),
        refused(body(schema=3)),
        raised(wire.parse_correction, b'{"schema": 3}'),
    ]
    newer = ("this server speaks the schemas 1, 2", 426, "schema_unsupported")
    assert [(str(error), error.status, error.code) for error in errors] == [
        ("the body is larger than the limit", 413, "body_too_large"),
        ("more records than the limit", 413, "body_too_large"),
        newer,
        newer,
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema must be 1 in this form; schema 2 travels as a batch"),
        ({"brain_id": None}, "brain_id must be a string of 1 to 128 printable characters"),
        ({"correction": "text"}, "correction must be an object"),
        ({"correction": {"category": 5}}, "correction.category must be a string or null"),
        ({"correction": {"severity": 5}}, "correction.severity must be a string or null"),
        ({"correction": {"session": {}}}, "correction.session must be a number, a string or null"),
        ({"correction": {"session": []}}, "correction.session must be a number, a string or null"),
        ({"event_id": "x" * 65}, "event_id must be at most 64 printable characters, or null"),
    ],
)
def test_a_correction_that_is_refused_is_told_why(change: dict[str, Any], words: str) -> None:
    """Old clients show this to people."""
    assert str(raised(wire.parse_correction, orjson.dumps(CORRECTION | change))) == words


def test_bounds_are_where_they_are_said_to_be() -> None:
    """What is at a bound is taken: lengths of names and texts, the largest integer, the number of holes."""
    assert str(raised(wire.parse_correction, b"[]")) == "the body is not a JSON object"
    assert wire.parse_correction(orjson.dumps(CORRECTION | {"event_id": "x" * 64})).event_id == "x" * 64
    assert wire.parse_correction(orjson.dumps({k: v for k, v in CORRECTION.items() if k != "schema"})).brain_id == "b"
    fields = Fields({"most": 2**53, "text": "x" * 9, "name": "n" * 128, "longer": "n" * 129})
    assert (fields.number("most"), fields.text("text", 9), fields.name("name")) == (2**53, "x" * 9, "n" * 128)
    assert str(raised(fields.name, "longer")) == "longer must be a string of 1 to 128 printable characters"
    assert str(raised(fields.text, "text", 8)) == "text must be a string of at most 8 characters"
    holes = [{"record": number, **HOLE} for number in range(4, 20)]
    assert len(wire.parse_batch(body(count=19, holes=holes), LIMITS).holes) == 16
    last = wire.parse_batch(body(first=2**53 - 3, offset=2**53), LIMITS).envelope
    assert last.first + last.count == 2**53
    cut = wire.parse_batch(body(), Limits(body_bytes=len(body()), records=3))
    assert cut.envelope.count == 3


def test_a_text_is_plain_and_cut_at_its_bound() -> None:
    """300 characters where nothing else is said."""
    assert (plain("a" * 301), plain("ab\n", 3), plain("abcd", 3)) == ("a" * 300, "ab\ufffd", "abc")


def test_inner_objects_are_named_by_their_whole_path() -> None:
    """However deep: an error names the place where a person would look."""
    fields = Fields({"a": {"b": {}, "list": [{"c": {}}]}})
    inner = fields.inner("a")
    assert str(raised(inner.inner("b").uuid, "x")) == "a.b.x must be a uuid in lower case with hyphens"
    assert (
        str(raised(inner.objects("list")[0].inner("c").hash, "y")) == "a.list[0].c.y must be 64 lower-case hex digits"
    )
    assert str(raised(inner.items, "b")) == "a.b must be a list"
    assert str(raised(inner.inner, "list")) == "a.list must be an object"


# ------------------------------------------------------------------------------ values


def test_limits_cross_and_are_checked() -> None:
    """All five, none of them 0; sixteen encodings at most."""
    values = {"body_bytes": 1, "record_bytes": 2, "records": 3, "requests_per_minute": 4, "encodings": ["e"] * 16}
    limits = Limits(1, 2, 3, 4, ("e",) * 16)
    assert (read_limits(Fields(values)), limits_json(limits)) == (limits, values)
    least = {**values, "record_bytes": 1, "records": 1, "requests_per_minute": 1}
    assert read_limits(Fields(least)) == Limits(1, 1, 1, 1, ("e",) * 16)
    for name in ("body_bytes", "record_bytes", "records", "requests_per_minute"):
        words = f"{name} must be an integer from 1 to 2^53"
        assert str(raised(read_limits, Fields({**values, name: 0}))) == words
    for odd in (["e"] * 17, [1], [""]):
        error = raised(read_limits, Fields({**values, "encodings": odd}))
        assert str(error) == "encodings must be a list of at most 16 names"


def test_heads_refusals_and_reports_are_read_whole() -> None:
    """Each field from its own name; what may be absent is none or empty."""
    assert read_head(Fields(HEAD_JSON)) == HEAD
    assert read_head(Fields({**HEAD_JSON, "event_id": "x" * 256})).event_id == "x" * 256
    assert read_refusal(Fields({"record": 1, "code": "c", "detail": "d\n"})) == Refusal(1, "c", "d\ufffd")
    assert read_refusal(Fields({"record": 1, "code": "c"})) == Refusal(1, "c", "")
    told = {"last_event_at": "e" * 300, "trouble": "t" * 300, "last_ack_at": "a" * 300}
    report = wire.Report("live", 1, 2, "e" * 300, 3, "v", "t" * 300, "a" * 300)
    whole = {"state": "live", "log_bytes": 1, "backlog_bytes": 2, "dead_letters": 3, "version": "v", **told}
    assert read_report(Fields(whole)) == report
    assert read_report(Fields({**whole, "brief": True})).brief
    assert not read_report(Fields({**whole, "brief": 1})).brief


# ------------------------------------------------------------------------------ requests


def test_a_heartbeat_says_where_the_cursor_stands() -> None:
    """Method, path, type and each field."""
    report = wire.Report("live", 1, 2, "then", 3, "v", "denied", "ack", brief=True)
    request = wire.heartbeat_request(IDENTITY, Beat(Cursor(LOG), "cloud"), report)
    assert (request.method, request.path, request.headers) == (
        "POST",
        "/heartbeat",
        {"Content-Type": "application/json"},
    )
    assert orjson.loads(request.head) == {
        "brain_id": "brain",
        "device_id": "device",
        "log_id": LOG,
        "cloud_id": "cloud",
        "size": 0,
        "root": EMPTY_ROOT.hex(),
        "status": {
            "brief": True,
            "state": "live",
            "log_bytes": 1,
            "backlog_bytes": 2,
            "last_event_at": "then",
            "dead_letters": 3,
            "version": "v",
            "trouble": "denied",
            "last_ack_at": "ack",
        },
    }
    assert "brief" not in orjson.loads(wire.heartbeat_request(IDENTITY, Beat(Cursor(LOG)), REPORT).head)["status"]


def test_a_hole_among_records_is_named_by_its_leaf() -> None:
    """Its own, also where the batch is not the log's first."""
    leaves = (b"a" * 32, b"b" * 32, b"c" * 32)
    load = Batch(2, 10, b"x\nyy\nz\n", (2, 5, 7), leaves, (3,))
    tree = CompactRange.EMPTY.extended([b"1" * 32, b"2" * 32])
    send = Send(Cursor(LOG, 10, tree, None, Anchor.of(b"before\n")), load, tree.extended(leaves))
    request = wire.batch_request(IDENTITY, send, REPORT)
    assert orjson.loads(request.head)["holes"] == [{"record": 3, "length": 3, "leaf": leaves[1].hex()}]
    assert request.data == b"x\nz\n"


def test_a_batch_is_posted_as_it_stands() -> None:
    """Method, path and type; megabytes of records are not copied once more."""
    load = Batch(0, 0, b"x\n" * 2, (2, 4))
    tree = CompactRange.EMPTY.extended([b"1" * 32, b"2" * 32])
    request = wire.batch_request(IDENTITY, Send(Cursor(LOG), load, tree), REPORT)
    assert (request.method, request.path, request.headers) == (
        "POST",
        "/ingest",
        {"Content-Type": "application/vnd.gradata.batch"},
    )
    assert request.data is load.data


def test_logs_are_asked_for_of_one_device_or_of_all() -> None:
    """Names are quoted whole, a slash too."""
    identity = Identity("a/b", "c/d")
    assert wire.logs_request(identity).path == "/logs?brain=a%2Fb&device=c%2Fd"
    assert wire.logs_request(identity, of_all_devices=True).path == "/logs?brain=a%2Fb"


# ------------------------------------------------------------------------------ answers, as the server makes them


def test_answers_have_each_field_by_its_name() -> None:
    """Other programs read them."""
    assert orjson.loads(wire.heartbeat_body(Heard("cloud", HEAD))) == {"cloud_id": "cloud", "head": HEAD_JSON}
    for duplicate, word in ((False, "accepted"), (True, "duplicate")):
        answer = {"schema": 1, "status": word, "deduplicated": duplicate, "event_id": "e"}
        assert orjson.loads(wire.correction_body("e", duplicate=duplicate)) == answer
    entry = wire.LogEntry(HEAD, "d", "p", "c", "s", 7)
    listed = HEAD_JSON | {"device_id": "d", "parent": "p", "created_at": "c", "stored_at": "s", "holes": 7}
    assert orjson.loads(wire.logs_body([entry])) == {"logs": [listed], "truncated": False}
    silent = wire.LogEntry(HEAD, "d", "p", "c", "s", 7, 0)
    assert orjson.loads(wire.logs_body([silent])) == {"logs": [listed | {"silent_s": 0}], "truncated": False}


def test_an_ack_says_what_became_of_each_record() -> None:
    """Counts, lists with their words, the limits."""
    flagged, refusals = (Refusal(1, "blank", "f"),), (Refusal(2, "too_large", "r"), Refusal(3, "too_large", "s"))
    limits = Limits(1, 2, 3, 4, ("e",))
    acked = Acked("c", HEAD, 5, 6, flagged, refusals, limits, flagged_count=9)
    assert orjson.loads(wire.ack_body(acked)) == {
        "schema": 2,
        "cloud_id": "c",
        "head": HEAD_JSON,
        "accepted": 5,
        "duplicates": 6,
        "flagged": [{"record": 1, "code": "blank", "detail": "f"}],
        "refused": [
            {"record": 2, "code": "too_large", "detail": "r"},
            {"record": 3, "code": "too_large", "detail": "s"},
        ],
        "flagged_count": 9,
        "refused_count": 2,
        "limits": limits_json(limits),
    }


@pytest.mark.parametrize("spare", [0, 1])
def test_an_answer_keeps_its_words_up_to_64_kib(spare: int) -> None:
    """One byte more, and its lists go without them, each as far as there is room."""

    def made(length: int) -> bytes:
        return wire.ack_body(
            Acked("c" * length, HEAD, flagged=tuple(Refusal(n, "blank", "w" * 90) for n in range(400)))
        )

    length = 1 + wire.ANSWER_BYTES_MAX - len(made(1)) + spare
    got = orjson.loads(made(length))
    assert ("detail" in got["flagged"][0]) == (spare == 0)
    assert (len(made(length)) == wire.ANSWER_BYTES_MAX) == (spare == 0)
    assert got["flagged_count"] == 400


def test_lists_are_cut_exactly_where_the_room_ends() -> None:
    """62 KiB for both lists, refused records first; a comma is a byte."""
    refusals = tuple(Refusal(10_000 + n, "too_large") for n in range(1_000))
    flagged = tuple(Refusal(20_000 + n, "blank") for n in range(3_000))
    got = orjson.loads(wire.ack_body(Acked("c", HEAD, flagged=flagged, refused=refusals)))
    one, other = (len(orjson.dumps(got[name][0])) + 1 for name in ("refused", "flagged"))
    assert len(got["refused"]) == 1_000
    assert len(got["flagged"]) == (wire.ANSWER_BYTES_MAX - 2_048 - 1_000 * one) // other


@pytest.mark.parametrize(("room", "count"), [(7, 0), (8, 1), (15, 1), (16, 2), (99, 2)])
def test_an_item_takes_its_bytes_and_a_comma(room: int, count: int) -> None:
    """What does not fit ends the list; the room that is left is told."""
    fitting, left = _fitting([{"a": 1}, {"b": 2}], room)
    assert (len(fitting), left) == (count, room - 8 * count)


def test_a_problem_is_cut_and_holds_heads_and_limits() -> None:
    """1,000 characters of detail; further members as they travel."""
    limits = Limits(1, 2, 3, None, ())
    got = orjson.loads(wire.problem_body(413, "c", "d" * 1_001, head=HEAD, limits=limits, record=0))
    assert got == {
        "type": "about:blank",
        "title": "Request Entity Too Large",
        "status": 413,
        "detail": "d" * 1_000,
        "code": "c",
        "head": HEAD_JSON,
        "limits": limits_json(limits),
        "record": 0,
    }


# ------------------------------------------------------------------------------ answers, as the client reads them


def test_what_is_no_answer_is_told_with_status_and_media_type() -> None:
    """The first 80 characters of the type: they tell a portal from a release that is broken."""
    long_type = {"Content-Type": "t" * 81}
    told = f"200 ({'t' * 80}): the body is not JSON"
    for read in (wire.read_ack, wire.read_heartbeat, wire.read_logs):
        assert read(200, long_type, b"<html>", now_wall=0.0) == Garbled(told)
    assert wire.read_ack(202, {}, b"", now_wall=0.0) == Garbled("202 (no media type): not a status of the protocol")
    assert wire.read_ack(404, {}, b"", now_wall=0.0) == Misconfigured(
        404, "404 (no media type): not an answer of the protocol"
    )
    wrong = orjson.dumps({"logs": 1})
    assert wire.read_logs(200, {}, wrong, now_wall=0.0) == Garbled("200 (no media type): logs must be a list")
    missing = orjson.dumps(
        {"head": HEAD_JSON, "accepted": 1, "duplicates": 0, "flagged": [], "refused": [], "cloud_id": "c"}
    )
    few = missing[:-1] + b',"flagged_count": 0,"flagged": [{"record": 1, "code": "c"}]}'
    assert wire.read_ack(200, {}, few, now_wall=0.0) == Garbled(
        "200 (no media type): flagged_count must be at least the length of its list"
    )


@pytest.mark.parametrize("status", [300, 399])
def test_a_redirect_is_one_at_both_ends_of_its_class(status: int) -> None:
    """Its target's host alone, cut at 100 characters."""
    host = "h" * 101
    got = wire.read_ack(status, {"Location": f"https://{host}/x"}, b"", now_wall=0.0)
    words = f"{status} (no media type): redirected to {'h' * 100}; redirects are not followed"
    assert got == Misconfigured(status, words)
    nowhere = wire.read_ack(status, {}, b"", now_wall=0.0)
    assert nowhere == Misconfigured(status, f"{status} (no media type): redirected; redirects are not followed")


def test_an_error_gives_code_and_detail() -> None:
    """The code is cut at 64 characters; a title stands in for a detail; a 409 that is none says why."""
    problem = orjson.dumps({"code": "c" * 65, "detail": "d", "title": "t"})
    assert wire.read_ack(403, {}, problem, now_wall=0.0) == Denied(403, "c" * 64, f"403 (no media type): {'c' * 64}: d")
    titled = orjson.dumps({"title": "t"})
    assert wire.read_heartbeat(401, {}, titled, now_wall=0.0) == Denied(
        401, "unknown", "401 (no media type): unknown: t"
    )
    assert wire.read_heartbeat(409, {}, b"{}", now_wall=0.0) == Garbled("409 (no media type): head must be an object")


@pytest.mark.parametrize(("record", "expected"), [(0, 0), (1, 1), (2**53, 2**53), (2**53 + 1, None)])
def test_the_record_at_fault_may_be_the_first_or_the_last(record: int, expected: int | None) -> None:
    """From 0 to 2^53."""
    got = wire.read_ack(422, {}, orjson.dumps({"record": record}), now_wall=0.0)
    assert got == Refused(422, "422 (no media type): not an answer of the protocol", expected, ours=False)


@pytest.mark.parametrize("status", [408, 503])
def test_f37_a_date_to_wait_for_is_understood_in_every_answer(status: int) -> None:
    """In answers to batches, heartbeats and questions."""
    headers = {"Retry-After": formatdate(THEN + 80, usegmt=True)}
    for read in (wire.read_ack, wire.read_heartbeat, wire.read_logs):
        got = read(status, headers, b"", now_wall=THEN)
        words = f"{status} (no media type): not an answer of the protocol"
        assert got == Unavailable(words, 80.0, cut=status == 408)


@pytest.mark.parametrize(
    ("supported", "words"),
    [
        ([1], "the cloud is too old: it speaks schema 1 at most, this client 2"),
        ([3, 4], "this client is too old: it speaks schema 2, the cloud 3 at least"),
        ([1, 2], "426 (no media type): not an answer of the protocol"),
        ([2, 3], "426 (no media type): not an answer of the protocol"),
    ],
)
def test_f40_the_side_that_is_too_old_is_named(supported: list[int], words: str) -> None:
    """A cloud that speaks our schema and refuses it all the same says something else."""
    assert wire.read_ack(426, {}, orjson.dumps({"supported": supported}), now_wall=0.0) == TooOld(words)


def test_logs_that_somebody_speaks_of_now_are_left_out() -> None:
    """Of which nothing was heard for so long, and those of which nothing is said if nobody asks."""
    other = HEAD_JSON | {"size": 4}
    answer = orjson.dumps({"logs": [HEAD_JSON | {"silent_s": 9}, other | {"silent_s": 10}, HEAD_JSON | {"size": 5}]})

    def sizes(silent_s_min: int) -> list[int]:
        got = wire.read_logs(200, {}, answer, now_wall=0.0, silent_s_min=silent_s_min)
        assert isinstance(got, Recalled)
        return [head.size for head in got.heads]

    assert (sizes(0), sizes(1), sizes(10), sizes(11)) == ([3, 4, 5], [3, 4], [4], [])


def test_f116_statuses_are_called_the_same_by_every_python() -> None:
    """Python 3.13 has other names for these; the protocol keeps the ones that it began with."""
    titles = {
        status: orjson.loads(wire.problem_body(status, "c", "d"))["title"] for status in (400, 413, 414, 416, 422)
    }
    assert titles == {
        400: "Bad Request",
        413: "Request Entity Too Large",
        414: "Request-URI Too Long",
        416: "Requested Range Not Satisfiable",
        422: "Unprocessable Entity",
    }
