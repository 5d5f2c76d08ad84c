"""The formats of published clients: `/sync`, `/events/push` and `/events/pull` of 0.7, and the requests of 0.4 to 0.6.
Pure.

Their events become loose lines of the same projection, identified by event_id; the bytes of each are stored as sent.
The same event in a log's line has other bytes, so the two forms are not compared (`domain.tombstones.FOREIGN`). A push
client that reads a non-empty `rejected`, or fewer accepted than it sent, resends the same batch forever; so `accepted`
counts everything that is durable.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder

from gradata.cloud.domain.plan import Decision, Done
from gradata.cloud.domain.principal import Principal
from gradata.cloud.domain.requests import Lines, Loose
from gradata.cloud.domain.tombstones import foreign_content
from gradata.cloud.protocol.answers import Answer, not_done, problem, require_brain
from gradata.cloud.protocol.interpret import read_lines, timestamp
from gradata.cloud.store.values import StoredEvent
from gradata.legacy_rows import id_in_the_log, legacy_id
from replicator.errors import WireError
from replicator.framing import interpret
from replicator.model import Limits
from replicator.wire import is_name

SYNC, PUSH = 2, 3
"""Forms of events, as `foreign_content` takes them."""
PULL_FIELDS = ("source", "data", "tags", "session", "valid_from", "valid_until", "device_id", "content_hash",
               "correction_chain_id", "origin_agent")  # fmt: skip
WATERMARK_CHARACTERS_MAX = 64
LEGACY_ID_CHARACTERS = 32
OF_BYTES = "sha256:"
"""How the id of a record without event_id begins."""
NAMING_IDS_MAX = 64
"""By so many of its events a batch of `/sync` tells which brain it is of."""


class _Body(Struct):
    events: list[Raw]
    brain_name: Any = None
    brain_id: Any = None
    cursor: Any = None


_decode = Decoder(_Body)


@dataclass(frozen=True, slots=True)
class OldBatch:
    """The events of a legacy client. `watermark`: the latest timestamp among them that is not in the future, or the
    client's own.
    """

    work: Loose
    count: int
    watermark: str | None


def read_old(principal: Principal, body: bytes, limits: Limits, *, form: int, now: datetime) -> OldBatch:
    """The body of `/sync` (its brain is `brain_name`) or of `/events/push` (`brain_id`).

    Raises WireError: 400 for what is no JSON object, 422 for a field of the wrong type, 413 for too many events;
    DeniedError, but for `/sync`, whose name need not be a brain's (`brain_of_sync`).
    """
    named = "brain_name" if form == SYNC else "brain_id"
    fields, elements = _taken_apart(body)
    brain_id = fields[named]
    if not isinstance(brain_id, str) or not is_name(brain_id):
        raise invalid(named, "a string of 1 to 128 printable characters")
    if form == PUSH:
        require_brain(principal, brain_id)
    if len(elements) > limits.records:
        raise WireError(f"more than {limits.records} events", status=413, code="body_too_large")
    records = [element.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n" for element in elements]
    lines, times = _old_lines(records, form)
    cursor = fields["cursor"]
    latest = max((text for text in times if _is_past(text, now)), default=None)
    known = cursor if isinstance(cursor, str) and len(cursor) <= WATERMARK_CHARACTERS_MAX else None
    watermark = max((text for text in (known, latest) if text), default=None)
    return OldBatch(Loose(principal.workspace, brain_id, lines), len(records), watermark)


def naming_ids(batch: OldBatch) -> list[str]:
    """The events by which the brain of a `/sync` is found: of its batch the last ones, and some of the others."""
    ids = [event_id for event_id in batch.work.load.event_ids if event_id is not None]
    half = NAMING_IDS_MAX // 2
    return list(dict.fromkeys([*ids[-half:], *ids[: -half : len(ids) // half + 1]]))


def brain_of_sync(principal: Principal, name: str, brains: Collection[str], holding: Mapping[str, int]) -> str:
    """The brain that a batch of `/sync` is of.

    `brains`: the workspace's. `holding`: those that have events of the batch, and how many of them.

    A client of 0.7 gives the name of the brain's directory, while everything else names the brain by its id. So the
    brain that has these events already is meant; else the one of that name. A brain is not made beside others under a
    directory's name, unless a key was made for that name: WireError 409. Raises DeniedError for a name beyond the key.
    """
    reached = {brain: count for brain, count in holding.items() if principal.reaches(brain)}
    most = [brain for brain, count in reached.items() if count == max(reached.values())]
    if len(most) == 1 or name in most:
        return name if name in most else most[0]
    if most:
        raise WireError(
            f"{len(most)} brains of the workspace have these events: a key for one of them says which"
            " (gradata keys create --brain)",
            status=409,
            code="brain_ambiguous",
        )
    if name in brains or name in principal.brains:
        require_brain(principal, name)
        return name
    if principal.brains or not brains:
        require_brain(principal, name)
        return name
    raise WireError(
        "no brain of the workspace has these events, and none has this name, which may be a directory's: replicate the"
        " brain first (gradata replicate), or make a key for it (gradata keys create --brain)",
        status=409,
        code="brain_unknown",
    )


def answer_sync(batch: OldBatch, decision: Decision, limits: Limits) -> Answer:
    """200 with `ingested_count` and `new_watermark` once all is durable, else a problem."""
    return _refused(decision, limits) or Answer(
        200, orjson.dumps({"ingested_count": batch.count, "new_watermark": batch.watermark})
    )


def answer_push(batch: OldBatch, decision: Decision, limits: Limits) -> Answer:
    """200 with `accepted` once all is durable, else a problem. Never a non-empty `rejected`."""
    return _refused(decision, limits) or Answer(200, orjson.dumps({"accepted": batch.count, "rejected": []}))


def _refused(decision: Decision, limits: Limits) -> Answer | None:
    """The error, if not everything is durable now."""
    if not isinstance(decision, Done):
        return not_done("", decision, "")
    if decision.refused:
        first = decision.refused[0]
        detail = f"event {first.record} is too long to be kept: {first.detail}; the others are stored"
        return problem(413, "body_too_large", detail, limits=limits, record=first.record)
    return None


def _taken_apart(body: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The fields, and the bytes of each event."""
    try:
        found = _decode.decode(body)
    except ValidationError as error:
        raise invalid("events", "a list, in an object") from error
    except (DecodeError, RecursionError):
        return _taken_apart_slowly(body)
    fields = {"brain_name": found.brain_name, "brain_id": found.brain_id, "cursor": found.cursor}
    return fields, [bytes(event) for event in found.events]


