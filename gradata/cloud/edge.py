"""The outermost layer of the server: what holds for every answer, whoever made it.

Bounds the requests at work, names each, adds the RateLimit fields, and turns every error, the framework's
included, into problem+json. Plain ASGI: a middleware class of the framework would cost more than the ingest of an
event.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradata.cloud.journal import REQUEST_ID, request_id_of
from gradata.cloud.limits import Rate, Verdict, policy_field, state_field
from gradata.cloud.service import Answer, DeniedError, problem, wire_problem
from gradata.cloud.store import StoreUnavailableError
from replicator.errors import WireError
from replicator.model import Limits

Answered = Callable[[Scope, int, float | None], None]
"""Told of every answer: its request, status and seconds (None for feeds)."""

REQUESTS_AT_WORK_MAX = 512
UNAVAILABLE_RETRY_S = 2

log = logging.getLogger("gradata.cloud")

CODES = {404: "not_found", 405: "method_not_allowed"}


class Edge:
    """Wraps the application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        rate: Rate | None,
        answered: Answered,
        requests_max: int = REQUESTS_AT_WORK_MAX,
    ) -> None:
        self._app = app
        self._answered = answered
        self._rate = rate
        self._policy = None if rate is None else (b"ratelimit-policy", policy_field(rate).encode())
        self._requests_max = requests_max
        self._at_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        begun = time.monotonic()
        name = request_id_of(scope)
        mark = REQUEST_ID.set(name)
        status = 499  # nobody heard an answer

        async def send_with_fields(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                fields = [*message["headers"], (b"x-request-id", name.encode())]
                if self._rate is not None:
                    verdict: Verdict | None = scope.get("state", {}).get("verdict")
                    fields += [self._policy, (b"ratelimit", state_field(self._rate, verdict).encode())]
                message["headers"] = fields
            await send(message)

        is_feed = scope["path"].endswith("/feed")  # it stays for hours, and has a bound of its own
        try:
            if self._at_work >= self._requests_max and not is_feed:
                await response(busy())(scope, receive, send_with_fields)
                return
            self._at_work += not is_feed
            try:
                await self._app(scope, receive, send_with_fields)
            finally:
                self._at_work -= not is_feed
        finally:
            self._answered(scope, status, None if is_feed else time.monotonic() - begun)
            REQUEST_ID.reset(mark)


def response(answer: Answer) -> Response:
    """The framework's form of an answer."""
    return Response(answer.body, answer.status, dict(answer.headers), answer.media_type)


def busy() -> Answer:
    """503 for one request too many."""
    return unavailable("too many requests are at work", 1)


def unavailable(detail: str, retry_after_s: int = UNAVAILABLE_RETRY_S) -> Answer:
    """503 with Retry-After."""
    return problem(503, "unavailable", detail, headers={"Retry-After": str(retry_after_s)})


def add_error_answers(app: FastAPI, limits: Limits) -> None:
    """Have every exception answered as problem+json."""

    async def of_wire(_: Request, error: Exception) -> Response:
        assert isinstance(error, WireError)
        return response(wire_problem(error, limits))

    async def of_denial(_: Request, error: Exception) -> Response:
        assert isinstance(error, DeniedError)
        return response(problem(403, error.code, str(error)))

    async def of_store(_: Request, error: Exception) -> Response:
        log.error("store unavailable: %s", error)
        return response(unavailable("the store cannot be used now"))

    async def of_framework(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = CODES.get(error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"))
        return response(problem(error.status_code, code, str(error.detail), headers=error.headers))

    async def of_parameters(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        wrong = sorted({str(item["loc"][-1]) for item in error.errors()})
        return response(problem(422, "invalid_parameter", f"wrong or missing: {', '.join(wrong)}"))

    async def of_bug(_: Request, __: Exception) -> Response:
        return response(problem(500, "internal_error", "an error of the server; nothing of the request was stored"))

    app.add_exception_handler(WireError, of_wire)
    app.add_exception_handler(DeniedError, of_denial)
    app.add_exception_handler(StoreUnavailableError, of_store)
    app.add_exception_handler(HTTPException, of_framework)
    app.add_exception_handler(RequestValidationError, of_parameters)
    app.add_exception_handler(Exception, of_bug)
