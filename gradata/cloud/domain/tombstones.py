"""What was taken away on purpose and must not come back by a resend. Pure.

A record that was erased, or has expired, keeps its place, length and leaf, so the tree verifies as before; its row
says why the bytes are gone (`flag`), which tells it from a hole (no flag) and from a row that storage lost (no row).
The event keeps its event_id and nothing else: it is not in the projection, and the same event is known when it comes
again, in another generation of the log or from another client. Partners: `plan`, which asks; `service.deletion`, which
takes away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gradata.cloud.domain.requests import Lines

ERASED = "erased"
EXPIRED = "expired"
GONE = frozenset({ERASED, EXPIRED})
"""Flags of rows without bytes that are no holes."""

FOREIGN = bytes(3)
"""How the content of an event begins that came in another form than a log's line; the form follows in one byte."""
_MARK_BYTES = len(FOREIGN) + 1
_CONTENT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Barred:
    """What a brain must not take again. `events`: event_id to why; `contents`: of records that were erased."""

    events: Mapping[str, str] = field(default_factory=dict)
    contents: Collection[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.events or self.contents)


NOTHING_BARRED = Barred()


def withheld(lines: Lines, barred: Barred, known: Mapping[str, bytes]) -> dict[int, str]:
    """The places of `lines` whose bytes are not to be kept, and why. `known`: the contents of events by their ids.

    Other bytes under the id of an expired event are another record, in conflict with it, and kept as such; under an
    erased one's they are not.
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
    """The content of an event that came in this form: the same for the same bytes in the same form."""
    return FOREIGN + bytes((form,)) + leaf[: _CONTENT_BYTES - _MARK_BYTES]


def incomparable(one: bytes, other: bytes) -> bool:
    """Whether two contents of the same event_id say nothing of each other, because they are of different forms."""
    return _form(one) != _form(other)


def _form(content: bytes) -> bytes:
    return content[:_MARK_BYTES] if content.startswith(FOREIGN) else b""
