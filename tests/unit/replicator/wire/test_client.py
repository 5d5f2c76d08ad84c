"""What the client makes of answers: any status, any bytes, always an outcome."""

from __future__ import annotations

import dataclasses
import time
from email.utils import formatdate
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator import wire
from replicator.actions import (
    Acked,
    BeatOutcome,
    Denied,
    Garbled,
    Gone,
    Misconfigured,
    Mismatch,
    RecallOutcome,
    Refused,
    SendOutcome,
    Throttled,
    TooLarge,
    TooOld,
    Unavailable,
)
from replicator.model import Head, Identity, Limits, Refusal
from replicator.proof import EMPTY_ROOT

LOG = "9b2d7c1e-0f4a-4c53-8d5e-2a6b7c8d9e0f"
ROOT = "ab" * 32
HEAD = {"log_id": LOG, "size": 3, "offset": 161, "root": ROOT, "event_id": "01"}
LIMITS = {"body_bytes": 9, "record_bytes": 8, "records": 7, "requests_per_minute": 600, "encodings": ["gzip"]}
ACK: dict[str, Any] = {
    "schema": 2,
    "cloud_id": "cloud",
    "head": HEAD,
    "accepted": 1,
    "duplicates": 0,
    "flagged": [{"record": 2, "code": "not_json", "detail": "x"}],
    "refused": [],
    "limits": LIMITS,
}
PORTAL = b"<!doctype html><title>Welcome to the airport</title>"


def ack(body: object, *, status: int = 200, **headers: str) -> SendOutcome:
    encoded = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return wire.read_ack(status, named, encoded, now_wall=1_000_000_000.0)


def changed(path: str, value: object) -> dict[str, Any]:
    """ACK with the field at `path` replaced."""
    body: dict[str, Any] = orjson.loads(orjson.dumps(ACK))
    *outer, last = path.split(".")
    inner: Any = body
    for step in outer:
        inner = inner[int(step) if step.isdigit() else step]
    inner[int(last) if last.isdigit() else last] = value
    return body


@given(
    st.builds(
        Head,
        st.uuids().map(str),
        st.integers(0, 2**53),
        st.binary(min_size=32, max_size=32),
        st.integers(0, 2**53),
        st.none() | st.text(max_size=256) | st.sampled_from(["\ud800", "\udcff\0", '"\\']),
    ),
    st.integers(0, 20_000),
    st.integers(0, 20_000),
    st.sampled_from(["cloud", 'a "cloud"', "W\u00f6lkchen"]),
    st.sampled_from([Limits(), Limits(requests_per_minute=600, encodings=("zstd", "gzip"))]),
)
def test_the_plain_ack_is_the_ack(head: Head, accepted: int, duplicates: int, cloud_id: str, limits: Limits) -> None:
    """To the byte, whatever the event_id holds."""
    acked = Acked(cloud_id, head, accepted, duplicates, limits=limits)
    assert wire.plain_ack_body(head, accepted, duplicates, cloud_id, limits) == wire.ack_body(acked)


def test_an_ack_is_read_with_its_types() -> None:
    """A whole ack gives every value that it holds."""
    expected = Acked(
        cloud_id="cloud",
        head=Head(LOG, 3, bytes.fromhex(ROOT), 161, "01"),
        accepted=1,
        flagged=(Refusal(2, "not_json", "x"),),
        limits=Limits(9, 8, 7, 600, ("gzip",)),
        flagged_count=1,
    )
    assert expected == ack(ACK)


