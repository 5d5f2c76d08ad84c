"""LogReader: whole records behind a cursor, and the evidence that the log is still the same. On both disks."""

from __future__ import annotations

import errno
import os
import random
import stat
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.actions import Broken, Compared, Found, Nothing, Read, ReadFailed
from replicator.errors import CursorError, LogError
from replicator.log import LogReader, PosixDisk
from replicator.model import MIB, Anchor, Batch, Cursor, Head, Hole
from replicator.proof import CompactRange, leaf_hash, leaf_hashes
from replicator.testing import SimDisk

LOGS = Path(__file__).parents[4] / "fixtures" / "logs"
PATH = "brain/events.jsonl"


def record(number: int) -> bytes:
    return b'{"event_id": "e%05d", "text": "%s"}\n' % (number, b"x" * (number % 7 * 10))


def log_of(count: int, start: int = 0) -> bytes:
    return b"".join(record(number) for number in range(start, start + count))


def cursor_behind(content: bytes) -> Cursor:
    """The cursor of someone to whom all of these records were acknowledged."""
    records = content.splitlines(keepends=True)
    tree = CompactRange.EMPTY.extended(leaf_hashes(records))
    return Cursor("log-1", len(content), tree, "e", Anchor.of(records[-1])) if records else Cursor("log-1")


def read(
    reader: LogReader,
    cursor: Cursor,
    *,
    bytes_max: int = 4 * MIB,
    records_max: int = 20_000,
    record_bytes_max: int = MIB,
) -> Found | Nothing | Broken | ReadFailed:
    return reader.read(Read(cursor, bytes_max, records_max, record_bytes_max))


def batch(outcome: object) -> Batch:
    assert isinstance(outcome, Found), outcome
    assert isinstance(outcome.load, Batch)
    return outcome.load


def hole(outcome: object) -> Hole:
    assert isinstance(outcome, Found), outcome
    assert isinstance(outcome.load, Hole)
    return outcome.load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(random.Random(7))


@pytest.fixture
def sim(disk: SimDisk) -> LogReader:
    return LogReader(PATH, disk)


class CountingDisk(PosixDisk):
    """The real disk, counting the bytes that are read."""

    bytes_read = 0

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        piece = super().pread(fd, length, offset)
        self.bytes_read += len(piece)
        return piece


# ---------------------------------------------------------------- what is read


def test_f01_torn_tail_is_not_sent_until_it_is_completed(path: Path) -> None:
    """Whole records are found, the tail is not; once its newline stands there, it is found too."""
    path.write_bytes(log_of(2) + record(2)[:9])
    reader = LogReader(str(path))
    assert batch(read(reader, Cursor("log-1"))).data == log_of(2)
    cursor = cursor_behind(log_of(2))
    assert read(reader, cursor) == Nothing()
    path.write_bytes(log_of(3))
    assert batch(read(reader, cursor)) == Batch(2, len(log_of(2)), record(2), (len(record(2)),))


@pytest.mark.parametrize("content", [b"", b"{", record(1)[:-1]])
def test_f03_a_log_without_a_record_has_nothing(path: Path, content: bytes) -> None:
    """0 bytes, 1 byte, a first record without its newline: nothing to send, and no error."""
    path.write_bytes(content)
    assert read(LogReader(str(path)), Cursor("log-1")) == Nothing()


@pytest.mark.parametrize("content", [b"\n", record(1)])
def test_f03_a_log_of_one_record_is_found_at_once(path: Path, content: bytes) -> None:
    """One record, even if it is a newline alone."""
    path.write_bytes(content)
    assert batch(read(LogReader(str(path)), Cursor("log-1"))) == Batch(0, 0, content, (len(content),))


