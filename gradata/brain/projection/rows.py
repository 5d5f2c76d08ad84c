"""Projects one record of the log as one row of system.db, once.

An event with an id is identified by (brain_id, event_id). A record without one is identified by its exact bytes
(`replicator.framing.event_id_of`); `gradata_identity` keeps which row represents it, because an older version may have
projected it under a legacy id or none. Partner: `projection`, which holds the transaction.
"""

from __future__ import annotations

import json
import math
import sqlite3
from datetime import UTC, datetime
from typing import Any

import orjson

from gradata.brain.events import EVENT_KEYS
from gradata.legacy_rows import legacy_id
from replicator.framing import Uninterpretable, event_id_of, interpret, without_line_end

# `interpret` makes floats of integers beyond 64 bits; where one may stand, the standard library reads again.
# Translating and finding costs 2 us for a record, searching for [0-9]{19} costs 40.
_DIGITS_TO_ZERO = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else 32 for byte in range(256))
_LONG_NUMBER = b"0" * 19
_INTEGER_END = 1 << 63
_ROW_KEYS = frozenset(EVENT_KEYS)

_KEYS_SHOWN = (
    "id", "ts", "session", "type", "source", "data", "tags",
    "valid_from", "valid_until", "brain_id", "event_id", "device_id", "content_hash",
)  # fmt: skip
COLUMNS_SHOWN = (
    "e.id, e.ts, e.session, e.type, e.source, e.data_json, e.tags_json, e.valid_from, e.valid_until, e.brain_id,"
    " coalesce(g.identity, e.event_id), e.device_id, e.content_hash"
)
"""Of `events e LEFT JOIN gradata_identity g`: a record without an id of its own is known by its identity."""

_INSERT = (
    "INSERT OR IGNORE INTO events (ts, session, type, source, data_json, tags_json, valid_from, valid_until,"
    " tenant_id, brain_id, event_id, device_id, content_hash)"
    " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?10, ?9, ?11, ?12, ?13"
    " WHERE NOT EXISTS (SELECT 1 FROM events WHERE brain_id = ?9 AND event_id = ?11)"
    " AND NOT EXISTS (SELECT 1 FROM events WHERE brain_id IS NULL AND event_id = ?11)"
)
_BY_LEGACY_ID = (
    "SELECT e.id FROM events e WHERE (e.brain_id = ? OR e.brain_id IS NULL) AND e.event_id = ?"
    " AND NOT EXISTS (SELECT 1 FROM gradata_identity g WHERE g.event_row = e.id) LIMIT 1"
)
_WITHOUT_ID = (
    "SELECT e.id, e.ts, e.session, e.type, e.source, e.data_json, e.tags_json FROM events e"
    " WHERE e.event_id IS NULL AND e.ts = ? AND e.type = ?"
    " AND NOT EXISTS (SELECT 1 FROM gradata_identity g WHERE g.event_row = e.id) ORDER BY e.id LIMIT 100"
)
_CLAIMED = "INSERT OR REPLACE INTO gradata_identity (identity, event_row) VALUES (?, ?)"
_NAMED = "UPDATE events SET event_id = ?, brain_id = coalesce(brain_id, ?) WHERE id = ? AND event_id IS NULL"


