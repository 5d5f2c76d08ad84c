"""How doctor says times, numbers and troubles. Pure; times are seconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime

from gradata.doctor.facts import DoctorFacts, FindingStatus

GRAVITY: dict[str, FindingStatus] = {"unavailable": "warn", "no_key": "warn", "no_consent": "skip"}
"""What is no failure: a cloud that is away is optional, a brain without a key works, consent is a choice."""
TROUBLES = {
    "no_consent": "paused, the user keeps the records on this machine",
    "unavailable": "the cloud does not answer",
    "no_key": "paused, no API key",
    "denied": "paused, the server refuses the API key",
    "misconfigured": "paused, no ingest server at this address",
    "malformed": "paused, valid requests are refused",
    "refusing": "paused, every record is refused",
    "disagreement": "paused, the answers are none of the protocol",
    "too_old": "paused, one side is too old for the other",
    "held": "held, another cloud at another address",
    "gone": "stopped, the brain was deleted at the cloud",
}


def seconds(text: str | None) -> float | None:
    """An ISO 8601 time; None if it is none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def at(moment: float) -> str:
    """A time, to the minute, UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def short(text: str) -> str:
    """An ISO 8601 time to the minute; what is none, as it is."""
    moment = seconds(text)
    return at(moment) if moment is not None else text


def ago(facts: DoctorFacts, moment: float) -> str:
    """How long before `facts.now`."""
    return f"{lasting(facts.now - moment)} ago"


def lasting(length_s: float) -> str:
    """A duration in its largest sensible unit; never negative."""
    age = max(0, int(length_s))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if age >= 2 * length:
            return f"{age // length} {unit}"
    return f"{age} s"


def of_bytes(count: int) -> str:
    """A size for people."""
    for unit, length in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= length:
            return f"{count / length:,.1f} {unit}"
    return f"{count:,} bytes"
