"""The server's Prometheus metrics. Counters are per process; fleet states are read from the store at each scrape.

With several workers (`gradata serve --workers`), each counts in files of one directory, and the worker that answers a
scrape adds them up: the multi-process mode of prometheus-client, which `workers` enables before this module is loaded.
Labels contain no brain, device or key: their number is unbounded, and they are private. Partners: `http.middleware`,
which counts requests, and `group_commit`.
"""

from __future__ import annotations

import os
from collections import Counter as Count
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from gradata.cloud.domain.plan import Decision, Done
from gradata.cloud.domain.timestamps import SECOND, microseconds
from gradata.cloud.service.fleet_state import STATES, FleetBrain

SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that prometheus-client reads when it is imported."""
LAG_BOUNDS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400)
STORE_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
OUTCOMES = ("accepted", "duplicate", "flagged", "refused")
LAGS_OF_A_COMMIT = 50
"""For larger batches every n-th event is measured; the histogram then contains samples."""


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own: Any = {"registry": self._registry}
        self._requests = Counter("gradata_http_requests", "Requests answered", ("route", "method", "status"), **own)
        self._seconds = Histogram("gradata_http_request_seconds", "Time to answer, feeds apart", ("route",), **own)
        events = Counter("gradata_events", "Records of batches by what became of them", ("outcome",), **own)
        self._accepted, self._duplicates, self._flagged, self._refused = map(events.labels, OUTCOMES)
        self._store = Histogram("gradata_store_commit_seconds", "From queued to durable", buckets=STORE_BOUNDS_S, **own)
        self._lag = Histogram(
            "gradata_event_lag_seconds", "From an event's own time to its storing", buckets=LAG_BOUNDS_S, **own
        )
        self.feeds = Gauge("gradata_feed_clients", "Open feeds", multiprocess_mode="livesum", **own)
        self._of_route: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """One request was answered; `seconds` None: it was a feed, whose length says nothing."""
        name = (route, method, status)
        found = self._of_route.get(name)
        if found is None:  # few: routes, methods and statuses are ours; to find them each time costs more than to count
            found = self._requests.labels(route, method, str(status)), self._seconds.labels(route)
            self._of_route[name] = found
        found[0].inc()
        if seconds is not None:
            found[1].observe(seconds)

    def committed(self, decision: Decision, seconds: float, now: int) -> None:
        """One request's transaction is durable."""
        self._store.observe(seconds)
        if not isinstance(decision, Done):
            return
        for counter, count in (
            (self._accepted, decision.accepted),
            (self._duplicates, decision.duplicates),
            (self._flagged, len(decision.flagged)),
            (self._refused, len(decision.refused)),
        ):
            if count:
                counter.inc(count)
        timestamps: Sequence[str | None] = decision.writes.events.columns.timestamps
        step = -(-len(timestamps) // LAGS_OF_A_COMMIT) or 1
        for timestamp in timestamps[::step]:
            at = microseconds(timestamp)
            if at is not None:
                self._lag.observe(max((now - at) / SECOND, 0.0))

    def text(self, fleet: Iterable[FleetBrain]) -> bytes:
        """Everything, in Prometheus' text format."""
        told = CollectorRegistry()
        told.register(_FleetStates(list(fleet)))
        if SHARED_DIRECTORY in os.environ:
            MultiProcessCollector(told)  # type: ignore[no-untyped-call]
        else:
            told.register(self._registry)
        return generate_latest(told)


class _FleetStates(Collector):
    """What the store says at this scrape: the same whichever worker is asked."""

    def __init__(self, brains: Sequence[FleetBrain]) -> None:
        self._brains = brains

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        states = Count(brain.verdict.state for brain in self._brains)
        by_state = GaugeMetricFamily("gradata_brains", "Brains by state", labels=("state",))
        for state in STATES:
            by_state.add_metric((state,), states[state])
        yield by_state
        alerts = sum(brain.verdict.alert for brain in self._brains)
        yield GaugeMetricFamily("gradata_silent_brains", "Brains that somebody must look after", alerts)
        letters = sum(device.dead_letters for brain in self._brains for device in brain.devices)
        unreadable = sum(device.unreadable for brain in self._brains for device in brain.devices)
        yield GaugeMetricFamily("gradata_unreadable_statuses", "Devices whose own words cannot be read", unreadable)
        yield GaugeMetricFamily("gradata_dead_letters", "Records that clients report as refused for good", letters)
