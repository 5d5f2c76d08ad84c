"""Conversions of time: microseconds since 1970 (UTC), as integers, and ISO 8601 for the wire."""

from __future__ import annotations

from datetime import UTC, datetime

SECOND = 1_000_000


def iso(microseconds: int | None) -> str | None:
    """Microseconds since 1970 as ISO 8601, UTC."""
    if microseconds is None:
        return None
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat()


def microseconds(text: object) -> int | None:
    """ISO 8601 as microseconds since 1970; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6)
    except (ValueError, OverflowError):
        return None
