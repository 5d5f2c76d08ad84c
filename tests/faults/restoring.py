"""The path of restore under faults: plan, fetch, put in the log's place, adopt; then once more without a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from replicator.errors import ReplicatorError
from replicator.log import LogReader, LogWriter
from replicator.model import Head
from replicator.proof import CompactRange, leaf_hash
from replicator.recovery import restore
from replicator.testing import MemoryCloud
from replicator.wire.replica import ReplicaLog
from tests.faults.paths import HERE, LOG_ID, Tried, check_replication, record, replicated
from tests.faults.shared import Said, Shared

SIZE = 20
THERE = 3
"""So many records are in the log before: it is behind its copy."""
PIECE_BYTES = 4_000


class MemoryReader:
    """A replica of one log in memory, as `sink.ReplicaReader` gives it."""

    def __init__(self, records: list[bytes]) -> None:
        self.leaves = [leaf_hash(each) for each in records]
        self.bytes = b"".join(records)
        tree = CompactRange.EMPTY.extended(self.leaves)
        self.stored = ReplicaLog(Head(LOG_ID, tree.size, tree.root, len(self.bytes)), "dev_1")

    def tile(self, log_id: str, level: int, index: int) -> bytes:
        """One tile: there are fewer than 256 records."""
        return b"".join(self.leaves) if (level, index) == (0, 0) else b""

    def stream(self, log_id: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes, in pieces that end anywhere."""
        for at in range(start, end, PIECE_BYTES):
            yield self.bytes[at : min(at + PIECE_BYTES, end)]


def _reader() -> MemoryReader:
    return MemoryReader([record(number) for number in range(SIZE)])


def _behind(log: Path) -> None:
    log.write_bytes(b"".join(record(number) for number in range(THERE)))


def _restore(log: Path, shared: Shared | None) -> Callable[[], None]:
    reader = _reader()

    def trial() -> None:
        try:
            plan = restore.plan_restore(str(log), reader, reader.stored, "cloud-1")  # type: ignore[arg-type]
            if plan.was != "identical":
                fetched = restore.fetch(plan, reader, wait=lambda _: None)  # type: ignore[arg-type]
                assert fetched.proven
                restore.put(plan, fetched)
            if shared is not None:
                shared.say(0, Said.DONE)
            assert restore.adopt(plan, reader, endpoint=HERE) is not None  # type: ignore[arg-type]
        except (ReplicatorError, OSError):
            if shared is None:
                raise

    return trial


def _check(log: Path, shared: Shared) -> None:
    before = b"".join(record(number) for number in range(THERE))
    found = log.read_bytes() if log.exists() else b""
    whole = _reader().bytes
    possible = [whole] if shared.said(0) is Said.DONE else [before, whole, b""][: 2 if before else 3]
    assert found in possible, f"a log between two: {len(found)} bytes, not {len(before)} or {len(whole)}"
    assert LogReader(str(log)).whole_end() == len(found)
    _restore(log, None)()
    assert log.read_bytes() == whole, "a second restore does not bring it back"
    assert not list(log.parent.glob("*.partial")), "a partial file is left behind"
    LogWriter(str(log)).append(record(99))
    cloud: MemoryCloud = replicated(log.with_name("cloud.jsonl"), whole)
    sent = check_replication(log, cloud)
    assert sent == 1, f"{sent} records were sent behind a restore, 1 is new"


RESTORE = Tried("restore, a log that is behind", _behind, _restore, _check)
