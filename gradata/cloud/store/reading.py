"""Reads of a store that are made of the port's: the same for every store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from gradata.cloud.store.port import Store
from gradata.cloud.store.values import (
    CURSOR_END,
    BrainStanding,
    EventMark,
    EventQuery,
    StoredEvent,
    StoredKey,
    StoredLog,
    StoredRow,
)

_PROBE_RECORDS = 8


def each_row(store: Store, log: StoredLog, first: int, end: int) -> Iterator[StoredRow]:
    """The stored rows of records [first, end), one by one, in their order."""
    for run in store.rows(log, first, end):
        for row in run:
            yield StoredRow(*row)


def rows_at(store: Store, log: StoredLog, offset: int, end: int) -> Iterator[StoredRow]:
    """The stored rows that hold bytes of [offset, end), in their order."""
    for row in each_row(store, log, _number_at(store, log, offset), log.tree.size):
        if row.offset >= end:
            return
        yield row


def last_holes(store: Store, log: StoredLog, limit: int = 50) -> list[StoredRow]:
    """Places of the log without bytes that the client may still fill, the last ones first."""
    holes = deque((row for run in store.rows(log, 0, log.tree.size, "holes") for row in run), maxlen=limit)
    return [StoredRow(*row) for row in reversed(holes)]


def living_brains(store: Store, workspace: str) -> list[str]:
    """The workspace's brains that are not deleted, sorted."""
    return [brain.brain_id for brain in store.standings(workspace) if brain.deleted_at is None]


def owner_of(store: Store, brain_id: str) -> str | None:
    """The workspace that the brain belongs to, deleted or not; None if nobody wrote to it."""
    found: list[BrainStanding] = store.standings(None, brain_id)
    return found[0].workspace if found else None


def key_of(store: Store, prefix: str) -> StoredKey | None:
    """The key with this public prefix."""
    return next(iter(store.keys(prefix=prefix)), None)


def mark_of(store: Store, workspace: str, brain_id: str, event_id: str) -> EventMark | None:
    """Where this event stands, also if it is gone."""
    return next(store.marks(workspace, brain_id, event_id=event_id), None)


def recent(
    store: Store, workspace: str, brain_id: str, *, kind: str | None = None, limit: int = 50, before: int = CURSOR_END
) -> list[StoredEvent]:
    """The newest events with a cursor below `before`, newest first.

    Of the RECENT_SCANNED_MAX places below it: fewer than `limit` of a `kind` do not say that there are no more.
    """
    return store.events(workspace, EventQuery(brain_id, kind, limit=limit, before=before))


def _number_at(store: Store, log: StoredLog, offset: int) -> int:
    """A number from which on the first stored row is the first that ends behind `offset`."""
    low, high = 0, log.tree.size
    while low < high and offset > 0:
        middle = (low + high) // 2
        row = _first_row(store, log, middle, high)
        if row is None or row.offset + row.length > offset:
            high = middle
        else:
            low = row.number + 1
    return low


def _first_row(store: Store, log: StoredLog, first: int, end: int) -> StoredRow | None:
    """The first row that is there, without its bytes. Few records are read: most often the first has one."""
    near = min(first + _PROBE_RECORDS, end)
    for low, high in ((first, near), (near, end)):
        for run in store.rows(log, low, high, "places"):
            return StoredRow(*run[0])
    return None
