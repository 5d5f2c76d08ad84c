"""The outermost layer of the server: what holds for every answer, whoever made it.

Bounds the requests at work, names each, adds the RateLimit fields, and turns every error, the framework's
included, into problem+json. Plain ASGI: a middleware class of the framework would cost more than the ingest of an
event.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradata.cloud.direct import Asked, Direct
from gradata.cloud.journal import REQUEST_ID, request_id_of
from gradata.cloud.limits import Rate, Verdict, policy_field, state_field
from gradata.cloud.service import Answer, AnswerError, DeniedError, problem, wire_problem
from gradata.cloud.store import StoreUnavailableError
from replicator.errors import WireError
from replicator.model import Limits

Answered = Callable[[Scope, int, float | None], None]
"""Told of every answer: its request, status and seconds (None for feeds)."""

REQUESTS_AT_WORK_MAX = 512
UNAVAILABLE_RETRY_S = 2

log = logging.getLogger("gradata.cloud")

CODES = {404: "not_found", 405: "method_not_allowed"}
ERRORS = (WireError, DeniedError, StoreUnavailableError, AnswerError, ClientDisconnect)
"""What a route may raise, and `answer_to` has an answer to. Everything else is a bug."""


class Edge:
    """Wraps the application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        direct: Mapping[str, Direct],
        limits: Limits,
        rate: Rate | None,
        answered: Answered,
        requests_max: int = REQUESTS_AT_WORK_MAX,
    ) -> None:
        """`direct`: routes for POST that need no framework, by path."""
        self._app = app
        self._direct = direct
        self._limits = limits
        self.answered = answered
        self._rate = rate
        self._fixed = [] if rate is None else [(b"ratelimit-policy", policy_field(rate).encode())]
        self._fixed_block = joined(self._fixed)
        self._requests_max = requests_max
        self._at_work = 0

    def has_room(self) -> bool:
        """Whether one more request may be at work."""
        return self._at_work < self._requests_max

    def begin(self) -> None:
        """One more request is at work."""
        self._at_work += 1

    def end(self) -> None:
        """One fewer is."""
        self._at_work -= 1

    def fields(self, name: str, verdict: Verdict | None) -> list[tuple[bytes, bytes]]:
        """What every answer has beside its own fields: the request's id, and the budget of its brain."""
        fields = [(b"x-request-id", name.encode()), *self._fixed]
        if self._rate is not None:
            fields.append((b"ratelimit", state_field(self._rate, verdict).encode()))
        return fields

    def block(self, name: str, verdict: Verdict | None) -> bytes:
        """`fields` as they stand in a head."""
        if self._rate is None:
            return b"x-request-id: %b\r\n" % name.encode()
        budget = state_field(self._rate, verdict).encode()
        return b"x-request-id: %b\r\n%bratelimit: %b\r\n" % (name.encode(), self._fixed_block, budget)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        direct = self._direct.get(scope["path"]) if scope["method"] == "POST" else None
        begun = time.monotonic()
        name = request_id_of(scope)
        mark = REQUEST_ID.set(name)
        status = 499  # nobody heard an answer
        asked = None if direct is None else Asked(scope, receive)

        async def send_with_fields(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                verdict = scope.get("state", {}).get("verdict") if asked is None else asked.verdict
                message["headers"] = [*message["headers"], *self.fields(name, verdict)]
            await send(message)

        is_feed = direct is None and scope["path"].endswith("/feed")  # it stays for hours, and has its own bound
        try:
            if not is_feed and not self.has_room():
                await _send(busy(), send_with_fields)
                return
            if b"%00" in scope["query_string"] or "\0" in scope["path"]:  # no store's texts can hold it
                await _send(problem(400, "malformed", "a NUL in the address"), send_with_fields)
                return
            self._at_work += not is_feed
            try:
                if direct is None or asked is None:
                    await self._app(scope, receive, send_with_fields)
                else:
                    scope["endpoint"] = direct
                    await self._answer(direct, asked, send_with_fields)
            finally:
                self._at_work -= not is_feed
        finally:
            self.answered(scope, status, None if is_feed else time.monotonic() - begun)
            REQUEST_ID.reset(mark)

    async def _answer(self, direct: Direct, asked: Asked, send: Send) -> None:
        try:
            answer = await direct(asked)
        except ERRORS as error:
            answer = answer_to(error, self._limits)
        except BaseException as error:  # a bug: answered like every error, and raised on, to be recorded
            if isinstance(error, Exception):
                await _send(bug(), send)
            raise
        await _send(answer, send)


def own_fields(answer: Answer) -> list[tuple[bytes, bytes]]:
    """The fields that are of this answer alone."""
    own = [(b"content-length", b"%d" % len(answer.body)), (b"content-type", answer.media_type.encode("latin-1"))]
    own += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    return own


def own_block(answer: Answer) -> bytes:
    """`own_fields` as they stand in a head."""
    if answer.headers:
        return joined(own_fields(answer))
    length, media_type = len(answer.body), answer.media_type.encode("latin-1")
    return b"content-length: %d\r\ncontent-type: %b\r\n" % (length, media_type)


def joined(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Fields as they stand in a head."""
    return b"".join(b"%b: %b\r\n" % field for field in fields)


async def _send(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": own_fields(answer)})
    await send({"type": "http.response.body", "body": answer.body})


def response(answer: Answer) -> Response:
    """The framework's form of an answer."""
    return Response(answer.body, answer.status, dict(answer.headers), answer.media_type)


def busy() -> Answer:
    """503 for one request too many."""
    return unavailable("too many requests are at work", 1)


def unavailable(detail: str, retry_after_s: int = UNAVAILABLE_RETRY_S) -> Answer:
    """503 with Retry-After."""
    return problem(503, "unavailable", detail, headers={"Retry-After": str(retry_after_s)})


def bug() -> Answer:
    """500."""
    return problem(500, "internal_error", "an error of the server; nothing of the request was stored")


def answer_to(error: BaseException, limits: Limits) -> Answer:
    """The answer to one of ERRORS."""
    match error:
        case WireError():
            return wire_problem(error, limits)
        case DeniedError():
            return problem(403, error.code, str(error))
        case AnswerError():
            return error.answer
        case ClientDisconnect():
            return unavailable("the client went away")
        case StoreUnavailableError():
            log.error("store unavailable: %s", error)
            return unavailable("the store cannot be used now")
        case _:
            raise AssertionError("not one of ERRORS")


def add_error_answers(app: FastAPI, limits: Limits) -> None:
    """Have every exception answered as problem+json."""

    async def of_route(_: Request, error: Exception) -> Response:
        return response(answer_to(error, limits))

    async def of_framework(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = CODES.get(error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"))
        return response(problem(error.status_code, code, str(error.detail), headers=error.headers))

    async def of_parameters(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        wrong = sorted({str(item["loc"][-1]) for item in error.errors()})
        return response(problem(422, "invalid_parameter", f"wrong or missing: {', '.join(wrong)}"))

    async def of_bug(_: Request, __: Exception) -> Response:
        return response(bug())

    for kind in ERRORS:
        app.add_exception_handler(kind, of_route)
    app.add_exception_handler(HTTPException, of_framework)
    app.add_exception_handler(RequestValidationError, of_parameters)
    app.add_exception_handler(Exception, of_bug)
