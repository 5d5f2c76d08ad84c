"""uvicorn's HTTP/1.1 with additional bounds: bytes and time of a request's head, and of a body that continues after its
answer.

Without them a client that sends headers slowly, or never, would hold a connection and its memory forever, and one that
was answered 413 could keep sending. Such a body is still read for a while: closing at once would reset the connection,
and the client would never see the answer.

`HttpToolsProtocol` is a private class of uvicorn: pyproject.toml bounds the version, and the tests run with the lowest
and the newest.
"""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gradata.cloud.http.raw_request import BODY_IS_THERE, CONNECTION
from replicator.wire import PROBLEM_TYPE, problem_body

HEAD_S = 15.0
HEAD_BYTES_MAX = 64 * 1024
CONNECTIONS_MAX = 4_000
"""Beyond these the one that has waited longest for a request of its client is closed for a new one."""
UNWANTED_S = 30.0
UNWANTED_BYTES_MAX = 64 * 1024 * 1024
_ANNOUNCED = b"\r\ncontent-length: "
_CONTINUE = b"HTTP/1.1 100"
_OF_A_BODY = frozenset({b"content-length", b"transfer-encoding"})


class Outbox:
    """Collects the answers of one turn of the event loop and sends them together.

    The requests of one commit are answered in one turn. Sent one by one, each answer would wake its client, which takes
    the processor from the next answer. The order per transport is kept.
    """

    __slots__ = ("_later", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._later = loop.call_soon
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def put(self, transport: asyncio.Transport, part: bytes) -> None:
        """Queue a part for the next turn of the loop."""
        if not self._waiting:
            self._later(self.send)
        self._waiting.append((transport, part))

    def send(self) -> None:
        """Write everything that was put since the last turn of the loop."""
        waiting, self._waiting = self._waiting, []
        for transport, part in waiting:
            transport.write(part)


class JoiningTransport:
    """The transport of one answer, which sends its head together with the first part of its body.

    Two writes are two system calls and two packets, and wake the client twice: measured as a third of the server's
    throughput of single events.
    """

    __slots__ = ("_head", "_outbox", "_transport")

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        self._transport = transport
        self._outbox = outbox
        self._head: bytes | None = b""

    def write(self, part: bytes) -> None:
        """Send, or keep for the next call what is a head that announces a body."""
        if self._head is not None and not part.startswith(_CONTINUE):
            if not self._head and _ANNOUNCED in part:
                self._head = part
                return
            self._outbox.put(self._transport, self._head + part)
            self._head = None
            return
        self._outbox.send()
        self._transport.write(part)

    def close(self) -> None:
        """End the connection when all is sent. A head without its body is worth nothing."""
        self._outbox.send()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is ended."""
        return self._transport.is_closing()


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request head does not come within HEAD_S, or is longer than HEAD_BYTES_MAX.

    Of too many connections, those without a whole request are closed first, the oldest at once: whoever opens thousands
    and says nothing keeps nobody out.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _unwanted_timer: asyncio.TimerHandle | None = None
    _unwanted_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """A connection: its first head is awaited."""
        super().connection_made(transport)
        shared = vars(self.server_state)
        if "outbox" not in shared:
            shared["outbox"] = Outbox(self.loop)
            shared["waiting"] = {}
        self._outbox: Outbox = shared["outbox"]
        self._waiting: dict[BoundedHttp, None] = shared["waiting"]
        if len(self.connections) > CONNECTIONS_MAX and self._waiting:
            next(iter(self._waiting)).give_way()
        self._waiting[self] = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Its end."""
        self._waiting.pop(self, None)
        self._head_is_there()
        self._body_is_over()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """The head is there. What is raised here is answered 400 by uvicorn, and ends the connection."""
        self._head_is_there()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES_MAX:
            raise ValueError("the head of the request is too long")
        upgrade = self.parser.should_upgrade()
        if upgrade and any(name in _OF_A_BODY for name, _ in self.headers):
            raise ValueError("an upgrade with a body, which would be lost")
        super().on_headers_complete()
        if upgrade:
            self.cycle.keep_alive = False  # nobody knows what the client will speak from here on
        cast("dict[str, object]", self.scope)[CONNECTION] = self.transport
        if self.scope["method"] != "HEAD":  # nothing would follow the head
            self.cycle.transport = cast("asyncio.Transport", JoiningTransport(self.transport, self._outbox))

    def on_body(self, body: bytes) -> None:
        """A part of the body; one that nobody wants any more ends the connection after a while."""
        super().on_body(body)
        if not self.cycle.response_complete:
            return
        if self._unwanted_timer is None:
            self._unwanted_timer = self.loop.call_later(UNWANTED_S, self.transport.abort)
        self._unwanted_bytes += len(body)
        if self._unwanted_bytes > UNWANTED_BYTES_MAX:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        self._body_is_over()
        cast("dict[str, object]", self.scope)[BODY_IS_THERE] = True
        self._waiting.pop(self, None)
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request. A head that goes on for too long ends the connection."""
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.send_400_response("the head of the request is too long")

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed as HTTP is answered like every other error."""
        self._head_is_there()
        body = problem_body(400, "malformed", msg)
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            f"content-type: {PROBLEM_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self._outbox.send()
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()

    def on_response_complete(self) -> None:
        """Sent: the next request is awaited."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._waiting[self] = None

    def give_way(self) -> None:
        """End a connection that has brought no whole request."""
        self._waiting.pop(self, None)
        self.transport.abort()

    def shutdown(self) -> None:
        """The server ends: what is answered is sent before."""
        self._outbox.send()
        super().shutdown()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_S, self._give_up)

    def _head_is_there(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _body_is_over(self) -> None:
        self._unwanted_bytes = 0
        if self._unwanted_timer is not None:
            self._unwanted_timer.cancel()
            self._unwanted_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.abort()
