"""The outermost layer of the server: what holds for every answer.

Bounds the requests in progress, assigns request ids, adds the RateLimit fields, and turns every error, including the
framework's, into problem+json. Plain ASGI: a middleware class of the framework would cost more than the ingest of an
event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradata.cloud.domain.rate_limit import Rate, RateVerdict, policy_field, state_field
from gradata.cloud.http.openapi import BASE
from gradata.cloud.http.raw_request import BODY_IS_THERE, PlainRoute, RawRequest
from gradata.cloud.http.request_log import REQUEST_ID, request_id_of
from gradata.cloud.http.responses import CODES, ERRORS, Answered, answer_to, bug, busy, response, send_answer
from gradata.cloud.protocol.answers import Answer, problem
from replicator.model import Limits
from replicator.wire import title_of

REQUESTS_AT_WORK_MAX = 512
ALWAYS_ANSWERED = frozenset(f"{base}/{name}" for base in ("", BASE) for name in ("health", "ready"))
"""Whoever watches the server must hear that it lives when it is busiest."""


class RequestMiddleware:
    """Wraps the application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        plain_routes: Mapping[str, PlainRoute],
        limits: Limits,
        rate: Rate | None,
        answered: Answered,
        over: Callable[[Scope], None] = lambda _: None,
        requests_max: int = REQUESTS_AT_WORK_MAX,
    ) -> None:
        """`plain_routes`: routes for POST that need no framework, by path. `over` is told when a request is."""
        self._app = app
        self._plain_routes = plain_routes
        self._limits = limits
        self._answered = answered
        self._over = over
        self._rate = rate
        self._fixed = [] if rate is None else [(b"ratelimit-policy", policy_field(rate).encode())]
        self._requests_max = requests_max
        self._at_work = 0

    def fields(self, name: str, verdict: RateVerdict | None) -> list[tuple[bytes, bytes]]:
        """What every answer has beside its own fields: the request's id, and the budget of its brain."""
        fields = [(b"x-request-id", name.encode()), *self._fixed]
        if self._rate is not None:
            fields.append((b"ratelimit", state_field(self._rate, verdict).encode()))
        return fields

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = request_id_of(scope)
        REQUEST_ID.set(name)  # each request is a task of its own, with a context of its own
        is_feed = scope["path"].endswith("/feed")  # it stays for hours, and has its own bound
        refused: Answer | None = None
        exempt = is_feed or scope["path"] in ALWAYS_ANSWERED
        if not exempt and self._at_work >= self._requests_max:
            refused = busy()
        elif b"%00" in scope["query_string"] or "\0" in scope["path"]:  # no store's texts can hold it
            refused = problem(400, "malformed", "a NUL in the address")
        if refused is not None:
            await send_answer(refused, self.fields(name, None), send)
            self._answered(scope, refused.status, 0.0)
            return
        route = self._plain_routes.get(scope["path"]) if scope["method"] == "POST" else None
        if not exempt and BODY_IS_THERE not in scope:
            receive = self._off_slot(receive)
        self._at_work += not exempt
        try:
            if route is None:
                await self._framework(name, scope, receive, send, is_feed=is_feed)
            else:
                scope["endpoint"] = route
                await self._plain(name, route, RawRequest(scope, receive), send)
        finally:
            self._at_work -= not exempt
            self._over(scope)

    def _off_slot(self, receive: Receive) -> Receive:
        """Waiting for a body takes no slot: a body may never come, and whoever sends none needs no key."""
        complete = False

        async def receive_off_slot() -> Message:
            nonlocal complete
            if complete:  # what is awaited now is the client's going away
                return await receive()
            self._at_work -= 1
            try:
                message = await receive()
            finally:
                self._at_work += 1
            complete = not message.get("more_body", False)
            return message

        return receive_off_slot

    async def _plain(self, name: str, route: PlainRoute, request: RawRequest, send: Send) -> None:
        """A route that is called as it is."""
        begun = time.monotonic()
        try:
            answer = await route(request)
        except ERRORS as error:
            answer = answer_to(error, self._limits)
        except BaseException as error:  # a bug: answered like every error, and raised on, to be recorded
            if isinstance(error, Exception):
                await send_answer(bug(), self.fields(name, request.verdict), send)
                self._answered(request.scope, 500, time.monotonic() - begun)
            raise
        await send_answer(answer, self.fields(name, request.verdict), send)
        self._answered(request.scope, answer.status, time.monotonic() - begun)

    async def _framework(self, name: str, scope: Scope, receive: Receive, send: Send, *, is_feed: bool) -> None:
        """A route of the framework."""
        begun = time.monotonic()
        status = 499  # nobody heard an answer

        async def send_with_fields(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                verdict = scope.get("state", {}).get("verdict")
                message["headers"] = [*message["headers"], *self.fields(name, verdict)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_fields)
        finally:
            self._answered(scope, status, None if is_feed else time.monotonic() - begun)


def add_error_answers(app: FastAPI, limits: Limits) -> None:
    """Have every exception answered as problem+json."""

    async def of_route(_: Request, error: Exception) -> Response:
        return response(answer_to(error, limits))

    async def of_framework(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = CODES.get(error.status_code, title_of(error.status_code).lower().replace(" ", "_"))
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
