"""LogWriter: one record, whole and durable, or a clear error and nothing of it. On both disks."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import resource
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.actions import Found, Read
from replicator.errors import AppendError, LogError, NotDurableError
from replicator.framing import split
from replicator.log import Appended, FileFacts, LogReader, LogWriter
from replicator.log.disk import POSIX
from replicator.model import MIB, Cursor
from replicator.testing import SimDisk

PATH = "brain/events.jsonl"
RECORD = b'{"event_id": "e1"}\n'
OTHER = b'{"event_id": "e2", "text": "longer"}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(random.Random(7))


@pytest.fixture
def sim(disk: SimDisk) -> LogWriter:
    return LogWriter(PATH, disk)


# ---------------------------------------------------------------- appending


def test_records_stand_one_behind_the_other(path: Path) -> None:
    """Each append says where its record stands; the log holds exactly these bytes, for this user alone."""
    writer = LogWriter(str(path))
    assert writer.append(RECORD) == Appended(0, len(RECORD), ended_torn_tail=False)
    assert writer.append(OTHER) == Appended(len(RECORD), len(OTHER), ended_torn_tail=False)
    writer.close()
    assert writer.append(RECORD).offset == len(RECORD + OTHER)
    assert path.read_bytes() == RECORD + OTHER + RECORD
    writer.close()


def test_f56_a_new_log_is_readable_by_its_user_alone(path: Path) -> None:
    """0600 whatever the umask allows; the mode of a log that exists is left alone."""
    before = os.umask(0)
    try:
        LogWriter(str(path)).append(RECORD)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    LogWriter(str(path)).append(RECORD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("torn", [b"{", b'{"type": "COR', b"\x00" * 5000, b"\n\n{"])
def test_f01_a_torn_tail_is_ended_and_the_record_is_intact(path: Path, torn: bytes) -> None:
    """The piece becomes a record of its own, the new one stands alone behind it."""
    path.write_bytes(RECORD + torn)
    appended = LogWriter(str(path)).append(OTHER)
    assert appended == Appended(len(RECORD + torn) + 1, len(OTHER), ended_torn_tail=True)
    assert path.read_bytes() == RECORD + torn + b"\n" + OTHER


@pytest.mark.parametrize("record", [b"", b"{}", b"{}\n\n", b"\n{}\n", b"{\n}\n"])
def test_what_is_not_one_record_is_refused(path: Path, record: bytes) -> None:
    """A library user's mistake, not the engine's: ValueError, also under -O, before anything is written."""
    with pytest.raises(ValueError, match="exactly one newline"):
        LogWriter(str(path)).append(record)
    with pytest.raises(ValueError, match="end with a newline"):
        LogWriter(str(path)).append_run(record.removesuffix(b"\n") + b"x")
    assert not path.exists()


@pytest.mark.slow
def test_f15_a_record_of_100_mb_is_appended(path: Path) -> None:
    """There is no limit on what the log takes; what travels is decided elsewhere."""
    record = b"x" * 100_000_000 + b"\n"
    assert LogWriter(str(path)).append(record).length == len(record)
    assert path.stat().st_size == len(record)


def test_short_writes_are_continued(disk: SimDisk, sim: LogWriter) -> None:
    """A disk that takes a piece at a time gets the rest; the record is whole."""
    disk.short_write_chance = 0.9
    for _ in range(50):
        sim.append(OTHER)
    assert disk.content(PATH) == OTHER * 50


def test_threads_append_whole_records(path: Path) -> None:
    """8 threads with one writer: each record once, at the place that its append named."""
    writer = LogWriter(str(path))
    places: dict[bytes, Appended] = {}

    def append_all(thread: int) -> None:
        for number in range(25):
            record = b'{"event_id": "%d-%d"}\n' % (thread, number)
            places[record] = writer.append(record)

    threads = [threading.Thread(target=append_all, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    content = path.read_bytes()
    assert len(split(content)) == len(places) == 200
    assert all(content[at.offset : at.offset + at.length] == record for record, at in places.items())


def test_f17_an_append_waits_for_the_lock_of_another_writer(path: Path) -> None:
    """While someone holds `flock` on the log (as 0.7.x does during its append), nothing is written."""
    path.touch()
    other = os.open(path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    thread = threading.Thread(target=LogWriter(str(path)).append, args=(RECORD,))
    thread.start()
    thread.join(0.2)
    assert (thread.is_alive(), path.read_bytes()) == (True, b"")
    os.close(other)
    thread.join(10)
    assert (thread.is_alive(), path.read_bytes()) == (False, RECORD)


def test_f46_an_interrupt_while_the_lock_is_held_gives_it_back() -> None:
    """Ctrl-C at the worst moment: the exception goes through, and no other writer waits for ever."""

    class Interrupted(SimDisk):
        def stat(self, path: str) -> FileFacts:
            raise KeyboardInterrupt

    disk = Interrupted(random.Random(0))
    with pytest.raises(KeyboardInterrupt):
        LogWriter(PATH, disk).append(RECORD)
    assert disk._files[PATH].locked_by is None


# ---------------------------------------------------------------- another file at the path


def test_f07_after_a_replace_records_go_to_the_new_log(path: Path) -> None:
    """A log renamed over the old one gets the next record; the old descriptor is not used again."""
    writer = LogWriter(str(path))
    writer.append(RECORD)
    path.with_name("new").write_bytes(OTHER)
    path.with_name("new").rename(path)
    assert writer.append(RECORD).offset == len(OTHER)
    assert path.read_bytes() == OTHER + RECORD
    writer.close()


def test_a_removed_log_is_made_again(path: Path) -> None:
    """Unlinked between two appends: a new log with the record, 0600."""
    writer = LogWriter(str(path))
    writer.append(RECORD)
    path.unlink()
    assert writer.append(OTHER) == Appended(0, len(OTHER), ended_torn_tail=False)
    assert path.read_bytes() == OTHER
    writer.close()


def test_a_log_replaced_while_waiting_for_the_lock_is_noticed() -> None:
    """The path is compared after the lock is held, so a record never goes to a file that nobody reads."""

    class ReplacedAtLock(SimDisk):
        def lock(self, fd: int, path: str, wait_s: float) -> int | None:
            if self.calls["lock"] == 0:
                self.replace(PATH, OTHER)
            return super().lock(fd, path, wait_s)

    disk = ReplacedAtLock(random.Random(0))
    LogWriter(PATH, disk).append(RECORD)
    assert disk.content(PATH) == OTHER + RECORD
    assert len(disk._open) == 1


def test_a_log_replaced_for_ever_is_an_error() -> None:
    """Reopening has a limit; no descriptor and no lock is left."""

    class AlwaysReplaced(SimDisk):
        def lock(self, fd: int, path: str, wait_s: float) -> int | None:
            self.replace(PATH, OTHER)
            return super().lock(fd, path, wait_s)

    disk = AlwaysReplaced(random.Random(0))
    with pytest.raises(LogError, match="replaced"):
        LogWriter(PATH, disk).append(RECORD)
    assert disk._open == {}


def test_two_writers_that_create_at_once_share_one_log() -> None:
    """Another process creates the log between our look and our create: we append to its log."""

    class CreatedMeanwhile(SimDisk):
        def open(self, path: str, flags: int) -> int:
            if flags & os.O_CREAT:
                self.append_unlocked(PATH, OTHER)
            return super().open(path, flags)

    disk = CreatedMeanwhile(random.Random(0))
    LogWriter(PATH, disk).append(RECORD)
    assert disk.content(PATH) == OTHER + RECORD


def plant(path: Path, kind: str) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.with_name("target").write_bytes(b"")
        path.symlink_to(path.with_name("target"))
    else:
        path.symlink_to(path.with_name("not there"))


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink", "dangling"])
def test_f56_what_is_no_file_is_neither_followed_nor_waited_for(path: Path, kind: str) -> None:
    """Nothing is written through a planted symlink or into a FIFO; the error has a hint, at once."""
    plant(path, kind)
    with pytest.raises(LogError) as caught:
        LogWriter(str(path)).append(RECORD)
    assert caught.value.hint
    if kind == "symlink":
        assert path.with_name("target").read_bytes() == b""
    assert not path.with_name("not there").exists()


def test_f02_a_missing_directory_is_an_error_with_a_hint(tmp_path: Path) -> None:
    """The writer creates a log, never a directory."""
    with pytest.raises(LogError, match="ENOENT") as caught:
        LogWriter(str(tmp_path / "missing" / "events.jsonl")).append(RECORD)
    assert "directory" in caught.value.hint


# ---------------------------------------------------------------- a disk that is full


@contextmanager
def file_sizes_up_to(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A tmpfs of 64 KiB with less than a page left for the log; where mounting is not allowed, a size limit."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)], capture_output=True)
    if mounted.returncode:
        with file_sizes_up_to(len(RECORD) + 4096):
            yield
        return
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def test_f19_a_full_disk_leaves_nothing_of_the_record_and_heals(tmp_path: Path) -> None:
    """A record larger than what is left is written short, then refused: the error says so, the log is as before,
    smaller records still fit, and so does the next large one once there is space."""
    path = tmp_path / "small" / "events.jsonl"
    path.parent.mkdir()
    with small_disk(path.parent):
        writer = LogWriter(str(path))
        writer.append(RECORD)
        for _ in range(3):
            with pytest.raises(AppendError, match=r"ENOSPC|EFBIG") as caught:
                writer.append(b"x" * 100_000 + b"\n")
            assert caught.value.hint
            assert path.read_bytes() == RECORD
        assert writer.append(OTHER).offset == len(RECORD)
        assert path.read_bytes() == RECORD + OTHER
        writer.close()


def test_f19_a_file_size_limit_leaves_nothing_of_the_record(path: Path) -> None:
    """EFBIG in mid-record (ulimit -f): taken back, and told with the limit to raise."""
    writer = LogWriter(str(path))
    writer.append(RECORD)
    with file_sizes_up_to(len(RECORD) + 10), pytest.raises(AppendError, match="EFBIG") as caught:
        writer.append(OTHER)
    assert "ulimit -f" in caught.value.hint
    assert path.read_bytes() == RECORD
    assert writer.append(OTHER).offset == len(RECORD)
    writer.close()


@pytest.mark.parametrize("free", range(len(OTHER) + 2))
@pytest.mark.parametrize("torn", [b"", b"torn"])
def test_f19_a_disk_full_after_any_byte_leaves_no_torn_record(free: int, torn: bytes) -> None:
    """Whatever part of the record fits, none of it remains; the newline that ended another's torn tail does,
    since a reader may have sent that record already."""
    disk = SimDisk(random.Random(0), capacity_bytes=len(RECORD + torn) + free)
    disk.append_unlocked(PATH, RECORD + torn)
    writer = LogWriter(PATH, disk)
    needed = len(OTHER) + bool(torn)
    if free >= needed:
        writer.append(OTHER)
        assert disk.content(PATH).endswith(b"\n" + OTHER)
        return
    with pytest.raises(AppendError, match="ENOSPC"):
        writer.append(OTHER)
    assert disk.content(PATH) == RECORD + torn + (b"\n" if torn and free else b"")
    disk.capacity_bytes = None
    appended = writer.append(OTHER)
    assert disk.content(PATH)[appended.offset :] == OTHER
    assert split(disk.content(PATH))[-1] == len(disk.content(PATH))


def test_f19_another_writers_record_behind_the_torn_piece_is_not_cut() -> None:
    """An unlocked writer appended between the short write and the error: its bytes stay, and the error says
    that a piece remains."""

    class FilledMeanwhile(SimDisk):
        def write(self, fd: int, piece: bytes) -> int:
            if self.calls["write"] == 1:
                self.append_unlocked(PATH, RECORD)
            return super().write(fd, piece)

    disk = FilledMeanwhile(random.Random(0), capacity_bytes=10)
    with pytest.raises(AppendError, match="remains"):
        LogWriter(PATH, disk).append(OTHER)
    assert disk.content(PATH) == OTHER[:10] + RECORD


def test_f19_a_piece_that_cannot_be_taken_back_is_told_and_ended_by_the_next_append() -> None:
    """If cutting fails as well, the piece stays torn, the error says so, and nothing is glued to it."""
    disk = SimDisk(random.Random(0), capacity_bytes=10)
    writer = LogWriter(PATH, disk)
    disk.fail("ftruncate", errno.EIO)
    with pytest.raises(AppendError, match="remains"):
        writer.append(OTHER)
    disk.capacity_bytes = None
    assert writer.append(RECORD).ended_torn_tail
    assert disk.content(PATH) == OTHER[:10] + b"\n" + RECORD


def test_a_disk_that_takes_nothing_does_not_loop_for_ever() -> None:
    """A write of 0 bytes is an error, not a reason to try again and again."""

    class TakesNothing(SimDisk):
        def write(self, fd: int, piece: bytes) -> int:
            return 0

    with pytest.raises(AppendError, match="EIO"):
        LogWriter(PATH, TakesNothing(random.Random(0))).append(RECORD)


# ---------------------------------------------------------------- a disk that fails


@pytest.mark.parametrize("call", ["open", "fstat", "pread", "write", "lock"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE, errno.EROFS])
def test_f18_any_failing_call_leaves_the_log_as_it_was_and_heals(
    disk: SimDisk, sim: LogWriter, call: str, code: int
) -> None:
    """A clear error with a hint, nothing written, no lock held; the next append works."""
    disk.append_unlocked(PATH, RECORD)
    disk.fail(call, code)
    with pytest.raises(AppendError, match=errno.errorcode[code]) as caught:
        sim.append(OTHER)
    assert caught.value.hint
    assert disk.content(PATH) == RECORD
    LogWriter(PATH, disk).append(OTHER)
    sim.append(OTHER)
    assert disk.content(PATH) == RECORD + OTHER * 2


def test_f18_an_open_log_is_appended_to_although_its_path_cannot_be_looked_at(disk: SimDisk, sim: LogWriter) -> None:
    """EACCES or EIO on the path, or no descriptors left: the open log still takes records."""
    sim.append(RECORD)
    disk.fail("stat", errno.EACCES, times=1)
    disk.fail("open", errno.EMFILE, times=1)
    sim.append(OTHER)
    assert disk.content(PATH) == RECORD + OTHER


def test_f07_f18_a_log_replaced_while_its_path_cannot_be_looked_at_takes_no_record(
    disk: SimDisk, sim: LogWriter
) -> None:
    """A file without a name is nobody's log: refused while the path cannot be opened, else the new log gets it."""
    sim.append(RECORD)
    disk.replace(PATH, OTHER)
    disk.fail("stat", errno.EIO)
    disk.fail("open", errno.EIO)
    with pytest.raises(AppendError):
        sim.append(RECORD)
    disk.fail("stat", errno.EIO)
    assert sim.append(RECORD).offset == len(OTHER)
    assert disk.content(PATH) == OTHER + RECORD


