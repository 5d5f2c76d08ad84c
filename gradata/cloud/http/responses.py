"""From answers and errors to HTTP responses."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastapi import Response
from starlette.requests import ClientDisconnect
from starlette.types import Scope, Send

from gradata.cloud.protocol.answers import Answer, AnswerError, DeniedError, problem, wire_problem
from gradata.cloud.store.values import StoreUnavailableError
from replicator.errors import WireError
from replicator.model import Limits

ERRORS = (WireError, DeniedError, StoreUnavailableError, AnswerError, ClientDisconnect)
CODES = {404: "not_found", 405: "method_not_allowed"}
UNAVAILABLE_RETRY_S = 2
log = logging.getLogger("gradata.cloud")
Answered = Callable[[Scope, int, float | None], None]
"""Told of every answer: its request, status and seconds (None for feeds)."""


def response(answer: Answer) -> Response:
    """The framework's form of an answer."""
    return Response(answer.body, answer.status, dict(answer.headers), answer.media_type)


def own_fields(answer: Answer) -> list[tuple[bytes, bytes]]:
    """The fields that are of this answer alone."""
    own = [(b"content-length", b"%d" % len(answer.body)), (b"content-type", answer.media_type.encode("latin-1"))]
    own += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    return own


def busy() -> Answer:
    """503 for one request too many."""
    return unavailable("too many requests are at work", 1)


def unavailable(detail: str, retry_after_s: int = UNAVAILABLE_RETRY_S) -> Answer:
    """503 with Retry-After."""
    return problem(503, "unavailable", detail, headers={"Retry-After": str(retry_after_s)})


def too_many(detail: str, retry_after_s: int) -> Answer:
    """429 for a key that has its share already."""
    return problem(429, "rate_limited", detail, headers={"Retry-After": str(retry_after_s)})


def bug() -> Answer:
    """500 `internal_error`: nothing of the request was stored."""
    return problem(500, "internal_error", "an error of the server; nothing of the request was stored")


def answer_to(error: BaseException, limits: Limits) -> Answer:
    """The problem document for an exception of ERRORS, with its status, code and headers."""
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


async def send_answer(answer: Answer, fields: list[tuple[bytes, bytes]], send: Send) -> None:
    """Send it as ASGI messages, with these fields beside its own."""
    await send({"type": "http.response.start", "status": answer.status, "headers": own_fields(answer) + fields})
    await send({"type": "http.response.body", "body": answer.body})
