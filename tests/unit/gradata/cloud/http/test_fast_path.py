"""The short way of a request: which heads it takes, and that it reads them as the parser does."""

from __future__ import annotations

import json
from typing import Any, cast

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gradata.cloud.domain.principal import Principal
from gradata.cloud.http.fast_path import Express, Head
from gradata.cloud.protocol import parse
from gradata.cloud.protocol.interpret import read_lines
from replicator.errors import WireError
from replicator.framing import split
from replicator.model import Limits
from tests.support.cloud_batches import BATCH, body, event
from tests.support.express_corpus import ODD_RECORDS, REPORT

PATH = "/api/v1/ingest"
WAY = Express(PATH, cast("Any", None), cast("Any", None), cast("Any", None))
NOBODY = Principal("nobody", "default", frozenset({"ingest"}))
PLAIN = (b"Host: a", b"Content-Type: " + BATCH.encode())

LINES = st.sampled_from(
    [
        b"X: y", b"X:y", b"X:  y", b"X: y ", b"X:", b"X: ", b" X: y", b"X : y", b"X", b": y", b"X: a\tb", b"X: \xe4",
        b"X: \x00", b"X: a\rb", b"X: a\nY: b", b"Connection: close", b"Connection: keep-alive", b"Connection: Upgrade",
        b"Transfer-Encoding: chunked", b"transfer-encoding: identity", b"Expect: 100-continue",
        b"Upgrade: websocket",
        b"Content-Length: 3", b"Content-Length: 4", b"content-length: 03", b"Content-Length: +3",
        b"Content-Length: 3, 3",
        b"Host: b", b"Content-Type: " + BATCH.encode() + b"; a=b", b"X_y: z", b"TE: trailers", b"Trailer: X",
    ]
)  # fmt: skip


class Parsed:
    """What the server's own parser makes of a request."""

    def __init__(self, request: bytes) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        self.whole = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(request)

    def on_header(self, name: bytes, value: bytes) -> None:
        assert name.lower().decode() not in self.headers
        self.headers[name.lower().decode()] = value.decode()

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.whole += 1


@given(st.lists(LINES, max_size=3), st.sampled_from([b"abc", b"a\r\n", b"\r\n\r\n"]), st.integers(0, 4))
def test_a_head_that_is_taken_means_the_same_to_the_parser(odd: list[bytes], content: bytes, at: int) -> None:
    """Fields, body, and that the connection goes on; or it is not taken."""
    lines = [f"POST {PATH} HTTP/1.1".encode(), *PLAIN, *odd]
    lines.insert(1 + min(at, len(lines) - 1), b"Content-Length: 3")
    request = b"\r\n".join(lines) + b"\r\n\r\n" + content
    found = WAY.find(request, None)
    if found is None:
        return
    head, begin, length = found
    parsed = Parsed(request[: begin + length])
    assert parsed.whole == 1
    assert parsed.parser.should_keep_alive()
    assert not parsed.parser.should_upgrade()
    assert parsed.body == request[begin : begin + length]
    assert parsed.headers == {**head.headers, "content-length": str(length)}


def request_with(*lines: bytes, first: bytes = f"POST {PATH} HTTP/1.1".encode()) -> bytes:
    """A request with a body of three bytes."""
    return b"\r\n".join([first, *PLAIN, b"Content-Length: 3", *lines]) + b"\r\n\r\nabc"


def test_the_plain_form_is_taken_and_nothing_else() -> None:
    """As clients write it; not another method, path, version or query, nor a head without end, host or length."""
    assert WAY.find(request_with(b"X-Request-Id: a", b"Connection: keep-alive"), None) is not None
    for first in (
        "GET {} HTTP/1.1",
        "POST {}?a HTTP/1.1",
        "POST {} HTTP/1.0",
        "POST {}x HTTP/1.1",
        "POST  {} HTTP/1.1",
    ):
        assert WAY.find(request_with(first=first.format(PATH).encode()), None) is None
    whole = request_with()
    assert WAY.find(whole, None) is not None
    assert WAY.find(whole.replace(b"Host: a\r\n", b""), None) is None
    assert WAY.find(whole.replace(b"Content-Length: 3\r\n", b""), None) is None
    assert WAY.find(whole.replace(b": 3\r\n", b": 99999\r\n"), None) is None
    assert WAY.find(whole[: whole.index(b"\r\n\r\n") + 3], None) is None
    assert WAY.find(request_with(b"X: " + b"x" * 9000), None) is None


def test_a_head_that_was_there_before_is_not_read_again() -> None:
    """Whatever its length says; another head is."""
    found = WAY.find(request_with(), None)
    assert found is not None
    again = WAY.find(request_with().replace(b": 3\r\n", b": 2\r\n"), found[0])
    assert again == (found[0], found[1], 2)
    other = WAY.find(request_with(b"X: y"), found[0])
    assert other is not None
    assert isinstance(other[0], Head)
    assert other[0].headers["x"] == "y"


