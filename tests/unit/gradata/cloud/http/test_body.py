"""Reading a body: in any pieces, packed or not, never beyond its bound."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from backports import zstd

from gradata.cloud.http.body import Inflater, read_body, whole_body
from replicator.errors import WireError


@pytest.mark.parametrize("encoding", ["gzip", "zstd", None])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_body_arrives_in_any_pieces(encoding: str | None, step: int) -> None:
    """Whole at the limit; one byte more is 413."""
    content = bytes(range(256)) * 20
    packed = content
    if encoding:
        packed = gzip.compress(content) if encoding == "gzip" else zstd.compress(content)

    def feed_all(inflater: Inflater) -> None:
        for piece in (*(packed[start : start + step] for start in range(0, len(packed), step)), b""):
            inflater.feed(piece)

    inflater = Inflater(encoding, bytes_max=len(content))
    feed_all(inflater)
    assert inflater.body() == content
    with pytest.raises(WireError) as refused:
        feed_all(Inflater(encoding, bytes_max=len(content) - 1))
    assert refused.value.status == 413


BODIES = {
    "empty": b"",
    "full": b"12345678",
    "longer": b"123456789",
    "packed": gzip.compress(b"12345678", mtime=0),
    "packed-longer": gzip.compress(b"9" * 9, mtime=0),
}


async def _read(body: bytes, encoding: str | None) -> bytes:
    async def chunks() -> Any:
        yield body

    return await read_body(chunks(), encoding=encoding, declared=None, bytes_max=8)


@pytest.mark.parametrize("encoding", [None, "identity", "gzip", "br"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_whole_body_is_read_as_one_that_comes(body: bytes, encoding: str | None) -> None:
    """The same bytes, or the same refusal, whatever the encoding and the length."""
    outcomes: list[object] = []
    for read in (lambda: whole_body(body, encoding=encoding, bytes_max=8), lambda: asyncio.run(_read(body, encoding))):
        try:
            outcomes.append(read())
        except WireError as error:
            outcomes.append((error.status, error.code, str(error)))
    assert outcomes[0] == outcomes[1]
