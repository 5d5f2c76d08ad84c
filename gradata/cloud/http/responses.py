"""From answers and errors to HTTP responses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

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


def response(answer: Answer) -> Response:
    """The framework's form of an answer."""
    return Response(answer.body, answer.status, dict(answer.headers), answer.media_type)


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


async def _send(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": own_fields(answer)})
    await send({"type": "http.response.body", "body": answer.body})