class Projector:
    """Writes records as rows. `newest`: the id and the row of the event that it added last."""

    def __init__(self, brain_id: str) -> None:
        self._brain_id = brain_id
        self.newest: tuple[str, int | None] = ("", None)

    def project(self, connection: sqlite3.Connection, record: bytes) -> bool:
        """Bring one record, unless its event is there; False: it is no event, and is only counted."""
        event = _event_on(record)
        if event is None:
            return False
        event_id = event.get("event_id")
        if not (isinstance(event_id, str) and len(event_id) <= 64 and event_id.isascii() and event_id.isalnum()):
            event_id = event_id_of(record)  # the rule itself; what is above is its common case, without parsing twice
            if event_id != event.get("event_id"):
                self._project_without_id(connection, event, event_id)
                return True
        added = connection.execute(_INSERT, self._row(event, event_id))
        if added.rowcount == 1:
            self.newest = (event_id, added.lastrowid)
        return True

    def _project_without_id(self, connection: sqlite3.Connection, event: dict[str, Any], identity: str) -> None:
        """Once for each identity. A row that an older version projected is taken over, each for one record."""
        known = "SELECT 1 FROM gradata_identity g JOIN events e ON e.id = g.event_row WHERE g.identity = ?"
        if connection.execute(known, (identity,)).fetchone():
            return
        legacy = legacy_id(event)
        row = self._unclaimed(connection, event, legacy)
        name = legacy if self._is_free(connection, legacy) else identity
        if row is None:
            row = connection.execute(_INSERT, self._row(event, name)).lastrowid
        else:
            connection.execute(_NAMED, (name, self._brain_id, row))
        connection.execute(_CLAIMED, (identity, row))

    def _is_free(self, connection: sqlite3.Connection, event_id: str) -> bool:
        """The first record of a legacy id gets it, so that versions which know it by that do not add it again."""
        taken = "SELECT 1 FROM events WHERE (brain_id = ? OR brain_id IS NULL) AND event_id = ?"
        return connection.execute(taken, (self._brain_id, event_id)).fetchone() is None

    def _unclaimed(self, connection: sqlite3.Connection, event: dict[str, Any], legacy: str) -> int | None:
        """A row of an older version with this record's content that represents no other record."""
        found = connection.execute(_BY_LEGACY_ID, (self._brain_id, legacy)).fetchone()
        if found:
            return int(found[0])
        for row_id, *columns in connection.execute(_WITHOUT_ID, (_ts(event), _type(event))).fetchall():
            if _legacy_id_of_row(columns) == legacy:
                return int(row_id)
        return None

    def _row(self, event: dict[str, Any], event_id: str) -> tuple[object, ...]:
        session = event.get("session")
        usable = type(session) is int and -_INTEGER_END <= session < _INTEGER_END
        ts = _ts(event)
        return (
            ts,
            session if usable else None,
            _type(event),
            _text_or_none(event.get("source")),
            _json(event["data"] if "data" in event else {k: v for k, v in event.items() if k not in _ROW_KEYS}),
            _json(event.get("tags", [])),
            _text_or_none(event.get("valid_from")) or ts,
            _text_or_none(event.get("valid_until")),
            _text_or_none(event.get("brain_id")) or self._brain_id,
            self._brain_id,
            event_id,
            _text_or_none(event.get("device_id")),
            _text_or_none(event.get("content_hash")),
        )


def shown(row: tuple[Any, ...]) -> dict[str, Any]:
    """A row, selected as COLUMNS_SHOWN, as the event that callers see: the keys of its line, and `id` of the row."""
    event = dict(zip(_KEYS_SHOWN, row, strict=True))
    event["data"], event["tags"] = _parsed(event["data"], {}), _parsed(event["tags"], [])
    return event


def _parsed(text: object, empty: object) -> Any:
    """What older versions stored as JSON; text that is none is shown as it is."""
    if not isinstance(text, str) or not text:
        return empty
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _event_on(record: bytes) -> dict[str, Any] | None:
    event = interpret(record)
    if isinstance(event, Uninterpretable):
        return None
    if _LONG_NUMBER in record.translate(_DIGITS_TO_ZERO):
        try:
            exact = json.loads(without_line_end(record).decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return event  # a number of more digits than Python converts: the float must do
        return exact if isinstance(exact, dict) else event
    return event


def _legacy_id_of_row(columns: list[Any]) -> str | None:
    ts, session, event_type, source, data_json, tags_json = columns
    try:
        said, tags = json.loads(data_json or "{}"), json.loads(tags_json or "[]")
    except (ValueError, RecursionError):
        return None
    return legacy_id({"ts": ts, "session": session, "type": event_type, "source": source, "data": said, "tags": tags})


def _ts(event: dict[str, Any]) -> str:
    """Text as it is; epoch seconds as ISO text; else what there is, since the column wants something."""
    ts = event.get("ts")
    if isinstance(ts, str):
        return _text(ts)
    if isinstance(ts, (int, float)) and not isinstance(ts, bool) and math.isfinite(ts):
        try:
            return datetime.fromtimestamp(ts, UTC).isoformat()
        except (OverflowError, ValueError, OSError):
            return _json(ts)
    return "" if ts is None else _json(ts)


def _type(event: dict[str, Any]) -> str:
    return _text_or_none(event.get("type")) or ""


def _text_or_none(value: object) -> str | None:
    return _text(value) if isinstance(value, str) else None


def _text(value: str) -> str:
    """SQLite takes no lone surrogates."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def _json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except (TypeError, orjson.JSONEncodeError):  # integers beyond 64 bits, lone surrogates, depth
        return json.dumps(value)
