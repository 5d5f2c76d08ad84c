"""Pages of a brain's events by time of storing, then event_id, for `/events/pull`.

Cursors are events, found again by their ids, not times. Events of one commit have the same time and are ordered by id;
commits are in their own order, which no clock can change. An event that is gone keeps its position and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from gradata.cloud.store.port import Store
from gradata.cloud.store.values import EVENTS_BYTES_MAX, EventMark, EventQuery, StoredEvent

READ_EVENTS = 50


@dataclass(frozen=True, slots=True)
class Page:
    """`ended`: there are no later events now."""

    events: tuple[StoredEvent, ...]
    ended: bool


def page(store: Store, workspace: str, brain_id: str, place: EventMark | None, limit: int) -> Page:
    """At most `limit` events behind `place`; None: from the beginning. At least one, if there is any."""
    wanted: list[EventMark] = []
    ended = True
    for mark in _behind(store, workspace, brain_id, place):
        if len(wanted) == limit:
            ended = False
            break
        wanted.append(mark)
    found: list[StoredEvent] = []
    bytes_left = EVENTS_BYTES_MAX
    for event in _events(store, workspace, brain_id, wanted):
        bytes_left -= len(event.record or b"")
        if found and bytes_left < 0:
            return Page(tuple(found), ended=False)
        found.append(event)
    return Page(tuple(found), ended)


def before_time(store: Store, workspace: str, brain_id: str, at: int) -> EventMark | None:
    """The last event that was stored before `at` (microseconds since 1970); None if none was."""
    for mark in store.marks(workspace, brain_id, 2**40, backwards=True):
        if mark.stored_at < at:
            return mark
    return None


def _behind(store: Store, workspace: str, brain_id: str, place: EventMark | None) -> Iterator[EventMark]:
    """The marks behind `place` that are there, in order."""
    first = 0 if place is None else _first_of_commit(store, workspace, brain_id, place)
    marks = store.marks(workspace, brain_id, first - 1 if first else 0)
    skipping = place
    for _, commit in groupby(marks, key=lambda mark: mark.stored_at):
        for mark in sorted(commit, key=lambda mark: mark.event_id):
            if skipping is not None and mark.event_id <= skipping.event_id:
                continue
            if mark.gone is None:
                yield mark
        skipping = None


def _first_of_commit(store: Store, workspace: str, brain_id: str, place: EventMark) -> int:
    first = place.cursor
    for mark in store.marks(workspace, brain_id, place.cursor, backwards=True):
        if mark.stored_at != place.stored_at:
            break
        first = mark.cursor
    return first


def _events(store: Store, workspace: str, brain_id: str, marks: Sequence[EventMark]) -> Iterator[StoredEvent]:
    """The events at these marks, in their order. One that went meanwhile is left out."""
    for start in range(0, len(marks), READ_EVENTS):
        part = marks[start : start + READ_EVENTS]
        missing = [mark.cursor for mark in part]
        found: dict[int, StoredEvent] = {}
        while missing:  # a read gives fewer where records are large
            read = {
                event.cursor: event
                for event in store.events(workspace, EventQuery(brain_id, cursors=tuple(missing), limit=READ_EVENTS))
            }
            found |= read
            missing = [cursor for cursor in missing if cursor not in read] if read else []
        yield from (found[mark.cursor] for mark in part if mark.cursor in found)
