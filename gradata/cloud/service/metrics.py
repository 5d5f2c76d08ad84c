"""What Prometheus is told. Counters are of this process; states of the fleet are read from the store at each scrape.

Names carry no brain, device or key: their number would have no bound, and they are nobody's business there.
Partners: `http.middleware`, which tells of requests, and `http.context`, which tells of commits.
"""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from gradata.cloud.domain.plan import Decision, Done
from gradata.cloud.domain.timestamps import SECOND, microseconds
from gradata.cloud.service.counters import REQUEST_BOUNDS_S, Tallies, Tally
from gradata.cloud.service.fleet_state import STATES, Brain

LAG_BOUNDS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400)
STORE_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
OUTCOMES = ("accepted", "duplicate", "flagged", "refused")
LAGS_OF_A_COMMIT = 50
"""Of a larger batch every n-th event is measured: the histogram is of samples then."""


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._tallies("gradata_http_requests", "Requests answered", ("route", "method", "status"))
        self._seconds = self._tallies(
            "gradata_http_request_seconds", "Time to answer, feeds apart", ("route",), REQUEST_BOUNDS_S
        )
        self._events = self._tallies("gradata_events", "Records of batches by what became of them", ("outcome",))
        self._accepted, self._duplicates, self._flagged, self._refused = map(self._events.of, OUTCOMES)
        store = self._tallies("gradata_store_commit_seconds", "From queued to durable", (), STORE_BOUNDS_S)
        lag = self._tallies("gradata_event_lag_seconds", "From an event's own time to its storing", (), LAG_BOUNDS_S)
        self._store, self._lag = store.of(), lag.of()
        self._of_route: dict[tuple[str, str, int], tuple[Tally, Tally]] = {}
        own: Any = {"registry": self._registry}
        self._feeds = Gauge("gradata_feed_clients", "Open feeds of this process", **own)
        self._brains = Gauge("gradata_brains", "Brains by state", ("state",), **own)
        self._silent = Gauge("gradata_silent_brains", "Brains that somebody must look after", **own)
        self._letters = Gauge("gradata_dead_letters", "Records that clients report as refused for good", **own)

    def _tallies(self, name: str, words: str, labels: Sequence[str], bounds: Sequence[float] = ()) -> Tallies:
        made = Tallies(name, words, labels, bounds)
        self._registry.register(made)
        return made

    def answered(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """One request was answered; `seconds` None: it was a feed, whose length says nothing."""
        name = (route, method, status)
        found = self._of_route.get(name)
        if found is None:  # few: routes, methods and statuses are ours; to find them each time costs more than to count
            found = self._requests.of(route, method, str(status)), self._seconds.of(route)
            self._of_route[name] = found
        found[0].count += 1
        if seconds is not None:
            found[1].observe(seconds)

    def committed(self, decision: Decision, seconds: float, now: int) -> None:
        """One request's transaction is durable."""
        self._store.observe(seconds)
        if not isinstance(decision, Done):
            return
        self._accepted.count += decision.accepted
        self._duplicates.count += decision.duplicates
        self._flagged.count += len(decision.flagged)
        self._refused.count += len(decision.refused)
        timestamps: Sequence[str | None] = decision.writes.events.columns.timestamps
        step = -(-len(timestamps) // LAGS_OF_A_COMMIT) or 1
        for timestamp in timestamps[::step]:
            at = microseconds(timestamp)
            if at is not None:
                self._lag.observe(max((now - at) / SECOND, 0.0))

    def text(self, fleet: Iterable[Brain], feeds: int) -> bytes:
        """Everything, in Prometheus' text format."""
        brains = list(fleet)
        states = Count(brain.verdict.state for brain in brains)
        for state in STATES:
            self._brains.labels(state).set(states[state])
        self._silent.set(sum(brain.verdict.alert for brain in brains))
        self._letters.set(sum(device.dead_letters for brain in brains for device in brain.devices))
        self._feeds.set(feeds)
        return generate_latest(self._registry)
