"""Counters and histograms of one thread, as plain numbers.

The Prometheus client's own take a lock for each number, and counted, for an event, as much as to interpret it. Here
the loop's thread counts alone; a scrape, which may run on another, reads. Partner: `metrics`, which knows the names.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

REQUEST_BOUNDS_S = tuple(Histogram.DEFAULT_BUCKETS[:-1])


class Tally:
    """How often something happened; with bounds, also how its values are spread."""

    __slots__ = ("begun", "bounds", "count", "counts", "total")

    def __init__(self, bounds: Sequence[float] = ()) -> None:
        self.begun = time.time()
        self.bounds = bounds
        self.count = 0
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """One value; one that is a bound is below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """How many values are not above each bound, as Prometheus names them."""
        buckets: list[tuple[str, float]] = []
        below = 0
        for bound, count in zip((*self.bounds, float("inf")), tuple(self.counts), strict=True):
            below += count
            buckets.append((floatToGoString(bound), below))  # type: ignore[no-untyped-call]
        return buckets


class Tallies(Collector):
    """One metric: a tally for each combination of its labels. A histogram, if it has bounds."""

    def __init__(self, name: str, words: str, labels: Sequence[str] = (), bounds: Sequence[float] = ()) -> None:
        self._name = name
        self._words = words
        self._labels = labels
        self._bounds = bounds
        self._known: dict[tuple[str, ...], Tally] = {}

    def of(self, *labels: str) -> Tally:
        """The tally of these values of the labels."""
        found = self._known.get(labels)
        if found is None:
            assert len(labels) == len(self._labels)
            found = self._known[labels] = Tally(self._bounds)
        return found

    def collect(self) -> Iterable[Metric]:
        """What a scrape is told."""
        return self._histogram() if self._bounds else self._counter()

    def _counter(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._words, labels=self._labels)
        for labels, tally in tuple(self._known.items()):
            family.add_metric(labels, tally.count, created=tally.begun)
        yield family

    def _histogram(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._words, labels=self._labels)
        for labels, tally in tuple(self._known.items()):
            family.add_metric(labels, tally.buckets(), tally.total)
            family.add_sample(f"{self._name}_created", dict(zip(self._labels, labels, strict=True)), tally.begun)
        yield family
