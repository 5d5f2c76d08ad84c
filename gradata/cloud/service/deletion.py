"""Deletion, erasure and retention. The store has the steps, this module the order.

Each operation first stores the tombstone and then removes data in small transactions. So nothing slips in behind it,
writers wait only briefly, and an interrupted operation is finished by repeating it. The tree never changes: a record
without bytes keeps length and leaf.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradata.cloud.domain.tiles import hashes_of
from gradata.cloud.domain.tombstones import FOREIGN
from gradata.cloud.protocol.interpret import meaning_of, read_lines
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import each_row, mark_of
from gradata.cloud.store.values import BrainStanding, Erasure, EventQuery, StoredLog, StoreError, StoreUnavailableError
from replicator.proof import TILE_HASHES

STEP_ROWS = 2_000
PURGE_ROWS = 10_000
DAY_US = 86_400_000_000
RETAIN_DAYS_MAX = 36_500


class UnknownError(StoreError):
    """The brain, log, record or event does not exist, or belongs to another workspace."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to erase: an event, wherever it is stored; or a record of a log, and every other with the same bytes."""

    event_id: str | None = None
    log_id: str | None = None
    record: int | None = None


@dataclass(frozen=True, slots=True)
class Erased:
    """What was, or would be, erased. `places`: (log_id, record); `loose`: records that are part of no log."""

    event_id: str | None
    places: tuple[tuple[str, int], ...]
    loose: int


def standing(store: Store, workspace: str, brain_id: str) -> BrainStanding:
    """The state of the brain. Raises UnknownError."""
    found = store.standings(workspace, brain_id)
    if not found:
        raise UnknownError(f"there is no brain {brain_id}", hint="gradata brains list")
    return found[0]


def delete(store: Store, workspace: str, brain_id: str, *, now: int) -> BrainStanding:
    """Delete a brain: from now on its requests are answered 410. `purge` removes its rows.

    Returns its previous state. Safe to repeat. Raises UnknownError.
    """
    before = standing(store, workspace, brain_id)
    store.delete_brain(workspace, brain_id, now=now)
    return before


def purge(store: Store, workspace: str, brain_id: str, stopped: Callable[[], bool] = lambda: False) -> int:
    """Remove everything of a deleted brain but its tombstone. Returns the number of rows."""
    removed = 0
    while not stopped() and (step := store.purge(workspace, brain_id, PURGE_ROWS)):
        removed += step
    store.rest()
    return removed


def readmit(store: Store, workspace: str, brain_id: str) -> None:
    """Readmit a deleted brain: remove its tombstone and all remaining rows. The first client that sends it owns it."""
    purge(store, workspace, brain_id)
    store.purge(workspace, brain_id, PURGE_ROWS, readmit=True)


def erase(store: Store, workspace: str, brain_id: str, target: Target, *, now: int, dry_run: bool = False) -> Erased:
    """Erase the bytes of a record wherever they are stored; its event leaves the projection.

    Safe to repeat: a second call finds nothing. Raises UnknownError, and StoreError for what cannot be erased.
    """
    if standing(store, workspace, brain_id).deleted_at is not None:
        raise UnknownError(f"the brain {brain_id} was deleted", hint="nothing of it is left to erase")
    wanted = _wanted(store, workspace, brain_id, target)
    if not dry_run and (wanted.event_id or wanted.contents):
        store.erase(workspace, brain_id, Erasure(wanted.event_id, wanted.contents), now=now)
    places: list[tuple[str, int]] = []
    numbers_of: dict[int, list[int]] = {}
    for log in store.logs(workspace, brain_id):
        numbers = _places(store, log, wanted)
        places += [(log.log_id, number) for number in numbers]
        numbers_of[log.key] = numbers
    loose = {
        content
        for needle in wanted.needles
        for _, content, record in store.holding(workspace, brain_id, needle)
        if content is not None
        and (content in wanted.contents or wanted.is_it(record) or _names(record, wanted.event_id))
    }
    if not dry_run:
        erasure = Erasure(wanted.event_id, wanted.contents, numbers_of, wanted.contents.union(loose))
        store.erase(workspace, brain_id, erasure, now=now)
        store.rest()
    return Erased(wanted.event_id, tuple(places), len(loose))


def expire(
    store: Store, workspace: str, brain_id: str, before: int, stopped: Callable[[], bool] = lambda: False
) -> int:
    """Erase records first stored before `before`. Returns the approximate number of events and records."""
    done = 0
    while not stopped() and (step := store.expire(workspace, brain_id, before, STEP_ROWS)):
        done += step
    return done


