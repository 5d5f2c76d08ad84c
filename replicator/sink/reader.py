"""Reads the replica over HTTP: heads, scrubs, tiles, bytes. The reading port of `recovery`, as `Sink` is the sending
one.

For commands that a person waits for: failures raise CloudError, with a hint. One request at a time. The key is read for
each request and sent in one header only; redirects are not followed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import quote

from replicator.errors import CloudError, ConfigurationError, WireError
from replicator.proof import HASH_BYTES, TILE_HASHES, CompactRange
from replicator.sink.carrier import Carrier, HttpReply, NoAnswer, Order
from replicator.sink.endpoint import USER_AGENT, check_endpoint, check_key, environment_proxy
from replicator.sink.transport import Transports
from replicator.wire import ANSWER_BYTES_MAX, plain
from replicator.wire.common import Fields
from replicator.wire.replica import ReplicaLog, Scrub, ScrubDepth, read_scrub, read_stored_log, scrub_query

CONNECT_S, READ_S = 5.0, 15.0
"""`READ_S` bounds a whole request, from the look-up of the name to the last byte of the answer."""
SCRUB_S = 90.0
"""A scrub hashes for 10 s at most, but the server runs one at a time, so it may have to wait."""
TRIES = 3
RANGE_BYTES_MAX, RANGE_BYTES_MIN = 4 * 1024 * 1024, 64 * 1024
"""So much of a log is asked for at a time: less where the line does not bring it within `READ_S`."""


class ReplicaReader(Protocol):
    """The reading port. Every method may raise CloudError."""

    def logs(self, brain_id: str) -> tuple[str, list[ReplicaLog]]:
        """The cloud's id, and the brain's logs, newest first."""

    def log(self, log_id: str) -> tuple[str, ReplicaLog]:
        """The cloud's id, and one log. CloudError with status 404 if there is none of this name."""

    def scrub(self, log_id: str, kind: ScrubDepth, first: int, end: int, tree: CompactRange | None = None) -> Scrub:
        """The scrub of records [first, end); may end early."""

    def tile(self, log_id: str, level: int, index: int) -> bytes:
        """The stored tile; empty if there is none."""

    def stream(self, log_id: str, start: int, end: int) -> Iterator[bytes]:
        """Bytes [start, end) of the log, in pieces. CloudError when they end early: go on where they ended."""

    def close(self) -> None:
        """Let go of the connection."""


