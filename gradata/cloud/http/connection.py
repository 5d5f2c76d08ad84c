"""HTTP/1.1 as uvicorn speaks it, with bounds that it lacks: on bytes and time of a request's head, and of a body
that goes on after its answer.

Without them a client that drips headers, or never sends any, holds a connection and its memory for ever, and one that
was answered 413 may go on sending. Such a body is read for a while all the same: closing at once would reset the
connection, and the client would never see why.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gradata.cloud.http.fast_path import Express, Head
from gradata.cloud.http.raw_request import CONNECTION, WHOLE
from gradata.cloud.http.responses import joined, own_block
from gradata.cloud.protocol.answers import Answer
from replicator.wire import PROBLEM_TYPE, problem_body

HEAD_S = 15.0
HEAD_BYTES_MAX = 64 * 1024
HELD_S = 1.0
BUG = 500
UNWANTED_S = 30.0
UNWANTED_BYTES_MAX = 64 * 1024 * 1024
_ANNOUNCED = b"\r\ncontent-length: "
_CONTINUE = b"HTTP/1.1 100"


class Outbox:
    """What one loop's answers have written, sent when all that is to be answered now is answered.

    The requests of one commit are answered in one turn of the loop. Sent one by one, each answer wakes its client,
    which takes the processor from the next answer. Order holds for each transport.
    """

    __slots__ = ("_begins", "_defaults", "_later", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._later = loop.call_soon
        self._defaults: Sequence[tuple[bytes, bytes]] = ()
        self._begins: dict[int, bytes] = {}
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def begin(self, status: int, defaults: Sequence[tuple[bytes, bytes]]) -> bytes:
        """How each head with this status begins until `defaults`, which have the date, are others."""
        if defaults is not self._defaults:
            self._defaults = defaults
            self._begins.clear()
        found = self._begins.get(status)
        if found is None:
            found = self._begins[status] = STATUS_LINE[status] + joined(defaults)
        return found

    def put(self, transport: asyncio.Transport, part: bytes) -> None:
        """Have it sent in the next turn of the loop."""
        if not self._waiting:
            self._later(self.send)
        self._waiting.append((transport, part))

    def send(self) -> None:
        """Send all."""
        waiting, self._waiting = self._waiting, []
        for transport, part in waiting:
            transport.write(part)


class Joining:
    """The transport of one answer, which sends its head together with the first of its body.

    Two writes are two system calls and two packets, and wake the client twice.
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

    What `Express` can take is given to it; the parser hears nothing of it.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _unwanted_timer: asyncio.TimerHandle | None = None
    _unwanted_bytes = 0

    _express: Express | None = None
    _head: Head | None = None
    """Of the last request that went express: most connections send one head over and over."""
    _parsing = False
    """The parser is within a request."""
    _answered_s = -math.inf
    """When it was answered, by the loop's clock."""
    _asked = False
    """A request is at work that went express."""
    _ending = False
    _behind = b""
    """What came while it was."""
    _held = b""
    _held_timer: asyncio.TimerHandle | None = None
    """A head and a part of its small body: clients send the two one after the other."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """A connection: its first head is awaited."""
        super().connection_made(transport)
        context = vars(self.server_state)
        if "outbox" not in context:
            context["outbox"] = Outbox(self.loop)
        self._outbox: Outbox = context["outbox"]
        self._express = getattr(self.app, "express", None)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Its end."""
        self._head_is_there()
        self._body_is_over()
        self._let_go()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._parsing = True
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._head_is_there()
        super().on_headers_complete()
        cast("dict[str, object]", self.scope)[CONNECTION] = self.transport
        if self.parser.should_upgrade():
            self._express = None  # nobody knows what the client will speak from here on
        if self.scope["method"] != "HEAD":  # nothing would follow the head
            self.cycle.transport = cast("asyncio.Transport", Joining(self.transport, self._outbox))

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
        self._parsing = False
        cast("dict[str, object]", self.scope)[WHOLE] = True
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes: of a request that can go express, of one that cannot, or behind one that did."""
        if self._asked:
            self._behind += data
            self.flow.pause_reading()
        elif self._express is None or self._parsing or not self._takes(self._express, data):
            self._parse(data)

    def _takes(self, express: Express, data: bytes) -> bool:
        """Whether the request goes express, or may do so when the rest of its body is there."""
        if self._held_timer is not None:
            data = self._held + data
        general: RequestResponseCycle | None = self.cycle
        if general is not None and not general.response_complete:
            return False
        found = express.find(data, self._head)
        if found is None or self.flow.write_paused or len(self.connections) >= (self.limit_concurrency or math.inf):
            return False
        self._head, begin, length = found
        if len(data) < begin + length:
            self._hold(data)
            return True
        if len(data) > begin + length or not express.take(self._head, data[begin:], self._reply):
            return False
        self._let_go()
        self._head_is_there()
        self._asked = True
        return True

    def _hold(self, data: bytes) -> None:
        self._held = data
        if self._held_timer is None:
            self._held_timer = self.loop.call_later(HELD_S, self._parse, b"")

    def _let_go(self) -> bytes:
        held, self._held = self._held, b""
        if self._held_timer is not None:
            self._held_timer.cancel()
            self._held_timer = None
        return held

    def _reply(self, answer: Answer, fields: bytes) -> None:
        """Send the answer to what went express, and go on."""
        self._asked = False
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        begin = self._outbox.begin(answer.status, self.server_state.default_headers)
        end = b"connection: close\r\n\r\n" if self._ending else b"\r\n"
        self._outbox.put(self.transport, b"".join((begin, own_block(answer), fields, end, answer.body)))
        if self._ending or answer.status == BUG:  # as the general way does
            self._outbox.send()
            self.transport.close()
            return
        self._answered_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._await_next(self.timeout_keep_alive)
        if self._behind:
            behind, self._behind = self._behind, b""
            self.flow.resume_reading()
            self.data_received(behind)

    def _await_next(self, within_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(within_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """End the connection if nothing came since its last answer: one timer for many requests."""
        self.timeout_keep_alive_task = None
        left = self._answered_s + self.timeout_keep_alive - self.loop.time()
        if self._asked or self._held or left > 0:
            self._await_next(max(left, 1.0))
        else:
            super().timeout_keep_alive_handler()

    def _parse(self, data: bytes) -> None:
        """The general way. A head that goes on for too long ends the connection."""
        if self._held_timer is not None:
            data = self._let_go() + data
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

    def shutdown(self) -> None:
        """The server ends: what is answered is sent before, what is at work is answered."""
        self._outbox.send()
        if self._held:
            self._parse(b"")
        if self._asked:
            self._ending = True
        else:
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
