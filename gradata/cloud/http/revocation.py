"""Ends long responses soon after their key or session.

A feed, or a replica that is read slowly, may take hours. Meanwhile its sender is checked again every LOOK_S seconds; if
the key was revoked, or the session signed out or expired, the connection is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import Response
from starlette.types import Receive, Scope, Send

from gradata.cloud.http.raw_request import CONNECTION
from gradata.cloud.protocol.answers import AnswerError, DeniedError
from gradata.cloud.store.values import StoreUnavailableError
from replicator.errors import WireError

LOOK_S = 2.0
"""With the second for which a key is remembered, a response ends at most 5 s after its key."""


class RevocableResponse(Response):
    """Sends `inner` for as long as `authorise`, which raises as the route's own look-up does, finds somebody."""

    def __init__(self, inner: Response, authorise: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._inner = inner
        self._authorise = authorise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side ends it, or the key does."""
        watching = asyncio.create_task(self._watch(scope))
        try:
            await self._inner(scope, receive, send)
        finally:
            watching.cancel()

    async def _watch(self, scope: Scope) -> None:
        connection = scope.get(CONNECTION)
        while connection is not None:
            await asyncio.sleep(LOOK_S)
            try:
                await self._authorise()
            except StoreUnavailableError:
                continue  # nobody can say that it ended
            except (WireError, DeniedError, AnswerError):
                connection.abort()
                return
