"""Reads a request's body: bounded in bytes and time, decompressed in steps, one layer of encoding.

`Inflater` has no state but the decompressor's. A decompression bomb costs at most the limit: output is requested in
bounded steps, and no window larger than the body limit is allowed.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import Callable
from typing import Protocol

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from replicator.errors import WireError

if sys.version_info >= (3, 14):  # pragma: no cover - one of the two, by version
    from compression import zstd
else:
    from backports import zstd

ENCODINGS = ("zstd", "gzip")
BODY_S = 30.0
WINDOW_BITS_MAX = 24
_GZIP = 16 + zlib.MAX_WBITS


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


class Inflater:
    """Collects a body while decompressing it. `feed` raises WireError 413 as soon as the limit is exceeded."""

    def __init__(self, encoding: str | None, *, bytes_max: int, grown: Callable[[int], None] | None = None) -> None:
        name = (encoding or "identity").strip().lower()
        if name not in ("identity", *ENCODINGS):
            raise WireError(
                f"Content-Encoding must be one of {', '.join(ENCODINGS)}, in one layer",
                status=415,
                code="encoding_unsupported",
            )
        self._bytes_max = bytes_max
        self._grown = grown
        self._parts: list[bytes] = []
        self._length = 0
        self._zlib = zlib.decompressobj(_GZIP) if name == "gzip" else None
        self._zstd = (
            zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_BITS_MAX})
            if name == "zstd"
            else None
        )

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if not chunk:  # the end of a body comes as an empty chunk, too, and a finished frame takes no more
            return
        try:
            if self._zlib is not None:
                self._inflate_gzip(self._zlib, chunk)
            elif self._zstd is not None:
                self._inflate_zstd(self._zstd, chunk)
            else:
                self._keep(chunk)
        except (zlib.error, zstd.ZstdError):
            raise WireError("the body does not decompress", code="malformed") from None

    def body(self) -> bytes:
        """The whole body; WireError if its compressed form was cut short."""
        for decompressor in (self._zlib, self._zstd):
            if decompressor is not None and not decompressor.eof:
                raise WireError("the compressed body is cut short", code="malformed")
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def _keep(self, part: bytes) -> None:
        if part:
            self._length += len(part)
            if self._length > self._bytes_max:
                raise too_large(self._bytes_max)
            if self._grown is not None:
                self._grown(len(part))
            self._parts.append(part)

    def _room(self) -> int:
        return self._bytes_max - self._length + 1

    def _inflate_gzip(self, decompressor: zlib._Decompress, chunk: bytes) -> None:
        _refuse_more(decompressor, chunk)
        self._keep(decompressor.decompress(chunk, self._room()))
        while decompressor.unconsumed_tail and not decompressor.eof:
            self._keep(decompressor.decompress(decompressor.unconsumed_tail, self._room()))
        if decompressor.unused_data:
            _refuse_more(decompressor, decompressor.unused_data)

    def _inflate_zstd(self, decompressor: zstd.ZstdDecompressor, chunk: bytes) -> None:
        _refuse_more(decompressor, chunk)
        self._keep(decompressor.decompress(chunk, self._room()))
        while not decompressor.needs_input and not decompressor.eof:
            self._keep(decompressor.decompress(b"", self._room()))
        if decompressor.unused_data:
            _refuse_more(decompressor, decompressor.unused_data)


def _refuse_more(decompressor: _Decompressor, chunk: bytes) -> None:
    if decompressor.eof and chunk:
        raise WireError("there is more behind the end of the compressed body", code="malformed")


def too_large(bytes_max: int) -> WireError:
    """The error for a body beyond the limit."""
    return WireError(f"the body is larger than {bytes_max} bytes", status=413, code="body_too_large")


async def read_body(
    receive: Receive,
    *,
    encoding: str | None,
    declared: str | None,
    bytes_max: int,
    seconds: float | None = BODY_S,
    grown: Callable[[int], None] | None = None,
) -> bytes:
    """The decompressed body, of at most `bytes_max` bytes, received within `seconds` (None: it is there already).

    `grown` is told of decompressed bytes as they come, and may raise.

    Raises WireError: 413, 415, 408 for a body that does not come, 400 for one that does not decompress. And
    ClientDisconnect.
    """
    if declared is not None and declared.isdecimal() and int(declared[:20]) > bytes_max:
        raise too_large(bytes_max)
    inflater = Inflater(encoding, bytes_max=bytes_max, grown=grown)
    if seconds is None:
        await _feed(inflater, receive)
        return inflater.body()
    try:
        async with asyncio.timeout(seconds):
            await _feed(inflater, receive)
    except TimeoutError:
        raise WireError(f"the body did not arrive within {seconds:g} s", status=408, code="body_too_slow") from None
    return inflater.body()


async def _feed(inflater: Inflater, receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        inflater.feed(message.get("body", b""))
        if not message.get("more_body"):
            return
