"""Recomputes everything that the store says about its logs from the stored bytes.

For tests and for operators: reads every record (about 2 µs each). Changes nothing except in `rebuild`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from gradata.cloud.domain.plan import Done
from gradata.cloud.domain.requests import Append
from gradata.cloud.domain.tiles import TileLostError, leaves_at, tree_at
from gradata.cloud.protocol.interpret import meaning_of, read_lines
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import each_row, living_brains
from gradata.cloud.store.values import StoredLog, StoredRow
from replicator.proof import CompactRange, leaf_hash

LEAVES_A_STEP = 16_384
ROWS_A_STEP = 1_024


@dataclass(frozen=True, slots=True)
class LogReport:
    """What is wrong with one log: nothing, if `sound`. Records are named by their numbers."""

    log_id: str
    size: int
    missing: tuple[int, ...] = ()
    damaged: tuple[int, ...] = ()
    displaced: tuple[int, ...] = ()
    tiles: str | None = None
    root: str | None = None
    events: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether root, tiles, offsets, rows and events all agree with the bytes."""
        return not (self.missing or self.damaged or self.displaced or self.tiles or self.root or self.events)


def check(store: Store, workspace: str = "default") -> list[LogReport]:
    """One report for each log of the workspace's brains."""
    return [
        report for brain_id in living_brains(store, workspace) for report in check_brain(store, workspace, brain_id)
    ]


def check_brain(store: Store, workspace: str, brain_id: str) -> list[LogReport]:
    """One report for each log of the brain."""
    known = _event_ids(store, workspace, brain_id)
    return [check_log(store, log, known) for log in store.logs(workspace, brain_id)]


def check_log(store: Store, log: StoredLog, events: frozenset[str]) -> LogReport:
    """Compare one log's rows, tiles, head and `events`, those that its brain has."""
    missing: list[int] = []
    damaged: list[int] = []
    displaced: list[int] = []
    unknown: list[str] = []
    tree = CompactRange.EMPTY
    offset = 0

    def tile(level: int, index: int) -> bytes:
        return store.tile(log, level, index)

    try:
        for first in range(0, log.tree.size, LEAVES_A_STEP):
            end = min(first + LEAVES_A_STEP, log.tree.size)
            leaves = leaves_at(first, end, tile)
            rows = {row.number: row for row in each_row(store, log, first, end)}
            for number in range(first, end):
                row = rows.get(number)
                if row is None:
                    missing.append(number)
                    continue
                if row.record is not None:
                    if leaf_hash(row.record) != leaves[number - first] or len(row.record) != row.length:
                        damaged.append(number)
                    meaning = meaning_of(row.record)
                    if not isinstance(meaning, str) and meaning.event_id not in events:
                        unknown.append(meaning.event_id)
                if row.offset != offset and not missing:
                    displaced.append(number)
                offset = row.offset + row.length
            tree = tree.extended(leaves)
        lost = None if tree_at(log.tree.size, tile) == tree else "upper tiles do not follow from the leaves"
    except TileLostError as error:
        lost = str(error)
    root = None if lost or tree == log.tree else "the head's root is not that of the leaves"
    if root is None and not missing and offset != log.offset:
        root = "the head's offset is not the end of the last record"
    return LogReport(
        log.log_id, log.tree.size, tuple(missing), tuple(damaged), tuple(displaced), lost, root, tuple(unknown)
    )


def rebuild(store: Store, workspace: str, brain_id: str, *, now: int) -> int:
    """Restore what the projection lost of the brain's logs, and recompute the counts. Returns the number of events.

    The stored bytes of each log are committed again as its client would send them: what is projected is a duplicate,
    the rest is projected. Safe to repeat, and while a server is running.
    """
    restored = 0
    for log in store.logs(workspace, brain_id):
        for first in range(0, log.tree.size, ROWS_A_STEP):
            rows = list(each_row(store, log, first, min(first + ROWS_A_STEP, log.tree.size)))
            # Runs of consecutive records that all have their bytes, or none.
            for _, run in groupby(enumerate(rows), key=lambda row: (row[1].record is None, row[1].number - row[0])):
                restored += _projected(store, log, [row for _, row in run], now)
    store.recount(workspace, brain_id)
    return restored


def _projected(store: Store, log: StoredLog, rows: Sequence[StoredRow], now: int) -> int:
    """`rows`: consecutive ones, all with bytes or none."""
    records = [row.record for row in rows if row.record is not None]
    if not records:
        return 0
    before = tree_at(rows[0].number, lambda level, index: store.tile(log, level, index))
    load = read_lines(b"".join(records), list(accumulate(map(len, records))))
    request = Append(
        log.workspace, log.brain_id, log.device_id, log.log_id, log.parent,
        rows[0].number, rows[0].offset, before.root, load,
    )  # fmt: skip
    (decision,) = store.ingest([request], now=now)
    return len(decision.writes.events.event_ids) if isinstance(decision, Done) else 0


def _event_ids(store: Store, workspace: str, brain_id: str) -> frozenset[str]:
    """Of all events that the brain has, or had before they were taken away on purpose."""
    return frozenset(mark.event_id for mark in store.marks(workspace, brain_id))