@given(
    st.lists(st.sampled_from([b"", b"a", b"bb\r", b"\x00" * 5, b"c" * 30]), max_size=20),
    st.sampled_from([b"", b"tail", b"t" * 40]),
    st.integers(1, 60),
    st.integers(1, 6),
    st.integers(1, 32),
)
def test_f14_every_byte_comes_exactly_once_within_the_limits(
    lines: list[bytes], tail: bytes, bytes_max: int, records_max: int, record_bytes_max: int
) -> None:
    """Read to the end under any limits: the loads join to the log's whole records, holes only where a record is
    too long, and the tree over the loads is that over the records."""
    disk = SimDisk(random.Random(0))
    whole = b"".join(line + b"\n" for line in lines)
    disk.overwrite(PATH, whole + tail)
    reader = LogReader(PATH, disk)
    cursor, joined = Cursor("log-1"), b""
    while isinstance(found := reader.read(Read(cursor, bytes_max, records_max, record_bytes_max)), Found):
        load = found.load
        assert (load.first, load.offset) == (cursor.size, cursor.offset)
        if isinstance(load, Hole):
            assert load.length > record_bytes_max
            last, leaves = whole[load.offset : load.end], [load.leaf]
        else:
            assert load.count <= records_max
            assert len(load.data) <= max(bytes_max, record_bytes_max)
            last, leaves = load.last, leaf_hashes(load.records())
            assert all(len(line) <= record_bytes_max for line in load.records())
        joined += whole[load.offset : load.end]
        assert Anchor.of(last) == (load.anchor if isinstance(load, Hole) else Anchor.of(last))
        cursor = replace(
            cursor, offset=load.end, tree=cursor.tree.extended(leaves), event_id=None, anchor=Anchor.of(last)
        )
    assert found == Nothing()
    assert joined == whole
    assert cursor.root == CompactRange.EMPTY.extended(leaf_hashes(line + b"\n" for line in lines)).root


@pytest.mark.parametrize("name", sorted(entry.name for entry in LOGS.glob("*.jsonl")))
def test_f14_each_oddity_travels_byte_for_byte(name: str) -> None:
    """Of every odd log the batches join to exactly its whole records."""
    content = (LOGS / name).read_bytes()
    batches = LogReader(str(LOGS / name)).batches(0, 0, 100)
    assert b"".join(found.data for found in batches) == content[: content.rfind(b"\n") + 1]


def test_a_write_in_progress_is_never_seen_as_a_record(disk: SimDisk, sim: LogReader) -> None:
    """While a writer's bytes become visible page by page, a reader in between finds nothing."""
    seen: list[object] = []
    disk.between_pages = lambda: seen.append(read(sim, Cursor("log-1")))
    fd = disk.open(PATH, os.O_RDWR | os.O_CREAT)
    disk.write(fd, b"x" * 20_000 + b"\n")
    assert seen == [Nothing()] * 4
    assert batch(read(sim, Cursor("log-1"))).count == 1


# ---------------------------------------------------------------- long records


def test_f15_a_record_beyond_the_batch_is_read_whole_within_its_own_limit(path: Path) -> None:
    """3 MB with a batch limit of 256 KiB: one batch with that record; the neighbours come with it or after it."""
    long = b"y" * 3_000_000 + b"\n"
    path.write_bytes(long + record(1))
    found = batch(read(LogReader(str(path)), Cursor("log-1"), bytes_max=256 * 1024, record_bytes_max=16 * MIB))
    assert found.data == long


def test_f15_a_record_beyond_its_limit_is_a_hole_and_the_neighbours_are_not(path: Path) -> None:
    """3 MB with a limit of 1 MiB: the records before it, then a hole with its leaf and anchor, then the rest."""
    long = b"y" * 3_000_000 + b"\n"
    path.write_bytes(log_of(2) + long + log_of(2, 2))
    reader = LogReader(str(path))
    assert batch(read(reader, Cursor("log-1"))).data == log_of(2)
    found = hole(read(reader, cursor_behind(log_of(2))))
    assert found == Hole(2, len(log_of(2)), len(long), leaf_hash(long), Anchor.of(long))
    after = replace(cursor_behind(log_of(3)), offset=found.end, anchor=found.anchor)
    assert batch(read(reader, after)).data == log_of(2, 2)


