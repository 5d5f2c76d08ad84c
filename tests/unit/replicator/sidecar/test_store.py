"""The sidecar's file: what can be wrong with it, and that it costs little. What it promises: tests/contract."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replicator.actions import ResetOrder
from replicator.errors import SidecarError
from replicator.model import Anchor, Cursor, DeadLetter, Standing
from replicator.proof import CompactRange
from replicator.sidecar import SET_ASIDE_MAX, Sidecar, read_only, sidecar_path
from replicator.sidecar.file import connect
from tests.support.patience import AT_ONCE_S

STANDING = Standing(Cursor("log-1", 10, CompactRange(1, (b"n" * 32,)), "e", Anchor(10, b"a" * 32)), "cloud")
LATER = Standing(Cursor("log-1", 20, CompactRange(2, (b"m" * 32,)), "f", Anchor(10, b"b" * 32)), "cloud")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the sidecar is to be."""
    return sidecar_path(str(tmp_path / "events.jsonl"))


def made(path: str) -> None:
    sidecar = Sidecar.open(path)
    sidecar.save(STANDING, status=b"{}")
    sidecar.close()


def zero(path: str) -> None:
    size = os.path.getsize(path)
    Path(path).write_bytes(bytes(size))


def garbage(path: str) -> None:
    Path(path).write_bytes(b"\x8f\x00garbage" * 1000)


