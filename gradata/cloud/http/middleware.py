"""The outermost layer of the server: what holds for every answer, whoever made it.

Bounds the requests at work, names each, adds the RateLimit fields, and turns every error, the framework's
included, into problem+json. Plain ASGI: a middleware class of the framework would cost more than the ingest of an
event.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradata.cloud.domain.rate_limit import Rate, Verdict, policy_field, state_field
from gradata.cloud.http.raw_request import Asked, Direct
from gradata.cloud.http.request_log import REQUEST_ID, request_id_of
from gradata.cloud.http.responses import CODES, ERRORS, Answered, _send, answer_to, bug, busy, joined, response
from gradata.cloud.protocol.answers import problem
from replicator.model import Limits

"""Told of every answer: its request, status and seconds (None for feeds)."""

REQUESTS_AT_WORK_MAX = 512


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
