"""The way from a brain to its cloud: a Replicator behind the user's consent.

Consent is asked for before each request, not once at the start: what a person switches off stays on the machine
from that moment, in processes that run already. Partners: `settings` says what is allowed, `brain` starts and
drains. Nothing here is imported by `import gradata`; httpx is loaded in the replicator's thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gradata.settings import Settings, consent, why_local
from replicator.actions import Beat, BeatOutcome, Denied, RecallOutcome, Send, SendOutcome
from replicator.model import Identity

if TYPE_CHECKING:
    from replicator.loop import Drained, Replicator
    from replicator.sink import Sink
    from replicator.wire import Report


class Replication(Protocol):
    """What a Brain needs of `replicator.loop.Replicator`."""

    def start(self) -> None: ...
    def wake(self) -> None: ...
    def drain(self, timeout_s: float) -> Drained: ...
    def close(self, timeout_s: float = 5.0) -> Drained: ...


def open_replicator(settings: Settings, log_path: str, identity: Identity) -> Replicator | None:
    """A replicator for this log, not started yet; None where settings, host, consent or a missing key forbid it.

    Raises ConfigurationError, with a hint, for an endpoint that cannot work.
    """
    from gradata.authlog import AuthLog
    from replicator.loop import Replicator  # here, not above: only a brain that replicates pays for it
    from replicator.sink import HttpSink, check_endpoint

    if why_local(settings) is not None:
        return None
    endpoint = check_endpoint(settings.endpoint)

    def open_sink() -> Sink:
        return ConsentingSink(HttpSink(endpoint=endpoint, key=settings.read_key, identity=identity), settings.brain_dir)

    auth_log = AuthLog(settings.brain_dir, read_key=settings.read_key)
    return Replicator(log_path, endpoint=endpoint, open_sink=open_sink, on_notice=auth_log, version=version())


def version() -> str:
    """The installed version of this distribution."""
    from importlib import metadata  # 10 ms, and only who replicates needs it

    try:
        return metadata.version("gradata")
    except metadata.PackageNotFoundError:
        return "unknown"


class ConsentingSink:
    """A sink that sends nothing while the user's consent is withdrawn; everything waits in the log meanwhile."""

    def __init__(self, sink: Sink, brain_dir: str) -> None:
        self._sink = sink
        self._brain_dir = brain_dir
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
            return consent(self._brain_dir) is None
        return self._sink.key_changed()

    def close(self) -> None:
        """Close the sink behind."""
        self._sink.close()

    def _refusal(self) -> Denied | None:
        refused = consent(self._brain_dir)
        self._withheld = refused is not None
        return None if refused is None else Denied(0, "no_consent", refused.why)
