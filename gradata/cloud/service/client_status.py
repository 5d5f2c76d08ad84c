"""A replicator's status as stored, parsed with its types. Pure.

It is a client's claim, stored as received, possibly by an older server that checked less. A field of the wrong type
counts as absent and makes the status `unreadable`, which is shown and counted: one brain's invalid status does not hide
the fleet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from gradata.cloud.domain.timestamps import microseconds
from replicator.wire.common import INTEGER_MAX, PLAIN_CHARACTERS_MAX


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """As `replicator.wire.Report`. Times in microseconds since 1970. `log_bytes` None: it did not say."""

    state: str = ""
    log_bytes: int | None = None
    backlog_bytes: int = 0
    last_event_at: int | None = None
    dead_letters: int = 0
    version: str = ""
    trouble: str = ""
    last_ack_at: int | None = None
    brief: bool = False
    unreadable: bool = False


def read_client_status(kept: bytes | None) -> ClientStatus:
    """The status that is kept of a log; an empty one if it never said anything. Never raises."""
    if kept is None:
        return ClientStatus()
    try:
        said = orjson.loads(kept)
    except orjson.JSONDecodeError:
        return ClientStatus(unreadable=True)
    if not isinstance(said, dict):
        return ClientStatus(unreadable=True)
    fields = _Fields(said)
    return ClientStatus(
        state=fields.text("state"),
        log_bytes=fields.number("log_bytes"),
        backlog_bytes=fields.number("backlog_bytes") or 0,
        last_event_at=fields.time("last_event_at"),
        dead_letters=fields.number("dead_letters") or 0,
        version=fields.text("version"),
        trouble=fields.text("trouble"),
        last_ack_at=fields.time("last_ack_at"),
        brief=said.get("brief") is True,
        unreadable=fields.wrong,
    )


class _Fields:
    """Fields by their types; `wrong` if any was of another."""

    def __init__(self, said: dict[str, Any]) -> None:
        self._said = said
        self.wrong = False

    def text(self, name: str) -> str:
        value = self._said.get(name)
        if isinstance(value, str):
            return value[:PLAIN_CHARACTERS_MAX]
        self.wrong |= value is not None
        return ""

    def number(self, name: str) -> int | None:
        value = self._said.get(name)
        if type(value) is int and 0 <= value <= INTEGER_MAX:
            return value
        self.wrong |= value is not None
        return None

    def time(self, name: str) -> int | None:
        value = self._said.get(name)
        at = microseconds(value)
        self.wrong |= at is None and value is not None
        return at
