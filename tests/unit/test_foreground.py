"""Replicating in the foreground: whose work is counted, and when watching ends."""

from __future__ import annotations

import signal

from gradata.foreground import Stop
from gradata.totals import Counts, Totals
from replicator.status import Status


def status(pid: int, accepted: int, duplicates: int = 0, since: str = "a") -> Status:
    """A leader's status with its totals."""
    made = Status("live", "2026-11-23T10:00:00+00:00", "https://cloud.example")
    return Status(**{**_fields(made), "pid": pid, "since": since, "accepted": accepted, "duplicates": duplicates})


def _fields(made: Status) -> dict[str, object]:
    return {name: getattr(made, name) for name in Status.__dataclass_fields__}


def test_what_was_done_before_is_not_counted() -> None:
    """A leader that had sent 100 records before is asked what it sent since."""
    totals = Totals(status(1, 100))
    totals.see(status(1, 107, 2))
    assert totals.counts == Counts(accepted=7, duplicates=2)


def test_one_s_own_work_is_counted_from_its_start() -> None:
    """A dead leader's totals are the past; a new process counts from 0."""
    totals = Totals(status(1, 100))
    totals.see(status(2, 5))
    assert totals.counts == Counts(accepted=5)


def test_a_takeover_adds_up() -> None:
    """The leader dies in the middle and another goes on: both parts count, also with a pid that was used before."""
    totals = Totals(None)
    totals.see(status(1, 5))
    totals.see(status(1, 8))
    totals.see(status(1, 2, since="b"))
    totals.see(status(3, 1, 4))
    assert totals.counts == Counts(accepted=11, duplicates=4)


def test_nothing_seen_is_nothing_done() -> None:
    """Without any status nothing is claimed."""
    assert Totals(None).counts == Counts()
    assert Totals(status(1, 9)).counts == Counts()


def test_f46_a_stop_may_be_set_from_a_signal_handler() -> None:
    """Whatever the main thread is doing when the signal comes, waiting included, the stop takes hold."""
    stop = Stop()
    before = signal.signal(signal.SIGALRM, lambda *_: stop.set())
    try:
        assert not stop.wait(0)
        for _ in range(200):
            signal.setitimer(signal.ITIMER_REAL, 0.0001)
            while not stop.is_set():
                stop.wait(5.0)
            assert stop.wait(None)
            stop.close()
            stop = Stop()
    finally:
        signal.signal(signal.SIGALRM, before)
        stop.close()
