"""Shared by both sides of the protocol: constants, the forms of a head, limits and a status.

Parsing is strict about types (a bool is no number, a number is no string, integers are in 0..2^53) and ignores unknown
fields. A wrong form is a `WireError` that names the field, never its content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from replicator.errors import WireError
from replicator.fast_dataclass import value
from replicator.model import Head, Limits, Refusal

SCHEMA = 2
SCHEMAS = (1, 2)

BATCH_TYPE = "application/vnd.gradata.batch"
LOOSE_TYPE = "application/x-ndjson"
JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
REFUSAL_CODES = frozenset({"malformed", "invalid_field", "body_too_large", "record_too_large"})
"""What the cloud says when it refuses records for what they are (400, 413, 422)."""

ANSWER_BYTES_MAX = 64 * 1024
ENVELOPE_BYTES_MAX = 64 * 1024
INTEGER_MAX = 2**53
NAME_CHARACTERS_MAX = 128
EVENT_ID_CHARACTERS_MAX = 256
"""Limit on the wire. Event ids of this version have at most 64 characters; later versions may have longer ones."""
PLAIN_CHARACTERS_MAX = 300
ENCODINGS_MAX = 16

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Report:
    """The replicator's status in each batch and heartbeat. Times are ISO 8601, UTC."""

    state: str
    log_bytes: int
    backlog_bytes: int
    last_event_at: str | None
    dead_letters: int
    version: str
    trouble: str | None = None
    last_ack_at: str | None = None
    brief: bool = False
    """The process sends what is waiting and exits, as a hook does, so no heartbeat is to be expected."""


def plain(text: str, characters_max: int = PLAIN_CHARACTERS_MAX) -> str:
    """`text` as one line that is safe in terminals, logs and JSON; unprintable characters are replaced."""
    cut = text[:characters_max]
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cut)


def is_name(text: str) -> bool:
    """Whether `text` may be a brain_id, device_id or cloud_id: 1 to 128 printable characters."""
    return 0 < len(text) <= NAME_CHARACTERS_MAX and text.isprintable()


def is_uuid(text: str) -> bool:
    """Whether `text` is a uuid in its canonical lower-case form: one log has one name."""
    return _UUID.fullmatch(text) is not None


@value
class Fields:
    """A JSON object read field by field, each with its type. Raises WireError that names the field."""

    values: Mapping[str, Any] = field(repr=False)
    where: str = ""

    @classmethod
    def of(cls, body: bytes | memoryview) -> Fields:
        """The fields of a body that must be one JSON object."""
        try:
            values = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise WireError("the body is not JSON") from None
        if not isinstance(values, dict):
            raise WireError("the body is not a JSON object")
        return cls(values)

    def wrong(self, name: str, expected: str) -> WireError:
        """The error for one field."""
        return WireError(f"{self.where}{name} must be {expected}")

    def number(self, name: str, *, least: int = 0) -> int:
        """An integer from `least` to 2^53."""
        value = self.values.get(name)
        if type(value) is not int or not least <= value <= INTEGER_MAX:
            raise self.wrong(name, f"an integer from {least} to 2^53")
        return value

    def number_or_none(self, name: str, *, least: int = 0) -> int | None:
        """As `number`; None if absent or null."""
        return None if self.values.get(name) is None else self.number(name, least=least)

    def text(self, name: str, characters_max: int) -> str:
        """A string, possibly empty, of any characters."""
        value = self.values.get(name)
        if not isinstance(value, str) or len(value) > characters_max:
            raise self.wrong(name, f"a string of at most {characters_max} characters")
        return value

    def text_or_none(self, name: str, characters_max: int) -> str | None:
        """As `text`; None if absent or null."""
        return None if self.values.get(name) is None else self.text(name, characters_max)

    def name(self, name: str) -> str:
        """A name: 1 to 128 printable characters."""
        value = self.values.get(name)
        if not isinstance(value, str) or not is_name(value):
            raise self.wrong(name, f"a string of 1 to {NAME_CHARACTERS_MAX} printable characters")
        return value

    def name_or_none(self, name: str) -> str | None:
        """As `name`; None if absent or null."""
        return None if self.values.get(name) is None else self.name(name)

    def uuid(self, name: str) -> str:
        """A uuid, as `is_uuid` says."""
        value = self.values.get(name)
        if not isinstance(value, str) or not is_uuid(value):
            raise self.wrong(name, "a uuid in lower case with hyphens")
        return value

    def uuid_or_none(self, name: str) -> str | None:
        """As `uuid`; None if absent or null."""
        return None if self.values.get(name) is None else self.uuid(name)

    def hash(self, name: str) -> bytes:
        """A SHA-256 in lower-case hex."""
        value = self.values.get(name)
        if not isinstance(value, str) or not _HASH.fullmatch(value):
            raise self.wrong(name, "64 lower-case hex digits")
        return bytes.fromhex(value)

    def inner(self, name: str) -> Fields:
        """An object."""
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Fields(value, f"{self.where}{name}.")

    def inner_or_none(self, name: str) -> Fields | None:
        """As `inner`; None if absent or null."""
        return None if self.values.get(name) is None else self.inner(name)

    def items(self, name: str) -> list[Any]:
        """A list."""
        value = self.values.get(name)
        if not isinstance(value, list):
            raise self.wrong(name, "a list")
        return value

    def objects(self, name: str) -> list[Fields]:
        """A list of objects."""
        values = self.items(name)
        if not all(isinstance(value, dict) for value in values):
            raise self.wrong(name, "a list of objects")
        return [Fields(value, f"{self.where}{name}[{index}].") for index, value in enumerate(values)]