def test_f07_the_system_tells_a_file_without_a_name(path: Path) -> None:
    """The real disk counts names as the simulated one does."""
    path.write_bytes(RECORD)
    fd = POSIX.open(str(path), os.O_RDONLY)
    assert POSIX.fstat(fd).links == 1
    path.unlink()
    assert POSIX.fstat(fd).links == 0
    POSIX.close(fd)


@pytest.mark.parametrize("call", ["fdatasync", "sync_directory"])
def test_a_record_that_is_not_durable_is_told_so_and_stands_in_the_log(
    disk: SimDisk, sim: LogWriter, call: str
) -> None:
    """EIO from the sync is neither swallowed nor tried again; the record ships all the same."""
    disk.fail(call, errno.EIO)
    with pytest.raises(NotDurableError, match="EIO") as caught:
        sim.append(RECORD)
    assert caught.value.hint
    assert disk.calls[call] == 1
    assert sim.suspect is not None
    found = LogReader(PATH, disk).read(Read(Cursor("log-1"), MIB, 100, MIB))
    assert isinstance(found, Found)
    sim.append(OTHER)
    assert disk.content(PATH) == RECORD + OTHER


def test_the_name_of_the_log_is_made_durable_once(disk: SimDisk, sim: LogWriter) -> None:
    """The directory is synced with the first append, whoever created the log, and not again."""
    disk.append_unlocked(PATH, RECORD)
    for _ in range(3):
        sim.append(RECORD)
    assert disk.calls["sync_directory"] == 1
    assert disk.calls["fdatasync"] == 3


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_f14_a_power_cut_takes_no_record_that_was_said_to_be_durable(seed: int, count: int) -> None:
    """Any mix of synced, failed and unlocked writes, then a power cut: every record whose append returned is
    there, and the next append stands intact behind whatever is left."""
    rng = random.Random(seed)
    disk = SimDisk(rng)
    writer = LogWriter(PATH, disk)
    durable = []
    for number in range(count):
        record = b'{"event_id": "%d", "text": "%s"}\n' % (number, b"x" * rng.randrange(6000))
        kind = rng.randrange(4)
        if kind == 0:
            disk.append_unlocked(PATH, record)
            continue
        if kind == 1:
            disk.fail("fdatasync", errno.EIO)
        try:
            writer.append(record)
        except NotDurableError:
            continue
        durable.append(record)
    disk.power_cut()
    content = disk.content(PATH)
    assert [record for record in durable if record not in content] == []
    LogWriter(PATH, disk).append(RECORD)
    ends = split(disk.content(PATH))
    assert disk.content(PATH)[ends[-2] if len(ends) > 1 else 0 :] == RECORD