def test_f15_a_record_of_100_mb_is_a_hole_in_bounded_memory(path: Path) -> None:
    """The hole's hashes are computed in steps: less than 8 MiB more in use at any moment."""
    with path.open("wb") as file:
        for _ in range(100):
            file.write(b"z" * 1_000_000)
        file.write(b"\n" + record(1))
    tracemalloc.start()
    found = hole(read(LogReader(str(path)), Cursor("log-1"), bytes_max=MIB))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.length == 100_000_001
    assert peak < 8 * MIB


@pytest.mark.slow
def test_f15_a_run_of_1_gb_without_newline_is_searched_once_in_bounded_memory(path: Path) -> None:
    """A gigabyte of NULs holds up nothing: nothing is found, 8 MiB suffice, and it is not searched again."""
    disk = CountingDisk()
    with path.open("wb") as file:
        file.truncate(1_000_000_000)
    reader = LogReader(str(path), disk)
    tracemalloc.start()
    assert read(reader, Cursor("log-1")) == Nothing()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB
    disk.bytes_read = 0
    with path.open("ab") as file:
        file.write(b"more")
    assert read(reader, Cursor("log-1")) == Nothing()
    assert disk.bytes_read < 10_000


def test_f15_a_long_tail_is_found_when_its_newline_comes(path: Path) -> None:
    """The search goes on where it ended; the record and those behind it come together."""
    path.write_bytes(b"t" * 5000)
    reader = LogReader(str(path))
    assert read(reader, Cursor("log-1")) == Nothing()
    path.write_bytes(b"t" * 5000 + b"\n" + log_of(2))
    assert batch(read(reader, Cursor("log-1"))).count == 3


@pytest.mark.parametrize("instead", [log_of(300), b"u" * 100 + b"\n" + b"u" * 9000, record(1)])
def test_a_tail_that_was_cut_and_written_anew_is_searched_anew(path: Path, instead: bytes) -> None:
    """What is known of a long tail does not outlive the tail, whether the file is now longer or shorter."""
    path.write_bytes(b"t" * 8000)
    reader = LogReader(str(path))
    assert read(reader, Cursor("log-1")) == Nothing()
    path.write_bytes(instead)
    assert batch(read(reader, Cursor("log-1"))).data == instead[: instead.rfind(b"\n") + 1]


# ---------------------------------------------------------------- evidence

