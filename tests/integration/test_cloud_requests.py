"""Requests through a real server, byte by byte: each answer as it was, requests in pieces, the end of a server.

The server runs in the test's own process, so that a test can look at its connections and hold its commits.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn

from gradata.cloud.app import create_app
from gradata.cloud.domain.plan import Decision
from gradata.cloud.domain.requests import WriteRequest
from gradata.cloud.http.connection import BoundedHttp
from gradata.cloud.http.context import LIMITS, CloudOptions
from gradata.cloud.http.sse import SEND_BUFFER_BYTES
from gradata.cloud.service.api_keys import create_key
from gradata.cloud.store.sqlite.store import SqliteStore
from gradata.cloud.store.values import StoreUnavailableError
from tests.support.cloud_batches import body, event
from tests.support.ingest_corpus import corpus, posted

WITHIN_S = 60.0
ANSWERS = Path(__file__).parents[2] / "fixtures" / "cloud" / "ingest-answers.json"
VARYING = (b"date: ", b"x-request-id: ", b"ratelimit: ")


Heard = tuple[list[bytes], bytes]


class Served:
    """A server of the test's own process, on a store in memory."""

    def __init__(self, store: SqliteStore, *, per_minute: int | None) -> None:
        self.store = store
        options = CloudOptions(limits=replace(LIMITS, requests_per_minute=per_minute, body_bytes=1_000_000))
        app = create_app(store, options=options)
        config = uvicorn.Config(
            app,
            http=BoundedHttp,
            ws="none",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=10,
        )
        self.server = uvicorn.Server(config)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.server.run, args=([self.listening],))
        self.key = create_key(store, "both", ("ingest", "read"))
        self.reader = create_key(store, "reader", ("read",))
        self.bound = create_key(store, "bound", ("ingest",), brains=("bound",))

    def turn(self) -> None:
        """Returns when the loop has looked at all that was sent before."""
        with Line(self) as other:
            assert other.ask(b"GET /api/v1/health HTTP/1.1\r\nHost: cloud\r\n\r\n")[0][0] == b"HTTP/1.1 200 OK"


class Line:
    """A connection to a server."""

    def __init__(self, served: Served) -> None:
        self._cloud_id = served.store.cloud_id.encode()
        self.socket = socket.create_connection(served.listening.getsockname(), timeout=WITHIN_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard = b""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, request: bytes) -> Heard:
        """One request and its answer."""
        self.socket.sendall(request)
        return self.hear()

    def hear(self) -> Heard:
        """The next answer: its head's lines but those that vary, its body without the cloud's own name."""
        while True:
            head, end, rest = self._heard.partition(b"\r\n\r\n")
            if end and head.startswith(b"HTTP/1.1 100"):
                self._heard = rest
                continue
            lines = head.split(b"\r\n")
            length = next((int(line[16:]) for line in lines if line.startswith(b"content-length: ")), None)
            if end and length is not None and len(rest) >= length:
                self._heard = rest[length:]
                lines = [line for line in lines if not line.startswith(VARYING)]
                return lines, rest[:length].replace(self._cloud_id, b"(cloud)")
            part = self.socket.recv(65_536)
            if not part:
                return [], self._heard
            self._heard += part


@contextmanager
def serving(*, per_minute: int | None = None, store: SqliteStore | None = None) -> Iterator[Served]:
    """A server until the block ends."""
    served = Served(store or SqliteStore(None), per_minute=per_minute)
    served.thread.start()
    try:
        yield served
    finally:
        served.server.should_exit = True
        served.thread.join(WITHIN_S)
        served.listening.close()


def test_each_request_of_the_corpus_is_answered_as_it_always_was() -> None:
    """Status and body are those of the fixture, to the byte, whatever reads the request."""
    expected = json.loads(ANSWERS.read_text(encoding="utf-8"))
    with serving() as served:
        line = Line(served)
        for name, request in corpus(served.key, served.reader, served.bound):
            lines, content = line.ask(request)
            if not lines or b"connection: close" in lines:
                line.socket.close()
                line = Line(served)
            assert [int(lines[0][9:12]) if lines else 0, content.decode()] == expected.pop(name), name
        line.socket.close()
    assert not expected


def pieces(request: bytes) -> list[list[bytes]]:
    """Cut behind the head, within it, within the body, and byte by byte at the seam."""
    seam = request.index(b"\r\n\r\n") + 4
    return [
        [request[:seam], request[seam:]],
        [request[:20], request[20:]],
        [request[: seam + 9], request[seam + 9 :]],
        [request[: seam - 1], request[seam - 1 : seam], request[seam : seam + 1], request[seam + 1 :]],
    ]