# ---------------------------------------------------------------- nothing left behind


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("spoil", [lambda path: None, lambda path: path.mkdir(), os.mkfifo])
def test_f49_a_thousand_writers_leave_no_descriptor(path: Path, spoil: Callable[[Path], None]) -> None:
    """Opened, used and closed, or refused: as many descriptors as before."""
    spoil(path)
    before = descriptors()
    for _ in range(1000 if path.exists() else 50):
        writer = LogWriter(str(path))
        try:
            writer.append(RECORD)
        except LogError:
            continue
        finally:
            writer.close()
    assert descriptors() == before


class Failing(SimDisk):
    """The disk that fails each call of this name once the record is written."""

    def __init__(self, name: str) -> None:
        super().__init__(random.Random(7))
        self.name = name
        self.failing = False

    def _break(self, name: str) -> None:
        if self.failing and name == self.name:
            raise OSError(errno.EIO, "the disk failed")

    def write(self, fd: int, piece: bytes) -> int:
        self.failing = True
        return super().write(fd, piece)

    def tell(self, fd: int) -> int:
        self._break("tell")
        return super().tell(fd)

    def unlock(self, held: int) -> None:
        self._break("unlock")
        super().unlock(held)

    def close(self, fd: int) -> None:
        super().close(fd)
        self._break("close")


@pytest.mark.parametrize("name", ["tell", "unlock", "close"])
def test_f18_whatever_fails_behind_the_write_the_caller_is_told_that_the_record_stands(name: str) -> None:
    """Found by failing every system call of append: no bare OSError, which a caller would answer by appending again;
    the next writer is not locked out, and no descriptor is left."""
    disk = Failing(name)
    writer = LogWriter(PATH, disk)
    if name == "tell":
        with pytest.raises(NotDurableError):
            writer.append(RECORD)
    else:
        writer.append(RECORD)
    disk.name = ""
    LogWriter(PATH, disk).append(OTHER)
    assert disk.content(PATH) == RECORD + OTHER
    disk.name = name
    writer.close()


def test_a_descriptor_that_another_thread_syncs_is_not_closed_under_it(tmp_path: Path) -> None:
    """`close`, or a replaced log, while a sync is in progress: the descriptor lives until that sync is done."""

    class ClosedDuringSync(SimDisk):
        def fdatasync(self, fd: int) -> None:
            writer.close()
            assert fd in self._open
            super().fdatasync(fd)

    disk = ClosedDuringSync(random.Random(0))
    writer = LogWriter(PATH, disk)
    writer.append(RECORD)
    assert disk._open == {}
