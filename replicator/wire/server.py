"""The server's half of the protocol: parses and checks requests, builds answers.

`parse_…` raise WireError with the status and code of the answer. They take bytes that the caller has decompressed and
bounded, and check the bounds again. Nothing here knows a log's head: the ingest decides what a batch means. `client` is
the other half; the tests connect the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from replicator.actions import Acked, Heard
from replicator.errors import WireError
from replicator.fast_dataclass import value
from replicator.framing import interpret, split
from replicator.model import Batch, Head, Limits, Refusal
from replicator.wire.common import (
    ANSWER_BYTES_MAX,
    ENVELOPE_BYTES_MAX,
    INTEGER_MAX,
    SCHEMA,
    SCHEMAS,
    Fields,
    Report,
    event_id_json,
    head_json,
    is_name,
    limits_json,
    plain,
    read_report,
    refusal_json,
    title_of,
)

EVENT_ID_CHARACTERS_MAX = 64
DETAIL_CHARACTERS_MAX = 1_000
HOLES_MAX = 16
"""Maximum number of holes in a batch; this client sends two at most."""
_CORRECTION_TEXTS = ("category", "severity", "description", "draft_preview", "final_preview", "created_at")
_ANSWER_ROOM = ANSWER_BYTES_MAX - 2_048
"""Room for the lists of an answer: its limit minus its other fields."""


@value
class Envelope:
    """The first line of a batch: whose records these are, and their place in the log.

    `root` is the client's root of the records before `first`. `parent`: the log that this generation follows.
    """

    schema: int
    brain_id: str
    device_id: str
    log_id: str
    cloud_id: str | None
    first: int
    offset: int
    root: bytes
    count: int
    parent: str | None = None
    status: Report | None = None


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """A hole: the record's length and leaf, with which the tree continues."""

    first: int
    offset: int
    length: int
    leaf: bytes

    @property
    def end(self) -> int:
        """The offset in the log one past the record."""
        return self.offset + self.length


@value
class BatchRequest:
    """A complete batch: `count` records, or one hole.

    `holes`: places without bytes among the records, in order, each with its offset in the log. `load` then contains the
    other records without separators.
    """

    envelope: Envelope
    load: Batch | RecordPlace
    holes: tuple[RecordPlace, ...] = ()


@dataclass(frozen=True, slots=True)
class HeartbeatRequest:
    """Where a client's cursor stands."""

    brain_id: str
    device_id: str
    log_id: str
    cloud_id: str | None
    size: int
    root: bytes
    status: Report | None = None


