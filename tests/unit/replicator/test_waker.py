"""The waker: a wake is never lost, the timer never fails, and file events are only a hint."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from replicator.testing import ManualWaker
from replicator.waker import Filter, Waker, WakerPort, watch_directory
from tests.support.patience import AT_ONCE_S, PATIENCE_S

pytestmark = pytest.mark.slow
LONG_S = 60.0
"""A timer that no test waits for."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log in a directory of its own."""
    (tmp_path / "brain").mkdir()
    path = tmp_path / "brain" / "events.jsonl"
    path.touch()
    return path


@pytest.fixture
def make() -> Iterator[Callable[..., Waker]]:
    """Wakers that are closed at the end."""
    made: list[Waker] = []

    def one(path: Path, **options: object) -> Waker:
        waker = Waker(str(path), **options)  # type: ignore[arg-type]
        made.append(waker)
        return waker

    yield one
    for waker in made:
        waker.close()


def elapsed_s(waker: Waker, timeout_s: float | None) -> float:
    started = time.monotonic()
    waker.wait(timeout_s)
    return time.monotonic() - started


def until(waker: Waker, fact: Callable[[], bool], limit_s: float = PATIENCE_S) -> bool:
    """Wait, woken or not, until the fact holds."""
    deadline = time.monotonic() + limit_s
    while not fact() and time.monotonic() < deadline:
        waker.wait(0.05)
    return fact()


def quiet(waker: Waker) -> None:
    """Wait until file events are expected, and those that are on their way have arrived."""
    assert until(waker, lambda: waker.watching)
    while waker.wait(0.5):
        pass


# ---------------------------------------------------------------- level, timer, close


@pytest.mark.parametrize("waker", [Waker("/nowhere/events.jsonl", watch=False, timer_s=0.01), ManualWaker()])
def test_a_wake_before_the_wait_ends_it_and_counts_once(waker: WakerPort) -> None:
    """Level-triggered: three wakes while nobody waits end the next wait, and only that."""
    assert waker.wait(0.0) is False
    for _ in range(3):
        waker.wake()

    assert [waker.wait(0.01), waker.wait(0.01), waker.wait(0.0)] == [True, False, False]
    assert waker.watching is False


def test_a_wake_during_the_wait_ends_it(log: Path, make: Callable[..., Waker]) -> None:
    """Another thread's wake comes through at once."""
    waker = make(log, watch=False, timer_s=LONG_S)
    threading.Timer(0.05, waker.wake).start()

    assert elapsed_s(waker, None) < AT_ONCE_S


@pytest.mark.parametrize("timeout_s", [None, 1e9, 0.05, 0.0, -1.0])
def test_f20_a_wait_never_exceeds_the_timer(log: Path, make: Callable[..., Waker], timeout_s: float | None) -> None:
    """Without any event the wait ends by itself, however long the caller would wait."""
    waker = make(log, watch=False, timer_s=0.1)

    assert elapsed_s(waker, timeout_s) < AT_ONCE_S
    assert waker.wait(timeout_s) is False


def test_no_wake_is_lost_between_threads(log: Path, make: Callable[..., Waker]) -> None:
    """Work announced by a wake is always seen: 20,000 pieces from 4 threads, with a timer that would not help."""
    waker = make(log, watch=False, timer_s=LONG_S)
    done, announced = 0, [0, 0, 0, 0]

    def announce(mine: int) -> None:
        for _ in range(5_000):
            announced[mine] += 1
            waker.wake()

    threads = [threading.Thread(target=announce, args=(mine,)) for mine in range(4)]
    for thread in threads:
        thread.start()
    while done < 20_000:
        assert waker.wait(None)
        done = sum(announced)
    for thread in threads:
        thread.join()

    assert done == 20_000


