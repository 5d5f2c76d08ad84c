"""The short ways of the ordinary request say what the general ones say."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from gradata.cloud.http.body import read_body, whole_body
from gradata.cloud.service.counters import REQUEST_BOUNDS_S, Tallies
from replicator.errors import WireError

BODIES = {
    "empty": b"",
    "full": b"12345678",
    "longer": b"123456789",
    "packed": gzip.compress(b"12345678", mtime=0),
    "packed-longer": gzip.compress(b"9" * 9, mtime=0),
}


def told(registry: CollectorRegistry) -> list[str]:
    """A scrape, without the times of making, which differ."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not (line.startswith("n_") and "_created" in line.split(" ")[0])]


@given(st.lists(st.sampled_from([0.0, 0.004, 0.005, 0.3, 10.0, 11.0])))
def test_tallies_say_what_the_prometheus_client_says(values: list[float]) -> None:
    """A histogram and a counter with labels read the same to the letter, bounds included."""
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    own: Any = {"registry": theirs}
    spread, times = Histogram("n_seconds", "Words", ("route",), **own), Counter("n", "Words", ("route",), **own)
    tallies = Tallies("n_seconds", "Words", ("route",), REQUEST_BOUNDS_S), Tallies("n", "Words", ("route",))
    for made in tallies:
        ours.register(made)
    for value in values:
        spread.labels("a").observe(value)
        times.labels("a").inc()
        tallies[0].of("a").observe(value)
        tallies[1].of("a").count += 1
    assert told(ours) == told(theirs)


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