class HttpReader:
    """The cloud at `endpoint`. ConfigurationError if it or a proxy is invalid, or if there is no usable key.

    `received_bytes` and `sent_bytes` count transferred bytes, with headers and without TLS.
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
        self.endpoint = check_endpoint(endpoint)
        self._key = key
        self._read_s = read_s
        self._user_agent = user_agent
        self._range_bytes = RANGE_BYTES_MAX
        self.received_bytes = 0
        self.sent_bytes = 0
        self._carrier = Carrier(Transports(self.endpoint, proxy_for=proxy_for))

    def logs(self, brain_id: str) -> tuple[str, list[ReplicaLog]]:
        """See `ReplicaReader`."""
        fields = self._fields(f"/logs?brain={quote(brain_id, '')}")
        with self._understood():
            return fields.name("cloud_id"), [read_stored_log(entry) for entry in fields.objects("logs")]

    def brains(self) -> list[str]:
        """The ids of the brains that the key can read."""
        fields = self._fields("/brains")
        with self._understood():
            return [entry.name("brain_id") for entry in fields.objects("brains")]

    def log(self, log_id: str) -> tuple[str, ReplicaLog]:
        """See `ReplicaReader`."""
        fields = self._fields(f"/logs/{quote(log_id, '')}")
        with self._understood():
            return fields.name("cloud_id"), read_stored_log(fields)

    def scrub(self, log_id: str, kind: ScrubDepth, first: int, end: int, tree: CompactRange | None = None) -> Scrub:
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
        while at < end:
            wanted = min(self._range_bytes, end - at)
            piece = self._range(log_id, at, at + wanted)
            if piece is None:
                self._range_bytes = max(RANGE_BYTES_MIN, self._range_bytes // 4)
                continue
            at += len(piece)
            yield piece

    def _range(self, log_id: str, start: int, end: int) -> bytes | None:
        """Bytes [start, end) of the log, or the beginning of them; None: not in time, and fewer may be."""
        extra = {"Range": f"bytes={start}-{end - 1}"}
        reply = self._carry(f"/logs/{quote(log_id, '')}/bytes", self._read_s, extra, bytes_max=end - start)
        if isinstance(reply, NoAnswer):
            if end - start > RANGE_BYTES_MIN:
                return None
            raise self._unreachable(reply.detail)
        if reply.status != 206 and not (reply.status == 200 and start == 0):
            raise self._refusal(reply)
        if not reply.body:
            raise self._unreachable("the answer ended early")
        return reply.body[: end - start]  # no more than was asked for counts

    def close(self) -> None:
        """See `ReplicaReader`."""
        self._carrier.close()

    def document(self, path: str, *, bytes_max: int, read_s: float) -> bytes:
        """The body of a 200 at `path` (below the endpoint): at most `bytes_max` bytes, within `read_s` seconds."""
        return self._get(path, read_s, bytes_max)

    def _fields(self, path: str, *, read_s: float | None = None) -> Fields:
        body = self._get(path, read_s or self._read_s)
        with self._understood():
            return Fields.of(body)

    def _get(self, path: str, read_s: float, bytes_max: int = ANSWER_BYTES_MAX) -> bytes:
        """The body of a 200. A connection that broke is tried again within the same time: reading is repeatable."""
        deadline = time.monotonic() + read_s
        reply = self._carry(path, read_s, {}, bytes_max=bytes_max)
        for _ in range(TRIES - 1):
            if isinstance(reply, HttpReply) or time.monotonic() >= deadline:
                break
            reply = self._carry(path, deadline - time.monotonic(), {}, bytes_max=bytes_max)
        if isinstance(reply, NoAnswer):
            raise self._unreachable(reply.detail)
        if reply.status != 200:
            raise self._refusal(reply)
        if len(reply.body) > bytes_max:
            raise self._garbled(f"the answer is longer than {bytes_max // 1024} KiB")
        return reply.body

    def _carry(self, path: str, total_s: float, extra: dict[str, str], *, bytes_max: int) -> HttpReply | NoAnswer:
        from replicator.sink.http_library import httpx  # here: a process that only appends never pays for it

        headers = [
            ("Authorization", f"Bearer {self._checked_key()}"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", self._user_agent),
            *extra.items(),
        ]
        total_s = max(0.1, total_s)
        step_s = {"connect": min(total_s, CONNECT_S), "read": total_s, "write": total_s, "pool": total_s}
        url = httpx.URL(self.endpoint + path)
        reply = self._carrier.carry(Order("GET", url, headers, (), total_s, step_s, bytes_max))
        self.sent_bytes += len(path) + _length(headers)
        if isinstance(reply, HttpReply):
            self.received_bytes += _length(reply.headers.items()) + len(reply.body)
            if reply.headers.get("content-encoding", "identity") != "identity":
                raise self._garbled("the answer is encoded, which nobody asked for")
        return reply

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

    def _refusal(self, reply: HttpReply) -> CloudError:
        status = reply.status
        try:
            code = plain(str(Fields.of(reply.body).values.get("code", "")), 64)
        except WireError:
            code = ""
        kind, hint = {
            401: ("cloud_denied", "give the reader a valid key"),
            403: ("cloud_forbidden", "the key needs the scope read"),
            404: ("cloud_unknown_log", "see which logs there are"),
        }.get(status, ("cloud_refused", "check the endpoint and proxies"))
        words = f"the cloud at {self.endpoint} answered {status}" + (f" {code}" if code else "")
        return CloudError(words, hint=hint, code=kind, status=status)


def _length(headers: Iterable[tuple[str, str]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)
