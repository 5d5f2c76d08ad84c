"""A TCP proxy that misbehaves on demand, for tests and `gradata torture`: the network's own faults on real sockets.

    with Chaos(("127.0.0.1", port)) as chaos:
        chaos.fault = black_hole()      # holds for new connections and for those that stand
        …
        chaos.fault = NONE
        chaos.cut()                     # resets every connection that stands

It knows TCP and nothing of HTTP or TLS, so what it does to either is what a network does. One thread accepts, one
serves each connection and alone closes its sockets; a change of `fault` is noticed within `TICK_S`.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType

TICK_S = 0.01
PIECE_BYTES = 64 * 1024
SOCKET_S = 10.0


class Kind(Enum):
    """What is done to a connection."""

    NONE = auto()
    RESET = auto()
    FINISH = auto()
    BLACK_HOLE = auto()
    GARBAGE = auto()
    CUT_ANSWER = auto()
    DRIP = auto()


@dataclass(frozen=True, slots=True)
class ProxyFault:
    """One misbehaviour. Made by the functions below; `latency_s` is added to every piece in both directions."""

    kind: Kind = Kind.NONE
    latency_s: float = 0.0
    answer_bytes: int = 0
    end: Kind = Kind.RESET
    interval_s: float = 1.0
    junk: bytes = b""


NONE = ProxyFault()


def latency(seconds: float) -> ProxyFault:
    """Each piece waits so long before it passes."""
    return ProxyFault(latency_s=seconds)


def reset() -> ProxyFault:
    """Connections are reset (RST) as soon as they are made."""
    return ProxyFault(Kind.RESET)


def finish() -> ProxyFault:
    """Connections are closed in order (FIN) as soon as they are made."""
    return ProxyFault(Kind.FINISH)


def black_hole() -> ProxyFault:
    """Connections are made, and nothing passes in either direction: what a half-open connection looks like."""
    return ProxyFault(Kind.BLACK_HOLE)


def garbage(junk: bytes = b"\x16\x03\x00 SSH-2.0-nonsense \x00\xff\r\n\r\n") -> ProxyFault:
    """Connections are answered with bytes that are of no protocol, then closed."""
    return ProxyFault(Kind.GARBAGE, junk=junk)


def cut_answer(after_bytes: int = 0, end: Kind = Kind.RESET) -> ProxyFault:
    """The request passes whole; the answer is cut after so many bytes, by RESET, FINISH or BLACK_HOLE."""
    return ProxyFault(Kind.CUT_ANSWER, answer_bytes=after_bytes, end=end)


def drip(interval_s: float = 1.0) -> ProxyFault:
    """The request passes; of the answer one byte passes in each interval."""
    return ProxyFault(Kind.DRIP, interval_s=interval_s)


class Chaos:
    """The proxy before `upstream`. `accepted`, `request_bytes` and `answer_bytes` count since the start."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.upstream = upstream
        self.fault = NONE
        self.accepted = 0
        self.request_bytes = 0
        self.answer_bytes = 0
        self.cuts = 0
        self.closing = threading.Event()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._refusing = False
        self._acceptor = threading.Thread(target=self._accept, name="chaos-accept", daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        """The address of the proxy, for plain HTTP."""
        return f"http://127.0.0.1:{self.port}"

    def refuse(self, refusing: bool = True) -> None:
        """Whether new connections are refused, as when nobody listens; True once it is so."""
        self._refusing = refusing
        self.until(lambda: (self._listener is None) == refusing)

    def cut(self) -> None:
        """Reset every connection that stands."""
        self.cuts += 1

    def until(self, fact: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait until `fact()` holds; AssertionError if it does not in time."""
        with self._changed:
            assert self._changed.wait_for(fact, timeout_s), "the awaited did not happen"

    def close(self) -> None:
        """End all; returns when no thread is left."""
        self.closing.set()
        self._acceptor.join()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Chaos:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def count(self, *, accepted: int = 0, request: int = 0, answer: int = 0) -> None:
        """Add to what has passed, and tell those who wait."""
        with self._changed:
            self.accepted += accepted
            self.request_bytes += request
            self.answer_bytes += answer
            self._changed.notify_all()

    def _accept(self) -> None:
        while not self.closing.is_set():
            self._open_or_close()
            listener = self._listener
            if listener is None:
                self.closing.wait(TICK_S)
                continue
            if not select.select([listener], [], [], TICK_S)[0]:
                continue
            client, _ = listener.accept()
            self.count(accepted=1)
            thread = threading.Thread(target=self._serve, args=(client,), name="chaos-serve", daemon=True)
            self._threads.append(thread)
            thread.start()
        if self._listener is not None:
            self._listener.close()

    def _open_or_close(self) -> None:
        if self._refusing and self._listener is not None:
            self._listener.close()
            self._listener = None
        elif not self._refusing and self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
        self.count()

    def _serve(self, client: socket.socket) -> None:
        with client:
            client.settimeout(SOCKET_S)
            # A socket that goes away in the middle is what this program is for.
            with contextlib.suppress(OSError):
                match self.fault.kind:
                    case Kind.RESET | Kind.FINISH:
                        _end(client, self.fault.kind)
                    case Kind.GARBAGE:
                        client.sendall(self.fault.junk)
                        _drain(client)
                    case _:
                        self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.upstream, timeout=SOCKET_S)
        except OSError:
            _end(client, Kind.RESET)
            return
        with server:
            _Connection(self, client, server).run()


class _Connection:
    """Two sockets and what has passed between them since the last request."""

    def __init__(self, chaos: Chaos, client: socket.socket, server: socket.socket) -> None:
        self.chaos, self.client, self.server = chaos, client, server
        self.cuts = chaos.cuts
        self.answered = 0

    def run(self) -> None:
        chaos = self.chaos
        while not chaos.closing.is_set():
            if chaos.cuts != self.cuts:
                _end(self.client, Kind.RESET)
                return
            if chaos.fault.kind is Kind.BLACK_HOLE:
                chaos.closing.wait(TICK_S)
                continue
            ready = select.select([self.client, self.server], [], [], TICK_S)[0]
            if self.client in ready and not self._request():
                return
            if self.server in ready and not self._answer():
                return

    def _request(self) -> bool:
        piece = self.client.recv(PIECE_BYTES)
        if not piece:
            return False
        self.chaos.closing.wait(self.chaos.fault.latency_s)
        self.server.sendall(piece)
        self.answered = 0
        self.chaos.count(request=len(piece))
        return True

    def _answer(self) -> bool:
        piece = self.server.recv(PIECE_BYTES)
        if not piece:
            return False
        fault = self.chaos.fault
        self.chaos.closing.wait(fault.latency_s)
        if fault.kind is Kind.DRIP:
            return self._drip(piece)
        if fault.kind is Kind.CUT_ANSWER:
            room = max(0, fault.answer_bytes - self.answered)
            self._pass(piece[:room])
            if len(piece) >= room:
                return self._cut(fault.end)
            return True
        self._pass(piece)
        return True

    def _pass(self, piece: bytes) -> None:
        self.client.sendall(piece)
        self.answered += len(piece)
        self.chaos.count(answer=len(piece))

    def _drip(self, piece: bytes) -> bool:
        for number in range(len(piece)):
            fault = self.chaos.fault
            if self.chaos.closing.is_set():
                return False
            if fault.kind is not Kind.DRIP:
                self._pass(piece[number:])
                return True
            self._pass(piece[number : number + 1])
            self.chaos.closing.wait(fault.interval_s)
        return True

    def _cut(self, end: Kind) -> bool:
        while end is Kind.BLACK_HOLE and not self.chaos.closing.is_set() and self.chaos.cuts == self.cuts:
            self.chaos.closing.wait(TICK_S)
        _end(self.client, end)
        return False


def _end(client: socket.socket, kind: Kind) -> None:
    if kind is not Kind.FINISH:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def _drain(client: socket.socket) -> None:
    """Read what still comes, or closing would reset the connection and take the sent bytes with it."""
    client.shutdown(socket.SHUT_WR)
    while client.recv(PIECE_BYTES):
        pass