def test_an_ack_without_limits_is_one() -> None:
    """Limits may be absent: the client goes on with those that it knows."""
    outcome = ack(changed("limits", None))
    assert isinstance(outcome, Acked)
    assert outcome.limits is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("cloud_id", None),
        ("cloud_id", ""),
        ("cloud_id", 5),
        ("cloud_id", "x" * 129),
        ("cloud_id", "a\x1b[31m"),
        ("head", None),
        ("head", [HEAD]),
        ("head.log_id", "not-a-uuid"),
        ("head.log_id", LOG.upper()),
        ("head.log_id", None),
        ("head.size", "3"),
        ("head.size", True),
        ("head.size", 3.0),
        ("head.size", -1),
        ("head.size", 2**53 + 1),
        ("head.size", 2**70),
        ("head.size", None),
        ("head.offset", "161"),
        ("head.root", ROOT.upper()),
        ("head.root", ROOT[:-1]),
        ("head.root", None),
        ("head.event_id", 7),
        ("head.event_id", "x" * 257),
        ("accepted", False),
        ("accepted", None),
        ("duplicates", -1),
        ("flagged", None),
        ("flagged", {}),
        ("flagged", [7]),
        ("flagged.0.record", "2"),
        ("flagged.0.code", None),
        ("flagged.0.detail", 5),
        ("refused", "none"),
        ("flagged_count", 0),
        ("flagged_count", "1"),
        ("refused_count", -1),
        ("limits", 5),
        ("limits.body_bytes", 0),
        ("limits.record_bytes", None),
        ("limits.records", True),
        ("limits.requests_per_minute", 0),
        ("limits.encodings", None),
        ("limits.encodings", [None]),
        ("limits.encodings", ["x"] * 17),
    ],
)
def test_f32_a_wrong_typed_ack_is_no_ack(path: str, value: object) -> None:
    """One field of the wrong type makes the whole answer no ack, and the words name the field."""
    body = changed(path, value) if value != 2**70 else orjson.dumps(ACK).replace(b'"size":3', b'"size":%d' % 2**70)
    outcome = ack(body, Content_Type="application/json")
    assert isinstance(outcome, Garbled)
    assert outcome.detail.startswith("200 (application/json): ")
    assert path.split(".")[-1 if not path[-1].isdigit() else 0] in outcome.detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        PORTAL,
        b"[]",
        b"null",
        b'"accepted"',
        orjson.dumps(ACK)[:-1],
        orjson.dumps(ACK)[:40],
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"head": NaN}',
        orjson.dumps(ACK) + b" " * wire.ANSWER_BYTES_MAX,
    ],
    ids=["empty", "portal", "list", "null", "text", "cut", "cut early", "deep", "no utf-8", "nan", "huge"],
)
def test_f32_what_is_no_ack_at_all(body: bytes) -> None:
    """HTML, nothing, a cut body, a huge one: none is an ack, none is an exception."""
    assert isinstance(ack(body, Content_Type="text/html"), Garbled)


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_f32_an_encoded_answer_is_no_ack(encoding: str) -> None:
    """An answer that says it is encoded does not count, even if its bytes could be read."""
    assert isinstance(ack(ACK, Content_Encoding=encoding), Garbled)


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_an_answer_that_is_not_encoded_counts(encoding: str) -> None:
    """`identity` is no encoding."""
    assert isinstance(ack(ACK, content_encoding=encoding), Acked)


def test_the_body_at_the_limit_counts() -> None:
    """64 KiB exactly are read."""
    body = orjson.dumps(ACK)
    assert isinstance(ack(body + b" " * (wire.ANSWER_BYTES_MAX - len(body))), Acked)


CLASSES: list[tuple[int, type]] = [
    (201, Garbled),
    (202, Garbled),
    (204, Garbled),
    (299, Garbled),
    (301, Misconfigured),
    (302, Misconfigured),
    (304, Misconfigured),
    (308, Misconfigured),
    (400, Refused),
    (401, Denied),
    (402, Misconfigured),
    (403, Denied),
    (404, Misconfigured),
    (405, Misconfigured),
    (407, Misconfigured),
    (408, Unavailable),
    (410, Misconfigured),
    (411, Misconfigured),
    (413, TooLarge),
    (415, Misconfigured),
    (418, Misconfigured),
    (422, Refused),
    (426, TooOld),
    (429, Throttled),
    (451, Misconfigured),
    (500, Unavailable),
    (502, Unavailable),
    (503, Unavailable),
    (504, Unavailable),
    (599, Unavailable),
    (600, Misconfigured),
    (101, Misconfigured),
    (0, Misconfigured),
]


