"""A cloud in memory: what it stores of a log, and its half of the protocol's table of answers.

`receive` is that table as a pure function (PROTOCOL.md, "POST /ingest"); `MemoryCloud` keeps logs with it and does what
befalls clouds: it rolls back, is made anew, loses rows. It knows nothing of HTTP: it speaks in outcomes. The real one
is `gradata.cloud`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from replicator.actions import (
    Acked,
    Beat,
    BeatOutcome,
    Denied,
    Gone,
    Heard,
    Mismatch,
    Recalled,
    RecallOutcome,
    Refused,
    Send,
    SendOutcome,
    TooLarge,
)
from replicator.model import Batch, Head, Hole, Limits, Refusal
from replicator.proof import CompactRange, leaf_hash


class StoredPlace(NamedTuple):
    """One record as it is stored. `record` None: its place is kept, its bytes are not."""

    leaf: bytes
    length: int
    record: bytes | None


Replica = tuple[StoredPlace, ...]
"""What is stored of one log."""


def head_of(log_id: str, replica: Replica) -> Head:
    """The head of a log."""
    tree = tree_of(tuple(place.leaf for place in replica))
    return Head(log_id, tree.size, tree.root, sum(place.length for place in replica))


@lru_cache(maxsize=4_096)
def tree_of(leaves: tuple[bytes, ...]) -> CompactRange:
    """The tree over these leaves."""
    return CompactRange.EMPTY.extended(leaves)


def places_of(load: Batch | Hole, *, record_bytes_max: int) -> Replica:
    """How the records sent would be stored; longer ones as a place only."""
    if isinstance(load, Hole):
        return (StoredPlace(load.leaf, load.length, None),)
    return tuple(
        StoredPlace(leaf_hash(record), len(record), record if _kept(load, number, record, record_bytes_max) else None)
        for number, record in enumerate(load.records(), start=load.first)
    )


def _kept(load: Batch, number: int, record: bytes, record_bytes_max: int) -> bool:
    return number not in load.holes and len(record) <= record_bytes_max


def receive(
    replica: Replica, action: Send, cloud_id: str, *, record_bytes_max: int = Limits().record_bytes
) -> tuple[Replica, Acked | Mismatch]:
    """What is stored after a batch came in, and the answer: append, overlap, gap or diverged."""
    log_id, first = action.cursor.log_id, action.load.first
    head = head_of(log_id, replica)
    if first > len(replica):
        return replica, Mismatch(head, None, cloud_id)
    sent = places_of(action.load, record_bytes_max=record_bytes_max)
    stored = replica[first:]
    for number, (there, here) in enumerate(zip(stored, sent, strict=False), start=first):
        if there.leaf != here.leaf:
            return replica, Mismatch(head, number, cloud_id)
    beyond = len(sent) > len(stored)
    if beyond and tree_of(tuple(place.leaf for place in replica[:first])).root != action.cursor.root:
        return replica, Mismatch(head, None, cloud_id)
    kept = tuple(there if there.record is not None else here for there, here in zip(stored, sent, strict=False))
    after = replica[:first] + kept + sent[len(kept) :] + replica[first + len(sent) :]
    refused = tuple(
        Refusal(number, "record_too_large", f"at most {record_bytes_max} bytes are kept")
        for number, here in enumerate(sent, start=first)
        if here.record is None and isinstance(action.load, Batch) and number not in action.load.holes
    )
    accepted = len(after) - len(replica) - sum(refusal.record >= len(replica) for refusal in refused)
    duplicates = len(sent) - accepted - len(refused)
    return after, Acked(
        cloud_id, head_of(log_id, after), accepted, duplicates, refused=refused, refused_count=len(refused)
    )


class MemoryCloud:
    """Logs in memory, behind the ingest table, with limits and records that it refuses.

    `logs` may be looked at and changed by tests. While `denied` is set each request gets that answer, while `gone`
    is set a 410.
    """

    def __init__(self, cloud_id: str = "cloud-1", *, limits: Limits | None = None) -> None:
        self.cloud_id = cloud_id
        self.limits = limits
        self.logs: dict[str, Replica] = {}
        self.denied: Denied | None = None
        self.gone = False
        self.body_bytes_max: int | None = None
        """Beyond it a body gets a 413, which names no limits: a proxy's."""
        self.refused: set[bytes] = set()
        """Records for which a whole request gets a 422."""
        self.names_refused = True
        """Whether the 422 names the record at fault."""

    def ingest(self, action: Send) -> SendOutcome:
        """The answer to a batch, after doing what it says."""
        barred = self._barred()
        if barred is not None:
            return barred
        load = action.load
        if isinstance(load, Batch):
            if self.body_bytes_max is not None and len(load.data) > self.body_bytes_max:
                return TooLarge()
            for number, record in enumerate(load.records(), start=load.first):
                if record in self.refused and number not in load.holes:
                    return Refused(422, "refused", number if self.names_refused else None)
        log_id = action.cursor.log_id
        record_bytes_max = (self.limits or Limits()).record_bytes
        after, answer = receive(self.logs.get(log_id, ()), action, self.cloud_id, record_bytes_max=record_bytes_max)
        if isinstance(answer, Mismatch):
            return answer
        self.logs[log_id] = after
        return Acked(
            answer.cloud_id,
            answer.head,
            answer.accepted,
            answer.duplicates,
            refused=answer.refused,
            refused_count=answer.refused_count,
            limits=self.limits,
        )

    def heartbeat(self, action: Beat) -> BeatOutcome:
        """The answer to a heartbeat."""
        log_id = action.cursor.log_id
        return self._barred() or Heard(self.cloud_id, head_of(log_id, self.logs.get(log_id, ())))

    def recall(self) -> RecallOutcome:
        """All logs, newest first."""
        heads = (head_of(log_id, replica) for log_id, replica in reversed(self.logs.items()))
        return self._barred() or Recalled(tuple(heads))

    def _barred(self) -> Denied | Gone | None:
        return self.denied or (Gone("deleted on purpose") if self.gone else None)

    # ------------------------------------------------------------------------------ what befalls clouds

    def roll_back(self, log_id: str, size: int) -> None:
        """Only the first `size` records are there: a backup was restored."""
        self.logs[log_id] = self.logs[log_id][:size]

    def make_anew(self, cloud_id: str) -> None:
        """Nothing is there any more, and the cloud has another name."""
        self.cloud_id = cloud_id
        self.logs.clear()

    def lose_rows(self, log_id: str, numbers: Iterable[int]) -> None:
        """The bytes of these records are lost; places and head stay."""
        lost = set(numbers)
        self.logs[log_id] = tuple(
            place._replace(record=None) if number in lost else place for number, place in enumerate(self.logs[log_id])
        )

    def bytes_of(self, log_id: str) -> bytes:
        """The replica, byte for byte; no byte for a record that is not kept."""
        return b"".join(place.record or b"" for place in self.logs.get(log_id, ()))