def retain(store: Store, workspace: str, brain_id: str, days: int | None) -> None:
    """Set the retention period in days, None: no limit. Expired records stay expired. Raises UnknownError."""
    if not store.retain(workspace, brain_id, None if days is None else days * DAY_US):
        raise UnknownError(f"there is no brain {brain_id}", hint="gradata brains list")


def sweep(
    store: Store,
    *,
    now: int,
    stopped: Callable[[], bool] = lambda: False,
    failed: Callable[[Exception], None] | None = None,
) -> int:
    """The periodic work: expire records, finish deletions. Returns the approximate number of rows.

    `failed` is called for a brain's unexpected error, and the other brains are handled; without it, the error is
    raised.
    """
    done = 0
    for workspace in store.workspaces():
        for brain in store.standings(workspace):
            try:
                done += _sweep_brain(store, workspace, brain, now, stopped)
            except StoreUnavailableError:
                raise
            except Exception as error:
                if failed is None:
                    raise
                failed(error)
    return done


def _sweep_brain(store: Store, workspace: str, brain: BrainStanding, now: int, stopped: Callable[[], bool]) -> int:
    if brain.deleted_at is not None and (brain.offset or brain.events):
        return purge(store, workspace, brain.brain_id, stopped)
    if brain.deleted_at is None and brain.retain_us is not None:
        return expire(store, workspace, brain.brain_id, now - brain.retain_us, stopped)
    return 0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is looked for: records of these contents, and those that are this event. `needles` find candidates."""

    event_id: str | None
    contents: frozenset[bytes]
    needles: tuple[bytes, ...]

    def is_it(self, record: bytes) -> bool:
        """Whether a record that is stored is one of those."""
        lines = read_lines(record, [len(record)])
        return lines.contents[0] in self.contents or (self.event_id is not None and lines.event_ids[0] == self.event_id)


def _wanted(store: Store, workspace: str, brain_id: str, target: Target) -> _Wanted:
    record: bytes | None = None
    event_id = target.event_id
    contents: set[bytes] = set()
    if event_id is None:
        log = None if target.log_id is None else store.log(workspace, target.log_id, brain_id)
        if log is None or target.record is None:
            raise UnknownError(f"the brain has no log {target.log_id}", hint="gradata brains list shows what there is")
        rows = list(each_row(store, log, target.record, target.record + 1))
        if not rows:
            raise UnknownError(f"the log has no record {target.record}", hint="records are counted from 0")
        record = rows[0].record
        if record is None:
            return _Wanted(None, frozenset(), ())
        meaning = meaning_of(record)
        event_id = None if isinstance(meaning, str) else meaning.event_id
    mark = None if event_id is None else mark_of(store, workspace, brain_id, event_id)
    if target.event_id is not None and mark is None:
        raise UnknownError(f"the brain has no event {event_id}", hint="its event_id stands in the log's line")
    if mark is not None:
        contents.add(mark.content)
        event = store.events(workspace, EventQuery(brain_id, cursors=(mark.cursor,)))
        record = record or (event[0].record if event else None)
    needles = [] if event_id is None else [event_id.encode()]
    if record is not None:
        bare = record.rstrip(b"\r\n")
        if not bare.strip():
            raise StoreError("a blank line says nothing that could be erased", hint="name another record")
        contents.add(read_lines(record, [len(record)]).contents[0])
        needles.append(bare)
    return _Wanted(event_id, frozenset(contents), tuple(needles))


def _places(store: Store, log: StoredLog, wanted: _Wanted) -> list[int]:
    """The records of a log that are to go and still have bytes: by their leaf, and by what they say."""
    candidates: set[int] = set()
    plain = {content for content in wanted.contents if not content.startswith(FOREIGN)}
    for index in range(-(-log.tree.size // TILE_HASHES) if plain else 0):
        for slot, leaf in enumerate(hashes_of(store.tile(log, 0, index))):
            if leaf[:16] in plain:
                candidates.add(index * TILE_HASHES + slot)
    for needle in wanted.needles:
        found = store.holding(log.workspace, log.brain_id, needle, log.key)
        candidates.update(number for number, _, _ in found if number is not None)
    rows = (row for number in sorted(candidates) for row in each_row(store, log, number, number + 1))
    return [row.number for row in rows if row.record is not None and wanted.is_it(row.record)]


def _names(record: bytes, event_id: str | None) -> bool:
    """Whether a loose record, whatever its form, says that it is this event."""
    meaning = meaning_of(record)
    return event_id is not None and not isinstance(meaning, str) and meaning.event_id == event_id
