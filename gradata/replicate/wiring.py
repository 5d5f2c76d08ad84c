"""Connects a brain to its cloud: a Replicator subject to the user's consent.

Consent is checked before each request, not only at the start: what a person switches off stays on the machine from that
moment, in running processes too. Partners: `config.settings` says what is allowed, `brain` starts and drains. `import
gradata` imports nothing from here; httpx is loaded in the replicator's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gradata.config.settings import Settings, host_forbids_threads, refusal, why_local
from gradata.hints import HINTS
from replicator.actions import Beat, BeatOutcome, Denied, RecallOutcome, Send, SendOutcome
from replicator.errors import ConfigurationError
from replicator.model import Identity

if TYPE_CHECKING:
    from replicator.loop import Drained, Replicator
    from replicator.sink import HttpSink, Sink, Timeouts
    from replicator.sink.reader import HttpReader
    from replicator.wire import Report


USER_AGENT = "gradata-replicator"
EXIT_LINE = "gradata: {bytes} bytes of corrections wait in the log; they are replicated at the next start"


class Replication(Protocol):
    """The part of `replicator.loop.Replicator` that a Brain uses."""

    def start(self) -> None: ...
    def wake(self) -> None: ...
    def drain(self, timeout_s: float) -> Drained: ...
    def close(self, timeout_s: float = 5.0) -> Drained: ...


def open_replicator(settings: Settings, log_path: str, identity: Identity) -> Replicator | None:
    """A replicator for this log, not started; None if settings, host, consent or a missing key forbid it.

    It idles while a switch is off. ConfigurationError, with a hint, for an invalid endpoint.
    """
    if why_local(settings) is not None:
        return None
    return _opened(settings, log_path, identity, lambda: settings.off() is None)


def drain_by_hand(settings: Settings, log_path: str, identity: Identity, timeout_s: float) -> Drained | None:
    """Replicate what is waiting once, within `timeout_s` seconds, although no replicator may live in this process.

    For a caller that ends a session or drains while `write_through` is off: the switch disables only automatic
    replication. None if nothing may leave the machine, there is no key, or no thread can run here. Never raises: an
    invalid endpoint gives the reason "misconfigured".
    """
    if (refusal(settings) or host_forbids_threads()) is not None or settings.read_key() is None:
        return None
    from replicator.loop import Drained

    try:
        replicator = _opened(settings, log_path, identity, lambda: True)
    except ConfigurationError:
        return Drained(0, 0, "misconfigured")
    replicator.start()
    return replicator.close(timeout_s)


def _opened(settings: Settings, log_path: str, identity: Identity, permitted: Callable[[], bool]) -> Replicator:
    from gradata.replicate.auth_log import AuthLog
    from replicator.loop import Replicator  # here, not above: only a brain that replicates pays for it
    from replicator.sink import check_endpoint

    endpoint = check_endpoint(settings.endpoint)

    def open_sink() -> Sink:
        return ConsentingSink(http_sink(endpoint, settings.read_key, identity), settings)

    return Replicator(
        log_path,
        endpoint=endpoint,
        open_sink=open_sink,
        on_notice=AuthLog(settings.brain_dir, read_key=settings.read_key),
        version=version(),
        permitted=permitted,
        hints=HINTS,
        exit_line=EXIT_LINE,
    )


def http_sink(
    endpoint: str, key: Callable[[], str | None], identity: Identity, *, timeouts: Timeouts | None = None
) -> HttpSink:
    """The sink to the cloud's ingest with this product's headers. ConfigurationError as `replicator.sink.HttpSink`."""
    from replicator import sink

    return sink.HttpSink(
        endpoint=endpoint,
        key=key,
        identity=identity,
        timeouts=timeouts or sink.Timeouts(),
        user_agent=USER_AGENT,
        name_header="Gradata-Brain",
    )


def http_reader(endpoint: str, key: Callable[[], str | None], *, read_s: float | None = None) -> HttpReader:
    """The reader of the replica, with this product's headers. ConfigurationError as in `replicator.sink.reader`."""
    from replicator.sink import reader

    return reader.HttpReader(endpoint=endpoint, key=key, read_s=read_s or reader.READ_S, user_agent=USER_AGENT)


def version() -> str:
    """The installed version of this distribution."""
    from importlib import metadata  # 10 ms, and only who replicates needs it

    try:
        return metadata.version("gradata")
    except metadata.PackageNotFoundError:
        return "unknown"


class ConsentingSink:
    """A sink that sends nothing while the user's consent is withdrawn; everything waits in the log."""

    def __init__(self, sink: Sink, settings: Settings) -> None:
        self._sink = sink
        self._settings = settings
        self._withheld = False

    def send(self, action: Send, report: Report) -> SendOutcome:
        """Send the batch, or return why not."""
        return self._refusal() or self._sink.send(action, report)

    def beat(self, action: Beat, report: Report) -> BeatOutcome:
        """Send a heartbeat, or return why not: even the size of the log is private."""
        return self._refusal() or self._sink.beat(action, report)

    def recall(self) -> RecallOutcome:
        """Ask for this device's logs, or return why not."""
        return self._refusal() or self._sink.recall()

    def key_changed(self) -> bool:
        """Whether to retry before the next probe: consent is back, or the key has changed."""
        if self._withheld:
            return refusal(self._settings) is None
        return self._sink.key_changed()

    def close(self) -> None:
        """Close the wrapped sink."""
        self._sink.close()

    def _refusal(self) -> Denied | None:
        refused = refusal(self._settings)
        self._withheld = refused is not None
        return None if refused is None else Denied(0, "no_consent", refused.why)
