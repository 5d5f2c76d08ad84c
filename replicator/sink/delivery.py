"""A sink for a function of yours: each batch is passed to it, in order, until it returns.

For destinations that do not speak the protocol: a database, a file, an HTTP service. What the function returns for
counts as acknowledged; there is no proof, because the destination computes no root. Delivery is at-least-once: after a
crash or a lost sidecar, records are delivered again with the same number in the same log. Partner: `HttpSink`, the
other implementation of the port.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from replicator.actions import (
    Acked,
    Beat,
    BeatOutcome,
    Heard,
    Recalled,
    RecallOutcome,
    Refused,
    Send,
    SendOutcome,
    Unavailable,
)
from replicator.errors import RecordRefusedError
from replicator.model import MIB, UNNAMED_CLOUD, Head, Hole, Limits
from replicator.wire import Report, plain

UNPROCESSABLE = 422
LIMITS = Limits(body_bytes=16 * MIB, record_bytes=16 * MIB, requests_per_minute=None)
"""The default limits: nothing that slows a local destination down."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Whole consecutive records of one log. `(log_id, first + i)` identifies record i for good: an idempotency key."""

    log_id: str
    first: int
    records: tuple[bytes, ...] = field(repr=False)


class DeliverySink:
    """The Sink port for a function.

    `deliver` is called in the replicator's thread with one Delivery at a time, and returns when its records are safe.
    An OSError (such as ConnectionError or TimeoutError) means "not now": it is retried indefinitely, with backoff.
    RecordRefusedError means that one record will never be accepted: it becomes a dead letter, and the others are
    delivered. Any other exception is a bug: the thread logs it and restarts with backoff; nothing is skipped. `limits`
    bounds the size of a Delivery.
    """

    def __init__(self, deliver: Callable[[Delivery], None], *, limits: Limits = LIMITS) -> None:
        self._deliver = deliver
        self._limits = limits

    def send(self, action: Send, report: Report) -> SendOutcome:
        """Deliver the records; a dead letter's place has none."""
        del report
        load, log_id = action.load, action.cursor.log_id
        if not isinstance(load, Hole):
            if load.holes:  # in order is promised: what is before the record first, then it alone, then the others
                return Refused(UNPROCESSABLE, "a function takes no places without bytes among records")
            try:
                self._deliver(Delivery(log_id, load.first, tuple(load.records())))
            except RecordRefusedError as refused:
                return Refused(UNPROCESSABLE, plain(str(refused)), load.first + refused.index)
            except OSError as error:
                return Unavailable(plain(error.strerror or type(error).__name__))
        head = Head(log_id, action.after.size, action.after.root, load.end)
        return Acked(UNNAMED_CLOUD, head, accepted=load.count, limits=self._limits)

    def beat(self, action: Beat, report: Report) -> BeatOutcome:
        """A function cannot be asked: the cursor stays."""
        del report
        cursor = action.cursor
        return Heard(UNNAMED_CLOUD, Head(cursor.log_id, cursor.size, cursor.root, cursor.offset))

    def recall(self) -> RecallOutcome:
        """A function does not know what it got: without a sidecar everything is delivered again."""
        return Recalled(())

    def key_changed(self) -> bool:
        """There is no key."""
        return False

    def close(self) -> None:
        """Nothing is held."""
