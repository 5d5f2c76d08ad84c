"""What a whole run must see at least once: a reaction that never happens is not tested."""

from __future__ import annotations

from collections.abc import Collection

from .faults import FAULTS

REACTIONS = (
    "absorbed again",
    "answer 401",
    "answer 409",
    "answer 429",
    "answer 503",
    "append failed",
    "append not durable",
    "batch halved",
    "batch halved by records",
    "cloud_changed",
    "compared",
    "confirmed: gone",
    "confirmed: held",
    "conflict: diverged",
    "conflict: gap",
    "conflicting event",
    "dead_letter",
    "denied",
    "disagreement",
    "flagged",
    "generations paced",
    "gone",
    "group of several",
    "held",
    "jumped",
    "leader killed between steps",
    "log missing",
    "log_unreadable",
    "malformed",
    "misconfigured",
    "new_generation",
    "no_key",
    "read in mid-write",
    "recovered",
    "refused by the cloud",
    "refused by a stranger",
    "refusing",
    "request: batch with holes",
    "request: hole",
    "resend",
    "reset",
    "rewound",
    "rows mended",
    "sends up to a near head again",
    "sidecar",
    "sidecar rebuilt from the cloud",
    "swallowed",
    "taken over by another process",
    "throttled",
    "too slow",
    "too_old",
    "torn tail ended",
    "transaction failed",
    "unavailable",
    "waited for the budget",
    "writer killed in mid-write",
)
"""Besides each fault."""


def never_seen(seen: Collection[str]) -> list[str]:
    """Reactions and faults that did not happen, in order."""
    return sorted({*REACTIONS, *(f"fault: {fault.name}" for fault in FAULTS)} - set(seen))
