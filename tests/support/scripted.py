"""A real HTTP server whose every answer is written by the test, byte for byte.

    with Scripted(lambda seen: answer(200, b"{}")) as server:
        …                               # requests to server.url
        server.seen[-1].headers["authorization"]

The script gets each whole request and returns the raw bytes to put on the connection; None closes it without a word.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Script = Callable[[Seen], bytes | None]


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer; `Content_Type="…"` names a header."""
    named = {"Content-Length": str(len(body)), "Content-Type": "application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Scripted:
    """The server. `script` may be replaced at any time; `connections` counts those that were made."""

    def __init__(self, script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.connections = 0
        self._tls = tls
        self._lock = threading.Lock()
        self._live: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        place = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{place}:{self.port}"
        self._acceptor = threading.Thread(target=self._accept, name="scripted-accept", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """End all; returns when no thread is left."""
        with contextlib.suppress(OSError):  # not connected, says BSD; Linux wakes the accept
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            live = list(self._live)
        for connection in live:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), name="scripted", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that goes away, or trusts another authority, is no fault of the server's.
        with contextlib.suppress(OSError), connection:
            if self._tls is None:
                self._converse(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    self._converse(secured)

    def _converse(self, connection: socket.socket) -> None:
        with self._lock:
            self._live.add(connection)
        try:
            with connection.makefile("rb") as stream:
                while (seen := _request(stream.readline, stream.read)) is not None:
                    self.seen.append(seen)
                    reply = self.script(seen)
                    if reply is None:
                        return
                    connection.sendall(reply)
                    if b"\r\nconnection: close" in reply[:2_000].lower():
                        return
        finally:
            with self._lock:
                self._live.discard(connection)


def _request(readline: Callable[[], bytes], read: Callable[[int], bytes]) -> Seen | None:
    first = readline().split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while (line := readline().strip()) != b"":
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    return Seen(first[0].decode(), first[1].decode(), headers, read(int(headers.get("content-length", "0"))))
