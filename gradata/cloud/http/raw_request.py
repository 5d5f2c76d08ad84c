"""A request without the framework: what the routes that take events see of it.

The framework's way from socket to route costs three times as much as the ingest of an event, so `middleware` calls
these routes itself. `Asked` has the few attributes of the framework's Request that `context` uses, under the same
names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from gradata.cloud.domain.rate_claim import Claim
from gradata.cloud.domain.rate_limit import Verdict
from gradata.cloud.protocol.answers import Answer

WHOLE = "gradata.whole"
"""In a scope whose request's last byte has come: its body can be had without waiting, and without a time-out."""

CONNECTION = "gradata.connection"
"""In a scope: the transport that the answer goes over."""


class Asked:
    """One request. `headers` by lower-case name; of a header that came twice the first counts."""

    __slots__ = ("_receive", "claim", "headers", "scope", "verdict")
    verdict: Verdict | None
    """What its brain's budget said of it."""
    claim: Claim | None

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.headers: Mapping[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])
        }
        self.verdict = None
        self.claim = None
        self._receive = receive

    @property
    def state(self) -> Asked:
        """Where `verdict` and `claim` are: the framework's Request has a place of its own for them."""
        return self

    @property
    def query_params(self) -> Mapping[str, str]:
        """Of the query."""
        return QueryParams(self.scope["query_string"])

    async def whole(self) -> bytes:
        """The body, where the scope says that it is WHOLE. Raises ClientDisconnect."""
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        assert not message.get("more_body")
        body: bytes = message["body"]
        return body

    async def stream(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ClientDisconnect."""
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            yield message["body"]
            if not message.get("more_body"):
                return


Direct = Callable[[Asked], Awaitable[Answer]]
"""A route: answers, or raises what `middleware.answer_to` has an answer to."""
