"""Read the replica back over HTTP: heads, scrubs, tiles, bytes. The reading port of `recovery`, as `Sink` is the
sending one.

For commands that a person waits for: what does not work raises CloudError, with what to do. One request at a time.
The key is read afresh for each request and stands in one header only; redirects are not followed.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

from replicator.errors import CloudError, ConfigurationError, WireError
from replicator.proof import HASH_BYTES, TILE_HASHES, CompactRange
from replicator.sink.endpoint import USER_AGENT, check_endpoint, check_key, environment_proxy, is_loopback
from replicator.wire import ANSWER_BYTES_MAX, plain
from replicator.wire.common import Fields
from replicator.wire.replica import Kind, ReplicaLog, Scrub, read_scrub, read_stored_log, scrub_query

if TYPE_CHECKING:
    import httpx

CONNECT_S, READ_S = 5.0, 15.0
SCRUB_S = 90.0
"""A scrub hashes for 10 s at most, but one at a time: another one may be before it."""
TRIES = 3
PIECE_BYTES = 256 * 1024


class ReplicaReader(Protocol):
    """What can be read of a replica. Every method may raise CloudError."""

    def logs(self, brain_id: str) -> tuple[str, list[ReplicaLog]]:
        """The cloud's id, and the brain's logs, newest first."""

    def log(self, log_id: str) -> tuple[str, ReplicaLog]:
        """The cloud's id, and one log. CloudError with status 404 if there is none of this name."""

    def scrub(self, log_id: str, kind: Kind, first: int, end: int, tree: CompactRange | None = None) -> Scrub:
        """What the cloud finds in records [first, end); cut where it is much."""

    def tile(self, log_id: str, level: int, index: int) -> bytes:
        """A tile as it is kept; empty if there is none."""

    def stream(self, log_id: str, start: int, end: int) -> Iterator[bytes]:
        """Bytes [start, end) of the log, in pieces. CloudError when they end early: go on where they ended."""

    def close(self) -> None:
        """Let go of the connection."""