@dataclass(frozen=True, slots=True)
class CorrectionRequest:
    """One correction (schema 1). `fields` is the whole document; unknown fields are kept."""

    brain_id: str
    event_id: str | None
    correction: dict[str, Any] = field(repr=False)
    fields: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One log as listed by `GET /logs`. Times are ISO 8601, UTC; `holes` counts places without bytes.

    `silent_s`: seconds since its replicator was last heard of.
    """

    head: Head
    device_id: str
    parent: str | None = None
    created_at: str | None = None
    stored_at: str | None = None
    holes: int = 0
    silent_s: int | None = None


def parse_batch(body: bytes | memoryview, limits: Limits) -> BatchRequest:
    """Parse a batch of schema 2. Safe for any bytes: cost and memory are a small multiple of `limits.body_bytes`.

    Records over `limits.record_bytes` are no error here: they are rejected one by one, and the others are stored.
    """
    if len(body) > limits.body_bytes:
        raise WireError("the body is larger than the limit", status=413, code="body_too_large")
    end = bytes(body[:ENVELOPE_BYTES_MAX]).find(b"\n")
    if end < 0:
        raise WireError(f"the first line must be an envelope of at most {ENVELOPE_BYTES_MAX} bytes")
    fields = Fields.of(body[:end])
    envelope = _envelope(fields)
    if envelope.count > limits.records:
        raise WireError("more records than the limit", status=413, code="body_too_large")
    data = bytes(body[end + 1 :])
    hole = fields.inner_or_none("hole")
    if hole is not None:
        return BatchRequest(envelope, _place(envelope, hole, data))
    holes = fields.objects("holes") if fields.values.get("holes") is not None else []
    if len(holes) > HOLES_MAX:
        raise fields.wrong("holes", f"at most {HOLES_MAX} places without bytes")
    # Counted before it is split: 16 MiB of newlines would make 16 million ends.
    if data[-1:] != b"\n" or data.count(b"\n") != envelope.count - len(holes):
        raise WireError("count must be the number of records in the body, each with its newline")
    load = Batch(envelope.first, envelope.offset, data, split(data))
    return BatchRequest(envelope, load, _places(envelope, load, holes))


def _envelope(fields: Fields) -> Envelope:
    schema = fields.number("schema")
    if schema > SCHEMA:
        raise _unsupported()
    if schema != SCHEMA:
        raise fields.wrong("schema", f"{SCHEMA} in a batch")
    envelope = Envelope(
        schema=schema,
        brain_id=fields.name("brain_id"),
        device_id=fields.name("device_id"),
        log_id=fields.uuid("log_id"),
        cloud_id=fields.name_or_none("cloud_id"),
        first=fields.number("first"),
        offset=fields.number("offset"),
        root=fields.hash("root"),
        count=fields.number("count", least=1),
        parent=fields.uuid_or_none("parent"),
        status=_report(fields),
    )
    if (envelope.first == 0) != (envelope.offset == 0) or envelope.offset < envelope.first:
        raise fields.wrong("offset", "0 for the first record, and at least `first` for others")
    if envelope.first + envelope.count > INTEGER_MAX:
        raise fields.wrong("count", "such that the log stays below 2^53 records")
    return envelope


def _place(envelope: Envelope, hole: Fields, data: bytes) -> RecordPlace:
    if envelope.count != 1 or data:
        raise WireError("a hole must have count 1 and no record behind it")
    return RecordPlace(envelope.first, envelope.offset, hole.number("length", least=1), hole.hash("leaf"))


def _places(envelope: Envelope, load: Batch, holes: list[Fields]) -> tuple[RecordPlace, ...]:
    """The holes among the records of `load`, each at its offset in the log."""
    places: list[RecordPlace] = []
    skipped = 0
    for hole in holes:
        number = hole.number("record", least=places[-1].first + 1 if places else envelope.first)
        before = number - envelope.first - len(places)
        if number >= envelope.first + envelope.count:
            raise hole.wrong("record", "a record of this batch")
        offset = envelope.offset + skipped + (load.ends[before - 1] if before else 0)
        length = hole.number("length", least=1)
        places.append(RecordPlace(number, offset, length, hole.hash("leaf")))
        skipped += length
    return tuple(places)


def _report(fields: Fields) -> Report | None:
    status = fields.inner_or_none("status")
    return None if status is None else read_report(status)


def _unsupported() -> WireError:
    known = ", ".join(map(str, SCHEMAS))
    return WireError(f"this server speaks the schemas {known}", status=426, code="schema_unsupported")


def parse_heartbeat(body: bytes | memoryview) -> HeartbeatRequest:
    """The body of `POST /heartbeat`. Raises WireError, which names the field that is missing or of a wrong type."""
    fields = Fields.of(body)
    return HeartbeatRequest(
        brain_id=fields.name("brain_id"),
        device_id=fields.name("device_id"),
        log_id=fields.uuid("log_id"),
        cloud_id=fields.name_or_none("cloud_id"),
        size=fields.number("size"),
        root=fields.hash("root"),
        status=_report(fields),
    )


def parse_correction(body: bytes) -> CorrectionRequest:
    """One correction, schema 1. A field of the wrong type is 422, anything that is no JSON object 400."""
    document = interpret(body)
    if not isinstance(document, dict):
        raise WireError("the body is not a JSON object")
    schema = document.get("schema", 1)
    if type(schema) is int and schema > SCHEMA:
        raise _unsupported()
    if type(schema) is not int or schema != 1:
        raise _invalid("schema", "1 in this form; schema 2 travels as a batch")
    brain_id, correction = document.get("brain_id"), document.get("correction")
    if not isinstance(brain_id, str) or not is_name(brain_id):
        raise _invalid("brain_id", "a string of 1 to 128 printable characters")
    if not isinstance(correction, dict):
        raise _invalid("correction", "an object")
    for name in _CORRECTION_TEXTS:
        if not isinstance(correction.get(name), str | None):
            raise _invalid(f"correction.{name}", "a string or null")
    if isinstance(correction.get("session"), dict | list):
        raise _invalid("correction.session", "a number, a string or null")
    return CorrectionRequest(brain_id, _event_id(document), correction, document)


def _event_id(document: dict[str, Any]) -> str | None:
    event_id = document.get("event_id")
    if event_id is None or event_id == "":
        return None
    if isinstance(event_id, str) and len(event_id) <= EVENT_ID_CHARACTERS_MAX and event_id.isprintable():
        return event_id
    raise _invalid("event_id", f"at most {EVENT_ID_CHARACTERS_MAX} printable characters, or null")


def _invalid(name: str, expected: str) -> WireError:
    return WireError(f"{name} must be {expected}", status=422, code="invalid_field")


def ack_body(acked: Acked) -> bytes:
    """The 200 answer to a batch: at most 64 KiB, because clients read no more.

    The counts are always correct: accepted + duplicates + flagged_count + refused_count = count of the batch. If the
    lists are too long, they lose their details first; then as much of `refused` as fits is listed (the client makes
    dead letters of these), then of `flagged`.
    """
    body = {
        "schema": SCHEMA,
        "cloud_id": acked.cloud_id,
        "head": head_json(acked.head),
        "accepted": acked.accepted,
        "duplicates": acked.duplicates,
        "flagged": [refusal_json(item) for item in acked.flagged],
        "refused": [refusal_json(item) for item in acked.refused],
        "flagged_count": max(acked.flagged_count, len(acked.flagged)),
        "refused_count": max(acked.refused_count, len(acked.refused)),
    }
    if acked.limits is not None:
        body["limits"] = limits_json(acked.limits)
    encoded = orjson.dumps(body)
    if len(encoded) <= ANSWER_BYTES_MAX:
        return encoded
    refused, room = _fitting((_bare(item) for item in acked.refused), _ANSWER_ROOM)
    flagged, _ = _fitting((_bare(item) for item in acked.flagged), room)
    return orjson.dumps(body | {"flagged": flagged, "refused": refused})


def plain_ack_body(head: Head, accepted: int, duplicates: int, cloud_id: str, limits: Limits) -> bytes:
    """The same bytes as `ack_body` where nothing is flagged or refused, which is nearly every answer."""
    begin, end = _ack_frame(cloud_id, limits)
    event_id = orjson.dumps(event_id_json(head.event_id))
    numbers = (head.size, head.offset, head.root.hex().encode(), event_id, accepted, duplicates)
    return begin + head.log_id.encode() + _PLAIN_ACK % numbers + end


_PLAIN_ACK = (
    b'","size":%d,"offset":%d,"root":"%b","event_id":%b},"accepted":%d,"duplicates":%d,'
    b'"flagged":[],"refused":[],"flagged_count":0,"refused_count":0,"limits":'
)


@lru_cache(maxsize=16)
def _ack_frame(cloud_id: str, limits: Limits) -> tuple[bytes, bytes]:
    begin = b'{"schema":%d,"cloud_id":%b,"head":{"log_id":"' % (SCHEMA, orjson.dumps(cloud_id))
    return begin, orjson.dumps(limits_json(limits)) + b"}"


def _bare(refusal: Refusal) -> dict[str, Any]:
    return {"record": refusal.record, "code": refusal.code}


def _fitting(items: Iterable[dict[str, Any]], room: int) -> tuple[list[orjson.Fragment], int]:
    """The first of `items` that fit in `room` bytes together, and the bytes left."""
    fitting: list[orjson.Fragment] = []
    for item in items:
        encoded = orjson.dumps(item)
        if len(encoded) + 1 > room:
            break
        fitting.append(orjson.Fragment(encoded))
        room -= len(encoded) + 1
    return fitting, room


def heartbeat_body(heard: Heard) -> bytes:
    """The body of the 200 answer: the cloud's id and its head of the log."""
    return orjson.dumps({"cloud_id": heard.cloud_id, "head": head_json(heard.head)})


