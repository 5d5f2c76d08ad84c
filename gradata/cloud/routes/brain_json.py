"""The JSON forms of brains and erasures, the same over HTTP and on the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gradata.cloud.service.deletion import DAY_US, Erased
from gradata.cloud.store.values import BrainStanding


def standing_json(brain: BrainStanding) -> dict[str, Any]:
    """How a brain stands, in its stable form."""
    return {
        "brain_id": brain.brain_id,
        "created_at": _iso(brain.created_at),
        "events": brain.events,
        "logs": brain.logs,
        "bytes": brain.offset,
        "stored_at": _iso(brain.stored_at),
        "deleted_at": _iso(brain.deleted_at),
        "retain_days": None if brain.retain_us is None else brain.retain_us // DAY_US,
    }


def erased_json(brain_id: str, done: Erased, *, dry_run: bool) -> dict[str, Any]:
    """What was, or would be, erased, in its stable form."""
    return {
        "brain_id": brain_id,
        "event_id": done.event_id,
        "places": [{"log_id": log_id, "record": number} for log_id, number in done.places],
        "loose": done.loose,
        "dry_run": dry_run,
    }


def _iso(microseconds: int | None) -> str | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat()
