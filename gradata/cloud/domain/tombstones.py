"""Tombstones: erased or expired records, so that a resend does not resurrect them. Pure.

An erased or expired record keeps place, length and leaf, so the tree verifies as before. Its row has the reason
(`flag`), which distinguishes it from a hole (no flag) and from a row that storage lost (no row). The event keeps only
its event_id: it is not in the projection, and the same event is recognised when it comes again, in another generation
of the log or from another client. Partners: `plan`, which asks, and `service.deletion`, which creates them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gradata.cloud.domain.requests import Lines

ERASED = "erased"
EXPIRED = "expired"
GONE = frozenset({ERASED, EXPIRED})
"""Flags of rows without bytes that are tombstones, not holes."""

FOREIGN = bytes(3)
"""Prefix of the content of an event that did not arrive as a log line; one byte with the form follows."""
_MARK_BYTES = len(FOREIGN) + 1
_CONTENT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Barred:
    """The tombstones of a brain. `events`: event_id to reason; `contents`: contents of erased records."""

    events: Mapping[str, str] = field(default_factory=dict)
    contents: Collection[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.events or self.contents)


NOTHING_BARRED = Barred()


def withheld(lines: Lines, barred: Barred, known: Mapping[str, bytes]) -> dict[int, str]:
    """The records of `lines` whose bytes are not stored, and why. `known`: the contents of events by id.

    Other bytes under the id of an expired event are a conflicting record, and stored as such; under the id of an erased
    event they are not stored.
    """
    if not barred:
        return {}
    found: dict[int, str] = {}
    for place, (event_id, content) in enumerate(zip(lines.event_ids, lines.contents, strict=True)):
        reason = ERASED if content in barred.contents else barred.events.get(event_id or "")
        if reason == EXPIRED and event_id is not None:
            first = known.get(event_id, content)
            reason = EXPIRED if first == content or incomparable(first, content) else None
        if reason is not None:
            found[place] = reason
    return found


def foreign_content(form: int, leaf: bytes) -> bytes:
    """The content of an event in this form: equal for equal bytes in the same form."""
    return FOREIGN + bytes((form,)) + leaf[: _CONTENT_BYTES - _MARK_BYTES]


def incomparable(one: bytes, other: bytes) -> bool:
    """Whether two contents of one event_id cannot be compared, because their forms differ."""
    return _form(one) != _form(other)


def _form(content: bytes) -> bytes:
    return content[:_MARK_BYTES] if content.startswith(FOREIGN) else b""