def truncate(path: str) -> None:
    os.truncate(path, os.path.getsize(path) // 2)


def scramble_pages(path: str) -> None:
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


def scramble_index(path: str) -> None:
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name LIKE 'sqlite_autoindex%'").fetchone()
    connection.close()
    with open(path, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


def by_sql(statement: str) -> Callable[[str], None]:
    def damage(path: str) -> None:
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()

    return damage


DAMAGES: dict[str, Callable[[str], None]] = {
    "zeroed": zero,
    "garbage": garbage,
    "truncated": truncate,
    "pages scrambled": scramble_pages,
    "index scrambled": scramble_index,
    "newer schema": by_sql("PRAGMA user_version = 99"),
    "another program's": by_sql("PRAGMA user_version = 0"),
    "table missing": by_sql("DROP TABLE reset"),
    "nodes too few": by_sql("UPDATE standing SET size = 7"),
    "offset negative": by_sql("UPDATE standing SET offset = -1"),
    "anchor of wrong length": by_sql("UPDATE standing SET anchor_sha256 = x'00'"),
    "text is no UTF-8": by_sql("UPDATE standing SET log_id = CAST(x'ff' AS TEXT)"),
    "number is a text": by_sql("UPDATE standing SET size = 'many'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_f25_an_unusable_sidecar_is_set_aside_and_rebuilt_and_said(path: str, damage: str) -> None:
    """The damaged file stays as it was under another name; the new one is empty, works, and needs no second rescue."""
    made(path)
    DAMAGES[damage](path)
    before = Path(path).read_bytes()

    sidecar = Sidecar.open(path)

    assert sidecar.load() is None
    assert sidecar.set_aside is not None
    assert f"{path}.set-aside-1" in sidecar.set_aside
    assert Path(f"{path}.set-aside-1").read_bytes() == before
    sidecar.save(STANDING)
    sidecar.close()
    again = Sidecar.open(path)
    assert (again.load(), again.set_aside) == (STANDING, None)
    again.close()


def test_f25_an_empty_file_is_a_sidecar_not_yet_begun(path: str) -> None:
    """A crash between making the file and its schema leaves 0 bytes: nothing to set aside."""
    Path(path).touch()

    sidecar = Sidecar.open(path)

    assert (sidecar.load(), sidecar.set_aside) == (None, None)
    sidecar.close()


@pytest.mark.parametrize("with_successor", [False, True])
@pytest.mark.parametrize("times", [1, 3, 1_000])
def test_f25_a_sidecar_that_others_move_while_it_is_opened_is_opened_again(
    path: str, monkeypatch: pytest.MonkeyPatch, with_successor: bool, times: int
) -> None:
    """Its successor is what counts, there already or not; only without end it is an error, with a hint."""
    left = times

    def moved_first(name: str, mode: str) -> sqlite3.Connection:
        nonlocal left
        if left:
            left -= 1
            os.replace(path, f"{path}.moved-{left}")
            if with_successor:
                Path(path).touch(0o600)
        return connect(name, mode)

    monkeypatch.setattr("replicator.sidecar.store.connect", moved_first)
    garbage(path)
    if times == 1_000:
        with pytest.raises(SidecarError, match="replaced while it was opened") as raised:
            Sidecar.open(path)
        assert raised.value.hint
        return
    sidecar = Sidecar.open(path)
    sidecar.save(STANDING)
    assert (sidecar.load(), sidecar.set_aside, left) == (STANDING, None, 0)
    sidecar.close()


def test_f25_a_command_line_never_sets_a_sidecar_aside(path: str) -> None:
    """It could take the file from under a live leader: it gets an error with a hint, and the file stays."""
    made(path)
    garbage(path)
    before = Path(path).read_bytes()

    with pytest.raises(SidecarError) as raised:
        Sidecar.open(path, may_set_aside=False)

    assert raised.value.hint
    assert Path(path).read_bytes() == before


def test_f25_files_set_aside_are_bounded(path: str) -> None:
    """A disk that spoils the file again and again is not filled: the last place is used over."""
    for number in range(SET_ASIDE_MAX + 3):
        Path(path).write_bytes(b"garbage %d" % number)
        Sidecar.open(path).close()

    kept = sorted(name for name in os.listdir(os.path.dirname(path)) if "set-aside" in name)

    assert len(kept) == SET_ASIDE_MAX
    assert Path(f"{path}.set-aside-{SET_ASIDE_MAX}").read_bytes() == b"garbage %d" % (SET_ASIDE_MAX + 2)


def test_f25_a_sidecar_replaced_by_garbage_while_open_is_set_aside(path: str) -> None:
    """The next save notices, begins anew, and is complete."""
    sidecar = Sidecar.open(path)
    sidecar.save(STANDING)
    for part in ("", "-wal", "-shm"):
        os.unlink(path + part)
    garbage(path)

    sidecar.save(LATER)

    assert sidecar.load() == LATER
    assert sidecar.set_aside is not None
    sidecar.close()


def test_f25_who_comes_late_to_set_it_aside_leaves_the_new_one_alone(path: str) -> None:
    """Between finding the file unusable and moving it, another process did both: its new file stays."""
    garbage(path)
    late = Sidecar(path)
    with pytest.raises(sqlite3.DatabaseError):
        late._current()
    other = Sidecar.open(path)
    other.save(STANDING)

    late._begin_anew("garbage")

    assert (late.load(), late.set_aside) == (STANDING, None)
    assert not os.path.lexists(path + ".set-aside-2")
    other.close()
    late.close()


def test_a_value_that_sql_cannot_hold_leaves_no_transaction_open(path: str) -> None:
    """A programmer's mistake raises, changes nothing, and keeps neither us nor others from saving."""
    sidecar = Sidecar.open(path)
    sidecar.save(STANDING)
    with pytest.raises(OverflowError):
        sidecar.save(LATER, [DeadLetter("log-1", 2**70, 0, 1, "x")])

    assert sidecar.load() == STANDING
    sidecar.save(LATER)
    assert sidecar.load() == LATER
    sidecar.close()


TREE = CompactRange.EMPTY.extended([b"l" * 32])


def test_what_no_exchange_brings_back_waits_for_the_disk(path: str) -> None:
    """A power cut may take back a cursor, but no dead letter, no generation that began, no order done or given."""
    sidecar = Sidecar.open(path)
    said: list[str] = []
    assert sidecar._connection is not None
    sidecar._connection.set_trace_callback(said.append)
    begun, moved = Standing(Cursor("log-1")), Standing(Cursor("log-1", 4, TREE, None, Anchor(4, b"x" * 32)))

    def synced(save: Callable[[], object]) -> bool:
        said.clear()
        save()
        before_commit = said[: said.index("COMMIT")]
        return [line for line in before_commit if "synchronous" in line][-1].endswith("FULL")

    letter = DeadLetter("log-1", 0, 0, 4, "refused")
    assert synced(lambda: sidecar.save(begun))
    assert not synced(lambda: sidecar.save(moved))
    assert synced(lambda: sidecar.save(moved, [letter]))
    assert synced(lambda: sidecar.save(moved, done_reset=1))
    assert synced(lambda: sidecar.ask_reset(ResetOrder(begun.cursor)))
    assert not synced(lambda: sidecar.save_status(b"{}"))


def test_f24_a_sidecar_deleted_while_open_is_made_anew(path: str) -> None:
    """The next save goes to a new file at the path, not to the deleted one; orders given there are seen."""
    sidecar = Sidecar.open(path)
    sidecar.save(STANDING)
    for part in ("", "-wal", "-shm"):
        os.unlink(path + part)

    sidecar.save(LATER)
    person = Sidecar.open(path, may_set_aside=False)

    assert person.load() == LATER
    number = person.ask_reset(ResetOrder(STANDING.cursor))
    asked = sidecar.asked()
    assert asked is not None
    assert asked.reset == ResetOrder(STANDING.cursor, id=number)
    person.close()
    sidecar.close()


def test_an_order_lost_with_its_sidecar_is_an_error_not_done(path: str) -> None:
    """A person is never told that a reset was carried out when the file with it was set aside."""
    person = Sidecar.open(path)
    number = person.ask_reset(ResetOrder(STANDING.cursor))
    os.unlink(path)

    with pytest.raises(SidecarError, match="lost"):
        person.reset_done(number)
    person.close()


# ---------------------------------------------------------------- links and modes


@pytest.mark.parametrize("part", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("dangling", [False, True])
def test_f56_a_symlink_planted_at_a_file_of_the_sidecar_is_not_followed(path: str, part: str, dangling: bool) -> None:
    """The victim is neither written nor made, and the message names the link."""
    if part:
        made(path)
    victim = Path(path).with_name("victim")
    if not dangling:
        victim.write_text("precious")
    os.symlink(victim, path + part)

    with pytest.raises(SidecarError) as raised:
        Sidecar.open(path)

    assert path + part in str(raised.value)
    assert raised.value.hint
    assert (victim.read_text() if victim.exists() else None) == (None if dangling else "precious")
    assert not os.path.lexists(path + ".set-aside-1")


def test_f56_a_symlink_planted_while_open_is_not_followed(path: str) -> None:
    """Replacing the file by a link under a running replicator gives an error, no write through the link."""
    sidecar = Sidecar.open(path)
    victim = Path(path).with_name("victim")
    victim.write_text("precious")
    os.unlink(path)
    os.symlink(victim, path)

    with pytest.raises(SidecarError, match="link"):
        sidecar.save(STANDING)

    assert victim.read_text() == "precious"
    sidecar.close()


def test_f56_a_fifo_or_directory_in_its_place_does_not_hang(path: str) -> None:
    """Whatever is no regular file is refused at once."""
    os.mkfifo(path)
    with pytest.raises(SidecarError, match="no regular file"):
        Sidecar.open(path)
    os.unlink(path)
    os.mkdir(path)
    with pytest.raises(SidecarError, match="no regular file"):
        Sidecar.open(path)


@pytest.mark.parametrize("exists", [False, True])
def test_f56_all_files_are_0600_even_under_umask_0(path: str, exists: bool) -> None:
    """The database, its WAL and its shared memory; a world-readable one that is there is tightened."""
    before = os.umask(0)
    try:
        if exists:
            Path(path).touch(0o666)
        sidecar = Sidecar.open(path)
        sidecar.save(STANDING)
        modes = {name: stat.S_IMODE(os.stat(path + name).st_mode) for name in ("", "-wal", "-shm")}
    finally:
        os.umask(before)

    assert modes == {"": 0o600, "-wal": 0o600, "-shm": 0o600}
    sidecar.close()


def test_f21_a_log_reached_by_a_symlinked_directory_has_one_sidecar(tmp_path: Path) -> None:
    """Two paths of one directory lead to one sidecar."""
    (tmp_path / "brain").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "brain")

    paths = {sidecar_path(str(tmp_path / name / "events.jsonl")) for name in ("brain", "alias")}

    assert len(paths) == 1


# ---------------------------------------------------------------- other processes, full disks

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
connection.execute("INSERT OR REPLACE INTO status VALUES (1, '', x'00')") if "IMMEDIATE" in sys.argv[2] else \
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold(path: str) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Another process that holds a lock on the sidecar until it is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(statement: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, path, statement]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_f26_a_sidecar_locked_by_another_process_raises_in_time_and_works_later(
    path: str, hold: Callable[[str], subprocess.Popen[str]]
) -> None:
    """A save gives up within the busy timeout and changes nothing; reads go on; once free, the same save works."""
    sidecar = Sidecar.open(path)
    sidecar.save(STANDING)
    holder = hold("BEGIN IMMEDIATE")
    started = time.monotonic()

    with pytest.raises(SidecarError) as raised:
        sidecar.save(LATER)

    assert 1.0 <= time.monotonic() - started <= AT_ONCE_S
    assert "locked" in str(raised.value)
    assert raised.value.hint
    assert (sidecar.load(), sidecar.asked()) == (STANDING, None)
    holder.kill()
    holder.wait()
    sidecar.save(LATER)
    assert sidecar.load() == LATER
    sidecar.close()


@pytest.mark.slow
def test_f26_a_locked_sidecar_is_not_taken_for_a_broken_one(
    path: str, hold: Callable[[str], subprocess.Popen[str]]
) -> None:
    """Opening one that another process keeps for itself alone raises, and sets nothing aside."""
    made(path)
    holder = hold("PRAGMA locking_mode = EXCLUSIVE")

    with pytest.raises(SidecarError, match="locked"):
        Sidecar.open(path)

    holder.kill()
    holder.wait()
    sidecar = Sidecar.open(path)
    assert (sidecar.load(), sidecar.set_aside) == (STANDING, None)
    sidecar.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB, where mounting is permitted."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here; the test with a limit on file sizes proves the same")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free; returns the file to delete."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return filler


def test_f19_a_full_disk_raises_and_the_sidecar_works_again_when_there_is_room(tiny_disk: Path) -> None:
    """What was saved before stays readable while the disk is full; afterwards saving goes on by itself."""
    path = str(tiny_disk / ".replicator.db")
    sidecar = Sidecar.open(path)
    sidecar.save(STANDING)
    filler = fill(tiny_disk)

    with pytest.raises(SidecarError) as raised:
        sidecar.save(LATER, status=os.urandom(300_000))
    assert "df" in raised.value.hint
    assert sidecar.load() == STANDING

    filler.unlink()
    sidecar.save(LATER, status=b"room again")
    assert (sidecar.load(), sidecar.status(), sidecar.set_aside) == (LATER, b"room again", None)
    sidecar.close()


def test_f19_a_sidecar_that_cannot_be_begun_on_a_full_disk_raises(tiny_disk: Path) -> None:
    """Nothing is set aside; the same call works when there is room."""
    filler = fill(tiny_disk)
    path = str(tiny_disk / ".replicator.db")

    with pytest.raises(SidecarError):
        Sidecar.open(path)
    filler.unlink()

    sidecar = Sidecar.open(path)
    assert (sidecar.load(), sidecar.set_aside) == (None, None)
    sidecar.close()


def test_f19_a_limit_on_file_sizes_raises_and_heals(path: str) -> None:
    """As a full disk, for wherever mounting is not permitted: a write refused by the system loses nothing saved."""
    sidecar = Sidecar.open(path)
    sidecar.save(STANDING)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path + "-wal") + 100, hard))
    try:
        with pytest.raises(SidecarError) as raised:
            sidecar.save(LATER, status=bytes(50_000))
        assert sidecar.load() == STANDING
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert raised.value.hint
    sidecar.save(LATER)
    assert (sidecar.load(), sidecar.set_aside) == (LATER, None)
    sidecar.close()


