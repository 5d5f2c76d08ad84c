"""Appends the events that only the cloud has to the log.

Nothing in the log is replaced: where it was truncated or edited, the copy's records are appended. An event counts once,
by its id, whatever else its record contains; the same id with other bytes is a conflict, and only the local record is
kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from replicator.framing import event_id_of
from replicator.log import LogReader, LogWriter
from replicator.log.reading import RECORD_BYTES_MAX
from replicator.model import MIB, Batch
from replicator.recovery.local import PLACEHOLDER, LocalTree
from replicator.recovery.restore import OnBytes, RestorePlan, fetch_span
from replicator.sink.reader import ReplicaReader

RUN_BYTES = MIB


@dataclass(frozen=True, slots=True)
class Merge:
    """What a merge found. The records that only the cloud has stand in `path`, at `places` (offset, length).

    `conflicts`: events that both have, with other bytes. `placeholders`: records without bytes at the cloud.
    """

    path: str
    places: tuple[tuple[int, int], ...]
    conflicts: int
    placeholders: int

    @property
    def length(self) -> int:
        """How many bytes are to be appended."""
        return sum(length for _, length in self.places)


def find_missing(plan: RestorePlan, reader: ReplicaReader, on_progress: OnBytes = lambda _there, _all: None) -> Merge:
    """Fetch what the copy has behind the records that are the same, and find what of it is not in the log.

    Costs one pass over the log, and memory for what the copy has behind the common part.
    """
    path = f"{plan.path}.{plan.log.head.log_id}.merge"
    start = _offset_of(plan)
    fetch_span(path, plan, reader, start, on_progress)
    wanted: dict[str, tuple[int, int]] = {}
    placeholders = 0
    for offset, record in _records(path):
        if record.startswith(PLACEHOLDER):
            placeholders += 1
        else:
            wanted.setdefault(event_id_of(record), (offset, len(record)))
    conflicts = _known(plan.path, path, wanted) if wanted else 0
    return Merge(path, tuple(wanted.values()), conflicts, placeholders)


def append_missing(plan: RestorePlan, merge: Merge) -> int:
    """Append the records, durably, under the writers' lock; returns how many. AppendError as `LogWriter.append`."""
    writer = LogWriter(plan.path)
    run = bytearray()
    try:
        with open(merge.path, "rb") as file:
            for offset, length in merge.places:
                file.seek(offset)
                run += file.read(length)
                if len(run) >= RUN_BYTES:
                    writer.append_run(bytes(run))
                    run.clear()
        if run:
            writer.append_run(bytes(run))
    finally:
        writer.close()
    os.unlink(merge.path)
    return len(merge.places)


def _offset_of(plan: RestorePlan) -> int:
    """Where the part that both have ends: the same offset on both sides."""
    return LocalTree.of(plan.path, plan.shared).end


def _known(log: str, spool: str, wanted: dict[str, tuple[int, int]]) -> int:
    """Take out of `wanted` what the log has; how many of these have other bytes there."""
    conflicts = 0
    with open(spool, "rb") as file:
        for _, record in _records(log):
            place = wanted.pop(event_id_of(record), None)
            if place is not None:
                file.seek(place[0])
                conflicts += file.read(place[1]) != record
    return conflicts


def _records(path: str) -> Iterator[tuple[int, bytes]]:
    """The whole records of a file; those too long to be read whole are left out."""
    for load in LogReader(path).batches(0, 0, record_bytes_max=RECORD_BYTES_MAX):
        if isinstance(load, Batch):
            start = 0
            for end in load.ends:
                yield load.offset + start, bytes(load.data[start:end])
                start = end
