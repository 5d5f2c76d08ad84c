"""Working ahead of the replicator: what was made of bytes counts only if the log still has those very bytes."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from replicator.actions import Broken, Found, Read
from replicator.log import LogReader, PosixDisk
from replicator.log.ahead import BYTES_MAX, WORTH_S, Ahead
from replicator.log.disk import POSIX
from replicator.log.scan import Bounds
from replicator.model import MIB, Anchor, Batch, Cursor
from replicator.proof import CompactRange, leaf_hashes

BATCH_BYTES = 4_000
BOUNDS = Bounds(BATCH_BYTES, 1_000, MIB)


def log_of(count: int, mark: str = "a") -> bytes:
    return b"".join(b'{"event_id": "%s%05d"}\n' % (mark.encode(), number) for number in range(count))


class SlowRequests:
    """A clock: each look at it is one long request later."""

    def __init__(self, step_s: float = 2 * WORTH_S) -> None:
        self._times = itertools.count()
        self._step_s = step_s

    def __call__(self) -> float:
        return next(self._times) * self._step_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "events.jsonl"
    place.write_bytes(log_of(1_000))
    return place


def ahead_of(path: Path, clock: Callable[[], float] | None = None) -> Ahead:
    """An Ahead that saw a long request, so that it guesses."""
    ahead = Ahead(str(path), POSIX, clock=clock or SlowRequests())
    ahead.begin(0, 0, BOUNDS)
    assert ahead.take(0, 0, BOUNDS) is None
    return ahead


def working(path: Path) -> LogReader:
    reader = LogReader(str(path), work_ahead=True)
    reader._ahead = ahead_of(path)
    return reader


def read(reader: LogReader, cursor: Cursor) -> object:
    return reader.read(Read(cursor, BATCH_BYTES, 1_000, MIB))


def batch(outcome: object) -> Batch:
    assert isinstance(outcome, Found), outcome
    assert isinstance(outcome.load, Batch)
    return outcome.load


def behind(cursor: Cursor, load: Batch) -> Cursor:
    tree = cursor.tree.extended(leaf_hashes(load.views()))
    return Cursor(cursor.log_id, load.end, tree, "e", Anchor.of(load.last))


def first_two(path: Path) -> tuple[LogReader, Cursor]:
    """A reader that has read one batch and has worked on the next, and the cursor behind the first."""
    reader = working(path)
    start = Cursor("log-1")
    cursor = behind(start, batch(read(reader, start)))
    assert reader._ahead is not None
    guess = reader._ahead._guess
    assert guess is not None
    assert guess.thread is not None
    guess.thread.join()
    assert guess.batch is not None
    return reader, cursor


def test_a_whole_log_is_read_the_same_with_and_without_working_ahead(path: Path) -> None:
    """Batch by batch: the same bytes at the same places; from the second one on the leaves are there already."""
    plain, reader = LogReader(str(path)), working(path)
    cursor = Cursor("log-1", tree=CompactRange.EMPTY)
    hashed = []
    while cursor.offset < path.stat().st_size:
        found = batch(read(reader, cursor))
        assert found == batch(read(plain, cursor))
        assert found.hashed is None or list(found.hashed) == leaf_hashes(found.views())
        hashed.append(found.hashed is not None)
        cursor = behind(cursor, found)
    assert hashed == [False] + [True] * (len(hashed) - 1)
    assert len(hashed) > 3


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_f07_a_log_replaced_meanwhile_is_read_as_it_is_now(path: Path, kept: int) -> None:
    """Replaced by rename behind the cursor (or before it), sizes equal: never the bytes that were there before."""
    reader, cursor = first_two(path)
    before = path.read_bytes()
    other = log_of(1_000, "b")
    cut = [0, cursor.offset, cursor.offset + len(before[: BATCH_BYTES // 2].rpartition(b"\n")[0]) + 1][kept]
    new = path.with_name("new")
    new.write_bytes(before[:cut] + other[cut:])
    os.replace(new, path)
    outcome = read(reader, cursor)
    if kept == 0:
        assert isinstance(outcome, Broken)
    else:
        found = batch(outcome)
        assert bytes(found.data) == path.read_bytes()[found.offset : found.end]
        assert list(found.hashed or leaf_hashes(found.views())) == leaf_hashes(found.views())
        assert b"b0" in bytes(found.data)


def test_f05_a_log_truncated_and_regrown_meanwhile_is_no_longer_the_same(path: Path) -> None:
    """Cut below the cursor and grown past what was read ahead: the anchor tells, as it does without a guess."""
    reader, cursor = first_two(path)
    with path.open("r+b") as log:
        log.truncate(100)
        log.seek(100)
        log.write(b"\n" + log_of(2_000, "c"))
    assert isinstance(read(reader, cursor), Broken)


def test_f08_one_byte_that_changed_meanwhile_is_sent_as_it_is_now(path: Path) -> None:
    """In place, same length, same inode, in the middle of what was read ahead."""
    reader, cursor = first_two(path)
    with path.open("r+b") as log:
        log.seek(cursor.offset + BATCH_BYTES // 2)
        log.write(b"#")
    found = batch(read(reader, cursor))
    assert bytes(found.data) == path.read_bytes()[found.offset : found.end]
    assert b"#" in bytes(found.data)
    assert found.hashed is None


def test_f09_a_log_cut_meanwhile_gives_only_what_is_left(path: Path) -> None:
    """What was read ahead and cut off since is not sent."""
    reader, cursor = first_two(path)
    left = path.read_bytes()[: cursor.offset + 500].rpartition(b"\n")[0] + b"\n"
    path.write_bytes(left)
    assert batch(read(reader, cursor)).end == len(left)


def test_another_cursor_or_other_bounds_get_no_guess(path: Path) -> None:
    """After a failure the next read is elsewhere or smaller: it reads for itself."""
    for first, offset, bounds in ((0, 0, BOUNDS), (1, 20, BOUNDS), (2, 40, Bounds(10, 1_000, MIB))):
        ahead = ahead_of(path)
        ahead.begin(2, 40, BOUNDS)
        assert ahead.take(first, offset, bounds) is None
        assert ahead.take(2, 40, BOUNDS) is None, "a guess is used or forgotten"


def test_nothing_is_guessed_while_requests_are_quick(path: Path) -> None:
    """A request shorter than the guess: no thread."""
    ahead = Ahead(str(path), POSIX, clock=SlowRequests(WORTH_S / 2))
    for _ in range(3):
        ahead.begin(0, 0, BOUNDS)
        assert ahead.take(0, 0, BOUNDS) is None


def test_f48_no_two_of_the_largest_batches_are_in_memory_together(path: Path) -> None:
    """Batches beyond 8 MiB are not guessed."""
    for bytes_max, guesses in ((BYTES_MAX, True), (BYTES_MAX + 1, False)):
        bounds = Bounds(bytes_max, 1_000, MIB)
        ahead = ahead_of(path)
        ahead.begin(0, 0, bounds)
        assert (ahead.take(0, 0, bounds) is not None) == guesses


def test_nothing_is_guessed_at_the_end_of_the_log(path: Path) -> None:
    """The last batch of a log is followed by no thread: an idle replicator has none."""
    path.write_bytes(log_of(3))
    reader = working(path)
    batch(read(reader, Cursor("log-1")))
    assert not any(thread.name == "replicator-ahead" for thread in threading.enumerate())


def test_f18_an_error_while_working_ahead_is_left_to_the_read(path: Path) -> None:
    """The disk fails for the guess: there is none, and the read that follows is as good as any."""

    class FailsOnce(PosixDisk):
        opened = 0

        def open(self, name: str, flags: int) -> int:
            self.opened += 1
            if self.opened == 1:
                raise OSError(5, "Input/output error")
            return super().open(name, flags)

    ahead = Ahead(str(path), FailsOnce(), clock=SlowRequests())
    for expected in (None, None):
        ahead.begin(0, 0, BOUNDS)
        assert ahead.take(0, 0, BOUNDS) is expected
    ahead.begin(0, 0, BOUNDS)
    assert ahead.take(0, 0, BOUNDS) is not None


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork there")
def test_f43_a_guess_under_way_at_a_fork_never_came(path: Path) -> None:
    """The child has no such thread: it neither waits for it nor uses half of it."""
    ahead = ahead_of(path)
    ahead.begin(0, 0, BOUNDS)
    child = os.fork()
    if child == 0:
        guess = ahead.take(0, 0, BOUNDS)
        os._exit(0 if guess is None or guess.hashed == tuple(leaf_hashes(guess.views())) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ahead.take(0, 0, BOUNDS) is not None