@pytest.mark.parametrize("body", [PORTAL, b"", b'{"code": 5, "detail": [], "title": null, "record": "x"}', b"\0"])
@pytest.mark.parametrize(("status", "outcome"), CLASSES)
def test_f33_f34_f36_f37_an_error_keeps_the_class_of_its_status(status: int, outcome: type, body: bytes) -> None:
    """A proxy's page, an empty body or wrong types change nothing: the status decides, for all three requests."""
    headers = {"Content-Type": "text/html"}
    for read in (wire.read_ack, wire.read_heartbeat, wire.read_logs):
        got = read(status, headers, body, now_wall=0.0)
        assert type(got) is outcome
        assert str(status) in repr(got) or outcome in (TooLarge, Throttled)


@pytest.mark.parametrize("body", [PORTAL, b"{}", orjson.dumps({"head": {"size": 3}})])
def test_f39_a_409_without_a_head_is_garbled(body: bytes) -> None:
    """A conflict that names no head cannot be acted on."""
    assert isinstance(ack(body, status=409), Garbled)
    assert isinstance(wire.read_heartbeat(409, {}, body, now_wall=0.0), Garbled)


def test_f39_a_409_gives_the_head_and_the_record() -> None:
    """A conflict gives the cloud's head, and what differs where it is said."""
    head = {"log_id": LOG, "size": 0, "offset": 0, "root": EMPTY_ROOT.hex(), "event_id": None}
    expected = Mismatch(Head(LOG, 0, EMPTY_ROOT), record=5, cloud_id="c")
    assert expected == ack({"head": head, "record": 5, "cloud_id": "c"}, status=409)
    assert Mismatch(Head(LOG, 0, EMPTY_ROOT)) == ack({"head": head}, status=409)


def test_a_409_to_a_recall_is_of_no_protocol() -> None:
    """`GET /logs` has no head to differ from."""
    assert isinstance(wire.read_logs(409, {}, b"{}", now_wall=0.0), Misconfigured)


@pytest.mark.parametrize("body", [b"{}", b'{"cloud_id": "c"}', b'{"head": {}, "cloud_id": "c"}', PORTAL])
def test_f32_a_heartbeat_answer_of_another_shape_is_garbled(body: bytes) -> None:
    """A heartbeat is answered with a cloud and a head, or not at all."""
    assert isinstance(wire.read_heartbeat(200, {}, body, now_wall=0.0), Garbled)


@pytest.mark.parametrize("body", [b"{}", b'{"logs": {}}', b'{"logs": [1]}', b'{"logs": [{}]}', PORTAL])
def test_f32_a_list_of_logs_of_another_shape_is_garbled(body: bytes) -> None:
    """A recall is answered with a list of heads, or not at all."""
    assert isinstance(wire.read_logs(200, {}, body, now_wall=0.0), Garbled)


def test_deleted_on_purpose_is_told_from_a_410_of_somebody_else() -> None:
    """Only the code brain_deleted stops for good."""
    assert isinstance(ack({"code": "brain_deleted"}, status=410), Gone)
    assert isinstance(ack({"code": "gone"}, status=410), Misconfigured)


@pytest.mark.parametrize(
    ("supported", "words"),
    [
        ([1], "the cloud is too old"),
        ([3, 4], "this client is too old"),
        ([1, 2, 3], "426"),
        ([], "426"),
        (["2"], "426"),
        ("1", "426"),
    ],
)
def test_f40_426_says_which_side_is_too_old(supported: object, words: str) -> None:
    """The words name the side that must be brought up to date, if the answer lets us know."""
    outcome = ack({"code": "schema_unsupported", "supported": supported}, status=426)
    assert isinstance(outcome, TooOld)
    assert outcome.detail.startswith(words)