@pytest.mark.parametrize(
    ("was", "now"),
    [(b": 3\r\n", b": 03\r\n"), (b": 3\r\n", b": +3\r\n"), (b": 3\r\n", b": 3 \r\n"), (b": 3\r\n", b": 3333333\r\n"),
     (b": 3\r\n", b": \r\n"), (b"Host: a", b"Host: b"), (b"POST", b"PUT "), (b"\r\n\r\n", b"\r\nX: y\r\n\r\n"),
     (b"\r\n\r\n", b"\r\n \r\n"), (b"\r\n\r\nabc", b"\r\n")],
)  # fmt: skip
def test_what_only_resembles_the_head_before_is_read_as_if_it_were_the_first(was: bytes, now: bytes) -> None:
    """Another length, field, method or end: nothing is taken, or not by the head that was there."""
    known = WAY.find(request_with(), None)
    assert known is not None
    resembling = request_with().replace(was, now, 1)
    found, alone = WAY.find(resembling, known[0]), WAY.find(resembling, None)
    assert found is None or found[0] is not known[0]
    assert (None if found is None else (found[0].headers, *found[1:])) == (
        None if alone is None else (alone[0].headers, *alone[1:])
    )


CHANGES = st.dictionaries(
    st.sampled_from(["schema", "brain_id", "device_id", "log_id", "cloud_id", "first", "offset", "root", "count",
                     "parent", "status", "hole", "more"]),
    st.sampled_from([None, 0, 1, 2, -1, 1.0, True, 2**53, 2**53 + 1, "", "a", "a\n", "x" * 129, "a" * 64, "A" * 64, [],
                     {},
                     "11111111-1111-4111-8111-111111111111", REPORT, {**REPORT, "state": ""}, {**REPORT, "trouble": 5},
                     {**REPORT, "last_ack_at": "x" * 301}, {**REPORT, "version": "\x7f"},
                     {**REPORT, "trouble": "two\nlines"}, {**REPORT, "trouble": "W\u00f6lkchen \"\\/\x7f"}]),
    max_size=2,
)  # fmt: skip


@given(CHANGES, st.sampled_from([b"", b" ", b"{", b"\xff", b"\n"]))
@example({"first": 2, "offset": 1}, b"")
@example({"first": 0, "offset": 1}, b"")
@example({"first": 2**53, "offset": 2**53}, b"")
@example({"brain_id": "a\n"}, b"")
@example({"status": {**REPORT, "version": "\x7f"}}, b"")
@example({"status": {**REPORT, "trouble": "two\nlines"}}, b"")
@example({"status": {**REPORT, "trouble": 'W\u00f6lkchen "\\/'}}, b"")
@example({"root": "ab " * 21 + "a"}, b"")
@example({"root": "ab" * 31 + "  "}, b"")
@example({"root": "AB" * 32}, b"")
@example({"log_id": "11111111-1111-4111-8111-11111111111A"}, b"")
@example({"parent": "11111111-1111-4111-8111111111111-111"}, b"")
def test_an_envelope_is_read_alike_both_ways(changes: dict[str, Any], behind: bytes) -> None:
    """The quick reading gives what the field by field one gives, or leaves it to that one."""
    said = json.loads(body([event("e")]).partition(b"\n")[0])
    sent = json.dumps(said | changes).encode() + behind + b"\n" + event("e")
    plain = parse._read_plain_batch(NOBODY, sent, Limits())
    # A field that nobody knows makes the quick way step back, and says nothing to the other.
    slow = sent.replace(b"{", b'{"nobody knows": 1, ', 1)
    assert parse._read_plain_batch(NOBODY, slow, Limits()) is None
    try:
        expected: object = parse.read_batch(NOBODY, slow, Limits())
    except WireError:
        expected = None
    assert plain is None or plain == expected


@pytest.mark.parametrize("behind", [b"", b"no newline", b"\n\n", event("a") + event("b"), event("a") + b"torn"])
def test_what_is_not_one_line_is_not_read_as_one(behind: bytes) -> None:
    """No byte, no newline, more than one, or something behind it: left to the field by field reading, which refuses."""
    sent = body([event("e")]).partition(b"\n")[0] + b"\n" + behind
    assert parse._read_plain_batch(NOBODY, sent, Limits()) is None
    with pytest.raises(WireError):
        parse.read_batch(NOBODY, sent, Limits())


@pytest.mark.parametrize("record", [event("plain"), *ODD_RECORDS])
def test_one_record_is_read_as_among_others(record: bytes) -> None:
    """Leaf, content, id, columns and flag are the same whether it comes alone or not."""
    alone = read_lines(record, (len(record),))
    among = read_lines(event("before") + record, split(event("before") + record))
    assert [*alone.records] == [among.records[1]]
    assert (alone.leaves[0], alone.contents[0], alone.event_ids[0]) == (
        among.leaves[1],
        among.contents[1],
        among.event_ids[1],
    )
    assert {0: alone.flags.get(0)} == {0: among.flags.get(1)}
    assert among.columns.of([1]) == alone.columns.of([0])