def _taken_apart_slowly(body: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """As `_taken_apart`, for what only Python's own json takes: NaN, lone surrogates."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise WireError("the body is not JSON") from None
    if not isinstance(document, dict):
        raise WireError("the body is not a JSON object")
    events = document.get("events")
    if not isinstance(events, list):
        raise invalid("events", "a list")
    fields = {name: document.get(name) for name in ("brain_name", "brain_id", "cursor")}
    return fields, [json.dumps(event).encode() for event in events]


def _old_lines(records: Sequence[bytes], form: int) -> tuple[Lines, list[str]]:
    """The records interpreted, with their contents marked; and the times that they name."""
    ends: list[int] = []
    for record in records:
        ends.append((ends[-1] if ends else 0) + len(record))
    lines = read_lines(b"".join(records), ends)
    times = list(lines.columns.timestamps)
    for place, given in enumerate(times):
        if given is None and lines.event_ids[place] is not None:
            fields = interpret(records[place])
            times[place] = timestamp(fields.get("created_at")) if isinstance(fields, dict) else None
    ids = [_id_of(record, event_id) for record, event_id in zip(records, lines.event_ids, strict=True)]
    contents = [foreign_content(form, leaf) for leaf in lines.leaves]
    columns = replace(lines.columns, timestamps=times)
    return replace(lines, contents=contents, event_ids=ids, columns=columns), [
        text for text in times if text is not None
    ]


def _id_of(record: bytes, event_id: str | None) -> str | None:
    """The id of the event; of a row that is pushed under its legacy id the one by which the log's readers know it."""
    if event_id is None or len(event_id) != LEGACY_ID_CHARACTERS:
        return event_id
    return id_in_the_log(_fields(record)) or event_id


def _is_past(text: str, now: datetime) -> bool:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return False
    return (at if at.tzinfo else at.replace(tzinfo=now.tzinfo)) <= now


def invalid(name: str, expected: str) -> WireError:
    """422: a field of the wrong type."""
    return WireError(f"{name} must be {expected}", status=422, code="invalid_field")


# ---------------------------------------------------------------- given back


def pull_body(
    events: Sequence[StoredEvent], *, brain_id: str, asked: str | None, ended: bool, stored: Sequence[str]
) -> bytes:
    """A page of `/events/pull`. `stored`: when each was stored, as ISO 8601. `asked`: the cursor of the request."""
    watermark = events[-1].event_id if events else asked
    page = {
        "events": [orjson.Fragment(_pulled(event, brain_id, at)) for event, at in zip(events, stored, strict=True)],
        "next_cursor": None if ended else watermark,
        "watermark": watermark,
        "end_of_stream": ended,
    }
    return orjson.dumps(page)


def _pulled(event: StoredEvent, brain_id: str, stored_at: str) -> bytes:
    """One event in the form of `/events/pull`; its numbers exactly as they were, NaN as null."""
    fields = _fields(event.record or b"")
    correction = fields.get("correction")
    if event.type == "CORRECTION" and isinstance(correction, dict) and "data" not in fields:
        fields = {"data": correction, "session": correction.get("session"), "ts": correction.get("created_at")}
    document = {
        "event_id": _id_for_clients(event.event_id, fields),
        "ts": fields.get("ts", fields.get("created_at", event.ts)),
        "type": event.type,
        **{name: fields.get(name) for name in PULL_FIELDS},
        "brain_id": brain_id,
        "server_stored_at": stored_at,
    }
    try:
        return json.dumps(document, allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(document)).encode()
    except RecursionError:
        return json.dumps(document | {"data": None}, allow_nan=False).encode()


def _id_for_clients(event_id: str, fields: Mapping[str, Any]) -> str:
    """The event's id; of a row without event_id the one that clients of 0.7 give it, so that they know it."""
    if not event_id.startswith(OF_BYTES) or fields.get("event_id") == event_id or "type" not in fields:
        return event_id
    return str(fields.get("event_id") or legacy_id(fields))


def _fields(record: bytes) -> Mapping[str, Any]:
    """The record's object by Python's own json, which keeps integers of any length; empty if there is none."""
    try:
        fields = json.loads(record)
    except (ValueError, RecursionError):
        found = interpret(record)
        return found if isinstance(found, dict) else {}
    return fields if isinstance(fields, dict) else {}


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def named_brain(body: bytes, field: str) -> str:
    """The brain that a client of 0.4 to 0.6 names in this field. Raises WireError."""
    document = interpret(body)
    if not isinstance(document, dict):
        raise WireError("the body is not a JSON object")
    name = document.get(field)
    if not isinstance(name, str) or not is_name(name):
        raise invalid(field, "a string of 1 to 128 printable characters")
    return name


def nothing_taken(**said: object) -> Answer:
    """To a client that sends a summary and no events: 200, so that it goes on, and what brings the events."""
    detail = "no events were sent, and nothing is kept of this; events come with: gradata replicate"
    return Answer(200, orjson.dumps({"status": "ok", **said, "events_received": 0, "detail": detail}))