def test_a_missing_directory_is_an_error_with_a_hint(tmp_path: Path) -> None:
    """No directory is made; the hint names it."""
    with pytest.raises(SidecarError) as raised:
        Sidecar.open(str(tmp_path / "no" / ".replicator.db"))

    assert str(tmp_path / "no") in raised.value.hint


# ---------------------------------------------------------------- looking only


def test_a_view_shows_what_was_saved_and_makes_nothing(path: str) -> None:
    """doctor and status read beside a live leader, and never make a sidecar."""
    assert read_only(path) is None
    assert not os.path.lexists(path)
    sidecar = Sidecar.open(path)
    sidecar.save(STANDING, status=b"{}")
    sidecar.ask_reset(ResetOrder(LATER.cursor))

    view = read_only(path)

    assert view is not None
    assert (view.load(), view.status(), view.dead_letters(), view.dead_letter_count()) == (STANDING, b"{}", [], 0)
    assert view.pending() == sidecar.asked()
    view.close()
    sidecar.close()


@pytest.mark.parametrize("damage", ["zeroed", "garbage", "newer schema", "nodes too few"])
def test_f25_a_view_of_an_unusable_sidecar_is_an_error(path: str, damage: str) -> None:
    """Who only looks sets nothing aside, and says what is wrong."""
    made(path)
    DAMAGES[damage](path)
    before = Path(path).read_bytes()

    def look() -> None:
        view = read_only(path)
        assert view is not None
        try:
            view.load()
        finally:
            view.close()

    with pytest.raises(SidecarError) as raised:
        look()

    assert raised.value.hint
    assert Path(path).read_bytes() == before


def test_f56_a_view_follows_no_symlink(path: str) -> None:
    """A planted link is refused for readers too."""
    made(path)
    os.rename(path, path + ".elsewhere")
    os.symlink(path + ".elsewhere", path)

    with pytest.raises(SidecarError, match="link"):
        read_only(path)