def test_f36_413_gives_the_limits_that_it_names() -> None:
    """Limits of the right shape are taken over, others are as none."""
    assert TooLarge(Limits(9, 8, 7, 600, ("gzip",)), ours=False) == ack({"limits": LIMITS}, status=413)
    assert TooLarge(None, ours=False) == ack({"limits": {"body_bytes": "9"}}, status=413)


@pytest.mark.parametrize(
    ("media_type", "code", "ours"),
    [
        ("application/problem+json", "body_too_large", True),
        ("Application/Problem+JSON; charset=utf-8", "record_too_large", True),
        ("application/problem+json", "request_blocked", False),
        ("application/problem+json", 413, False),
        ("application/json", "body_too_large", False),
        ("text/html", "body_too_large", False),
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422])
def test_f66_only_the_protocols_own_words_are_a_refusal_of_ours(
    media_type: str, code: object, ours: bool, status: int
) -> None:
    """problem+json with a code that the cloud has for records; whatever a hop writes is a stranger's."""
    outcome = ack({"code": code}, status=status, content_type=media_type)
    assert isinstance(outcome, Refused | TooLarge)
    assert outcome.ours is ours


@pytest.mark.parametrize(("record", "expected"), [(7, 7), (-1, None), (True, None), (2**54, None), ("7", None)])
def test_f35_a_refusal_names_the_record_if_it_can(record: object, expected: int | None) -> None:
    """The number of the record at fault is taken only if it can be one."""
    outcome = ack({"record": record, "title": "Bad Request"}, status=400)
    assert Refused(400, "400 (no media type): unknown: Bad Request", expected, ours=False) == outcome


def test_f34_a_redirect_says_where_to_by_host_alone() -> None:
    """What a captive portal puts into the rest of its address is not repeated."""
    outcome = ack(PORTAL, status=302, Location="https://portal.example/login?token=secret")
    assert isinstance(outcome, Misconfigured)
    assert "to portal.example;" in outcome.detail
    assert "secret" not in outcome.detail


@pytest.mark.parametrize("location", ["", "/here", "https://[broken"])
def test_f34_a_redirect_to_nowhere_is_told_too(location: str) -> None:
    """A Location that names no host, or is none, is no exception."""
    outcome = ack(PORTAL, status=302, Location=location)
    assert isinstance(outcome, Misconfigured)
    assert "redirected;" in outcome.detail


def test_f59_the_servers_words_are_made_inert() -> None:
    """Escape sequences and line ends of an answer do not reach a log or a terminal; long texts are cut."""
    outcome = ack({"code": "x\n", "detail": "a\x1b[2J\r\nb" + "y" * 10_000}, status=403)
    assert isinstance(outcome, Denied)
    assert (outcome.code + outcome.detail).isprintable()
    assert len(outcome.detail) < 400


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("999999999999", 86_400.0),
        ("9" * 100, 86_400.0),
        ("9" * 101, None),
        (formatdate(1_000_000_080, usegmt=True), 80.0),
        (formatdate(1_000_000_080 + 10**8, usegmt=True), 86_400.0),
        (formatdate(999_999_000, usegmt=True), 0.0),
        ("Sunday, 09-Sep-01 01:48:00 GMT", 80.0),
        ("Sun, 09 Sep 2001 01:48:00 -0000", 80.0),
        ("Sun, 09 Sep 2001 03:48:00 +0200", 80.0),
        ("soon", None),
        ("", None),
        ("1e3", None),
        ("٣", None),
        ("Sun, 99 Sep 2001 01:48:00 GMT", None),
    ],
)
def test_f37_retry_after_in_each_form(value: str, expected: float | None) -> None:
    """Seconds and dates are understood, absurd values clamped to a day, others ignored."""
    assert Throttled(expected) == ack(b"", status=429, Retry_After=value)
    unavailable = ack(b"", status=503, retry_after=value)
    assert isinstance(unavailable, Unavailable)
    assert expected == unavailable.retry_after_s


