"""Counters of requests read like those of the Prometheus client."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from gradata.cloud.service.counters import REQUEST_BOUNDS_S, Tallies


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
