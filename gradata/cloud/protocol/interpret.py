"""Interprets records: whether a record is an event, and its columns.

Pure. The fast path decodes only the wanted fields with their types, and leaves everything unusual (a wrong type, but
not a missing field) to the slow one, `framing.interpret`, which alone decides what is flagged. Texts that no database
accepts (NUL, lone surrogates) are escaped in the columns; the bytes are never changed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Annotated, Any, NamedTuple, cast

from msgspec import DecodeError, Meta, Struct, ValidationError
from msgspec.json import Decoder

from gradata.cloud.domain.requests import Columns, Lines
from gradata.cloud.domain.tombstones import foreign_content
from replicator.framing import EVENT_ID_CHARACTERS_MAX, Uninterpretable, event_id_of, interpret
from replicator.proof import leaf_hash, leaf_hashes

TEXT_CHARACTERS_MAX = 128
TS_CHARACTERS_MAX = 64
CONTENT_BYTES = 16
SCHEMA_1 = 1
"""The form of a correction, as `domain.tombstones.foreign_content` takes it."""
NESTING_MAX = 1_000
"""Below the depth that every supported version of both parsers takes. Beyond it only `framing` decides: how deep
msgspec goes depends on the version of Python and on the caller's stack."""
_INTEGER_MAX = 2**63 - 1

_Text = Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX)]


class _Payload(Struct, gc=False):
    category: _Text | None = None
    severity: _Text | None = None


class _Event(Struct, gc=False):
    event_id: Annotated[str, Meta(min_length=1, max_length=EVENT_ID_CHARACTERS_MAX)] | None = None
    type: _Text = ""
    ts: Annotated[str, Meta(max_length=TS_CHARACTERS_MAX)] | None = None
    session: Annotated[int, Meta(ge=-_INTEGER_MAX, le=_INTEGER_MAX)] | None = None
    data: _Payload | None = None


class Meaning(NamedTuple):
    """The interpreted fields of one event."""

    event_id: str
    type: str
    category: str | None
    severity: str | None
    session: int | str | None
    ts: str | None


_NO_PAYLOAD = _Payload()
_decode = Decoder(_Event)
_FAILURES = (DecodeError, ValidationError, RecursionError)


def read_lines(data: bytes, ends: Sequence[int]) -> Lines:
    """Leaves, contents and meanings of the records in `data`; `ends[i]` is where record i ends, newline included."""
    if len(ends) == 1:
        return _single(data[: ends[0]])
    records = [data[start:end] for start, end in pairwise((0, *ends))]
    leaves = leaf_hashes(records)
    contents = [leaf[:CONTENT_BYTES] for leaf in leaves]
    if b"\r" in data and b"\r\n" in data:  # one byte is found twenty times as fast as two
        for place, record in enumerate(records):
            if record.endswith(b"\r\n"):
                contents[place] = leaf_hash(record[:-2] + b"\n")[:CONTENT_BYTES]
    events = _all_plain(data, records)
    if events is None:
        return _each(records, leaves, contents)
    ids = [event.event_id or _identity_of_bytes(records[place]) for place, event in enumerate(events)]
    columns = _columns(events)
    if _any_nul(ids, columns):
        return _each(records, leaves, contents)
    return Lines(records, leaves, contents, ids, columns)


def with_holes(lines: Lines, holes: Sequence[tuple[int, int, bytes]]) -> Lines:
    """`lines` with holes among them: each has its final place, its length and its leaf."""
    records, leaves, contents = list(lines.records), list(lines.leaves), list(lines.contents)
    ids, rows = list(lines.event_ids), list(zip(*_fields(lines.columns), strict=True))
    flags = dict(lines.flags)
    for place, _, leaf in holes:
        records.insert(place, b"")
        leaves.insert(place, leaf)
        contents.insert(place, b"")
        ids.insert(place, None)
        rows.insert(place, _NOTHING[1:])
        flags = {at + (at >= place): code for at, code in flags.items()}
    lengths = {place: length for place, length, _ in holes}
    return Lines(records, leaves, contents, ids, Columns(*zip(*rows, strict=True)), flags, lengths)


def _fields(columns: Columns) -> tuple[Sequence[Any], ...]:
    return columns.types, columns.categories, columns.severities, columns.sessions, columns.timestamps


