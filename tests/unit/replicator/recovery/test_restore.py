"""Bringing a log back: proven, resumed, never at the price of what is there."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from replicator import recovery
from replicator.errors import CloudError, LogError
from replicator.log import LogReader, LogWriter, replace_log
from replicator.log.disk import PosixDisk
from replicator.proof import CompactRange, leaf_hashes
from replicator.recovery import merge, restore
from replicator.recovery.restore import Fetched, Placeholder, RestorePlan
from replicator.testing.replica import LOG_ID, MemoryReplica


def record(number: int, text: str = "") -> bytes:
    """A record with an event_id of its own."""
    return b'{"event_id": "e-%d", "text": "%s"}\n' % (number, text.encode())


RECORDS = [record(number, "x" * (number % 60)) for number in range(600)]
WHOLE = b"".join(RECORDS)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is to be."""
    return tmp_path / "events.jsonl"


def planned(log: Path, replica: MemoryReplica) -> RestorePlan:
    """What a restore would do."""
    cloud_id, stored = replica.log(LOG_ID)
    return restore.plan_restore(str(log), replica, stored, cloud_id)


def brought(log: Path, replica: MemoryReplica) -> Fetched:
    """Fetch, put in place, adopt."""
    plan = planned(log, replica)
    fetched = restore.fetch(plan, replica, wait=lambda _: None)
    restore.put(plan, fetched)
    restore.adopt(plan, replica, endpoint="https://cloud/api/v1")
    return fetched


def test_a_restored_log_is_byte_identical_and_stands_where_the_cloud_does(log: Path) -> None:
    """Into nothing: the bytes, mode 0600, nothing left beside it but a sidecar whose cursor is the cloud's head."""
    replica = MemoryReplica(RECORDS)
    fetched = brought(log, replica)
    assert (fetched.proven, fetched.fetched_bytes) == (True, len(WHOLE))
    assert log.read_bytes() == WHOLE
    assert log.stat().st_mode & 0o777 == 0o600
    assert [name for name in os.listdir(log.parent) if "partial" in name] == []
    standing = recovery.standing(str(log))
    assert standing is not None
    assert (standing.cursor.offset, standing.cursor.root) == (len(WHOLE), replica.head.root)
    assert standing.cursor.event_id == "e-599"
    assert standing.cloud_id == "cloud"


def test_an_interrupted_download_goes_on_where_it_ended(log: Path) -> None:
    """Broken three times in one run, each time asked for the rest; given up, the next run goes on from the file."""
    replica = MemoryReplica(RECORDS)
    replica.breaks = [1234, 1, 5000]
    assert brought(log, replica).proven
    assert [start for start, _ in replica.served] == [0, 1234, 1235, 6235]
    log.unlink()
    replica.breaks = [7777, *[0] * 20]
    with pytest.raises(CloudError):
        brought(log, replica)
    assert not log.exists()
    replica.breaks, replica.served = [], []
    fetched = brought(log, replica)
    assert (fetched.proven, fetched.fetched_bytes) == (True, len(WHOLE) - 7777)
    assert replica.served == [(7777, len(WHOLE))]
    assert log.read_bytes() == WHOLE


def test_a_partial_file_that_is_not_the_copys_is_fetched_anew(log: Path) -> None:
    """What an earlier attempt left is not trusted: the root decides."""
    replica = MemoryReplica(RECORDS)
    partial = log.with_name(f"events.jsonl.{LOG_ID}.partial")
    partial.write_bytes(WHOLE[:5000].replace(b"x", b"y"))
    assert brought(log, replica).proven
    assert log.read_bytes() == WHOLE


@pytest.mark.parametrize("cut", [1, 255, 256, 599])
@pytest.mark.parametrize("torn", [b"", WHOLE[:7]])
def test_a_log_that_is_the_copys_beginning_is_continued(log: Path, cut: int, torn: bytes) -> None:
    """Only what is missing is fetched; a torn tail is replaced if the copy begins like it, and refused if not."""
    replica = MemoryReplica(RECORDS)
    beginning = b"".join(RECORDS[:cut])
    log.write_bytes(beginning + torn)
    plan = planned(log, replica)
    assert (plan.was, plan.shared, plan.kept_bytes) == ("behind", cut, len(beginning))
    fetched = restore.fetch(plan, replica)
    assert (fetched.proven, fetched.fetched_bytes) == (True, len(WHOLE) - len(beginning))
    restore.put(plan, fetched)
    assert log.read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("content", "was", "shared"),
    [
        (WHOLE, "identical", 600),
        (WHOLE + b"more\n", "ahead", 600),
        (WHOLE + b"torn", "ahead", 600),
        (WHOLE[: len(RECORDS[0])] + b"own\n", "other", 1),
        (b"own\n" + WHOLE, "other", 0),
        (WHOLE.replace(b"e-300", b"E-300"), "other", 300),
        (WHOLE[: len(RECORDS[0])] + b"not its beginning", "other", 1),
        (b"", "absent", 0),
    ],
)
def test_what_is_there_is_told_apart(log: Path, content: bytes, was: str, shared: int) -> None:
    """The same log, more than it, another one from some record on, or nothing."""
    log.write_bytes(content)
    plan = planned(log, MemoryReplica(RECORDS))
    assert (plan.was, plan.shared) == (was, shared)
    assert log.read_bytes() == content


