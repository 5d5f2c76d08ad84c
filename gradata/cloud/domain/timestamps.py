"""Conversions of time: microseconds since 1970 (UTC), as integers, and ISO 8601 for the wire."""

from __future__ import annotations

from datetime import UTC, datetime

SECOND = 1_000_000
TIME_END = 253_370_764_800 * SECOND
"""Upper limit of timestamps, exclusive: the start of the year 9999. Client timestamps are accepted from 1970."""


def iso(microseconds: int | None) -> str | None:
    """Microseconds since 1970 as ISO 8601, UTC."""
    if microseconds is None:
        return None
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat()


def microseconds(text: object) -> int | None:
    """ISO 8601 as microseconds since 1970; None for anything else, and for times before 1970 or from TIME_END on.

    Whatever passes can be written again by `iso`: `datetime` itself reads times that it cannot show in UTC.
    """
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        found = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6)
    except (ValueError, OverflowError):
        return None
    return found if 0 <= found < TIME_END else None
