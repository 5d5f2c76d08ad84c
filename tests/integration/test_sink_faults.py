"""HttpSink on real sockets against networks, proxies and servers that misbehave: always an outcome, always in time."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import random
import socket
import ssl
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import certifi
import pytest

from replicator import wire
from replicator.actions import (
    Acked,
    Beat,
    Denied,
    Garbled,
    Misconfigured,
    Refused,
    Send,
    SendOutcome,
    Throttled,
    TooLarge,
    Unavailable,
)
from replicator.errors import ConfigurationError
from replicator.model import Anchor, Batch, Cursor, Head, Hole, Identity, Limits
from replicator.proof import CompactRange, leaf_hash
from replicator.sink import HttpSink, Timeouts
from replicator.sink.carrier import Order
from replicator.testing import chaos as chaotic
from replicator.testing.chaos import Chaos, Kind, ProxyFault
from tests.support.packing import zstd
from tests.support.scripted import Scripted, Seen, answer

CANARY = "gk_live_canary_7f3a9c"
LOG = "9b2d7c1e-0f4a-4c53-8d5e-2a6b7c8d9e0f"
REPORT = wire.Report("live", 10, 0, None, 0, "1.0")
RECORD = b'{"type": "A"}\n'
TLS = Path(__file__).parents[2] / "fixtures" / "tls"
QUICK = Timeouts(connect_s=5.0, read_s=5.0, write_s=5.0, pool_s=5.0, total_s=0.4)
PROMPT_S = 15.0
"""More than any deadline set here, less than any time-out that must not be the one that helps."""


def sending(data: bytes = RECORD, ends: tuple[int, ...] | None = None) -> Send:
    load = Batch(0, 0, data, ends or (len(data),))
    return Send(Cursor(LOG), load, CompactRange.EMPTY.extended([leaf_hash(record) for record in load.records()]))


def acked(encodings: tuple[str, ...] = ("gzip",)) -> bytes:
    head = Head(LOG, 1, leaf_hash(RECORD), len(RECORD), "e")
    return answer(200, wire.ack_body(Acked("cloud", head, 1, limits=Limits(encodings=encodings))))


def always(reply: bytes | None) -> Callable[[Seen], bytes | None]:
    return lambda _seen: reply


OpenSink = Callable[..., HttpSink]


@pytest.fixture
def open_sink() -> Iterator[OpenSink]:
    """Makes sinks that are closed afterwards; no thread of theirs may remain."""
    opened: list[HttpSink] = []

    def open_one(endpoint: str, *, key: Callable[[], str | None] = lambda: CANARY, **options: Any) -> HttpSink:
        opened.append(HttpSink(endpoint=endpoint, key=key, identity=Identity("brain", "device"), **options))
        return opened[-1]

    yield open_one
    for sink in opened:
        sink.close()
    left = [thread for thread in threading.enumerate() if thread.name == "replicator-http"]
    for thread in left:
        thread.join(5)
    assert not any(thread.is_alive() for thread in left)


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that acknowledges, until its script is replaced."""
    with Scripted(always(acked())) as scripted:
        yield scripted


@pytest.fixture
def chaos(server: Scripted) -> Iterator[Chaos]:
    """A network to that server that can misbehave."""
    with Chaos(("127.0.0.1", server.port)) as proxy:
        yield proxy


def timed(act: Callable[[], SendOutcome]) -> tuple[SendOutcome, float]:
    began = time.monotonic()
    return act(), time.monotonic() - began


# ---------------------------------------------------------------- F29, F30: the way there


@pytest.mark.parametrize(
    "fault", [chaotic.reset(), chaotic.finish(), chaotic.garbage()], ids=["reset", "finish", "garbage"]
)
def test_f29_a_broken_network_is_unavailable(chaos: Chaos, open_sink: OpenSink, fault: ProxyFault) -> None:
    """A connection that is reset, closed or answered with garbage is an outcome, and the next request goes on."""
    sink = open_sink(chaos.url)
    chaos.fault = fault
    assert isinstance(sink.send(sending(), REPORT), Unavailable)
    chaos.fault = chaotic.NONE
    assert isinstance(sink.send(sending(), REPORT), Acked)


def test_f29_a_refused_connection_is_unavailable_in_words(chaos: Chaos, open_sink: OpenSink) -> None:
    """Nobody listens: said in the system's words; once somebody does, it goes on."""
    sink = open_sink(chaos.url)
    chaos.refuse()
    outcome = sink.send(sending(), REPORT)
    assert isinstance(outcome, Unavailable)
    assert "refused" in outcome.detail
    chaos.refuse(False)
    assert isinstance(sink.send(sending(), REPORT), Acked)