def test_a_log_that_grew_since_it_was_judged_is_not_replaced(log: Path) -> None:
    """A writer appended while the copy was fetched: nothing is replaced, and its record is there."""
    replica = MemoryReplica(RECORDS)
    log.write_bytes(RECORDS[0])
    plan = planned(log, replica)
    fetched = restore.fetch(plan, replica)
    LogWriter(str(log)).append(record(9999))
    with pytest.raises(LogError, match="changed meanwhile"):
        restore.put(plan, fetched)
    assert log.read_bytes() == RECORDS[0] + record(9999)


def test_places_without_bytes_are_named_and_the_rest_is_proven(log: Path) -> None:
    """A hole, a short one that is only blanks, and a spoilt row: each is told, offsets stay, replication goes on."""
    replica = MemoryReplica(RECORDS)
    replica.rows[59] = replica.rows[60] = None
    replica.rows[300] = RECORDS[300].upper()
    fetched = brought(log, replica)
    assert not fetched.proven
    assert fetched.placeholders == (Placeholder(59, 60, "hole"), Placeholder(60, 61, "hole"))
    assert fetched.unproven == (300,)
    assert len(log.read_bytes()) == len(WHOLE)
    standing = recovery.standing(str(log))
    assert standing is not None
    assert (standing.cursor.offset, standing.cursor.root) == (len(WHOLE), replica.head.root)


def test_a_log_of_its_own_that_looks_like_a_placeholder_is_proven_all_the_same(log: Path) -> None:
    """Somebody wrote such a line: the root is right, so nothing is missing."""
    records = [*RECORDS[:3], b'{"gradata_hole":{"record":1}}\n']
    assert brought(log, MemoryReplica(records)).placeholders == ()


class Slow(PosixDisk):
    """A disk on which an old writer, who takes no lock, appends right after the old log lost its name."""

    def __init__(self, path: str) -> None:
        self._old = os.open(path, os.O_WRONLY | os.O_APPEND)
        self.appended = b""

    def fstat(self, fd: int) -> object:  # type: ignore[override]
        facts = super().fstat(fd)
        if not self.appended and not os.fstat(self._old).st_nlink:
            self.appended = record(7777)
            os.write(self._old, self.appended)
            os.close(self._old)
            return super().fstat(fd)
        return facts


def test_what_an_old_writer_appends_in_the_middle_is_carried_over(log: Path, tmp_path: Path) -> None:
    """Writers without a lock hold the old file open: what they wrote behind the last look is in the new one."""
    log.write_bytes(RECORDS[0])
    new = tmp_path / "new"
    new.write_bytes(WHOLE)
    disk = Slow(str(log))
    replace_log(str(log), str(new), expected_bytes=len(RECORDS[0]), disk=disk)
    assert disk.appended
    assert log.read_bytes() == WHOLE + disk.appended


def test_writers_of_ours_go_on_in_the_new_log(log: Path, tmp_path: Path) -> None:
    """Eight threads append while the log is replaced as soon as nobody changed it in between: none is lost."""
    log.write_bytes(WHOLE)
    written = threading.Event()

    def write(name: int) -> None:
        writer = LogWriter(str(log))
        for number in range(20):
            writer.append(record(10_000 + 100 * name + number))
            written.set()
        writer.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    written.wait(10)
    for number in range(200):
        before = log.read_bytes()
        new = tmp_path / f"new-{number}"
        new.write_bytes(before)
        try:
            replace_log(str(log), str(new), expected_bytes=len(before))
        except LogError:
            new.unlink()
    for thread in threads:
        thread.join()
    ends = LogReader(str(log)).batches(0, 0)
    assert sum(batch.count for batch in ends) == 600 + 160


def test_a_merge_appends_exactly_the_events_that_only_the_cloud_has(log: Path) -> None:
    """By their ids: not those that stand elsewhere in the log, not a conflict, not a placeholder; in their order."""
    replica = MemoryReplica(RECORDS)
    replica.rows[597] = None
    here = [*RECORDS[:500], record(595, "with other bytes"), record(9999), RECORDS[510]]
    log.write_bytes(b"".join(here))
    plan = planned(log, replica)
    assert (plan.was, plan.shared) == ("other", 500)
    found = merge.find_missing(plan, replica)
    assert (found.conflicts, found.placeholders) == (1, 1)
    assert merge.append_missing(plan, found) == len(found.places) == 97
    brought_back = [RECORDS[n] for n in range(500, 600) if n not in (510, 595, 597)]
    assert log.read_bytes() == b"".join(here + brought_back)
    assert replica.served == [(sum(map(len, RECORDS[:500])), len(WHOLE))]
    again = merge.find_missing(planned(log, replica), replica)
    assert again.places == ()
    merge.append_missing(planned(log, replica), again)
    assert os.listdir(log.parent) == ["events.jsonl"]


def test_the_tree_of_a_stream_does_not_depend_on_how_it_was_cut() -> None:
    """Hashing piece by piece gives the tree of the whole records, whatever the pieces are."""
    for length in (1, 7, 64, 1000, len(WHOLE)):
        hashing = restore.StreamHasher()
        for at in range(0, len(WHOLE), length):
            hashing.take(WHOLE[at : at + length])
        assert hashing.tree == CompactRange.EMPTY.extended(leaf_hashes(RECORDS))
        assert hashing.length == len(WHOLE)
