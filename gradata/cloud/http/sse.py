"""Server-sent events for the live feeds.

Partner: `service.live_feed`, which wakes them and shares their reads.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from gradata.cloud.domain.principal import Principal
from gradata.cloud.http.raw_request import CONNECTION
from gradata.cloud.service.live_feed import FLEET_LOOK_AGAIN_S, GATHER_S, LOOK_AGAIN_S, PAGE_BYTES, PAGE_EVENTS, Hub
from gradata.cloud.store.values import EventQuery, StoredEvent, StoreUnavailableError

Rendered = Callable[[StoredEvent], bytes]
PING_S = 15
SEND_S = 60.0
SEND_BUFFER_BYTES = 64 * 1024
RETRY_MS = 1_000


class FeedResponse(EventSourceResponse):
    """Server-sent events; a client that does not read is disconnected."""

    def __init__(self, content: AsyncIterator[ServerSentEvent]) -> None:
        super().__init__(content, ping=PING_S, send_timeout=SEND_S, sep="\n")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side ends it."""
        _narrow(scope)
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            return


async def brain_feed(
    hub: Hub, principal: Principal, query: EventQuery, rendered: Rendered
) -> AsyncIterator[ServerSentEvent]:
    """`event: event` for each event behind `query.after`, its cursor as id; `event: state` when the brain spoke."""
    name, after = query.brain_id, query.after
    with hub.watching(name, principal.prefix):
        yield ServerSentEvent(event="ready", data=str(after), retry=RETRY_MS)
        seen = -1
        while True:
            now = hub.version(name)
            try:
                page, whole = await hub.page(
                    principal.workspace, EventQuery(name, query.type, after, PAGE_EVENTS, PAGE_BYTES)
                )
            except StoreUnavailableError:
                page, whole = [], True
            for event in page:
                after = event.cursor
                yield ServerSentEvent(event="event", id=str(after), data=rendered(event).decode())
            if page and not whole:
                continue
            if now != seen:
                yield ServerSentEvent(event="state", data="{}")
            seen = await hub.changed(name, now, LOOK_AGAIN_S)
            if seen != now:
                await asyncio.sleep(GATHER_S)
                seen = now


async def fleet_feed(hub: Hub, prefix: str, summary: Callable[[], Awaitable[bytes]]) -> AsyncIterator[ServerSentEvent]:
    """`event: fleet` with the summary, whenever it is another one than before."""
    with hub.watching("", prefix):
        said = b""
        while True:
            now = hub.version("")
            try:
                found = await summary()
            except StoreUnavailableError:
                found = said
            if found != said:
                said = found
                yield ServerSentEvent(event="fleet", data=said.decode(), retry=RETRY_MS)
            if await hub.changed("", now, FLEET_LOOK_AGAIN_S) != now:
                await asyncio.sleep(1.0)  # with many brains there is always one that spoke


def _narrow(scope: Scope) -> None:
    """Have the kernel hold little for this connection."""
    transport = scope.get(CONNECTION)
    connection = None if transport is None else transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
