"""Interpret records: which event a record is, and what of it becomes columns.

Pure. The fast path decodes only the few fields that are wanted, with their types, and leaves everything odd — a
missing field is not odd, a wrong type is — to the slow one, which is `framing.interpret` and decides alone what is
flagged. Texts that no database takes (NUL, lone surrogates) are escaped in the columns; the bytes are never touched.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from msgspec import DecodeError, Meta, Struct, ValidationError
from msgspec.json import Decoder

from gradata.cloud.ingest import Lines, Meaning
from replicator.framing import Uninterpretable, event_id_of, interpret
from replicator.proof import leaf_hash, leaf_hashes

TEXT_CHARACTERS_MAX = 128
TS_CHARACTERS_MAX = 64
CONTENT_BYTES = 16
_INTEGER_MAX = 2**63 - 1

_Text = Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX)]


class _Payload(Struct, gc=False):
    category: _Text | None = None
    severity: _Text | None = None


class _Event(Struct, gc=False):
    event_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    type: _Text | None = None
    ts: Annotated[str, Meta(max_length=TS_CHARACTERS_MAX)] | None = None
    session: Annotated[int, Meta(ge=-_INTEGER_MAX, le=_INTEGER_MAX)] | None = None
    data: _Payload | None = None


_NO_PAYLOAD = _Payload()
_decode = Decoder(_Event).decode


def read_lines(records: Sequence[bytes]) -> Lines:
    """Leaves, contents and meanings of records; each ends in its newline."""
    leaves = leaf_hashes(records)
    contents = [leaf[:CONTENT_BYTES] for leaf in leaves]
    for place, record in enumerate(records):
        if record.endswith(b"\r\n"):
            contents[place] = leaf_hash(record[:-2] + b"\n")[:CONTENT_BYTES]
    return Lines(records, leaves, contents, [meaning_of(record) for record in records])


def meaning_of(record: bytes) -> Meaning | str:
    """What the record says as an event, or the code that says why it is none."""
    if b"\\u0000" in record or not (record.isascii() or _is_utf8(record)):
        return _slow_meaning(record)
    try:
        event = _decode(record)
    except (DecodeError, ValidationError, RecursionError):
        return _slow_meaning(record)
    payload = event.data or _NO_PAYLOAD
    return Meaning(
        event.event_id or _identity_of_bytes(record),
        event.type or "",
        payload.category,
        payload.severity,
        event.session,
        event.ts,
    )


def _is_utf8(record: bytes) -> bool:
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True


def _identity_of_bytes(record: bytes) -> str:
    """As `framing.event_id_of` for a record without usable event_id, without decoding it again."""
    return "sha256:" + hashlib.sha256(record.removesuffix(b"\n").removesuffix(b"\r")).hexdigest()[:32]


def _slow_meaning(record: bytes) -> Meaning | str:
    fields = interpret(record)
    if isinstance(fields, Uninterpretable):
        return fields.code
    payload = fields.get("data")
    inner: Mapping[str, Any] = payload if isinstance(payload, dict) else fields
    return Meaning(
        event_id_of(record),
        _text(fields.get("type")) or "",
        _text(inner.get("category")),
        _text(inner.get("severity")),
        _session(fields.get("session")),
        _timestamp(fields.get("ts")),
    )


def storable(text: str) -> str:
    """The text with NUL and lone surrogates as visible escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")


def correction_meaning(event_id: str, correction: Mapping[str, Any]) -> Meaning:
    """What a correction in the form of schema 1 says as an event."""
    return Meaning(
        storable(event_id),
        "CORRECTION",
        _text(correction.get("category")),
        _text(correction.get("severity")),
        _session(correction.get("session")),
        _timestamp(correction.get("created_at")),
    )


def _text(value: object) -> str | None:
    return storable(value)[:TEXT_CHARACTERS_MAX] if isinstance(value, str) else None


def _session(value: object) -> int | str | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value if abs(value) <= _INTEGER_MAX else str(value)[:TEXT_CHARACTERS_MAX]
    if isinstance(value, float):
        return repr(value)
    return _text(value)


def _timestamp(value: object) -> str | None:
    """Text as it stands; seconds since 1970 as ISO 8601 in UTC."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(cast("float", value)):
            return None
        try:
            return datetime.fromtimestamp(value, UTC).isoformat()
        except (OverflowError, ValueError, OSError):  # beyond the years that a date can have
            return None
    return storable(value)[:TS_CHARACTERS_MAX] if isinstance(value, str) else None
