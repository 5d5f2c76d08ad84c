"""Replicating in the foreground: whose work is counted, and when watching ends."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradata.replicate.once import Result, RunWatch, Stop, plan
from gradata.replicate.run_counters import RunCounts, Totals
from replicator.status import Shown, Status


class Other:
    """A replicator that does not lead, or does, and whose status is set by the test."""

    def __init__(self, log: Path) -> None:
        self.log_path = str(log)
        self.leads = False
        self.shown: Status | None = None

    def status(self) -> Status | None:
        """As set."""
        return self.shown


class World:
    """A log of two records that nobody acknowledged, a watch over it, and a clock that is set."""

    def __init__(self, tmp_path: Path) -> None:
        self.log = tmp_path / "events.jsonl"
        self.log.write_bytes(b'{"a": 1}\n{"b": 2}\n')
        self.replicator = Other(self.log)
        self.now = 1000.0
        self.watch = RunWatch(self.replicator, monotonic_s=lambda: self.now)  # type: ignore[arg-type]
        self.task = plan(str(self.log), None)

    def look(self, at_s: float, *, timeout_s: float | None = None, **changed: Any) -> str:
        """The reason why the watch ended, "" while it goes on."""
        self.now = 1000.0 + at_s
        if changed:
            self.replicator.shown = replace(status(1, 0), **changed)
        seen = self.watch.look(self.task, timeout_s=timeout_s)
        return seen.reason if isinstance(seen, Result) else ""


def trouble(code: str = "denied") -> Shown:
    """A trouble as a status shows it."""
    return Shown(code, "in words", "2026-11-23T10:00:00+00:00", "do this")


def test_the_task_is_what_nobody_acknowledged(tmp_path: Path) -> None:
    """Whole records only: a torn tail is nobody's task."""
    world = World(tmp_path)
    with world.log.open("ab") as file:
        file.write(b'{"torn')
    assert (plan(str(world.log), None).total_records, plan(str(world.log), None).total_bytes) == (2, 18)


def test_it_gives_up_a_minute_after_the_last_answer(tmp_path: Path) -> None:
    """Attempts are no progress, answers are: each one starts the minute anew."""
    world = World(tmp_path)
    assert world.look(0.0) == ""
    assert world.look(59.0, requests=50) == ""
    assert world.look(59.5, requests=51, duplicates=1) == ""
    assert world.look(119.0, requests=99, duplicates=1) == ""
    assert world.look(119.6, requests=99, duplicates=1) == "stalled"


def test_it_gives_up_at_the_deadline(tmp_path: Path) -> None:
    """However well it goes."""
    world = World(tmp_path)
    assert world.look(9.9, timeout_s=10.0, accepted=1) == ""
    assert world.look(10.1, timeout_s=10.0, accepted=2) == "deadline"


@pytest.mark.parametrize("state", ["paused", "held", "stopped"])
def test_a_pause_of_one_s_own_ends_it_at_once(tmp_path: Path, state: str) -> None:
    """What we see ourselves is no old news."""
    world = World(tmp_path)
    world.replicator.leads = True
    assert world.look(0.1, state=state, trouble=trouble()) == "trouble"


def test_a_pause_of_another_process_may_be_old_news(tmp_path: Path) -> None:
    """A leader elsewhere gets a few seconds to notice, for example, a new key."""
    world = World(tmp_path)
    assert world.look(4.0, state="paused", trouble=trouble()) == ""
    assert world.look(5.1, state="paused", trouble=trouble()) == "trouble"


def test_a_log_that_cannot_be_read_is_trouble_too(tmp_path: Path) -> None:
    """The operating system's refusal is told in its words."""
    world = World(tmp_path)
    assert world.look(6.0, log_trouble="EACCES: Permission denied") == "trouble"
    ended = world.watch.interrupted(world.task)
    assert ended.trouble is not None
    assert ended.trouble.detail == "EACCES: Permission denied"
    assert (ended.remaining.records, ended.remaining.bytes) == (2, 18)


def test_a_cloud_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Retrying is no reason to end before the minute is over."""
    world = World(tmp_path)
    assert world.look(30.0, state="retrying", trouble=trouble("unavailable")) == ""


def test_without_a_sidecar_the_leader_s_word_counts(tmp_path: Path) -> None:
    """Where nothing can be saved, what the leader says of its cursor is all there is."""
    world = World(tmp_path)
    world.replicator.leads = True
    assert world.look(1.0, offset=18, sidecar_trouble=None) == ""
    assert world.look(1.0, offset=18, sidecar_trouble="read-only", resending_to=3) == ""
    assert world.look(1.0, offset=9, sidecar_trouble="read-only") == ""
    assert world.look(1.0, offset=18, sidecar_trouble="read-only") == "caught_up"


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
    assert totals.counts == RunCounts(accepted=7, duplicates=2)


def test_one_s_own_work_is_counted_from_its_start() -> None:
    """A dead leader's totals are the past; a new process counts from 0."""
    totals = Totals(status(1, 100))
    totals.see(status(2, 5))
    assert totals.counts == RunCounts(accepted=5)


def test_a_takeover_adds_up() -> None:
    """The leader dies in the middle and another goes on: both parts count, also with a pid that was used before."""
    totals = Totals(None)
    totals.see(status(1, 5))
    totals.see(status(1, 8))
    totals.see(status(1, 2, since="b"))
    totals.see(status(3, 1, 4))
    assert totals.counts == RunCounts(accepted=11, duplicates=4)


def test_nothing_seen_is_nothing_done() -> None:
    """Without any status nothing is claimed."""
    assert Totals(None).counts == RunCounts()
    assert Totals(status(1, 9)).counts == RunCounts()


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


def test_f46_a_signal_ends_the_wait_before_its_handler_has_run() -> None:
    """A signal between the last instruction and the sleep: the interpreter's own handler writes, nothing else does."""
    stop = Stop()
    before, wakes = signal.signal(signal.SIGALRM, lambda *_: None), signal.set_wakeup_fd(stop.fileno())
    try:
        assert not stop.wait(0)
        signal.raise_signal(signal.SIGALRM)
        assert stop.wait(0)
    finally:
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGALRM, before)
        stop.close()
