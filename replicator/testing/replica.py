"""A replica in memory, with what can be wrong with one: the other `ReplicaReader`, for tests of verify and restore."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from replicator.errors import CloudError
from replicator.model import Head
from replicator.proof import TILE_HASHES, TILE_HEIGHT, CompactRange, leaf_hash, leaf_hashes, node_hash
from replicator.wire.replica import ReplicaLog, Scrub, ScrubDepth

LOG_ID = "11111111-1111-4111-8111-111111111111"
PIECE_BYTES = 1000


class MemoryReplica:
    """The cloud's copy of `records`. `rows` are what it has of them: None a hole, absent lost; change them at will.

    `breaks`: after so many bytes the stream ends early, once each. `named_max`: a scrub is cut after so many.
    `asked` counts the requests by their kind.
    """

    def __init__(self, records: Sequence[bytes], *, brain_id: str = "brain", log_id: str = LOG_ID) -> None:
        self.records = list(records)
        self.rows: dict[int, bytes | None] = dict(enumerate(records))
        self.brain_id = brain_id
        self.log_id = log_id
        self.breaks: list[int] = []
        self.named_max = 1000
        self.asked: dict[str, int] = {}
        self.served: list[tuple[int, int]] = []

    @property
    def head(self) -> Head:
        """What it says of itself."""
        tree = CompactRange.EMPTY.extended(leaf_hashes(self.records))
        return Head(self.log_id, tree.size, tree.root, sum(map(len, self.records)))

    def logs(self, brain_id: str) -> tuple[str, list[ReplicaLog]]:
        """See `ReplicaReader`."""
        self._count("logs")
        return "cloud", [self._log()] if brain_id == self.brain_id else []

    def log(self, log_id: str) -> tuple[str, ReplicaLog]:
        """See `ReplicaReader`."""
        self._count("log")
        if log_id != self.log_id:
            raise CloudError("there is no such log", status=404)
        return "cloud", self._log()

    def scrub(self, log_id: str, kind: ScrubDepth, first: int, end: int, tree: CompactRange | None = None) -> Scrub:
        """See `ReplicaReader`."""
        del log_id, tree
        self._count("scrub")
        gaps: list[tuple[int, int]] = []
        damaged: list[int] = []
        number, stop = first, min(end, len(self.records))
        while number < stop and len(gaps) + len(damaged) < self.named_max:
            if number not in self.rows:
                gaps.append((number, number + 1))
            elif kind == "deep" and self.rows[number] not in (None, self.records[number]):
                damaged.append(number)
            number += 1
        holes = sum(self.rows.get(each, b"") is None for each in range(first, number))
        rows = sum(each in self.rows for each in range(first, number))
        return Scrub(kind, first, number, rows, holes, tuple(gaps), tuple(damaged), more=number < stop)

    def tile(self, log_id: str, level: int, index: int) -> bytes:
        """See `ReplicaReader`."""
        del log_id
        self._count("tile")
        nodes = list(map(leaf_hash, self.records))
        for _ in range(level * TILE_HEIGHT):
            nodes = [node_hash(nodes[at], nodes[at + 1]) for at in range(0, len(nodes) - 1, 2)]
        return b"".join(nodes[index * TILE_HASHES : (index + 1) * TILE_HASHES])

    def stream(self, log_id: str, start: int, end: int) -> Iterator[bytes]:
        """See `ReplicaReader`."""
        del log_id
        self._count("stream")
        whole = b"".join(self._served(number) for number in range(len(self.records)))
        stop = min(end, start + self.breaks.pop(0)) if self.breaks else end
        self.served.append((start, stop))
        for at in range(start, stop, PIECE_BYTES):
            yield whole[at : min(at + PIECE_BYTES, stop)]
        if stop < end:
            raise CloudError("the answer ended early")

    def close(self) -> None:
        """Nothing to close."""

    def _log(self) -> ReplicaLog:
        holes = sum(row is None for row in self.rows.values())
        return ReplicaLog(self.head, "device", holes=holes, brain_id=self.brain_id)

    def _served(self, number: int) -> bytes:
        row = self.rows.get(number)
        length = len(self.records[number])
        if row is not None and len(row) == length:
            return row
        said = json.dumps({"gradata_hole": {"record": number, "length": length}}, separators=(",", ":")).encode()
        if len(said) + 1 > length:
            return b" " * (length - 1) + b"\n"
        return said[:-1].ljust(length - 2) + b"}\n"

    def _count(self, kind: str) -> None:
        self.asked[kind] = self.asked.get(kind, 0) + 1
