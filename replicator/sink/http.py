"""The Sink port, and HttpSink: actions in, outcomes out, over HTTP.

No policy: `replicator.progress` decides what an outcome means, `replicator.wire` what bytes mean. The key is read for
each request, sent in one header, and never part of a message, repr or log.
"""

from __future__ import annotations

import hashlib
import importlib
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from replicator.actions import (
    Acked,
    Beat,
    BeatOutcome,
    Denied,
    Misconfigured,
    Recalled,
    RecallOutcome,
    Send,
    SendOutcome,
    Unavailable,
)
from replicator.errors import ConfigurationError
from replicator.model import Identity
from replicator.sink.carrier import PIECE_BYTES, Carrier, NoAnswer, Order
from replicator.sink.endpoint import USER_AGENT, check_endpoint, check_key, environment_proxy, is_loopback
from replicator.sink.transport import Transports
from replicator.wire import (
    JSON_TYPE,
    PROBLEM_TYPE,
    Report,
    Request,
    batch_request,
    heartbeat_request,
    is_name,
    logs_request,
    plain,
    read_ack,
    read_heartbeat,
    read_logs,
)

if TYPE_CHECKING:
    from replicator.sink.http_library import httpx

COMPRESS_BYTES_MIN = 16 * 1024
SILENT_S = 180
"""Three heartbeats: a device silent for longer does not replicate its log now."""
ECHO_CHARACTERS_MIN = 8
_OutcomeT = TypeVar("_OutcomeT", covariant=True)


class Sink(Protocol):
    """The destination of records. Network and cloud errors are outcomes; no method raises for them.

    One request at a time, from one thread; `close` from any.
    """

    def send(self, action: Send, report: Report) -> SendOutcome:
        """Send one batch. Idempotent: the cloud recognises what it has."""

    def beat(self, action: Beat, report: Report) -> BeatOutcome:
        """Send a heartbeat."""

    def recall(self) -> RecallOutcome:
        """Ask for this device's logs."""

    def key_changed(self) -> bool:
        """Whether the key differs from the one that was last rejected."""

    def close(self) -> None:
        """Close connections; a request in flight returns at once. Safe to repeat."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time-outs in seconds. `total_s` bounds a whole request, including name look-up and a slow answer.

    A body gets additional time at `upload_bytes_per_s_min`, and the whole time again with each piece that the
    connection takes: a slow one can send a large record. A stalled connection is still noticed after `write_s`.
    """

    connect_s: float = 5.0
    read_s: float = 10.0
    write_s: float = 10.0
    pool_s: float = 5.0
    total_s: float = 30.0
    upload_bytes_per_s_min: int = 64 * 1024


class _Reader(Protocol[_OutcomeT]):
    def __call__(self, status: int, headers: Mapping[str, str], body: bytes, *, now_wall: float) -> _OutcomeT: ...


