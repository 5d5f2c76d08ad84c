"""The way from a brain to its cloud: a Replicator behind the user's consent.

Consent is asked for before each request, not once at the start: what a person switches off stays on the machine
from that moment, in processes that run already. Partners: `config.settings` says what is allowed, `brain` starts and
drains. Nothing here is imported by `import gradata`; httpx is loaded in the replicator's thread.
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
    """What a Brain needs of `replicator.loop.Replicator`."""

    def start(self) -> None: ...
    def wake(self) -> None: ...
    def drain(self, timeout_s: float) -> Drained: ...
    def close(self, timeout_s: float = 5.0) -> Drained: ...


def open_replicator(settings: Settings, log_path: str, identity: Identity) -> Replicator | None:
    """A replicator for this log, not started yet; None where settings, host, consent or a missing key forbid it.

    It rests while a switch is off. Raises ConfigurationError, with a hint, for an endpoint that cannot work.
    """
    if why_local(settings) is not None:
        return None
    return _opened(settings, log_path, identity, lambda: settings.off() is None)


def drain_by_hand(settings: Settings, log_path: str, identity: Identity, timeout_s: float) -> Drained | None:
    """Replicate what waits, once, within `timeout_s`, although no replicator may live in this process.

    For who ends a session, or drains, on purpose while `write_through` is off: only what goes on by itself is switched
    off. None where nothing may leave, there is no key, or no thread can run here. Never raises: an endpoint that cannot
    work is the reason "misconfigured".
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
    """The cloud's ingest, as this product speaks to it. ConfigurationError as `replicator.sink.HttpSink`."""
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
    """The replica read back, as this product speaks to it. ConfigurationError as `replicator.sink.reader`'s."""
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
    """A sink that sends nothing while the user's consent is withdrawn; everything waits in the log meanwhile."""

    def __init__(self, sink: Sink, settings: Settings) -> None:
        self._sink = sink
        self._settings = settings
        self._withheld = False

    def send(self, action: Send, report: Report) -> SendOutcome:
        """Send, or say why not."""
        return self._refusal() or self._sink.send(action, report)

    def beat(self, action: Beat, report: Report) -> BeatOutcome:
        """Send a heartbeat, or say why not: even the size of the log is the user's."""
        return self._refusal() or self._sink.beat(action, report)

    def recall(self) -> RecallOutcome:
        """Ask for this device's logs, or say why not."""
        return self._refusal() or self._sink.recall()

    def key_changed(self) -> bool:
        """Whether it is worth trying again before the next probe: consent came back, or the key is another."""
        if self._withheld:
            return refusal(self._settings) is None
        return self._sink.key_changed()

    def close(self) -> None:
        """Close the sink behind."""
        self._sink.close()

    def _refusal(self) -> Denied | None:
        refused = refusal(self._settings)
        self._withheld = refused is not None
        return None if refused is None else Denied(0, "no_consent", refused.why)