def test_a_signal_handler_may_wake_in_the_middle_of_a_wake(log: Path, make: Callable[..., Waker]) -> None:
    """Thousands of wakes interrupted by a handler that wakes too: no deadlock, as an Event could have."""
    waker = make(log, watch=False)
    count = 0

    def interrupt(_number: int, _frame: object) -> None:
        nonlocal count
        count += 1
        waker.wake()

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        while count < 100:
            waker.wake()
            waker.wait(0.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert count >= 100


def test_close_ends_the_wait_and_the_thread_and_may_be_repeated(log: Path, make: Callable[..., Waker]) -> None:
    """No thread is left, and a waiting one comes back."""
    waker = make(log, timer_s=LONG_S)
    quiet(waker)
    threading.Timer(0.05, waker.close).start()

    assert elapsed_s(waker, None) < AT_ONCE_S
    waker.close()
    assert not waker.watching
    assert "replicator-watch" not in {thread.name for thread in threading.enumerate()}


def test_nothing_is_loaded_or_started_before_the_first_wait(log: Path) -> None:
    """A process that only appends pays for no thread and no watchfiles."""
    code = (
        "import sys, threading; from replicator.waker import Waker; w = Waker(sys.argv[1]); w.wake(); w.close(); "
        "print('watchfiles' in sys.modules, threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(log)], capture_output=True, text=True, check=True)

    assert done.stdout == "False 1\n"


@pytest.mark.parametrize("delay_s", [0.0, 0.3])
def test_f45_an_interpreter_that_ends_without_close_ends_cleanly(log: Path, delay_s: float) -> None:
    """The watching thread is in foreign code when Python ends: no crash, no words, no delay."""
    code = (
        "import sys; from replicator.waker import Waker; w = Waker(sys.argv[1]);"
        "deadline = __import__('time').monotonic() + float(sys.argv[2])\n"
        "while __import__('time').monotonic() <= deadline: w.wait(0.05)"
    )
    command = [sys.executable, "-c", code, str(log), str(delay_s)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---------------------------------------------------------------- real file events


def append(path: Path) -> None:
    """By another process."""
    subprocess.run([sys.executable, "-c", "import sys; open(sys.argv[1], 'a').write('x\\n')", str(path)], check=True)


def test_an_append_by_another_process_wakes(log: Path, make: Callable[..., Waker]) -> None:
    """Long before the timer, which would take 30 s."""
    waker = make(log, timer_s=LONG_S)
    quiet(waker)

    append(log)

    assert waker.wait(None) is True
    assert waker.deaf_because is None


def test_other_files_of_the_directory_wake_nobody(log: Path, make: Callable[..., Waker]) -> None:
    """system.db and the sidecar are written at each correction."""
    waker = make(log, timer_s=LONG_S)
    quiet(waker)

    for name in ("system.db", "events.raw.jsonl", "events.backfill.jsonl", "xevents.jsonl"):
        (log.parent / name).write_text("x")

    assert waker.wait(0.6) is False


def test_f06_a_log_replaced_by_rename_goes_on_waking(log: Path, make: Callable[..., Waker]) -> None:
    """A watch on the file itself would be lost with its inode."""
    waker = make(log, timer_s=LONG_S)
    quiet(waker)
    (log.parent / "new").write_text("x\n")
    os.replace(log.parent / "new", log)
    assert waker.wait(None) is True
    while waker.wait(0.5):
        pass

    append(log)

    assert waker.wait(None) is True


def test_f21_a_log_below_a_symlinked_and_hidden_directory_wakes(tmp_path: Path, make: Callable[..., Waker]) -> None:
    """The default filter of watchfiles would drop everything below `.git` or `.venv`; a symlink is no obstacle."""
    (tmp_path / ".git" / "brain").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / ".git" / "brain")
    waker = make(tmp_path / "alias" / "events.jsonl", timer_s=LONG_S)
    quiet(waker)

    append(tmp_path / ".git" / "brain" / "events.jsonl")

    assert waker.wait(None) is True


def test_f20_a_directory_removed_and_made_again_is_watched_again(log: Path, make: Callable[..., Waker]) -> None:
    """watchfiles says nothing of it, and the new directory may have the old inode: found all the same."""
    waker = make(log, timer_s=LONG_S)
    quiet(waker)

    shutil.rmtree(log.parent)
    assert until(waker, lambda: not waker.watching)
    log.parent.mkdir()
    assert until(waker, lambda: waker.watching)
    quiet(waker)
    append(log)

    assert waker.wait(None) is True


def test_f20_a_directory_removed_and_made_again_at_once_is_watched_again(log: Path, make: Callable[..., Waker]) -> None:
    """Nobody had a chance to see it missing."""
    arms: list[str] = []

    def counted(directory: str, heard: Filter, stop: threading.Event) -> Iterable[object]:
        arms.append(directory)
        return watch_directory(directory, heard, stop)

    waker = make(log, timer_s=LONG_S, watch_directory=counted)
    quiet(waker)

    shutil.rmtree(log.parent)
    log.parent.mkdir()
    log.touch()
    assert until(waker, lambda: len(arms) > 1 and waker.watching)
    quiet(waker)
    append(log)

    assert waker.wait(None) is True


def test_f02_a_directory_that_appears_later_is_watched_then(tmp_path: Path, make: Callable[..., Waker]) -> None:
    """Until then the timer runs, and the reason can be read."""
    waker = make(tmp_path / "brain" / "events.jsonl", timer_s=0.05)
    assert until(waker, lambda: "does not exist" in (waker.deaf_because or ""))

    (tmp_path / "brain").mkdir()

    assert until(waker, lambda: waker.watching)


# ---------------------------------------------------------------- events that fail


def ticks(stop: threading.Event) -> Iterator[object]:
    while not stop.wait(0.02):
        yield set()


def mute(_directory: str, _heard: Filter, stop: threading.Event) -> Iterable[object]:
    """A network disk: the watch is there, events are not."""
    return ticks(stop)


def test_f20_mute_file_events_are_found_out_and_the_log_is_polled(log: Path, make: Callable[..., Waker]) -> None:
    """An append is seen by looking at the log; that it was not heard is told."""
    waker = make(log, timer_s=LONG_S, watch_directory=mute)
    assert until(waker, lambda: waker.watching)
    while waker.wait(0.1):
        pass

    append(log)

    assert waker.wait(None) is True
    assert until(waker, lambda: not waker.watching)
    assert "do not arrive" in (waker.deaf_because or "")


@pytest.mark.parametrize(
    "error", [OSError("OS file watch limit reached"), RuntimeError("unknown error"), ImportError("no watchfiles")]
)
def test_f20_a_watcher_that_cannot_start_leaves_the_timer(
    log: Path, make: Callable[..., Waker], error: Exception
) -> None:
    """The reason is kept in words, nothing is raised, waits end in time."""

    def refuse(_directory: str, _heard: Filter, _stop: threading.Event) -> Iterable[object]:
        raise error

    waker = make(log, timer_s=0.05, watch_directory=refuse)

    assert until(waker, lambda: str(error) in (waker.deaf_because or ""))
    assert not waker.watching
    assert elapsed_s(waker, None) < AT_ONCE_S


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_f20_a_dead_watching_thread_leaves_the_timer(log: Path, make: Callable[..., Waker]) -> None:
    """The thread ends in a way that nobody foresaw: it is not believed to watch, and waits end in time."""
    died = threading.Event()

    def die(_directory: str, _heard: Filter, _stop: threading.Event) -> Iterator[object]:
        yield set()
        died.set()
        raise SystemExit

    waker = make(log, timer_s=0.05, watch_directory=die)
    assert until(waker, died.is_set)

    assert until(waker, lambda: not waker.watching)
    assert elapsed_s(waker, None) < AT_ONCE_S
    waker.wake()
    assert waker.wait(None) is True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_f20_a_dead_watching_thread_is_started_again(log: Path, make: Callable[..., Waker]) -> None:
    """After its pause, not at once: a thread that dies each time must cost nothing."""
    starts = []

    def die_once(_directory: str, _heard: Filter, stop: threading.Event) -> Iterator[object]:
        starts.append(1)
        if len(starts) == 1:
            raise SystemExit
        yield from ticks(stop)

    waker = make(log, timer_s=0.05, watch_directory=die_once)
    assert until(waker, lambda: bool(starts))
    for _ in range(5):
        waker.wait(0.02)
    assert len(starts) == 1

    assert waker._watcher is not None
    waker._watcher._restart_at = 0.0

    assert until(waker, lambda: waker.watching)


def test_f43_after_a_fork_the_child_has_wake_and_timer_of_its_own(log: Path) -> None:
    """The parent's thread does not exist in the child, and the parent's events are not stolen by it."""
    code = """
import os, sys, time
from replicator.waker import Waker
w = Waker(sys.argv[1], timer_s=60.0)
deadline = time.monotonic() + 60
while not w.watching and time.monotonic() < deadline:
    w.wait(0.05)
while w.wait(0.5):
    pass
child = os.fork()
if child == 0:
    w.abandon()
    w.wake()
    assert w.wait(None) and not w.wait(0.01)
    assert not w.watching and w.deaf_because is None, "no thread of its own is wanted"
    w.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert w.watching
open(sys.argv[1], "a").write("x\\n")
started = time.monotonic()
assert w.wait(None) and time.monotonic() - started < 15
w.close()
"""
    # From 3.12 on Python warns whoever forks while there are threads.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", code, str(log)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
