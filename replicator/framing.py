"""Splits bytes of the log into records, and looks into one record.

Pure. A record is a line *including* its newline (0x0A and nothing else: U+2028, U+0085 and a carriage return may occur
inside). A torn tail is a write in progress, not an error, and is left for the next read. Nothing here changes or
re-encodes a record: `interpret` is for what is stored beside the bytes. Reading files is the work of `log`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate, islice
from typing import Any, Literal

import orjson

NEWLINE = 0x0A
EVENT_ID_CHARACTERS_MAX = 64
HASHED_ID_DIGITS = 32
ODD_DEPTH_MAX = 500
"""Maximum nesting of a record that only the standard library can parse. Python's own limit depends on its version and
on the caller's stack; an event's identity must not.
"""

_BOM = b"\xef\xbb\xbf"
_JSON_BLANKS = b" \t\r\n"
_ESCAPES_QUOTES_BRACKETS = re.compile(r"\\.|[\"\[\]{}]", re.DOTALL)

Code = Literal["not_utf8", "not_json", "not_object", "blank"]


@dataclass(frozen=True, slots=True)
class Uninterpretable:
    """A record that is no JSON object. It is replicated like every other; `code` says why."""

    code: Code


def split(data: bytes, records_max: int | None = None) -> tuple[int, ...]:
    """The ends of the first `records_max` whole records in `data`, each one past its newline.

    Bytes after the last newline belong to no record. `BytesIO` splits at 0x0A only and shares the bytes; it takes half
    the time of a loop over `find` (0.15 instead of 0.3 µs for a record of 1.2 kB).
    """
    ends = tuple(accumulate(map(len, islice(BytesIO(data), records_max))))
    return ends if not ends or data[ends[-1] - 1] == NEWLINE else ends[:-1]


def reach(data: bytes, record_bytes_max: int) -> int:
    """The number of bytes of `data` before the first line longer than `record_bytes_max`; `len(data)` if there is none.

    A torn tail counts as a line: it is at least that long. Costs one short search per `record_bytes_max` bytes, not one
    per record.
    """
    assert record_bytes_max > 0
    start = 0
    while len(data) - start > record_bytes_max:
        end = data.rfind(b"\n", start, start + record_bytes_max) + 1
        if not end:
            return start
        start = end
    return len(data)


def event_id_of(record: bytes) -> str:
    """The identity of the event in this record; never raises.

    The record's own `event_id`, if it is a string of 1 to 64 characters that every store can hold (no NUL, no lone
    surrogate); else `sha256:` and 32 hex digits over the record's bytes without line end. Ids derived from JSON's
    canonical form are no identity: old versions computed up to three for one row.
    """
    row = interpret(record)
    if isinstance(row, dict) and _usable(event_id := row.get("event_id")):
        return str(event_id)
    return "sha256:" + hashlib.sha256(without_line_end(record)).hexdigest()[:HASHED_ID_DIGITS]


def interpret(record: bytes) -> dict[str, Any] | Uninterpretable:
    """The JSON object in this record, or why there is none; never raises.

    For use beside the bytes, never instead of them: integers beyond 64 bits become floats. A byte order mark is not
    part of the object. The standard library parses what orjson rejects: NaN and lone surrogates.
    """
    body = without_line_end(record).removeprefix(_BOM)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _interpret_oddity(body)
    return value if isinstance(value, dict) else Uninterpretable("not_object")


def without_line_end(record: bytes) -> bytes:
    """The record without one newline at its end and, if it stands before that, one carriage return."""
    if not record.endswith(b"\n"):
        return record
    return record[:-2] if record.endswith(b"\r\n") else record[:-1]


def _interpret_oddity(body: bytes) -> dict[str, Any] | Uninterpretable:
    if not body.strip(_JSON_BLANKS):
        return Uninterpretable("blank")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return Uninterpretable("not_utf8")
    if _too_deep(text):
        return Uninterpretable("not_json")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Uninterpretable("not_json")
    return value if isinstance(value, dict) else Uninterpretable("not_object")


def _too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= ODD_DEPTH_MAX:
        return False
    depth = 0
    in_string = False
    for found in _ESCAPES_QUOTES_BRACKETS.finditer(text):
        mark = found.group()
        if mark == '"':
            in_string = not in_string
        elif in_string or mark[0] == "\\":
            continue
        else:
            depth += 1 if mark in "[{" else -1
            if depth > ODD_DEPTH_MAX:
                return True
    return False


def _usable(event_id: object) -> bool:
    if not isinstance(event_id, str) or not 0 < len(event_id) <= EVENT_ID_CHARACTERS_MAX:
        return False
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in event_id)