def event_id_json(event_id: str | None) -> str | None:
    """An event_id in its wire form.

    It comes from a record, so it may contain a lone surrogate, which UTF-8 cannot encode. It is informational: size and
    root decide.
    """
    return event_id if event_id is None or event_id.isascii() else event_id.encode("utf-8", "replace").decode()


def head_json(head: Head) -> dict[str, Any]:
    """The wire form of a head."""
    return {
        "log_id": head.log_id,
        "size": head.size,
        "offset": head.offset,
        "root": head.root.hex(),
        "event_id": event_id_json(head.event_id),
    }


def read_head(fields: Fields) -> Head:
    """A head from its object."""
    return Head(
        log_id=fields.uuid("log_id"),
        size=fields.number("size"),
        root=fields.hash("root"),
        offset=fields.number("offset"),
        event_id=fields.text_or_none("event_id", EVENT_ID_CHARACTERS_MAX),
    )


def limits_json(limits: Limits) -> dict[str, Any]:
    """The wire form of limits."""
    return {
        "body_bytes": limits.body_bytes,
        "record_bytes": limits.record_bytes,
        "records": limits.records,
        "requests_per_minute": limits.requests_per_minute,
        "encodings": list(limits.encodings),
    }


def read_limits(fields: Fields) -> Limits:
    """Limits from their object."""
    encodings = fields.items("encodings")
    named = all(isinstance(name, str) and is_name(name) for name in encodings)
    if not named or len(encodings) > ENCODINGS_MAX:
        raise fields.wrong("encodings", f"a list of at most {ENCODINGS_MAX} names")
    return Limits(
        body_bytes=fields.number("body_bytes", least=1),
        record_bytes=fields.number("record_bytes", least=1),
        records=fields.number("records", least=1),
        requests_per_minute=fields.number_or_none("requests_per_minute", least=1),
        encodings=tuple(encodings),
    )


def refusal_json(refusal: Refusal) -> dict[str, Any]:
    """The wire form of a flagged or refused record."""
    return {"record": refusal.record, "code": refusal.code, "detail": plain(refusal.detail)}


def read_refusal(fields: Fields) -> Refusal:
    """A flagged or refused record from its object."""
    detail = fields.text_or_none("detail", ANSWER_BYTES_MAX) or ""
    return Refusal(fields.number("record"), fields.name("code"), plain(detail))


def report_json(report: Report) -> dict[str, Any]:
    """The wire form of a status."""
    brief = {"brief": True} if report.brief else {}
    return brief | {
        "state": report.state,
        "log_bytes": report.log_bytes,
        "backlog_bytes": report.backlog_bytes,
        "last_event_at": _plain_or_none(report.last_event_at),
        "dead_letters": report.dead_letters,
        "version": report.version,
        "trouble": _plain_or_none(report.trouble),
        "last_ack_at": _plain_or_none(report.last_ack_at),
    }


def _plain_or_none(text: str | None) -> str | None:
    return None if text is None else plain(text)


def read_report(fields: Fields) -> Report:
    """A status from its object."""
    return Report(
        state=fields.name("state"),
        log_bytes=fields.number("log_bytes"),
        backlog_bytes=fields.number("backlog_bytes"),
        last_event_at=fields.text_or_none("last_event_at", PLAIN_CHARACTERS_MAX),
        dead_letters=fields.number("dead_letters"),
        version=fields.name("version"),
        trouble=fields.text_or_none("trouble", PLAIN_CHARACTERS_MAX),
        last_ack_at=fields.text_or_none("last_ack_at", PLAIN_CHARACTERS_MAX),
        brief=fields.values.get("brief") is True,
    )


_TITLES = {
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}


def title_of(status: int) -> str:
    """What the protocol calls a status. The names of some changed in Python 3.13, those of the protocol do not."""
    # Imported here: only servers answer with problems, but clients load this module too.
    from http import HTTPStatus

    return _TITLES.get(status) or HTTPStatus(status).phrase
