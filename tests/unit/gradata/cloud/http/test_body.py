"""Reading a body: in any pieces, packed or not, never beyond its bound."""

from __future__ import annotations

import gzip

import pytest

from gradata.cloud.http.body import Inflater
from replicator.errors import WireError
from tests.support.packing import zstd


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