def test_f37_a_date_without_a_zone_is_utc_wherever_the_client_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in mail, where -0000 says nothing of a place."""
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    try:
        assert wire.retry_after_s("Sun, 09 Sep 2001 01:48:00 -0000", now_wall=1_000_000_000.0) == 80.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_f37_no_retry_after_is_none() -> None:
    """Without the header nothing is assumed."""
    assert Throttled(None) == ack(b"", status=429)


@given(st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d .{0,6}"))
def test_f37_retry_after_is_never_an_exception(value: str) -> None:
    """Whatever stands in the header, the answer is a number of seconds within a day, or None."""
    seconds = wire.retry_after_s(value, now_wall=0.0)
    assert seconds is None or 0 <= seconds <= 86_400


@pytest.mark.parametrize(
    ("policy", "announced", "expected"),
    [
        ('"brain";q=300;w=60', 600, 300),
        ('"brain";q=600;w=60', 300, 300),
        ('"brain";w=1; q=2', 600, 120),
        ('"brain";q=300;w=60', None, 300),
        ('"day";q=1;w=86400', 600, 1),
        ('"brain";q=0;w=60', 600, 600),
        ('"brain";q=300', 600, 600),
        ('"brain";q=300', None, None),
        ('"brain";w=60', 600, 600),
        ('"brain";q=1;w=7', 600, 8),
        ('"brain";q=300;w=0', 600, 600),
        ("nonsense", 600, 600),
    ],
)
def test_f37_a_ratelimit_policy_can_lower_the_budget(policy: str, announced: int | None, expected: int | None) -> None:
    """The smaller of header and body counts; a policy that makes no sense is ignored; it is never zero."""
    outcome = ack(changed("limits.requests_per_minute", announced), RateLimit_Policy=policy)
    assert isinstance(outcome, Acked)
    assert outcome.limits is not None
    assert expected == outcome.limits.requests_per_minute


def kinds(union: Any) -> tuple[type, ...]:
    """The classes of a union of unions."""
    return tuple(kind for part in get_args(union) for kind in (kinds(part) or (part,)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.sampled_from([ROOT, LOG]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted({*ACK, *HEAD, *LIMITS, "record", "code", "logs"})), inner, max_size=6)
    ),
    max_leaves=20,
)


@given(
    status=st.integers(-1, 700),
    headers=st.dictionaries(
        st.sampled_from(["Retry-After", "Location", "Content-Type", "Content-Encoding", "RateLimit-Policy"]),
        st.text(max_size=30),
    ),
    body=st.binary(max_size=200)
    | json_values.map(lambda value: repr(value).encode())
    | st.builds(
        lambda path, value: orjson.dumps(changed(path, value), option=orjson.OPT_NON_STR_KEYS, default=str),
        st.sampled_from(["head", "head.size", "flagged.0", "limits", "refused", "cloud_id", "limits.encodings"]),
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5, alphabet="ab\n"),
    ),
)
def test_f32_reading_is_total(status: int, headers: dict[str, str], body: bytes) -> None:
    """Any status with any headers and any bytes is one of the outcomes; nothing is raised."""
    assert type(wire.read_ack(status, headers, body, now_wall=0.0)) in kinds(SendOutcome)
    assert type(wire.read_heartbeat(status, headers, body, now_wall=0.0)) in kinds(BeatOutcome)
    assert type(wire.read_logs(status, headers, body, now_wall=0.0)) in kinds(RecallOutcome)


def test_logs_are_asked_for_with_names_escaped() -> None:
    """A name with reserved characters does not change the address."""
    request = wire.logs_request(Identity("a b&c/d", "dev#1"))
    assert (request.method, request.path) == ("GET", "/logs?brain=a%20b%26c%2Fd&device=dev%231")
    assert request.body_bytes == 0


def test_f55_no_record_is_in_a_repr_of_a_request() -> None:
    """The data of a request is not printed."""
    request = dataclasses.replace(wire.logs_request(Identity("b", "d")), data=b"private words")
    assert "private" not in repr(request)