def logs_body(entries: Sequence[LogEntry]) -> bytes:
    """The 200 answer to `GET /logs`: newest first, as many as fit into 64 KiB; `truncated`: there are more."""
    logs, _ = _fitting(map(_entry_json, entries), _ANSWER_ROOM)
    return orjson.dumps({"logs": logs, "truncated": len(logs) < len(entries)})


def _entry_json(entry: LogEntry) -> dict[str, Any]:
    return (
        head_json(entry.head)
        | {
            "device_id": entry.device_id,
            "parent": entry.parent,
            "created_at": entry.created_at,
            "stored_at": entry.stored_at,
            "holes": entry.holes,
        }
        | ({} if entry.silent_s is None else {"silent_s": entry.silent_s})
    )


def correction_body(event_id: str, *, duplicate: bool) -> bytes:
    """The 200 answer to one correction (schema 1)."""
    return orjson.dumps(
        {
            "schema": 1,
            "status": "duplicate" if duplicate else "accepted",
            "deduplicated": duplicate,
            "event_id": event_id,
        }
    )


def problem_body(status: int, code: str, detail: str, **extra: object) -> bytes:
    """An error as problem+json (RFC 9457). `extra` are further members; a Head or Limits becomes its object.

    A member that is None is left out.
    """
    body: dict[str, object] = {
        "type": "about:blank",
        "title": title_of(status),
        "status": status,
        "detail": plain(detail, DETAIL_CHARACTERS_MAX),
        "code": code,
    }
    body |= {name: _member(value) for name, value in extra.items() if value is not None}
    return orjson.dumps(body)


def _member(value: object) -> object:
    match value:
        case Head():
            return head_json(value)
        case Limits():
            return limits_json(value)
        case _:
            return value
