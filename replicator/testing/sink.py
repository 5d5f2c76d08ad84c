"""A sink that hands each request to a `MemoryCloud`, unless a fault was scripted for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from replicator.actions import Beat, BeatOutcome, RecallOutcome, Send, SendOutcome
from replicator.testing.cloud import MemoryCloud
from replicator.wire import Report


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one request. `arrives`: the cloud does what was asked, but its answer is lost on the way."""

    answer: SendOutcome | BeatOutcome | RecallOutcome
    arrives: bool = False
    request: Literal["send", "beat", "recall", "any"] = "any"


class MemorySink:
    """The Sink port before a cloud in memory.

    Each of `faults` meets the next request of its kind and is gone; `always` meets each request while it is set.
    `sent` and `reports` hold what was asked. `key` may be changed at any time.
    """

    def __init__(self, cloud: MemoryCloud) -> None:
        self.cloud = cloud
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.sent: list[Send | Beat | None] = []
        self.reports: list[Report] = []
        self.key = "key-1"
        self.closed = False
        self._key_used = self.key

    def send(self, action: Send, report: Report) -> SendOutcome:
        """The cloud's answer to a batch, or the fault's."""
        self.reports.append(report)
        return cast(SendOutcome, self._through("send", action, lambda: self.cloud.ingest(action)))

    def beat(self, action: Beat, report: Report) -> BeatOutcome:
        """The cloud's answer to a heartbeat, or the fault's."""
        self.reports.append(report)
        return cast(BeatOutcome, self._through("beat", action, lambda: self.cloud.heartbeat(action)))

    def recall(self) -> RecallOutcome:
        """The cloud's logs, or the fault's answer."""
        return cast(RecallOutcome, self._through("recall", None, self.cloud.recall))

    def key_changed(self) -> bool:
        """Whether `key` is another than the last request was made with."""
        return self.key != self._key_used

    def close(self) -> None:
        """Nothing to let go of."""
        self.closed = True

    def _through(self, request: str, action: Send | Beat | None, ask: Callable[[], object]) -> object:
        self.sent.append(action)
        self._key_used = self.key
        fault = self.always
        if fault is None and self.faults and self.faults[0].request in ("any", request):
            fault = self.faults.popleft()
        if fault is None:
            return ask()
        if fault.arrives:
            ask()
        return fault.answer
