"""Transports one request to the cloud and its answer back within one deadline, whatever the network does.

The HTTP client's time-outs bound each step, not the total: a server that sends one byte a second, or a name service
that never answers (`getaddrinfo` cannot be interrupted), can hold a request indefinitely. So the exchange runs in a
thread of its own (a *line*), and the caller waits until the deadline at most. A line that misses it is abandoned: its
socket is shut down, it ends by itself, and the next request gets a new one. The number of abandoned lines is bounded.

A thread, rather than a watchdog with a custom resolver, leaves proxies, TLS and name look-ups to httpx. It costs one
hand-over, about 50 µs a request.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from replicator.errors import ConfigurationError
from replicator.wire import ANSWER_BYTES_MAX, plain

if TYPE_CHECKING:
    from replicator.sink.http_library import httpx

STRAYS_MAX = 3
PIECE_BYTES = 64 * 1024
JOIN_S_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """A request to transport. `pieces` of the body have at most 64 KiB each; `headers` contain the key, so they have no
    repr.
    """

    method: str
    url: httpx.URL
    headers: list[tuple[str, str]] = field(repr=False)
    pieces: tuple[memoryview, ...] = field(repr=False)
    total_s: float = 30.0
    times_s: Mapping[str, float] = field(default_factory=dict)
    answer_bytes_max: int = ANSWER_BYTES_MAX


@dataclass(frozen=True, slots=True)
class HttpReply:
    """Status, headers, and at most a little over 64 KiB of the raw body."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """There was no valid answer. `proxy_status`: a proxy's answer to CONNECT.

    `cut`: there was a connection, and the request or its answer broke off or took too long.
    """

    detail: str
    proxy_status: int | None = None
    cut: bool = False


Reply = HttpReply | NoAnswer


class TransportsPort(Protocol):
    """What the carrier needs of `transport.Transports`."""

    def open(self) -> httpx.BaseTransport:
        """A transport for one line. ConfigurationError if there can be none now."""

    def stale(self) -> bool:
        """Whether another one would be made now."""


class Carrier:
    """Transports one request at a time, from any one thread; `close` may come from another, even while it waits.

    `open_transport` creates an httpx transport; it is called on the caller's thread, at first use and after each
    abandoned line. Network errors raise nothing.
    """

    def __init__(self, transports: TransportsPort) -> None:
        self._transports = transports
        self._lock = threading.Lock()
        self._line: _Line | None = None
        self._strays: list[_Line] = []
        self._closed = False
        self._pid = os.getpid()

    def carry(self, order: Order) -> Reply:
        """The answer, or why there is none, within `order.total_s` seconds of the last piece of the body taken."""
        line = self._ready_line()
        if isinstance(line, NoAnswer):
            return line
        reply = line.carry(order)
        if reply is not None:
            return reply
        with self._lock:
            self._line = None
            self._strays.append(line)
        line.abandon(NoAnswer("abandoned"))
        return NoAnswer(f"no answer within {round(order.total_s, 1):g} s", cut=line.taken)

    def _ready_line(self) -> _Line | NoAnswer:
        with self._lock:
            if self._closed:
                return NoAnswer("closed")
            if self._line is not None:
                if not self._line.failed or not self._transports.stale():
                    return self._line
                stale, self._line = self._line, None
                stale.abandon(NoAnswer("abandoned"))
            self._strays = [stray for stray in self._strays if stray.is_alive()]
            if len(self._strays) >= STRAYS_MAX:
                return NoAnswer(f"{STRAYS_MAX} earlier requests still hang, as when the name service is mute")
            try:
                transport = self._transports.open()
            except ConfigurationError as error:  # the authorities were replaced by what is none
                return NoAnswer(str(error))
            line = _Line(transport)
            try:
                line.start()
            except RuntimeError:
                # "can't create new thread at interpreter shutdown", or the process is at its limit.
                line.discard()
                return NoAnswer("the system allows no further thread")
            self._line = line
            return line

    def close(self) -> None:
        """Close: a request in flight returns at once, later ones are not sent. Safe to repeat.

        In a forked child this does not touch the parent's connection or any inherited lock.
        """
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._closed = True
            line, self._line = self._line, None
        if line is not None:
            line.abandon(NoAnswer("closed"))
            line.join(JOIN_S_MAX)


class _Abandoned(Exception):  # noqa: N818 - no error: it stops a request that nobody waits for any more
    pass


class _Line:
    """A thread with a transport of its own. Used by one caller at a time; `abandon` may come from any thread."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        # Imported when a sink is made; bound here so that the thread's table of errors can name them.
        from replicator.sink.http_library import httpx

        self._httpx = httpx
        self._transport = transport
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._replies: SimpleQueue[Reply | BaseException] = SimpleQueue()
        self._abandoned = False
        self._socket: socket.socket | None = None
        self.failed = False
        """Whether the last order came to no answer."""
        self._moved_at = 0.0
        self.taken = False
        """Whether any of the present order's body was taken by a connection."""
        self._thread = threading.Thread(target=self._run, name="replicator-http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def discard(self) -> None:
        """Let go of a line that never started."""
        self._transport.close()

    def carry(self, order: Order) -> Reply | None:
        """The reply; None if there is none within the order's time. Each piece of the body that is taken renews it: a
        line that is slow, but moves, is none that hangs."""
        self._moved_at, self.taken = time.monotonic(), False
        self._orders.put(order)
        reply: Reply | BaseException | None = None
        while reply is None:
            left_s = self._moved_at + order.total_s - time.monotonic()
            if left_s <= 0:
                return None
            with contextlib.suppress(Empty):
                reply = self._replies.get(timeout=left_s)
        if isinstance(reply, BaseException):
            raise reply
        self.failed = isinstance(reply, NoAnswer)
        return reply

    def _pieces(self, order: Order) -> Iterator[memoryview]:
        for piece in order.pieces:
            self._moved_at, self.taken = time.monotonic(), True
            yield piece

    def abandon(self, reply: NoAnswer) -> None:
        """Give the line up: wake the caller, shut the connection down, let the thread end."""
        self._abandoned = True
        self._replies.put(reply)
        self._orders.put(None)
        connection = self._socket
        if connection is not None:
            # Shut down, not closed: a descriptor closed under a thread that reads it may be another file by
            # then. The plain socket's method: the one of SSLSocket would swap its TLS state under the reader.
            with contextlib.suppress(OSError):  # it is closed, or was never connected: nothing to cut
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            try:
                reply: Reply | BaseException = self._exchange(order)
            except Exception as error:  # noqa: BLE001 - a bug: raised again on the caller's thread, which waits
                reply = error
            del order  # or the idle thread would hold the last batch
            self._replies.put(reply)
        self._transport.close()

    def _exchange(self, order: Order) -> Reply:
        httpx = self._httpx
        request = httpx.Request(
            order.method,
            order.url,
            headers=order.headers,
            content=self._pieces(order) if order.pieces else None,
            extensions={"timeout": dict(order.times_s), "trace": self._trace},
        )
        try:
            response = self._transport.handle_request(request)
        except _Abandoned:
            return NoAnswer("abandoned")
        except httpx.ProxyError as error:
            return _refused_by_proxy(error)
        except httpx.TransportError as error:
            never_left = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            return NoAnswer(_words(error), cut=not never_left)
        except UnicodeError:
            # From the look-up, untranslated: a proxy whose name has an empty or over-long label.
            return NoAnswer("the name of the proxy is no name")
        return self._read(response, order.answer_bytes_max)

    def _read(self, response: httpx.Response, bytes_max: int) -> Reply:
        httpx = self._httpx
        headers = dict(response.headers)
        body = bytearray()
        try:
            # The stream itself, not `response.read`: raw bytes, never unpacked, and no more than may count.
            assert isinstance(response.stream, httpx.SyncByteStream)
            for piece in response.stream:
                body += piece
                if len(body) > bytes_max or self._abandoned:
                    break
        except httpx.TransportError as error:
            if 200 <= response.status_code <= 299:
                return NoAnswer(f"the answer was cut: {_words(error)}")
            body.clear()  # an error's class is in its status
        finally:
            response.close()
        return HttpReply(response.status_code, headers, bytes(body))

    def _trace(self, event: str, facts: dict[str, Any]) -> None:
        """Remember the socket of the connection, which `abandon` may have to cut (httpx's `trace` extension)."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            stream = facts["return_value"]
            self._socket = stream.get_extra_info("socket")
            if self._abandoned:
                stream.close()  # the client does not know it yet
                raise _Abandoned


_WORDS = {
    "ConnectTimeout": "no connection in time",
    "ReadTimeout": "connected, but no answer in time",
    "WriteTimeout": "the cloud stopped reading the request",
    "RemoteProtocolError": "the connection ended before the answer did, or what came was not HTTP",
}


def _refused_by_proxy(error: httpx.ProxyError) -> NoAnswer:
    """A proxy's answer to CONNECT is the only status that httpx tells by an error's text alone."""
    status = str(error)[:3]
    return NoAnswer("the proxy refused to connect", int(status) if status.isascii() and status.isdigit() else None)


def _words(error: BaseException) -> str:
    """What went wrong, from the operating system's or TLS's own words: the client's texts may quote a header."""
    cause: BaseException | None = error
    seen = 0
    while cause is not None and seen < 8:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{type(error).__name__}: TLS: {plain(cause.verify_message, 100)}"
        if isinstance(cause, OSError) and cause.strerror:
            return f"{type(error).__name__}: {plain(cause.strerror, 100)}"
        cause = cause.__cause__ or cause.__context__
        seen += 1
    return _WORDS.get(type(error).__name__, type(error).__name__)
