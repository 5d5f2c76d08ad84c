"""Why records do not flow: the codes, and which of them pause or stop replication."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TroubleCode = Literal[
    "unavailable",  # no answer: tried again with backoff, for ever
    "no_key",  # pauses: nothing to authorise with
    "no_consent",  # pauses: the user keeps the records on this machine
    "denied",  # pauses: 401, 403
    "misconfigured",  # pauses: 404, 405, 407, 3xx
    "malformed",  # pauses: 400 for one record, or a refused hole: not the record's fault
    "refusing",  # pauses: several records refused alone in a row, with none accepted between
    "disagreement",  # pauses: answers that are no acks, again and again
    "too_old",  # pauses: one side does not speak the other's schema
    "held",  # stops: another cloud at another address; a person confirms
    "gone",  # stops: the brain was deleted on purpose
]
PAUSING = frozenset(
    {"no_key", "no_consent", "denied", "misconfigured", "malformed", "refusing", "disagreement", "too_old"}
)
STOPPING = frozenset({"held", "gone"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why records do not flow now. `status` is the HTTP status, where one said so."""

    code: TroubleCode
    detail: str = ""
    status: int = 0

    @property
    def pauses(self) -> bool:
        """Waits for something to change, probing with one record or a heartbeat."""
        return self.code in PAUSING

    @property
    def stops(self) -> bool:
        """Waits for a person's order, without probing."""
        return self.code in STOPPING