class HttpSink:
    """The cloud at `endpoint`. Raises ConfigurationError if the endpoint, the identity, a proxy or a CA is invalid.

    `key` is called for each request; None or "" means that there is none. `proxy_for` names the proxy for a URL; `wall`
    is the clock that a Retry-After date is compared with, in seconds since 1970. `name_header` names a header with the
    identity's log name, so that a cloud can tell whose requests it rejected without reading them.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        key: Callable[[], str | None],
        identity: Identity,
        timeouts: Timeouts = Timeouts(),
        proxy_for: Callable[[str], str | None] = environment_proxy,
        wall: Callable[[], float] = time.time,
        user_agent: str = USER_AGENT,
        name_header: str | None = None,
    ) -> None:
        self.endpoint = check_endpoint(endpoint)
        if not is_name(identity.brain_id) or not is_name(identity.device_id):
            raise ConfigurationError(
                "both names of an Identity must be 1 to 128 printable characters",
                hint="give each log and each device a short name",
                code="identity_malformed",
            )
        self._key = key
        self._identity = identity
        self._user_agent = user_agent
        self._name_header = name_header
        self._timeouts = timeouts
        self._wall = wall
        self._loopback = is_loopback(urlsplit(self.endpoint).hostname or "")
        self._encodings: tuple[str, ...] = () if self._loopback else ("gzip",)
        self._denied: bytes | None = None
        self.said_date: str | None = None
        """The Date header of the cloud's last answer; for display."""
        self._urls: dict[str, httpx.URL] = {}
        self._carrier = Carrier(Transports(self.endpoint, proxy_for=proxy_for))

    def __repr__(self) -> str:
        return f"HttpSink({self.endpoint!r})"

    def send(self, action: Send, report: Report) -> SendOutcome:
        """POST /ingest."""
        outcome = self._exchange(batch_request(self._identity, action, report), read_ack)
        if isinstance(outcome, Acked) and outcome.limits is not None and not self._loopback:
            self._encodings = outcome.limits.encodings
        elif isinstance(outcome, Misconfigured) and outcome.status == 415:
            self._encodings = ()
        return outcome

    def beat(self, action: Beat, report: Report) -> BeatOutcome:
        """POST /heartbeat."""
        return self._exchange(heartbeat_request(self._identity, action, report), read_heartbeat)

    def recall(self) -> RecallOutcome:
        """`GET /logs`: those of this device; if there are none, those of the brain's other devices that fell silent.

        So a log that was copied to a new machine by hand continues there. A log whose device is still active is left
        alone: two writers of one log would fork it again and again.
        """
        found = self._exchange(logs_request(self._identity), read_logs)
        if not isinstance(found, Recalled) or found.heads:
            return found
        return self._exchange(logs_request(self._identity, of_all_devices=True), _read_silent_logs)

    def key_changed(self) -> bool:
        """Whether the last request was denied, and the key is another one now."""
        if self._denied is None:
            return False
        key = self._read_key()
        return isinstance(key, str) and _digest(key) != self._denied

    def close(self) -> None:
        """Close the connection and end the thread. A request in flight on another thread returns at once."""
        self._carrier.close()

    def _read_key(self) -> str | Denied:
        try:
            key = self._key()
        except OSError as error:
            return Denied(0, "key_unreadable", plain(error.strerror or type(error).__name__))
        if not key:
            return Denied(0, "no_key", "no API key is set")
        try:
            return check_key(key)
        except ConfigurationError as error:
            return Denied(0, "key_unusable", str(error))

    def _exchange(self, request: Request, read: _Reader[_OutcomeT]) -> _OutcomeT | Denied | Unavailable | Misconfigured:
        key = self._read_key()
        if isinstance(key, Denied):
            self._denied = b""
            return key
        reply = self._carrier.carry(self._order(request, key))
        if isinstance(reply, NoAnswer):
            if reply.proxy_status == 407:
                return Misconfigured(407, "407: the proxy wants a user name and password")
            return Unavailable(reply.detail, cut=reply.cut)
        self._denied = _digest(key) if reply.status in (401, 403) else None
        headers, body = reply.headers, reply.body
        self.said_date = headers.get("date")
        if reply.status != 200 and len(key) >= ECHO_CHARACTERS_MIN:
            # Some proxies print the request's headers into their error page.
            body = body.replace(key.encode(), b"[key]")
            headers = {name: value.replace(key, "[key]") for name, value in headers.items()}
        return read(reply.status, headers, body, now_wall=self._wall())

    def _order(self, request: Request, key: str) -> Order:
        pieces, encoding = self._body(request)
        length = sum(map(len, pieces))
        headers = [
            ("Authorization", f"Bearer {key}"),
            ("User-Agent", self._user_agent),
            ("Accept", f"{JSON_TYPE}, {PROBLEM_TYPE}"),
            ("Accept-Encoding", "identity"),
            *request.headers.items(),
        ]
        name = self._identity.brain_id
        if self._name_header is not None and name.isascii() and name.isprintable():
            headers.append((self._name_header, name))
        if request.method != "GET":
            headers.append(("Content-Length", str(length)))
        if encoding is not None:
            headers.append(("Content-Encoding", encoding))
        times = self._timeouts
        return Order(
            request.method,
            self._url(request.path),
            headers,
            pieces,
            times.total_s + length / times.upload_bytes_per_s_min,
            {"connect": times.connect_s, "read": times.read_s, "write": times.write_s, "pool": times.pool_s},
        )

    def _url(self, path: str) -> httpx.URL:
        # Parsing an address costs a fifth of a small request, and there are three of them.
        from replicator.sink.http_library import httpx

        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(self.endpoint + path)
        return url

    def _body(self, request: Request) -> tuple[tuple[memoryview, ...], str | None]:
        """The body in pieces: as it is, without a copy; or compressed, where that is shorter and understood."""
        small = request.body_bytes <= PIECE_BYTES
        pieces = _pieces(request.head + request.data) if small else _pieces(request.head, request.data)
        if request.body_bytes > COMPRESS_BYTES_MIN:
            encoding, compressor = _compressor(self._encodings)
            if compressor is not None:
                packed = [memoryview(compressor.compress(piece)) for piece in pieces]
                packed.append(memoryview(compressor.flush()))
                if sum(map(len, packed)) < request.body_bytes:
                    return tuple(filter(len, packed)), encoding
        return pieces, None


def _read_silent_logs(status: int, headers: Mapping[str, str], body: bytes, *, now_wall: float) -> RecallOutcome:
    return read_logs(status, headers, body, now_wall=now_wall, silent_s_min=SILENT_S)


class _Compressor(Protocol):
    def compress(self, data: memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...


def _compressor(encodings: tuple[str, ...]) -> tuple[str | None, _Compressor | None]:
    """The best that both sides have; level 1, for a replicator must cost its host little."""
    if "zstd" in encodings:
        for module in ("compression.zstd", "backports.zstd"):
            try:
                return "zstd", importlib.import_module(module).ZstdCompressor(level=1)
            except ImportError:
                continue  # part of Python from 3.14, an optional extra before; gzip does
    if "gzip" in encodings:
        return "gzip", zlib.compressobj(level=1, wbits=31)
    return None, None


def _pieces(*parts: bytes | memoryview) -> tuple[memoryview, ...]:
    views = [memoryview(part) for part in parts]
    return tuple(view[start : start + PIECE_BYTES] for view in views for start in range(0, len(view), PIECE_BYTES))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
