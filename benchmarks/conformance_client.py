"""One program that embeds a sender: ours, or one of five others, each at its defaults but for the address.

    python conformance_client.py SENDER PORT STATE ACTION [SECONDS]

Run by `conformance`, each sender in an environment of its own, so nothing of this project is imported here but for
ours. Events carry `marker-N-`. ACTION: `stay` emits 50 and lives on; `again` emits one and lives on; `fork` emits one
here and ten in a forked child that ends at once; `leave` emits 50 and ends.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable

EVENTS = 50
IMPORTS = {
    "Segment": "segment.analytics",
    "PostHog": "posthog",
    "Sentry": "sentry_sdk",
    "OpenTelemetry": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "logstash-async": "logstash_async.handler",
    "here": "gradata",
}

Emit = Callable[[int], object]


def segment(port: int, _: str) -> Emit:
    """segment-analytics-python."""
    from segment import analytics  # type: ignore[import-not-found]

    analytics.write_key = "key"
    analytics.host = f"http://127.0.0.1:{port}"
    return lambda number: analytics.track("user", f"marker-{number}-")


def posthog(port: int, _: str) -> Emit:
    """posthog."""
    from posthog import Posthog  # type: ignore[import-not-found]

    client = Posthog("phc_key", host=f"http://127.0.0.1:{port}")
    return lambda number: client.capture(f"marker-{number}-", distinct_id="user")


def sentry(port: int, _: str) -> Emit:
    """sentry-sdk."""
    import sentry_sdk  # type: ignore[import-not-found]

    sentry_sdk.init(dsn=f"http://key@127.0.0.1:{port}/1")
    return lambda number: sentry_sdk.capture_message(f"marker-{number}-")


def opentelemetry(port: int, _: str) -> Emit:
    """opentelemetry-sdk with the OTLP exporter over HTTP, as its documentation begins."""
    from opentelemetry import trace  # type: ignore[import-not-found]
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # type: ignore[import-not-found]
    from opentelemetry.sdk.trace import TracerProvider  # type: ignore[import-not-found]
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # type: ignore[import-not-found]

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}/v1/traces")))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("conformance")
    return lambda number: tracer.start_span(f"marker-{number}-").end()


def logstash(port: int, state: str) -> Emit:
    """python-logstash-async over HTTP, with its database, which is what it offers against loss."""
    from logstash_async.handler import AsynchronousLogstashHandler  # type: ignore[import-not-found]
    from logstash_async.transport import HttpTransport  # type: ignore[import-not-found]

    transport = HttpTransport("127.0.0.1", port, ssl_enable=False)
    handler = AsynchronousLogstashHandler("127.0.0.1", port, database_path=f"{state}/logstash.db", transport=transport)
    logger = logging.getLogger("conformance")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return lambda number: logger.info("marker-%d-", number)


def here(port: int, state: str) -> Emit:
    """A Brain."""
    from gradata import Brain

    brain = Brain.init(f"{state}/brain", endpoint=f"http://127.0.0.1:{port}/api/v1")
    return lambda number: brain.correct(f"draft {number}", f"marker-{number}-")


SENDERS = {
    "Segment": segment,
    "PostHog": posthog,
    "Sentry": sentry,
    "OpenTelemetry": opentelemetry,
    "logstash-async": logstash,
    "here": here,
}


def main() -> None:
    """Do what was asked."""
    sender, port, state, action, *rest = sys.argv[1:]
    emit = SENDERS[sender](int(port), state)
    if action == "fork":
        emit(900)
        if os.fork() == 0:
            for number in range(10):
                emit(100 + number)
            sys.exit(0)
        os.wait()
    else:
        for number in range(EVENTS if action != "again" else 0):
            emit(number)
        if action == "again":
            emit(999)
    print("done", flush=True)
    time.sleep(float(rest[0]) if rest else 0.0)


if __name__ == "__main__":
    main()