class HttpReader:
    """The cloud at `endpoint`. ConfigurationError if that or a proxy cannot work, or if there is no usable key.

    `received_bytes` and `sent_bytes` count what went over the wire, headers included, TLS not.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        key: Callable[[], str | None],
        proxy_for: Callable[[str], str | None] = environment_proxy,
        read_s: float = READ_S,
        user_agent: str = USER_AGENT,
    ) -> None:
        import httpx  # here: a process that only appends never pays for it

        self.endpoint = check_endpoint(endpoint)
        self._key = key
        self._read_s = read_s
        self._user_agent = user_agent
        self.received_bytes = 0
        self.sent_bytes = 0
        loopback = is_loopback(urlsplit(self.endpoint).hostname or "")
        try:
            self._client = httpx.Client(
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if loopback else httpx.create_ssl_context(),
                trust_env=False,
                proxy=proxy_for(self.endpoint),
                follow_redirects=False,
            )
        except (ValueError, ImportError, OSError, httpx.InvalidURL):
            raise ConfigurationError(
                "the proxy or the certificate authorities that the environment names cannot be used",
                hint="check HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR",
            ) from None

    def logs(self, brain_id: str) -> tuple[str, list[ReplicaLog]]:
        """See `ReplicaReader`."""
        fields = self._fields(f"/logs?brain={quote(brain_id, '')}")
        with self._understood():
            return fields.name("cloud_id"), [read_stored_log(entry) for entry in fields.objects("logs")]

    def brains(self) -> list[str]:
        """The ids of the brains that the key reaches."""
        fields = self._fields("/brains")
        with self._understood():
            return [entry.name("brain_id") for entry in fields.objects("brains")]

    def log(self, log_id: str) -> tuple[str, ReplicaLog]:
        """See `ReplicaReader`."""
        fields = self._fields(f"/logs/{quote(log_id, '')}")
        with self._understood():
            return fields.name("cloud_id"), read_stored_log(fields)

    def scrub(self, log_id: str, kind: Kind, first: int, end: int, tree: CompactRange | None = None) -> Scrub:
        """See `ReplicaReader`."""
        fields = self._fields(f"/logs/{quote(log_id, '')}{scrub_query(kind, first, end, tree)}", read_s=SCRUB_S)
        if "scrub" not in fields.values:
            raise CloudError(
                "the cloud is too old: it cannot look its copy through", hint="upgrade the server", status=426
            )
        with self._understood():
            found = read_scrub(fields)
            if (found.kind, found.first) != (kind, first) or found.end > end:
                raise WireError("another scrub was answered than was asked for")
            return found

    def tile(self, log_id: str, level: int, index: int) -> bytes:
        """See `ReplicaReader`."""
        try:
            tile = self._get(f"/logs/{quote(log_id, '')}/tile/{level}/{index}", self._read_s)
        except CloudError as error:
            if error.status == 404:
                return b""
            raise
        if len(tile) > TILE_HASHES * HASH_BYTES or len(tile) % HASH_BYTES:
            raise self._garbled("a tile has a length that none has")
        return tile

    def stream(self, log_id: str, start: int, end: int) -> Iterator[bytes]:
        """See `ReplicaReader`."""
        at = start
        extra = {"Range": f"bytes={start}-{end - 1}"}
        with self._asked(f"/logs/{quote(log_id, '')}/bytes", self._read_s, extra) as answer:
            whole = answer.status_code == 200 and start == 0
            if answer.status_code != 206 and not whole:
                raise self._refusal(answer, answer.read() if answer.status_code >= 400 else b"")
            for piece in answer.iter_raw(PIECE_BYTES):
                piece = piece[: end - at]  # noqa: PLW2901 - no more than was asked for counts
                at += len(piece)
                self.received_bytes += len(piece)
                if piece:
                    yield piece
                if at >= end:
                    break
        if at < end:
            raise self._unreachable("the answer ended early")

    def close(self) -> None:
        """See `ReplicaReader`."""
        self._client.close()

    def _fields(self, path: str, *, read_s: float | None = None) -> Fields:
        body = self._get(path, read_s or self._read_s)
        with self._understood():
            return Fields.of(body)

    def _get(self, path: str, read_s: float) -> bytes:
        """The body of a 200. A connection that broke is tried again: reading is safe to repeat."""
        for left in reversed(range(TRIES)):
            try:
                with self._asked(path, read_s, {}) as answer:
                    body = bytearray()
                    for piece in answer.iter_raw():
                        body += piece
                        if len(body) > ANSWER_BYTES_MAX:
                            raise self._garbled("the answer is longer than 64 KiB")
                    self.received_bytes += len(body)
                    if answer.status_code != 200:
                        raise self._refusal(answer, bytes(body))
                    return bytes(body)
            except CloudError as error:
                if error.status or not left:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def _asked(self, path: str, read_s: float, extra: dict[str, str]) -> Iterator[httpx.Response]:
        import httpx

        headers = {
            "Authorization": f"Bearer {self._checked_key()}",
            "Accept-Encoding": "identity",
            "User-Agent": self._user_agent,
            **extra,
        }
        timeout = httpx.Timeout(read_s, connect=min(read_s, CONNECT_S))
        try:
            with self._client.stream("GET", self.endpoint + path, headers=headers, timeout=timeout) as answer:
                self.sent_bytes += len(path) + _length(answer.request.headers.raw)
                self.received_bytes += _length(answer.headers.raw)
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise self._garbled("the answer is encoded, which nobody asked for")
                yield answer
        except httpx.TransportError as error:
            # The original names the request, and with it its headers.
            raise self._unreachable(type(error).__name__) from None

    def _checked_key(self) -> str:
        key = self._key()
        if not key:
            raise ConfigurationError(
                "there is no API key to ask the cloud with", hint="give the reader a key", code="key_missing"
            )
        return check_key(key)

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except WireError as error:
            raise self._garbled(str(error)) from None

    def _garbled(self, detail: str) -> CloudError:
        return CloudError(
            f"what answers at {self.endpoint} is not the cloud: {detail}",
            hint="check the endpoint and proxies",
            code="cloud_garbled",
            status=502,
        )

    def _unreachable(self, detail: str) -> CloudError:
        return CloudError(
            f"the cloud at {self.endpoint} cannot be reached: {detail}",
            hint="check the network and the endpoint, then run it again",
        )

    def _refusal(self, answer: httpx.Response, body: bytes) -> CloudError:
        status = answer.status_code
        try:
            code = plain(str(Fields.of(body).values.get("code", "")), 64)
        except WireError:
            code = ""
        kind, hint = {
            401: ("cloud_denied", "give the reader a valid key"),
            403: ("cloud_forbidden", "the key needs the scope read"),
            404: ("cloud_unknown_log", "see which logs there are"),
        }.get(status, ("cloud_refused", "check the endpoint and proxies"))
        words = f"the cloud at {self.endpoint} answered {status}" + (f" {code}" if code else "")
        return CloudError(words, hint=hint, code=kind, status=status)


def _length(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)