BEFORE = log_of(10)
CHANGES: dict[str, Callable[[SimDisk], None]] = {
    "f04_truncated_and_rewritten_shorter": lambda disk: disk.overwrite(PATH, log_of(3, 50)),
    "f05_truncated_and_regrown_past_the_offset": lambda disk: disk.overwrite(PATH, log_of(30, 50)),
    "f07_replaced_by_other_content": lambda disk: disk.replace(PATH, log_of(30, 50)),
    "f07_replaced_and_the_inode_reused": lambda disk: disk.replace(PATH, log_of(30, 50), same_inode=True),
    "f08_same_beginning_and_another_tail": lambda disk: disk.overwrite(PATH, log_of(9) + log_of(20, 50)),
    "f08_same_length": lambda disk: disk.overwrite(PATH, BEFORE[:-5] + b"!" + BEFORE[-4:]),
    "f09_last_records_cut_off": lambda disk: disk.overwrite(PATH, log_of(8)),
    "f09_cut_in_mid_record": lambda disk: disk.overwrite(PATH, BEFORE[:-5]),
    "f11_an_older_backup_restored": lambda disk: disk.replace(PATH, log_of(5)),
    "f12_the_offset_is_beyond_the_end": lambda disk: disk.overwrite(PATH, b""),
    "f14_nuls_after_a_power_cut": lambda disk: disk.overwrite(PATH, BEFORE[:-20] + bytes(4096)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_f04_f05_f07_f08_f09_f11_f12_a_log_that_does_not_continue_is_broken(
    disk: SimDisk, sim: LogReader, change: str
) -> None:
    """Each way in which the acknowledged records are no longer there is found by the next read, also if the
    same reader saw all well before."""
    disk.overwrite(PATH, BEFORE)
    cursor = cursor_behind(BEFORE)
    assert read(sim, cursor) == Nothing()
    CHANGES[change](disk)
    assert isinstance(read(sim, cursor), Broken)
    assert isinstance(read(LogReader(PATH, disk), cursor), Broken)


def test_f12_the_reason_says_what_is_there_and_what_was_acknowledged(disk: SimDisk, sim: LogReader) -> None:
    """A log that ends before the offset, and one that does not but differs, have words of their own."""
    disk.overwrite(PATH, b"x")
    assert read(sim, cursor_behind(BEFORE)) == Broken(
        f"the log ends at 1, before the {len(BEFORE)} bytes that were acknowledged"
    )
    disk.overwrite(PATH, log_of(30, 50))
    assert read(sim, cursor_behind(BEFORE)) == Broken(
        f"the record that ends at {len(BEFORE)} is not the one that was acknowledged"
    )


def test_f06_replaced_by_the_same_content_goes_on(disk: SimDisk, sim: LogReader) -> None:
    """Another inode with the same records, and one more: only that one is found."""
    disk.overwrite(PATH, BEFORE)
    assert read(sim, cursor_behind(BEFORE)) == Nothing()
    disk.replace(PATH, BEFORE)
    assert read(sim, cursor_behind(BEFORE)) == Nothing()
    disk.replace(PATH, log_of(11))
    assert batch(read(sim, cursor_behind(BEFORE))).data == record(10)


def test_f10_an_old_record_edited_in_place_does_not_stop_replication(disk: SimDisk, sim: LogReader) -> None:
    """The anchor holds, so reading goes on; that the root differs is for `verify` to say."""
    disk.overwrite(PATH, record(5) + log_of(11)[len(record(5)) :])
    outcome = read(sim, cursor_behind(record(5) + BEFORE[len(record(5)) :]))
    assert batch(outcome).count >= 1
    edited = BEFORE.replace(b"e00003", b"e99993") + record(10)
    disk.overwrite(PATH, edited)
    assert batch(read(sim, cursor_behind(BEFORE))).data == record(10)
    assert sim.locate(log_id="log-1", size=10).root != cursor_behind(BEFORE).root


def test_a_log_rewritten_while_it_is_read_is_broken() -> None:
    """The anchor is checked behind the bytes: a rewrite between the two is not shipped as a continuation."""

    class RewrittenDuringRead(SimDisk):
        def pread(self, fd: int, length: int, offset: int) -> bytes:
            piece = super().pread(fd, length, offset)
            self.overwrite(PATH, log_of(30, 50))
            return piece

    disk = RewrittenDuringRead(random.Random(0))
    disk.overwrite(PATH, log_of(11))
    assert isinstance(read(LogReader(PATH, disk), cursor_behind(BEFORE)), Broken)


def test_an_anchor_of_a_hole_is_checked_in_steps(path: Path) -> None:
    """A record of 3 MB before the cursor is evidence like any other."""
    long = b"y" * 3_000_000 + b"\n"
    path.write_bytes(long + record(1))
    assert batch(read(LogReader(str(path)), cursor_behind(long))).data == record(1)
    path.write_bytes(long.replace(b"y", b"Y") + record(1))
    assert isinstance(read(LogReader(str(path)), cursor_behind(long)), Broken)


def test_an_idle_log_is_not_read_again(disk: SimDisk, sim: LogReader) -> None:
    """Nothing new and the same file facts: one open and one fstat, no byte read."""
    disk.overwrite(PATH, BEFORE)
    assert read(sim, cursor_behind(BEFORE)) == Nothing()
    disk.calls.clear()
    assert read(sim, cursor_behind(BEFORE)) == Nothing()
    assert disk.calls == {"open": 1, "fstat": 1, "close": 1}


# ---------------------------------------------------------------- durability


def test_what_is_found_is_durable_first(disk: SimDisk, sim: LogReader) -> None:
    """An unlocked writer synced nothing; after the read, a power cut takes neither the records nor the name."""
    disk.append_unlocked(PATH, log_of(3))
    assert batch(read(sim, Cursor("log-1"))).count == 3
    disk.power_cut()
    assert disk.content(PATH) == log_of(3)


@pytest.mark.parametrize("call", ["fdatasync", "sync_directory"])
def test_f18_a_log_that_cannot_be_made_durable_ships_and_is_suspect(disk: SimDisk, sim: LogReader, call: str) -> None:
    """EIO from the sync is remembered in words, and the records are found all the same."""
    disk.append_unlocked(PATH, log_of(3))
    disk.fail(call, errno.EIO)
    assert batch(read(sim, Cursor("log-1"))).count == 3
    assert sim.suspect is not None
    assert "EIO" in sim.suspect
    assert read(sim, Cursor("log-1")) == Found(batch(read(sim, Cursor("log-1"))))
    assert sim.suspect is not None


# ---------------------------------------------------------------- errors of the operating system


@pytest.mark.parametrize("call", ["open", "fstat", "pread"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE])
def test_f18_an_os_error_is_told_and_heals(disk: SimDisk, sim: LogReader, call: str, code: int) -> None:
    """The errno's name comes back as a value, never as broken evidence; the next read finds all; nothing leaks."""
    disk.overwrite(PATH, log_of(11))
    disk.fail(call, code, times=2)
    for _ in range(2):
        failed = read(sim, cursor_behind(BEFORE))
        assert isinstance(failed, ReadFailed)
        assert failed.code == errno.errorcode[code]
    assert batch(read(sim, cursor_behind(BEFORE))).count == 1
    assert disk._open == {}


@pytest.mark.parametrize("name", ["events.jsonl", "missing/events.jsonl"])
def test_f02_a_missing_log_is_an_error_that_heals(tmp_path: Path, name: str) -> None:
    """No log, or no directory: ENOENT, also behind an offset; found once it is there."""
    path = tmp_path / name
    reader = LogReader(str(path))
    for cursor in (Cursor("log-1"), cursor_behind(BEFORE)):
        failed = read(reader, cursor)
        assert isinstance(failed, ReadFailed)
        assert failed.code == "ENOENT"
    assert (reader.end(), reader.whole_end(), list(reader.batches(0, 0))) == (0, 0, [])
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(BEFORE)
    assert batch(read(reader, Cursor("log-1"))).count == 10


def test_f21_a_brain_reached_through_a_symlink_is_the_same_log(tmp_path: Path) -> None:
    """A symlink among the directories is followed, so both paths give the same records."""
    (tmp_path / "brain").mkdir()
    (tmp_path / "other").symlink_to(tmp_path / "brain")
    (tmp_path / "brain" / "events.jsonl").write_bytes(BEFORE)
    by_either = [
        batch(read(LogReader(str(tmp_path / name / "events.jsonl")), Cursor("log-1"))) for name in ("brain", "other")
    ]
    assert by_either[0] == by_either[1]


def test_f21_a_log_moved_while_running_is_missing_then_found_again(path: Path) -> None:
    """Every read opens the path: moved away is ENOENT, moved back goes on."""
    path.write_bytes(log_of(11))
    reader = LogReader(str(path))
    assert batch(read(reader, cursor_behind(BEFORE))).count == 1
    moved = path.rename(path.with_name("moved.jsonl"))
    assert isinstance(read(reader, cursor_behind(BEFORE)), ReadFailed)
    moved.rename(path)
    assert batch(read(reader, cursor_behind(BEFORE))).count == 1


def plant(path: Path, kind: str) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.with_name("target").write_bytes(BEFORE)
        path.symlink_to(path.with_name("target"))


@pytest.mark.parametrize(("kind", "code"), [("directory", "EISDIR"), ("symlink", "ELOOP"), ("fifo", "EINVAL")])
def test_f56_what_is_no_file_is_neither_followed_nor_waited_for(path: Path, kind: str, code: str) -> None:
    """A directory, a planted symlink or a FIFO in the log's place: an error with its own words, at once."""
    plant(path, kind)
    reader = LogReader(str(path))
    failed = read(reader, Cursor("log-1"))
    assert isinstance(failed, ReadFailed)
    assert failed.code == code
    assert isinstance(reader.compare((Head("log-1", 1, bytes(32)),)), ReadFailed)
    for look in (reader.end, reader.whole_end, lambda: list(reader.batches(0, 0))):
        with pytest.raises(LogError, match=code) as caught:
            look()
        assert caught.value.hint


# ---------------------------------------------------------------- compare


def head_behind(content: bytes, log_id: str) -> Head:
    cursor = cursor_behind(content)
    return Head(log_id, cursor.size, cursor.root, cursor.offset)


def test_the_largest_head_that_the_log_has_is_adopted(path: Path) -> None:
    """Of several logs at the cloud, the cursor of the largest one whose root is ours, with its own name."""
    path.write_bytes(log_of(20) + b"torn")
    heads = (
        head_behind(log_of(5), "five"),
        head_behind(log_of(12), "twelve"),
        head_behind(log_of(15, 3), "of another brain"),
        head_behind(log_of(30), "longer than ours"),
        Head("none", 0, CompactRange.EMPTY.root),
    )
    expected = replace(cursor_behind(log_of(12)), log_id="twelve", event_id="e00011")
    assert LogReader(str(path)).compare(heads) == Compared(expected)


def test_a_head_at_the_very_end_matches_and_the_first_of_equals_wins(path: Path) -> None:
    """The whole log is at the cloud, twice: the one named first (the newest) is taken."""
    path.write_bytes(BEFORE)
    compared = LogReader(str(path)).compare((head_behind(BEFORE, "newest"), head_behind(BEFORE, "older")))
    assert isinstance(compared, Compared)
    assert compared.cursor is not None
    assert (compared.cursor.log_id, compared.cursor.size) == ("newest", 10)


def test_a_head_of_nothing_matches_every_log(path: Path) -> None:
    """A log that was announced but never filled fits, even if there is no local file; no head fits none."""
    assert LogReader(str(path)).compare((Head("new", 0, CompactRange.EMPTY.root),)) == Compared(Cursor("new"))
    assert LogReader(str(path)).compare(()) == Compared(None)
    path.write_bytes(BEFORE)
    assert LogReader(str(path)).compare((head_behind(log_of(9, 1), "other"),)) == Compared(None)


def test_f18_compare_tells_an_os_error(disk: SimDisk, sim: LogReader) -> None:
    """A disk error in mid-pass is no answer, least of all "none of these"."""
    disk.overwrite(PATH, BEFORE)
    disk.fail("pread", errno.EIO)
    failed = sim.compare((head_behind(BEFORE, "log-1"),))
    assert isinstance(failed, ReadFailed)
    assert failed.code == "EIO"


def test_f15_compare_runs_on_across_an_over_long_record(path: Path) -> None:
    """A hole in the middle has its leaf, so heads behind it match."""
    content = log_of(2) + b"y" * (17 * MIB) + b"\n" + record(2)
    path.write_bytes(content)
    compared = LogReader(str(path)).compare((head_behind(content, "log-1"),))
    assert compared == Compared(replace(cursor_behind(content), event_id="e00002"))


# ---------------------------------------------------------------- places


@given(st.integers(0, 10))
def test_a_place_is_located_by_offset_by_size_and_by_event(count: int) -> None:
    """All three name the same cursor: with its tree, anchor and last event."""
    disk = SimDisk(random.Random(0))
    disk.overwrite(PATH, log_of(11) + b"torn")
    reader = LogReader(PATH, disk)
    expected = cursor_behind(log_of(count))
    if count:
        expected = replace(expected, event_id=f"e{count - 1:05d}")
    assert reader.locate(log_id="log-1", offset=len(log_of(count))) == expected
    assert reader.locate(log_id="log-1", size=count) == expected
    assert reader.locate(log_id="log-1", event_id=f"e{count:05d}") == expected


def test_an_offset_within_a_record_is_refused_with_the_nearest_starts(path: Path) -> None:
    """The error names the record, where it begins and where the next one begins."""
    path.write_bytes(b"one\n" + b"second\n" + b"three\n")
    with pytest.raises(CursorError, match="inside record 1, which begins at 4; the next one begins at 11") as caught:
        LogReader(str(path)).locate(log_id="log-1", offset=6)
    assert caught.value.hint == "use 4 or 11"


@pytest.mark.slow
def test_f15_an_offset_within_an_over_long_record_is_refused_too(path: Path) -> None:
    """A record that is only streamed still has a beginning and an end; both are places."""
    long = b"y" * (17 * MIB) + b"\n"
    path.write_bytes(long + record(1))
    reader = LogReader(str(path))
    with pytest.raises(CursorError, match="inside record 0"):
        reader.locate(log_id="log-1", offset=5)
    assert reader.locate(log_id="log-1", offset=len(long)) == replace(cursor_behind(long), event_id=None)
    assert reader.locate(log_id="log-1", event_id="e00001").size == 1


@pytest.mark.parametrize(
    "wanted", [{"offset": -1}, {"size": -1}, {"offset": 10**9}, {"size": 11}, {"event_id": "nope"}]
)
def test_a_place_that_is_not_in_the_log_is_refused(path: Path, wanted: dict[str, int]) -> None:
    """Negative, beyond the last whole record, or an unknown event: an error with a hint."""
    path.write_bytes(BEFORE + b"torn")
    with pytest.raises(CursorError) as caught:
        LogReader(str(path)).locate(log_id="log-1", **wanted)  # type: ignore[arg-type]
    assert caught.value.hint


@given(st.binary(max_size=30))
def test_the_whole_end_is_behind_the_last_newline(content: bytes) -> None:
    """Whatever the bytes; and `end` is the file's size."""
    disk = SimDisk(random.Random(0))
    disk.overwrite(PATH, content)
    reader = LogReader(PATH, disk)
    assert (reader.whole_end(), reader.end()) == (content.rfind(b"\n") + 1, len(content))


@pytest.mark.parametrize("before", [BEFORE, b"y" * (2 * MIB) + b"\n"])
def test_the_whole_end_is_found_behind_a_long_tail(path: Path, before: bytes) -> None:
    """The backward search crosses its steps, and ends in the first one or in a later one."""
    path.write_bytes(before + b"t" * (2 * MIB + 5))
    assert LogReader(str(path)).whole_end() == len(before)


def test_batches_go_on_from_any_record(path: Path) -> None:
    """From an offset, numbered on, with a bound on each batch; an over-long record comes whole or as a hole."""
    long = b"y" * 500 + b"\n"
    path.write_bytes(log_of(2) + long + record(3))
    reader = LogReader(str(path))
    whole = list(reader.batches(len(record(0)), 1, 100))
    assert [(found.first, found.data) for found in whole] == [(1, record(1)), (2, long), (3, record(3))]
    holes = list(reader.batches(len(record(0)), 1, 100, record_bytes_max=400))
    assert [type(found) for found in holes] == [Batch, Hole, Batch]


def test_the_simulated_disk_refuses_what_is_no_file(disk: SimDisk, sim: LogReader) -> None:
    """Directories and symlinks planted on the simulated disk look to the reader as on a real one."""
    codes = []
    for kind in (stat.S_IFDIR, stat.S_IFLNK):
        disk.plant(PATH, kind)
        failed = read(sim, Cursor("log-1"))
        codes.append(failed.code if isinstance(failed, ReadFailed) else None)
    assert codes == ["EISDIR", "ELOOP"]