def test_f29_an_unknown_name_is_unavailable(open_sink: OpenSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not resolve is an outcome with the resolver's words."""

    def unknown(*_args: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    outcome = open_sink("https://cloud.test", proxy_for=lambda _url: None).send(sending(), REPORT)
    assert isinstance(outcome, Unavailable)
    assert "Name or service not known" in outcome.detail


@pytest.mark.parametrize(
    "fault",
    [
        chaotic.black_hole(),
        chaotic.drip(0.05),
        chaotic.cut_answer(20, Kind.BLACK_HOLE),
        chaotic.cut_answer(150, Kind.BLACK_HOLE),
        chaotic.latency(3.0),
    ],
    ids=["black hole", "drip", "stops in the headers", "stops in the body", "latency"],
)
def test_f30_every_request_ends_by_its_deadline(chaos: Chaos, open_sink: OpenSink, fault: ProxyFault) -> None:
    """Silence, one byte at a time, an answer that stops: the total deadline ends them; then it goes on."""
    sink = open_sink(chaos.url, timeouts=QUICK)
    assert isinstance(sink.send(sending(), REPORT), Acked)
    chaos.fault = fault
    outcome, took_s = timed(lambda: sink.send(sending(), REPORT))
    assert Unavailable("no answer within 0.4 s", cut=True) == outcome
    assert took_s < PROMPT_S
    chaos.fault = chaotic.NONE
    assert isinstance(sink.send(sending(), REPORT), Acked)


def test_f30_a_request_that_missed_its_deadline_leaves_no_thread(chaos: Chaos, open_sink: OpenSink) -> None:
    """The connection is cut: the thread that carried it ends while the server still drips."""
    sink = open_sink(chaos.url, timeouts=QUICK)
    chaos.fault = chaotic.drip(0.3)
    assert isinstance(sink.send(sending(), REPORT), Unavailable)
    carriers = [thread for thread in threading.enumerate() if thread.name == "replicator-http"]
    for thread in carriers:
        thread.join(PROMPT_S)
    assert not any(thread.is_alive() for thread in carriers)


def test_f30_a_read_time_out_ends_silence_before_the_total(chaos: Chaos, open_sink: OpenSink) -> None:
    """The time-out of one read counts too."""
    sink = open_sink(chaos.url, timeouts=Timeouts(read_s=0.2))
    chaos.fault = chaotic.black_hole()
    outcome, took_s = timed(lambda: sink.send(sending(), REPORT))
    assert Unavailable("connected, but no answer in time", cut=True) == outcome
    assert took_s < PROMPT_S


def test_f30_a_server_that_stops_reading_is_noticed(chaos: Chaos, open_sink: OpenSink) -> None:
    """An upload that stands still ends after the time-out of a write, however large the body."""
    sink = open_sink(chaos.url, timeouts=Timeouts(write_s=0.2, read_s=0.2))
    chaos.fault = chaotic.black_hole()
    outcome, took_s = timed(lambda: sink.send(sending(b"x" * 16_000_000 + b"\n"), REPORT))
    assert isinstance(outcome, Unavailable)
    assert took_s < PROMPT_S


def test_f30_a_large_body_gets_time_in_proportion(chaos: Chaos, open_sink: OpenSink) -> None:
    """A slow line can send a large batch: the deadline grows with the body."""
    times = Timeouts(total_s=0.2, upload_bytes_per_s_min=100_000)
    sink = open_sink(chaos.url, timeouts=times)
    chaos.fault = chaotic.latency(0.15)
    assert isinstance(sink.send(sending(), REPORT), Unavailable)
    assert isinstance(sink.send(sending(b"x" * 400_000 + b"\n"), REPORT), Acked)


def test_f61_a_line_that_moves_is_not_given_up(chaos: Chaos, open_sink: OpenSink) -> None:
    """The deadline is renewed by each piece that is taken: a large record on a slow line arrives, if late."""
    sink = open_sink(chaos.url, timeouts=Timeouts(total_s=1.0, upload_bytes_per_s_min=1 << 60))
    chaos.fault = chaotic.latency(0.02)
    quick = threading.Thread(target=lambda: hurry(chaos, after_bytes=5_000_000))
    quick.start()
    outcome, took_s = timed(lambda: sink.send(sending(b"x" * 16_000_000 + b"\n"), REPORT))
    quick.join()
    assert isinstance(outcome, Acked)
    assert took_s > 1.0


def hurry(chaos: Chaos, *, after_bytes: int) -> None:
    """From there on the line is fast."""
    chaos.until(lambda: chaos.request_bytes > after_bytes)
    chaos.fault = chaotic.NONE


@pytest.mark.parametrize(
    ("fault", "cut"), [(chaotic.black_hole(), True), (None, False)], ids=["broke off", "never left"]
)
def test_f62_a_request_that_broke_off_is_told_from_one_that_never_left(
    chaos: Chaos, open_sink: OpenSink, fault: chaotic.ProxyFault | None, cut: bool
) -> None:
    """Only what had a connection can have been too large for the way; nobody there is no reason for smaller batches."""
    sink = open_sink(chaos.url, timeouts=Timeouts(write_s=0.3, read_s=0.3))
    if fault is None:
        chaos.refuse()
    else:
        chaos.fault = fault
    outcome = sink.send(sending(b"x" * 400_000 + b"\n"), REPORT)
    assert isinstance(outcome, Unavailable)
    assert outcome.cut is cut


def test_f30_a_mute_name_service_holds_nobody(open_sink: OpenSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """getaddrinfo that never returns costs the deadline, not more; few threads hang in it; it ends with them."""
    answered = threading.Event()
    asked: list[float] = []

    def mute(*_args: object, **_options: object) -> None:
        asked.append(time.monotonic())
        assert answered.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", mute)
    sink = open_sink("https://cloud.test", timeouts=QUICK, proxy_for=lambda _url: None)
    for _ in range(3):
        outcome, took_s = timed(lambda: sink.send(sending(), REPORT))
        assert isinstance(outcome, Unavailable)
        assert took_s < PROMPT_S
    outcome = sink.send(sending(), REPORT)
    assert isinstance(outcome, Unavailable)
    assert "still hang" in outcome.detail
    assert len(asked) == 3
    answered.set()
    for thread in threading.enumerate():
        if thread.name == "replicator-http":
            thread.join(5)
    outcome = sink.send(sending(), REPORT)
    assert isinstance(outcome, Unavailable)
    assert "Temporary failure" in outcome.detail


def test_f45_close_ends_a_request_in_flight(chaos: Chaos, open_sink: OpenSink) -> None:
    """Closing from another thread wakes the one that waits for a black hole, at once; later ones are not carried."""
    sink = open_sink(chaos.url)
    chaos.fault = chaotic.black_hole()
    outcomes: list[SendOutcome] = []
    sender = threading.Thread(target=lambda: outcomes.append(sink.send(sending(), REPORT)))
    sender.start()
    chaos.until(lambda: chaos.accepted == 1)
    began = time.monotonic()
    sink.close()
    sender.join(PROMPT_S)
    assert time.monotonic() - began < PROMPT_S
    assert outcomes == [Unavailable("closed")]
    assert Unavailable("closed") == sink.send(sending(), REPORT)


# ---------------------------------------------------------------- F31, F32: answers that are none


@pytest.mark.parametrize("end", [Kind.RESET, Kind.FINISH])
@pytest.mark.parametrize("after_bytes", [0, 10, 150])
def test_f31_an_answer_lost_after_the_commit_is_unavailable(
    chaos: Chaos, server: Scripted, open_sink: OpenSink, end: Kind, after_bytes: int
) -> None:
    """The request arrived, its answer was cut: no ack, and the same request may go again."""
    sink = open_sink(chaos.url)
    chaos.fault = chaotic.cut_answer(after_bytes, end)
    assert isinstance(sink.send(sending(), REPORT), Unavailable)
    assert len(server.seen) == 1
    chaos.fault = chaotic.NONE
    assert isinstance(sink.send(sending(), REPORT), Acked)
    assert server.seen[0].body == server.seen[1].body


CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PORTAL = b"<!doctype html><title>Welcome</title>"
NOT_ACKS: dict[str, tuple[bytes, type]] = {
    "a captive portal": (answer(200, PORTAL, Content_Type="text/html"), Garbled),
    "an empty body": (answer(200), Garbled),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", Garbled),
    "JSON of another shape": (answer(200, b'{"status": "ok"}'), Garbled),
    "JSON cut before the length": (answer(200, b'{"schema": 2, "cl', Content_Length="17"), Garbled),
    "a body shorter than its length": (answer(200, b"{}", Content_Length="50", Connection="close"), Unavailable),
    "chunks that end early": (CHUNKED + b"5\r\n{\r\nConnection: close", Unavailable),
    "a huge body": (answer(200, b" " * 8_000_000), Garbled),
    "endless chunks": (CHUNKED + CHUNK * 100, Garbled),
    "a huge header": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000 + b"\r\n\r\n{}", Unavailable),
    "a gzip bomb": (
        answer(200, gzip.compress(b" " * 50_000_000), Content_Encoding="gzip"),
        Garbled,
    ),
    "an ack in gzip": (
        answer(200, gzip.compress(acked().partition(b"\r\n\r\n")[2]), Content_Encoding="gzip"),
        Garbled,
    ),
    "another protocol": (b"SSH-2.0-OpenSSH_9\r\nConnection: close\r\n\r\n", Unavailable),
    "a status of none": (b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n", Misconfigured),
    "a switch of protocols": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", Unavailable),
}


@pytest.mark.parametrize("name", NOT_ACKS)
def test_f32_what_is_no_ack_is_told_from_one(server: Scripted, open_sink: OpenSink, name: str) -> None:
    """Portals, cut and wrong bodies, bombs: none is an ack; little memory and time; the next request goes on."""
    reply, expected = NOT_ACKS[name]
    sink = open_sink(server.url)
    server.script = always(reply)
    tracemalloc.start()
    try:
        outcome, took_s = timed(lambda: sink.send(sending(), REPORT))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert type(outcome) is expected
    assert peak < 4_000_000
    assert took_s < PROMPT_S
    server.script = always(acked())
    assert isinstance(sink.send(sending(), REPORT), Acked)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_f32_a_redirect_gets_neither_key_nor_records(server: Scripted, open_sink: OpenSink, status: int) -> None:
    """A redirect is not followed: the other host sees no connection at all."""
    with Scripted(always(acked())) as other:
        server.script = always(answer(status, b"", Location=f"{other.url}/api/v1/ingest"))
        outcome = open_sink(server.url).send(sending(), REPORT)
        assert other.connections == 0
    assert isinstance(outcome, Misconfigured)
    assert outcome.status == status


# ---------------------------------------------------------------- F33 to F37: statuses


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((401, Denied), (403, Denied), (404, Misconfigured), (405, Misconfigured), (407, Misconfigured)),
        *((408, Unavailable), (500, Unavailable), (502, Unavailable)),
        *((413, TooLarge), (400, Refused), (422, Refused)),
    ],
)
def test_f33_f34_f36_a_proxys_page_keeps_the_class_of_its_status(
    server: Scripted, open_sink: OpenSink, status: int, expected: type
) -> None:
    """An HTML page with a status is what its status says."""
    server.script = always(answer(status, PORTAL, Content_Type="text/html"))
    assert type(open_sink(server.url).send(sending(), REPORT)) is expected


@pytest.mark.parametrize("status", [401, 503])
def test_f33_an_error_whose_page_is_cut_keeps_its_class(server: Scripted, open_sink: OpenSink, status: int) -> None:
    """The status came; that the page behind it did not changes nothing."""
    server.script = always(answer(status, b"x", Content_Length="5000", Connection="close"))
    assert type(open_sink(server.url).send(sending(), REPORT)) is (Denied if status == 401 else Unavailable)


def test_f36_an_early_413_is_heard_over_the_upload(server: Scripted, open_sink: OpenSink) -> None:
    """A server that refuses a large body and closes is heard, or the connection's end is; never an exception."""
    sink = open_sink(server.url)
    server.script = always(answer(413, b"", Connection="close"))
    assert isinstance(sink.send(sending(b"x" * 3_000_000 + b"\n"), REPORT), TooLarge)


def test_f37_retry_after_as_a_date_is_measured_by_the_wall_clock(server: Scripted, open_sink: OpenSink) -> None:
    """A date becomes seconds from now, by the clock that the sink was given."""
    server.script = always(answer(429, b"", Retry_After="Sun, 09 Sep 2001 01:48:00 GMT"))
    sink = open_sink(server.url, wall=lambda: 1_000_000_000.0)
    assert Throttled(80.0) == sink.send(sending(), REPORT)


# ---------------------------------------------------------------- connections and bodies


def test_requests_share_one_connection(server: Scripted, open_sink: OpenSink) -> None:
    """A kept connection carries batches, heartbeats and recalls; each has its headers."""
    sink = open_sink(server.url)
    for _ in range(3):
        sink.send(sending(), REPORT)
        sink.beat(Beat(Cursor(LOG)), REPORT)
        sink.recall()
    assert server.connections == 1
    ingest, heartbeat, logs = server.seen[:3]
    assert (ingest.method, ingest.path) == ("POST", "/api/v1/ingest")
    assert (heartbeat.method, heartbeat.path) == ("POST", "/api/v1/heartbeat")
    assert (logs.method, logs.path) == ("GET", "/api/v1/logs?brain=brain&device=device")
    assert ingest.headers["content-type"] == "application/vnd.gradata.batch"
    for seen in (ingest, heartbeat, logs):
        assert seen.headers["authorization"] == f"Bearer {CANARY}"
        assert seen.headers["accept-encoding"] == "identity"
    assert "content-length" not in logs.headers


def test_a_connection_that_the_server_closed_is_replaced(server: Scripted, open_sink: OpenSink) -> None:
    """A server may close after each answer."""
    sink = open_sink(server.url)
    server.script = always(acked().replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    assert all(isinstance(sink.send(sending(), REPORT), Acked) for _ in range(3))
    assert server.connections == 3


@pytest.mark.parametrize("size", [1, 100, 65_000, 66_000, 200_000])
def test_a_body_arrives_byte_for_byte(server: Scripted, open_sink: OpenSink, size: int) -> None:
    """Whatever its size, the records arrive as they stand in the log, uncompressed on this machine."""
    data = b"x" * (size - 1) + b"\n"
    open_sink(server.url).send(sending(data), REPORT)
    seen = server.seen[0]
    assert "content-encoding" not in seen.headers
    assert seen.headers["content-length"] == str(len(seen.body))
    assert wire.parse_batch(seen.body, Limits()).load == sending(data).load


def test_a_hole_is_sent_without_its_bytes(server: Scripted, open_sink: OpenSink) -> None:
    """The body of a hole is the envelope alone."""
    hole = Hole(0, 0, 5_000_000, leaf_hash(b"large"), Anchor(5_000_000, b"s" * 32))
    open_sink(server.url).send(Send(Cursor(LOG), hole, CompactRange.EMPTY.extended([hole.leaf])), REPORT)
    assert isinstance(wire.parse_batch(server.seen[0].body, Limits()).load, wire.RecordPlace)


def test_f48_a_large_batch_is_sent_in_little_memory(chaos: Chaos, open_sink: OpenSink) -> None:
    """16 MiB need less than a tenth of that beyond the batch itself."""
    sink = open_sink(chaos.url, timeouts=Timeouts(write_s=0.3, read_s=0.3))
    chaos.fault = chaotic.black_hole()  # or the server of the test would count what it receives
    action = sending(b"x" * (16 * 1024 * 1024) + b"\n")
    tracemalloc.start()
    try:
        sink.send(action, REPORT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_600_000


def test_f48_an_idle_sink_holds_no_batch(server: Scripted, open_sink: OpenSink) -> None:
    """Once it is answered, nothing refers to a batch any more."""
    data = b"x" * 100_000 + b"\n"
    before = sys.getrefcount(data)
    open_sink(server.url).send(sending(data), REPORT)
    assert sys.getrefcount(data) == before


# ---------------------------------------------------------------- F42: the way through companies


class ConnectProxy:
    """A proxy that knows CONNECT, and leads every name to one place."""

    def __init__(self, upstream: tuple[str, int], *, status: bytes = b"200 Connection established") -> None:
        self.upstream, self.status = upstream, status
        self.heads: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(10)
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += client.recv(1)
                self.heads.append(head)
                client.sendall(b"HTTP/1.1 " + self.status + b"\r\n\r\n")
                if self.status.startswith(b"200"):
                    self._tunnel(client)

    def _tunnel(self, client: socket.socket) -> None:
        with socket.create_connection(self.upstream, timeout=10) as server:
            up = threading.Thread(target=self._pump, args=(client, server), daemon=True)
            up.start()
            self._pump(server, client)
            up.join()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # one of them has gone: so is the tunnel
            while piece := source.recv(65_536):
                target.sendall(piece)
        for end in (source, target):
            with contextlib.suppress(OSError):  # it has gone
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> ConnectProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No proxy and no CA but those that the test sets."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.fixture
def secure_server() -> Iterator[Scripted]:
    """A server with a certificate for cloud.test, which only the CA of the tests vouches for."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    with Scripted(always(acked()), tls=context) as scripted:
        yield scripted


@pytest.fixture
def company(bare_environment: pytest.MonkeyPatch, secure_server: Scripted) -> Iterator[ConnectProxy]:
    """A network with its own CA, whose only way out is a proxy."""
    with ConnectProxy(("127.0.0.1", secure_server.port)) as proxy:
        bare_environment.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
        bare_environment.setenv("HTTPS_PROXY", proxy.url)
        yield proxy


def test_f42_the_proxy_of_the_environment_is_used(
    company: ConnectProxy, secure_server: Scripted, open_sink: OpenSink
) -> None:
    """Requests go through HTTPS_PROXY, which sees the host's name and never the key."""
    assert isinstance(open_sink("https://cloud.test").send(sending(), REPORT), Acked)
    assert company.heads[0].startswith(b"CONNECT cloud.test:443 ")
    assert CANARY.encode() not in b"".join(company.heads)
    assert secure_server.seen[0].headers["host"] == "cloud.test"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (b"407 Proxy Authentication Required", Misconfigured(407, "407: the proxy wants a user name and password")),
        (b"502 Bad Gateway", Unavailable("the proxy refused to connect")),
    ],
)
def test_f42_a_proxy_that_refuses_is_told(
    bare_environment: pytest.MonkeyPatch, open_sink: OpenSink, status: bytes, expected: SendOutcome
) -> None:
    """A proxy that wants a password is a matter of settings, one that cannot connect is not."""
    with ConnectProxy(("127.0.0.1", 9), status=status) as proxy:
        bare_environment.setenv("https_proxy", proxy.url)
        assert expected == open_sink("https://cloud.test").send(sending(), REPORT)


def test_f42_this_machine_is_never_reached_through_a_proxy(
    bare_environment: pytest.MonkeyPatch, server: Scripted, open_sink: OpenSink
) -> None:
    """A proxy would look for the cloud on itself."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        bare_environment.setenv(name, "http://127.0.0.1:9")
    assert isinstance(open_sink(server.url).send(sending(), REPORT), Acked)


@pytest.mark.parametrize("proxy", ["gopher://127.0.0.1:70", "socks5://127.0.0.1:9", "http://127.0.0.1:notaport"])
def test_f42_a_proxy_that_cannot_work_is_said_at_once(
    bare_environment: pytest.MonkeyPatch, open_sink: OpenSink, proxy: str
) -> None:
    """A wrong proxy is a ConfigurationError with a hint, and its address (it may hold a password) is not repeated."""
    bare_environment.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigurationError) as caught:
        open_sink("https://cloud.test")
    assert "HTTPS_PROXY" in caught.value.hint
    assert proxy not in str(caught.value)


def test_f42_a_proxy_whose_name_is_none_is_an_outcome(open_sink: OpenSink) -> None:
    """A name that cannot even be looked up raises nothing."""
    outcome = open_sink("https://cloud.test", proxy_for=lambda _url: "http://.x").send(sending(), REPORT)
    assert Unavailable("the name of the proxy is no name") == outcome


def test_f42_a_certificate_of_an_unknown_authority_is_unavailable(
    bare_environment: pytest.MonkeyPatch, secure_server: Scripted, open_sink: OpenSink
) -> None:
    """Without the custom CA nothing is sent, not even the key, and the words say why."""
    outcome = open_sink(secure_server.url).send(sending(), REPORT)
    assert isinstance(outcome, Unavailable)
    assert "TLS: " in outcome.detail
    assert secure_server.seen == []


def test_f42_a_custom_authority_is_honoured(
    bare_environment: pytest.MonkeyPatch, secure_server: Scripted, open_sink: OpenSink
) -> None:
    """SSL_CERT_FILE counts, and is read once a sink."""
    bare_environment.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
    sink = open_sink(secure_server.url)
    bare_environment.delenv("SSL_CERT_FILE")
    assert isinstance(sink.send(sending(), REPORT), Acked)


def test_f64_authorities_that_are_replaced_are_read_again(
    bare_environment: pytest.MonkeyPatch, secure_server: Scripted, open_sink: OpenSink, tmp_path: Path
) -> None:
    """The file of SSL_CERT_FILE gets the authority that was missing: the next request works, in the same process."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes())
    bare_environment.setenv("SSL_CERT_FILE", str(bundle))
    sink = open_sink(secure_server.url)
    refused = sink.send(sending(), REPORT)
    assert isinstance(refused, Unavailable)
    assert "TLS" in refused.detail
    bundle.write_bytes((TLS / "ca.pem").read_bytes())
    assert isinstance(sink.send(sending(), REPORT), Acked)


def test_f65_a_key_log_that_cannot_be_written_stops_nothing(
    bare_environment: pytest.MonkeyPatch, secure_server: Scripted, open_sink: OpenSink
) -> None:
    """SSLKEYLOGFILE is for debugging: where it cannot be written, requests go on without it."""
    bare_environment.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
    bare_environment.setenv("SSLKEYLOGFILE", "/nonexistent/keys.log")
    assert isinstance(open_sink(secure_server.url).send(sending(), REPORT), Acked)


def test_f30_a_deadline_cuts_a_connection_under_tls(
    bare_environment: pytest.MonkeyPatch, secure_server: Scripted, open_sink: OpenSink
) -> None:
    """Also a TLS connection that drips is cut at the deadline, and its thread ends."""
    bare_environment.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
    with Chaos(("127.0.0.1", secure_server.port)) as chaos:
        sink = open_sink(f"https://localhost:{chaos.port}", timeouts=QUICK)
        assert isinstance(sink.send(sending(), REPORT), Acked)
        chaos.fault = chaotic.drip(0.02)
        outcome, took_s = timed(lambda: sink.send(sending(), REPORT))
    assert isinstance(outcome, Unavailable)
    assert took_s < PROMPT_S


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_f42_an_authority_that_cannot_be_read_is_said_at_once(
    bare_environment: pytest.MonkeyPatch, open_sink: OpenSink, tmp_path: Path, content: str | None
) -> None:
    """A wrong SSL_CERT_FILE is a ConfigurationError with a hint."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    bare_environment.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(ConfigurationError) as caught:
        open_sink("https://cloud.test")
    assert "SSL_CERT_FILE" in caught.value.hint


def test_f42_ipv6_alone_is_enough(open_sink: OpenSink) -> None:
    """A cloud that listens on ::1 only is reached."""
    with Scripted(always(acked()), host="::1") as server:
        assert isinstance(open_sink(server.url).send(sending(), REPORT), Acked)


def unpacked(seen: Seen) -> bytes:
    match seen.headers.get("content-encoding"):
        case "gzip":
            return zlib.decompress(seen.body, wbits=31)
        case "zstd":
            return zstd.decompress(seen.body)
        case _:
            return seen.body


def test_large_bodies_are_compressed_by_what_both_sides_have(
    company: ConnectProxy, secure_server: Scripted, open_sink: OpenSink
) -> None:
    """gzip until the cloud has named its encodings; then the best of them; none after a 415; small bodies never."""
    sink = open_sink("https://cloud.test")
    large = sending(b'{"text": "again and again and again"}\n' * 2_000, tuple(range(38, 76_001, 38)))
    secure_server.script = always(acked(("zstd", "gzip")))
    sink.send(sending(), REPORT)
    sink.send(large, REPORT)
    secure_server.script = always(acked(()))
    sink.send(large, REPORT)
    sink.send(large, REPORT)
    used = [seen.headers.get("content-encoding") for seen in secure_server.seen]
    assert used == [None, "zstd", "zstd", None]
    assert all(wire.parse_batch(unpacked(seen), Limits()).load == large.load for seen in secure_server.seen[1:])


def test_what_compression_does_not_shorten_goes_as_it_is(
    company: ConnectProxy, secure_server: Scripted, open_sink: OpenSink
) -> None:
    """Random bytes are sent uncompressed."""
    noise = random.Random(1).randbytes(50_000).replace(b"\n", b"") + b"\n"
    open_sink("https://cloud.test").send(sending(noise), REPORT)
    assert "content-encoding" not in secure_server.seen[0].headers
    assert secure_server.seen[0].body.endswith(noise)


def test_without_zstd_gzip_does(
    company: ConnectProxy, secure_server: Scripted, open_sink: OpenSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """zstd is an extra: where it is not installed, the cloud's second best is used."""
    for module in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    sink = open_sink("https://cloud.test")
    large = sending(b"again and again " * 5_000 + b"\n")
    secure_server.script = always(acked(("zstd", "gzip")))
    for _ in range(2):
        assert isinstance(sink.send(large, REPORT), Acked)
    assert [seen.headers.get("content-encoding") for seen in secure_server.seen] == ["gzip", "gzip"]


def test_an_encoding_that_is_refused_is_not_used_again(
    company: ConnectProxy, secure_server: Scripted, open_sink: OpenSink
) -> None:
    """After a 415 bodies go as they are."""
    sink = open_sink("https://cloud.test")
    large = sending(b"again and again " * 5_000 + b"\n")
    secure_server.script = always(answer(415))
    assert isinstance(sink.send(large, REPORT), Misconfigured)
    secure_server.script = always(acked())
    assert isinstance(sink.send(large, REPORT), Acked)
    assert [seen.headers.get("content-encoding") for seen in secure_server.seen] == ["gzip", None]


# ---------------------------------------------------------------- F55: the key


@pytest.mark.parametrize(
    "kind", ["acked", "echo", "echo in json", "reset", "garbage", "silence", "portal", "echo in a header"]
)
def test_f55_the_key_is_nowhere(
    chaos: Chaos, server: Scripted, open_sink: OpenSink, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """Whatever happens, also with every logger at DEBUG: the key is in no log, outcome or repr.

    One thing is beyond us: at DEBUG httpcore logs an answer's headers, so a server that puts the key there
    puts it into that log.
    """
    caplog.set_level(logging.DEBUG)
    replies = {
        "echo": answer(400, f"<pre>Authorization: Bearer {CANARY}</pre>".encode()),
        "echo in json": answer(401, wire.problem_body(401, "key_unknown", f"the key {CANARY} is unknown")),
        "portal": answer(200, f"<p>{CANARY}".encode()),
        "echo in a header": answer(404, b"", Content_Type=f"text/{CANARY}", Location=f"https://{CANARY}/"),
    }
    faults = {"reset": chaotic.reset(), "garbage": chaotic.garbage(), "silence": chaotic.black_hole()}
    server.script = always(replies.get(kind, acked()))
    chaos.fault = faults.get(kind, chaotic.NONE)
    sink = open_sink(chaos.url, timeouts=QUICK)
    outcome = sink.send(sending(), REPORT)
    assert CANARY not in repr(outcome)
    assert CANARY not in repr(sink)
    assert CANARY not in caplog.text or kind == "echo in a header"


@pytest.mark.parametrize("key", [f"{CANARY}\n", f"{CANARY}\r\nX-Injected: 1", f" {CANARY}", f"{CANARY}é", CANARY * 50])
def test_f55_an_unusable_key_is_not_sent_and_not_repeated(server: Scripted, open_sink: OpenSink, key: str) -> None:
    """A key that cannot stand in a header is a denial of its own; nothing reaches the network."""
    outcome = open_sink(server.url, key=lambda: key).send(sending(), REPORT)
    assert isinstance(outcome, Denied)
    assert (outcome.status, outcome.code) == (0, "key_unusable")
    assert CANARY not in repr(outcome)
    assert server.connections == 0


def test_f55_a_key_that_cannot_be_read_is_told(server: Scripted, open_sink: OpenSink) -> None:
    """A key file without permission is an outcome with the system's words."""

    def unreadable() -> str:
        raise PermissionError(13, "Permission denied", "/home/somebody/.gradata/key")

    outcome = open_sink(server.url, key=unreadable).send(sending(), REPORT)
    assert Denied(0, "key_unreadable", "Permission denied") == outcome


def test_a_bug_in_the_carrying_thread_is_raised_to_the_caller(server: Scripted, open_sink: OpenSink) -> None:
    """What no network does is no outcome: it comes out where it can be seen, and does not hang the caller."""
    sink = open_sink(server.url)
    with pytest.raises(TypeError):
        sink._carrier.carry(Order("GET", None, [], ()))  # type: ignore[arg-type]


def test_f45_without_a_further_thread_nothing_is_sent(
    server: Scripted, open_sink: OpenSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that may start no thread, as newer Pythons at exit, gets an outcome and loses nothing."""

    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    sink = open_sink(server.url)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        assert Unavailable("the system allows no further thread") == sink.send(sending(), REPORT)
    assert isinstance(sink.send(sending(), REPORT), Acked)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_f43_a_forked_child_leaves_the_parents_connection_alone(server: Scripted, open_sink: OpenSink) -> None:
    """A child that closes the inherited sink returns at once and does not end what the parent goes on using."""
    sink = open_sink(server.url)
    assert isinstance(sink.send(sending(), REPORT), Acked)
    child = os.fork()
    if child == 0:
        sink.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isinstance(sink.send(sending(), REPORT), Acked)
    assert server.connections == 1


def test_an_identity_that_cannot_travel_is_said_at_once(server: Scripted) -> None:
    """A brain_id with a line end is a ConfigurationError."""
    with pytest.raises(ConfigurationError):
        HttpSink(endpoint=server.url, key=lambda: CANARY, identity=Identity("a\nb", "device"))
