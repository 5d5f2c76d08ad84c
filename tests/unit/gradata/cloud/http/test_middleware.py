"""The outermost layer of the server: answers without the framework, and heads that travel with their bodies."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from gradata.cloud.domain.rate_limit import Rate
from gradata.cloud.http.connection import JoiningTransport, Outbox
from gradata.cloud.http.middleware import RequestMiddleware
from gradata.cloud.http.raw_request import RawRequest
from gradata.cloud.protocol.answers import Answer
from replicator.errors import WireError
from replicator.model import Limits

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Turn:
    """A loop that does what is left for its next turn when it is told to."""

    def __init__(self) -> None:
        self.left: list[Any] = []

    def call_soon(self, work: Any) -> None:
        self.left.append(work)

    def next(self) -> None:
        left, self.left = self.left, []
        for work in left:
            work()


class Wire:
    """What was sent, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, part: bytes) -> None:
        self.writes.append(part)

    def close(self) -> None:
        self.writes.append(b"(closed)")


def written(*parts: bytes) -> list[bytes]:
    wire, turn = Wire(), cast("Any", Turn())
    joining = JoiningTransport(cast("asyncio.Transport", wire), Outbox(turn))
    for part in parts:
        joining.write(part)
    turn.next()
    return wire.writes


def test_answers_of_one_turn_are_sent_together_in_their_order() -> None:
    """Nothing before the turn is over; then all; and at once when more of an answer, or the connection's end, comes."""
    one, other, turn = Wire(), Wire(), cast("Any", Turn())
    outbox = Outbox(turn)
    first, second = (JoiningTransport(cast("asyncio.Transport", wire), outbox) for wire in (one, other))
    for joining in (first, second):
        joining.write(HEAD)
        joining.write(b"body")
    assert one.writes == other.writes == []
    turn.next()
    assert one.writes == other.writes == [HEAD + b"body"]
    third = JoiningTransport(cast("asyncio.Transport", one), outbox)
    third.write(HEAD)
    third.write(b"bo")
    third.write(b"dy")
    assert one.writes[1:] == [HEAD + b"bo", b"dy"]
    last = JoiningTransport(cast("asyncio.Transport", other), outbox)
    last.write(HEAD)
    last.write(b"body")
    last.close()
    turn.next()
    assert other.writes[1:] == [HEAD + b"body", b"(closed)"]


def test_a_head_travels_with_its_body() -> None:
    """One write for both; later parts go at once, whatever stands in them; a word to go on is never kept."""
    assert written(HEAD, b"body") == [HEAD + b"body"]
    assert written(HEAD, b"") == [HEAD]
    assert written(HEAD, HEAD) == [HEAD + HEAD]
    assert written(HEAD, b"bo", HEAD) == [HEAD + b"bo", HEAD]
    assert written(b"HTTP/1.1 100 Continue\r\n\r\n", HEAD, b"body")[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert written(b"HTTP/1.1 200 OK\r\n\r\n", b"chunk") == [b"HTTP/1.1 200 OK\r\n\r\n", b"chunk"]


async def fine(asked: RawRequest) -> Answer:
    return Answer(200, json.dumps([asked.headers["x-a"], asked.query_params["q"]]).encode())


async def malformed(_: RawRequest) -> Answer:
    raise WireError("no such field", code="malformed")


async def broken(_: RawRequest) -> Answer:
    raise KeyError("a bug")


ROUTES = {"/fine": fine, "/malformed": malformed, "/broken": broken}


def asked_at(path: str, method: str = "POST") -> tuple[dict[bytes, bytes], Any, list[tuple[str, int]]]:
    """Headers and JSON of the answer, and what the middleware told of it."""
    sent: list[Any] = []
    told: list[tuple[str, int]] = []

    async def framework(scope: Any, _: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 405, "headers": []})
        await send({"type": "http.response.body", "body": b'{"by": "the framework"}'})

    async def send(message: Any) -> None:
        sent.append(message)

    def answered(scope: Any, status: int, seconds: float | None) -> None:
        assert seconds is not None
        told.append((getattr(scope.get("endpoint"), "__name__", "none"), status))

    middleware = RequestMiddleware(
        framework, plain_routes=ROUTES, limits=Limits(), rate=Rate(600, burst=10), answered=answered
    )
    headers = [(b"x-a", b"first"), (b"x-a", b"second")]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b"q=1", "state": {}}

    async def receive() -> Any:
        raise AssertionError("nobody wants the body")

    try:
        asyncio.run(middleware(scope, receive, send))
    except KeyError:
        told.append(("raised on", 0))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return dict(sent[0]["headers"]), json.loads(sent[1]["body"]), told


def test_a_route_is_answered_without_the_framework() -> None:
    """Only for POST; of a header that came twice the first counts; each answer has an id and the budget's fields."""
    fields, document, told = asked_at("/fine")
    assert (document, told) == (["first", "1"], [("fine", 200)])
    assert fields[b"ratelimit-policy"] == b'"brain";q=600;w=60'
    assert fields[b"ratelimit"] == b'"brain";r=10;t=0'
    assert len(fields[b"x-request-id"]) == 16
    assert asked_at("/fine", "GET")[1:] == ({"by": "the framework"}, [("none", 405)])


@pytest.mark.parametrize(
    ("path", "status", "code"), [("/malformed", 400, "malformed"), ("/broken", 500, "internal_error")]
)
def test_errors_of_a_route_are_problems(path: str, status: int, code: str) -> None:
    """What a route raises is answered as problem+json; a bug is raised on as well, so that it is recorded."""
    fields, document, told = asked_at(path)
    assert (document["status"], document["code"]) == (status, code)
    assert fields[b"content-type"] == b"application/problem+json"
    assert told == [(path[1:], status)] + [("raised on", 0)] * (status == 500)