def test_a_request_in_pieces_is_one_request() -> None:
    """However it is cut; and several that come in one piece are several, answered in their order."""
    log = [event(f"e{number}") for number in range(9)]
    store = Gate()
    store.leave.set()
    with serving(store=store) as served, Line(served) as line:
        requests = [posted(body(log, number, number + 1), served.key) for number in range(9)]
        assert line.ask(requests[0])[0][0] == b"HTTP/1.1 200 OK"
        for number in range(4):
            for piece in pieces(requests[1 + number])[number]:
                line.socket.sendall(piece)
                served.turn()
            assert b'"size":%d' % (number + 2) in line.hear()[1]
        store.leave.clear()
        store.waiting.clear()
        line.socket.sendall(requests[5])
        assert store.waiting.wait(WITHIN_S)
        line.socket.sendall(requests[6] + requests[7][:30])
        served.turn()
        line.socket.sendall(requests[7][30:])
        served.turn()
        store.leave.set()
        assert [b'"size":%d' % size in line.hear()[1] for size in (6, 7, 8)] == [True] * 3
        assert b'"size":9' in line.ask(requests[8])[1]


def connections(served: Served) -> list[BoundedHttp]:
    """Those that are open."""
    return [made for made in list(served.server.server_state.connections) if isinstance(made, BoundedHttp)]


def until(holds: Callable[[], bool]) -> None:
    """Wait, not for ever."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_f60_the_kernel_holds_little_for_a_feed() -> None:
    """The send buffer of a feed's connection is small, so that one that nobody reads is soon found out."""
    with serving() as served, Line(served) as line:
        line.ask(posted(body([event("e0")]), served.key))
        (held,) = connections(served)
        transport = held.transport
        asked = f"GET /api/v1/feed?brain=brain HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer {served.key}\r\n\r\n"
        line.socket.sendall(asked.encode())
        assert line.socket.recv(4_096).startswith(b"HTTP/1.1 200 OK")
        size = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert size <= 2 * SEND_BUFFER_BYTES  # Linux says twice what it was told


class Gate(SqliteStore):
    """A store in memory whose commits wait for leave, and fail when they are told to."""

    def __init__(self) -> None:
        super().__init__(None)
        self.leave = threading.Event()
        self.waiting = threading.Event()
        self.error: Exception | None = None

    def ingest(self, requests: Sequence[WriteRequest], *, now: int) -> list[Decision]:
        self.waiting.set()
        assert self.leave.wait(WITHIN_S)
        if self.error is not None:
            raise self.error
        return super().ingest(requests, now=now)


def test_a_request_at_work_is_answered_before_the_server_ends() -> None:
    """Its answer comes when it is durable; then the connection ends, and the next request is not taken."""
    store = Gate()
    with serving(store=store) as served, Line(served) as line:
        log = [event("e0"), event("e1")]
        store.leave.set()
        line.ask(posted(body(log, 0, 1), served.key))
        store.leave.clear()
        store.waiting.clear()
        line.socket.sendall(posted(body(log, 1), served.key))
        assert store.waiting.wait(WITHIN_S)
        served.server.should_exit = True
        until(lambda: not any(made.cycle.keep_alive for made in connections(served)))
        store.leave.set()
        assert b'"size":2' in line.hear()[1]
        assert line.hear() == ([], b"")


def test_what_the_store_cannot_do_is_said() -> None:
    """503 while it is away; 500 for a bug, behind which the connection ends; then 200 again."""
    store = Gate()
    store.leave.set()
    statuses = []
    with serving(store=store) as served:
        log = [event("e0"), event("e1")]
        with Line(served) as line:
            line.ask(posted(body(log, 0, 1), served.key))
        request = posted(body(log, 1), served.key)
        for error in (StoreUnavailableError("away"), KeyError("a bug"), None):
            store.error = error
            with Line(served) as line:
                statuses.append(line.ask(request)[0][0][9:12])
                if isinstance(error, KeyError):
                    assert line.hear() == ([], b"")
    assert statuses == [b"503", b"500", b"200"]


def test_f37_a_budget_is_announced_slack_included() -> None:
    """The burst and its slack pass at once, then 429."""
    with serving(per_minute=1) as served, Line(served) as line:
        log = [event(f"e{number}") for number in range(40)]
        heard = [line.ask(posted(body(log, n, n + 1), served.key)) for n in range(40)]
    assert [lines[0][9:12] for lines, _ in heard] == [b"200"] * 30 + [b"429"] * 10
