"""An event and its line: the form of a row, ids, the canonical hash, readable and redacted data.

Pure except for `Ulids`, which takes clock and randomness as arguments. The form is that of existing brains
(docs/log-format.md): the same keys in the same order with the same separators, so that every reader of those brains can
read it. Nothing here writes; `brain` appends the line, `projection` reads it back.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from enum import Enum
from typing import Any

from gradata.brain.fork_safe import PerProcess
from gradata.brain.redaction.redaction import RedactedText, redact, redact_integer
from gradata.errors import EventError
from gradata.legacy_rows import canonical as canonical
from gradata.legacy_rows import legacy_id as legacy_id

Event = dict[str, Any]

EVENT_KEYS = (
    "ts", "session", "type", "source", "data", "tags",
    "valid_from", "valid_until", "brain_id", "event_id", "device_id", "content_hash",
)  # fmt: skip
LINE_BYTES_MAX = 16 * 1024 * 1024
"""A longer line could reach no cloud (`replicator.model.Policy.record_bytes_max`), so it is refused at once."""
DEPTH_MAX = 100
INTEGER_BITS_MAX = 1024
NAME_CHARACTERS_MAX = 200

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARACTERS = 26
_RANDOM_BITS = 80
_RANDOM_END = 1 << _RANDOM_BITS


# ---------------------------------------------------------------- ids


class Ulids:
    """Generates ULIDs: 26 Crockford characters, unique across processes, ascending within one.

    Within one millisecond, or if the clock goes back, the next id is the last one plus a random step, so ids of one
    process sort by creation. A forked child draws its own randomness: ids repeated after a fork would be taken for the
    same event, and lost. Thread-safe.
    """

    def __init__(
        self,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._clock_ms = clock_ms
        self._entropy = entropy
        self._last = PerProcess(_LastUlid)

    def next(self) -> str:
        """A new id. Never repeats, never blocks."""
        now = max(self._clock_ms(), 0)
        last = self._last.own()
        with last.lock:
            fresh = (now << _RANDOM_BITS) | int.from_bytes(self._entropy(_RANDOM_BITS // 8))
            if fresh >> _RANDOM_BITS <= last.value >> _RANDOM_BITS:
                fresh = last.value + 1 + int.from_bytes(self._entropy(4))
            last.value = fresh
        return _crockford(fresh)


class _LastUlid:
    __slots__ = ("lock", "value")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value = -_RANDOM_END


def _crockford(value: int) -> str:
    return "".join(_CROCKFORD[(value >> 5 * place) & 31] for place in reversed(range(_CHARACTERS)))


def content_hash(event: Mapping[str, Any]) -> str | None:
    """SHA-256 (64 hex) of what the event says: type, source, data. None where data is no object."""
    said = event.get("data") or {}
    if not isinstance(said, dict):
        return None
    content = {"type": event.get("type"), "source": event.get("source") or "", "data": said}
    return hashlib.sha256(canonical(content)).hexdigest()


# ---------------------------------------------------------------- the event and its line


def build(
    event_type: str, source: str, said: object, *, tags: Iterable[str], session: int | None, now: datetime
) -> Event:
    """The first eight keys of a row, redacted and in the form JSON can hold; `signed` adds the others.

    Raises EventError for what cannot become readable JSON. `now` is aware, UTC.
    """
    if isinstance(tags, str):
        raise EventError("tags must be a list of texts", hint="pass a list")
    ts, held = now.isoformat(), readable(said)
    if not isinstance(held, dict):
        raise EventError(f"data must be a mapping, not {type(said).__name__}", hint="pass a dict")
    return {
        "ts": ts,
        "session": session,
        "type": _name(event_type, "event_type"),
        "source": _name(source, "source"),
        "data": held,
        "tags": [_name(tag, "a tag") for tag in tags],
        "valid_from": ts,
        "valid_until": None,
    }


def signed(event: Event, *, brain_id: str, device_id: str, event_id: str) -> Event:
    """The whole row: with whose it is, its id, and the hash of what it says."""
    ids = {"brain_id": brain_id, "event_id": event_id, "device_id": device_id}
    return {**event, **ids, "content_hash": content_hash(event)}


def line_of(event: Event) -> bytes:
    """The record: one line of JSON with its newline, in the separators of the rows that exist already.

    Raises EventError for a line over LINE_BYTES_MAX.
    """
    line = json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    if len(line) > LINE_BYTES_MAX:
        raise EventError(
            f"the event has {len(line):,} bytes, more than {LINE_BYTES_MAX:,}",
            hint="store the large part elsewhere and emit a reference to it",
        )
    return line


def readable(value: object, *, depth: int = DEPTH_MAX) -> Any:
    """`value` as plain JSON, redacted: sets become lists, dates ISO text, NaN and lone surrogates their names.

    Raises EventError where that would lose something: two keys of one name, a cycle or depth over DEPTH_MAX,
    or a type without a readable form.
    """
    if depth == 0:
        raise EventError(f"data is nested more than {DEPTH_MAX} deep, or contains itself", hint="flatten it")
    match value:
        case Enum():
            return readable(value.value, depth=depth - 1)
        case None | bool() | str() | int() | float():
            return _readable_scalar(value)
        case Mapping():
            return _readable_object(value, depth)
        case list() | tuple():
            return [readable(item, depth=depth - 1) for item in value]
        case set() | frozenset():
            return sorted((readable(item, depth=depth - 1) for item in value), key=canonical)
        case datetime() | date() | time_of_day():
            return value.isoformat()
        case bytes() | bytearray():
            return _text(value.decode("utf-8", "backslashreplace"))
        case os.PathLike():
            return _text(os.fsdecode(value))
        case _:
            return _described(value)


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _readable_scalar(value: bool | str | int | float | None) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        if value.bit_length() > INTEGER_BITS_MAX:
            raise EventError("data holds an integer of more than 1,024 bits", hint="turn it into text")
        return redact_integer(int(value))
    return float(value) if math.isfinite(value) else _NOT_FINITE[repr(float(value))]


# The names of a correction's own fields, which hold no secret: most of what would be searched for one.
_OWN_NAMES = frozenset(
    [
        *("draft_text", "final_text", "edit_distance", "severity", "outcome", "major_edit", "category", "summary"),
        *("classifications", "description", "lines_added", "lines_removed", "correction_scope", "applies_to"),
        *("platform_source", "edit_distance_estimated", "texts_sha256", "context", "agent_type", "source_kind"),
    ]
)


def _readable_object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for name, item in value.items():
        key = name if type(name) is str and name in _OWN_NAMES else str(readable(name, depth=depth - 1))
        if key in held:
            raise EventError("two keys of data have the same name in JSON", hint="make all keys strings")
        held[key] = readable(item, depth=depth - 1)
    return held


def _described(value: object) -> str:
    """UUID, Decimal and their like read well as text; `<object at 0x7f…>` says nothing, so it is refused."""
    kind = type(value)
    if (kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__) or callable(value):
        raise EventError(
            f"data holds a {kind.__name__}, which has no readable form", hint="turn it into text, numbers, lists, dicts"
        )
    return _text(str(value))


def _text(text: str) -> str:
    """Redacted, and with lone surrogates as their escapes: UTF-8 has no form for them."""
    plain = str(text)
    if not plain.isascii():
        plain = plain.encode("utf-8", "backslashreplace").decode()
    return plain if type(text) is RedactedText else redact(plain)


def _name(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > NAME_CHARACTERS_MAX:
        raise EventError(f"{what} must be text of 1 to {NAME_CHARACTERS_MAX} characters", hint="pass a short name")
    return _text(value)


def utc_now() -> datetime:
    """The wall clock, aware. For people and for rows only; never decides anything."""
    return datetime.now(UTC)