def _single(record: bytes) -> Lines:
    """One record: the usual request of an agent at work."""
    leaf = leaf_hash(record)
    content = leaf if not record.endswith(b"\r\n") else leaf_hash(record[:-2] + b"\n")
    contents = (content[:CONTENT_BYTES],)
    event = _plain(record)
    if event is None:
        return _each((record,), (leaf,), contents)
    payload = event.data or _NO_PAYLOAD
    columns = Columns((event.type,), (payload.category,), (payload.severity,), (event.session,), (event.ts,))
    return Lines((record,), (leaf,), contents, (event.event_id or _identity_of_bytes(record),), columns)


def _all_plain(data: bytes, records: Sequence[bytes]) -> list[_Event] | None:
    """All records decoded at once, which is three times as fast; None if any of them is unusual."""
    if not (data.isascii() or _is_utf8(data)) or any(map(_may_be_deep, records)):
        return None
    try:
        events = _decode.decode_lines(data)
    except _FAILURES:
        return None
    return events if len(events) == len(records) else None


def _any_nul(ids: Sequence[str], columns: Columns) -> bool:
    """Whether a text that goes into a column holds a NUL; looking for its escape in all bytes costs ten times that."""
    texts = (ids, columns.types, columns.categories, columns.severities, columns.timestamps)
    return any("\0" in "".join(filter(None, column)) for column in texts)


def _columns(events: Sequence[_Event]) -> Columns:
    payloads = [event.data or _NO_PAYLOAD for event in events]
    return Columns(
        [event.type for event in events],
        [payload.category for payload in payloads],
        [payload.severity for payload in payloads],
        [event.session for event in events],
        [event.ts for event in events],
    )


def _each(records: Sequence[bytes], leaves: Sequence[bytes], contents: Sequence[bytes]) -> Lines:
    meanings = [meaning_of(record) for record in records]
    ids: list[str | None] = []
    flags: dict[int, str] = {}
    rows: list[Meaning] = []
    for place, meaning in enumerate(meanings):
        if isinstance(meaning, str):
            flags[place] = meaning
            ids.append(None)
            rows.append(_NOTHING)
        else:
            ids.append(meaning.event_id)
            rows.append(meaning)
    columns = list(zip(*rows, strict=True)) or [()] * len(Meaning._fields)
    return Lines(records, leaves, contents, ids, Columns(*columns[1:]), flags)


_NOTHING = Meaning("", "", None, None, None, None)


def meaning_of(record: bytes) -> Meaning | str:
    """What the record says as an event, or the code that says why it is none."""
    event = _plain(record)
    if event is None:
        return _slow_meaning(record)
    payload = event.data or _NO_PAYLOAD
    return Meaning(
        event.event_id or _identity_of_bytes(record),
        event.type,
        payload.category,
        payload.severity,
        event.session,
        event.ts,
    )


def _plain(record: bytes) -> _Event | None:
    """The record, decoded; None if it is unusual."""
    if b"\\u0000" in record or not (record.isascii() or _is_utf8(record)) or _may_be_deep(record):
        return None
    try:
        return _decode.decode(record)
    except _FAILURES:
        return None


def _may_be_deep(record: bytes) -> bool:
    """Whether it may nest deeper than NESTING_MAX. Each level takes two bytes, so a short record cannot."""
    return len(record) > 2 * NESTING_MAX and record.count(b"[") + record.count(b"{") > NESTING_MAX


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
        timestamp(fields.get("ts")),
    )


def storable(text: str) -> str:
    """The text with NUL and lone surrogates as visible escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")


def correction_line(record: bytes, event_id: str, correction: Mapping[str, Any]) -> Lines:
    """A correction in the form of schema 1 as one line; `record` is what is kept of it."""
    leaf = leaf_hash(record)
    columns = Columns(
        ("CORRECTION",),
        (_text(correction.get("category")),),
        (_text(correction.get("severity")),),
        (_session(correction.get("session")),),
        (timestamp(correction.get("created_at")),),
    )
    return Lines((record,), (leaf,), (foreign_content(SCHEMA_1, leaf),), (storable(event_id),), columns)


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


def timestamp(value: object) -> str | None:
    """Text as it stands; seconds since 1970 as ISO 8601 in UTC."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(cast("float", value)):
            return None
        try:
            return datetime.fromtimestamp(value, UTC).isoformat()
        except (OverflowError, ValueError, OSError):  # beyond the years that a date can have
            return None
    return storable(value)[:TS_CHARACTERS_MAX] if isinstance(value, str) else None
