"""Prometheus metrics of one replicator: `gradata replicate --follow --metrics HOST:PORT`.

`GET /metrics` is computed from the replicator's status at each scrape. `GET /health` is a probe: 200 while the thread
works, 503 if it is stuck. No label contains a path, id, key or text. Partner: `cloud.service.metrics`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, get_args
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from gradata.replicate.systemd_notify import STILL_S
from replicator.errors import ConfigurationError
from replicator.status import State, Status

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from prometheus_client.core import Metric

REQUEST_S = 10.0


@dataclass(frozen=True, slots=True)
class ExportedReplicator:
    """What the exporter reads from a replicator. `still_s`: seconds since its thread last did anything."""

    status: Callable[[], Status | None]
    still_s: Callable[[], float]
    leads: Callable[[], bool]


class Exporter:
    """An HTTP server in its own thread. ConfigurationError if it cannot listen, or if its library is missing."""

    def __init__(self, address: str, watched: ExportedReplicator) -> None:
        host, port = parse_address(address)
        try:
            from prometheus_client import CollectorRegistry, make_wsgi_app
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "metrics need prometheus-client", hint="pip install 'gradata[cli]', or leave --metrics out"
            ) from error
        registry = CollectorRegistry()
        registry.register(_Collector(watched))
        metrics: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]] = make_wsgi_app(registry)

        def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            if environ.get("PATH_INFO") == "/health":
                return _health(watched, start)
            return metrics(environ, start)

        try:
            self._server = make_server(host, port, answer, server_class=_Server, handler_class=_Silent)
        except OSError as error:
            raise ConfigurationError(
                f"metrics cannot listen at {address}: {error.strerror or error}", hint="choose another --metrics"
            ) from error
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="gradata-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and end the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def parse_address(address: str) -> tuple[str, int]:
    """Parse HOST:PORT. ConfigurationError for anything else; an IPv6 host is in brackets."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise ConfigurationError(f"{address} is no address", hint="write HOST:PORT, such as 127.0.0.1:9464")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _health(watched: ExportedReplicator, start: StartResponse) -> Iterable[bytes]:
    still_s = watched.still_s()
    start("200 OK" if still_s <= STILL_S else "503 Service Unavailable", [("Content-Type", "text/plain")])
    return [f"the replicator's thread did something {still_s:.0f} s ago\n".encode()]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    """Does not log scrapes; a client that stalls is disconnected."""

    timeout = REQUEST_S

    def log_message(self, *_: Any) -> None:
        return


class _Collector:
    """Prometheus' collector protocol for a replicator's status."""

    def __init__(self, watched: ExportedReplicator) -> None:
        self._watched = watched

    def collect(self) -> Iterator[Metric]:
        """The metrics as of now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        yield GaugeMetricFamily("gradata_replicator_leads", "1: this process replicates", int(self._watched.leads()))
        yield GaugeMetricFamily("gradata_replicator_still_seconds", "Since its last step", self._watched.still_s())
        status = self._watched.status()
        if status is None:
            return
        state = GaugeMetricFamily("gradata_replicator_state", "1 for the present state", labels=["state"])
        for name in get_args(State):
            state.add_metric([name], int(name == status.state))
        yield state
        for name, words, value in _gauges(status, time.time()):
            yield GaugeMetricFamily(f"gradata_replicator_{name}", words, value)
        events = CounterMetricFamily(
            "gradata_replicator_records", "Answered records of this leader", labels=["outcome"]
        )
        for outcome in ("accepted", "duplicates", "flagged", "refused"):
            events.add_metric([outcome], getattr(status, outcome))
        yield events
        yield CounterMetricFamily("gradata_replicator_requests", "Requests of this leader", status.requests)


def _gauges(status: Status, now: float) -> Iterator[tuple[str, str, float]]:
    yield "log_bytes", "Size of the log", status.log_bytes
    yield "acknowledged_bytes", "Offset of the cursor", status.offset
    yield "acknowledged_size", "Records before the cursor", status.size
    yield "backlog_bytes", "Bytes that wait", status.backlog_bytes
    yield "dead_letters", "Records refused for good", status.dead_letters
    yield "failures", "Failed attempts in a row", status.failures
    for name, at in (("event", status.last_event_at), ("ack", status.last_ack_at)):
        if at is not None:
            seconds = datetime.fromisoformat(at).timestamp()
            yield f"last_{name}_timestamp_seconds", f"When the last {name} was", seconds
            yield f"last_{name}_age_seconds", f"How long ago the last {name} was", max(0.0, now - seconds)
