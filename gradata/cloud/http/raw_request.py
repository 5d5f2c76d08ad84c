"""A request without the framework, for the routes that accept events.

The framework's way from socket to route costs three times as much as the ingest of an event, so `middleware` calls
these routes itself: plain ASGI. `RawRequest` has the attributes of the framework's Request that `context` uses, under
the same names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.types import Receive, Scope

from gradata.cloud.domain.rate_claim import RateClaim
from gradata.cloud.domain.rate_limit import RateVerdict
from gradata.cloud.protocol.answers import Answer

BODY_IS_THERE = "gradata.body"
"""In a scope whose request's last byte has come: nothing has to be waited for, and no time-out is needed."""

CONNECTION = "gradata.connection"
"""In a scope: the transport that the answer goes over."""


class RawRequest:
    """One request. `headers` by lower-case name; of a header that came twice the first counts."""

    __slots__ = ("claim", "headers", "receive", "scope", "verdict")
    verdict: RateVerdict | None
    """What its brain's budget said of it."""
    claim: RateClaim | None

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.headers: Mapping[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])
        }
        self.verdict = None
        self.claim = None
        self.receive = receive

    @property
    def state(self) -> RawRequest:
        """Where `verdict` and `claim` are: the framework's Request has a place of its own for them."""
        return self

    @property
    def query_params(self) -> Mapping[str, str]:
        """The decoded query string."""
        return QueryParams(self.scope["query_string"])


AnyRequest = Request | RawRequest
PlainRoute = Callable[[RawRequest], Awaitable[Answer]]
"""A route: answers, or raises what `responses.answer_to` has an answer to."""
