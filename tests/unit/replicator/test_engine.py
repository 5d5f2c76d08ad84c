"""engine: one step does the one thing that was decided, through a port, and tells how it went."""

from __future__ import annotations

import pytest

from replicator import actions as act
from replicator import status as st
from replicator.engine import Engine, EnginePorts, Host, SystemClock
from replicator.errors import LogError
from replicator.model import Cursor, Policy
from replicator.testing import Fault, ManualClock, ManualWaker, MemoryCloud, MemoryLog, MemorySidecar, MemorySink

HERE = "https://here/api/v1"


class Bench:
    """An engine with fakes at all its ports."""

    def __init__(self, *records: bytes, sidecar: MemorySidecar | None = None, cloud: MemoryCloud | None = None) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(*records)
        self.cloud = cloud or MemoryCloud()
        self.sink = MemorySink(self.cloud)
        self.sidecar = sidecar or MemorySidecar()
        self.waker = ManualWaker(self.clock)
        self.notices: list[st.Notice] = []
        self.engine = Engine(
            EnginePorts(self.log, self.sidecar, self.sink, self.waker, self.clock),
            self.sidecar.load() if self.sidecar.failing is None else None,
            endpoint=HERE,
            policy=Policy(),
            host=Host(7, "host", "1.0", "then"),
            on_notice=self.notices.append,
            jitter=lambda: 0.5,
            new_log_id=lambda: "log-1",
        )

    def run(self) -> list[str]:
        """Step until it waits with everything read; the names of what was done."""
        done = []
        for _ in range(100):
            action = self.engine.step()
            done.append(type(action).__name__)
            if isinstance(action, act.Wait):
                return done
        raise AssertionError(f"never waits: {done}")


def test_a_fresh_log_is_replicated_step_by_step() -> None:
    """Recall, begin, save, heartbeat, read, send, save, look again, wait: and the cloud has the bytes."""
    bench = Bench(b"one\n", b"two\n")
    steps = "Recall Begin Checkpoint Beat Checkpoint Read Send Checkpoint Read Wait"
    assert bench.run() == steps.split()
    assert bench.cloud.bytes_of("log-1") == b"one\ntwo\n"
    standing = bench.sidecar.load()
    assert standing is not None
    assert standing.cursor.size == 2


def test_a_lost_cursor_is_compared_with_the_log() -> None:
    """F24: the sidecar is gone; the log's own root finds the place again, nothing is resent."""
    first = Bench(b"one\n", b"two\n")
    first.run()
    second = Bench(b"one\n", b"two\n", cloud=first.cloud)
    assert "Compare" in second.run()
    assert not [sent for sent in second.sink.sent if isinstance(sent, act.Send)]


def test_the_status_is_saved_with_each_checkpoint_and_heartbeat() -> None:
    """Others read there how it stands, who runs it and when the last ack was, over restarts too."""
    bench = Bench(b"one\n")
    bench.log.written_at = 1_800_000_000.0
    bench.run()
    saved = st.from_json(bench.sidecar.status() or b"")
    assert saved is not None
    assert (saved.size, saved.pid, saved.host, saved.version) == (1, 7, "host", "1.0")
    assert saved.last_event_at == "2027-01-15T08:00:00.000+00:00"
    again = Bench(b"one\n", sidecar=MemorySidecar(bench.sidecar.rows))
    assert again.engine.status.state == "starting"
    assert again.engine.status.last_ack_at == saved.last_ack_at


def test_a_dead_letter_is_counted_as_soon_as_it_is_kept() -> None:
    """F35: what others see of it does not wait for the next heartbeat, even if it is the log's last record."""
    bench = Bench(b"one\n", b"bad\n")
    bench.cloud.refused.add(b"bad\n")
    bench.run()
    saved = st.from_json(bench.sidecar.status() or b"")
    assert saved is not None
    assert (saved.dead_letters, saved.size) == (1, 2)


def test_a_sidecar_that_fails_never_stops_replication() -> None:
    """F19: no status, no checkpoint, no order can be had; records flow all the same, and it is told once."""
    sidecar = MemorySidecar()
    sidecar.failing = "disk full"
    bench = Bench(b"one\n", sidecar=sidecar)
    bench.run()
    assert bench.cloud.bytes_of("log-1") == b"one\n"
    assert [notice.code for notice in bench.notices] == ["sidecar"]
    assert bench.engine.progress.unsaved


def test_f33_a_wait_for_a_key_ends_when_the_key_changes() -> None:
    """The sink is asked only while a key is waited for."""
    bench = Bench(b"one\n")
    bench.cloud.denied = act.Denied(401, "key_unknown")
    bench.run()
    assert bench.engine.progress.retry.not_before == 5.0
    bench.sink.key, bench.cloud.denied = "key-2", None
    assert bench.run() == ["Wait"]
    bench.run()
    assert bench.clock() == 6.0
    assert bench.cloud.bytes_of("log-1") == b"one\n"
    assert [notice.code for notice in bench.notices] == ["denied", "recovered"]


def test_an_order_in_the_sidecar_is_carried_out_and_ticked_off() -> None:
    """Another process asks for a reset; the leader sends again, and the order is done."""
    bench = Bench(b"one\n", b"two\n")
    bench.run()
    number = bench.sidecar.ask_reset(act.ResetOrder(Cursor("log-1")))
    bench.run()
    bench.run()
    assert bench.sidecar.reset_done(number)
    assert bench.engine.status.duplicates == 2


def test_a_wait_without_end_is_possible() -> None:
    """The waker gets no timeout if there is none."""
    bench = Bench()
    bench.engine.perform(act.Wait(None))
    assert bench.waker.waits == [None]


def test_a_log_that_cannot_be_looked_at_keeps_its_last_known_length() -> None:
    """The status is for people: it must never fail for what the next read will say."""
    bench = Bench(b"one\n")
    bench.run()

    class Unreadable(MemoryLog):
        def end(self) -> int:
            raise LogError("EACCES")

    bench.engine._ports = EnginePorts(Unreadable(), bench.sidecar, bench.sink, bench.waker, bench.clock)
    assert bench.engine.refresh().log_bytes == 4


def test_each_request_carries_how_it_stands() -> None:
    """The cloud's view of a brain: the report that goes with a batch and a heartbeat."""
    bench = Bench(b"one\n")
    bench.sink.faults.append(Fault(act.Unavailable("down"), request="send"))
    bench.run()
    assert [report.backlog_bytes for report in bench.sink.reports] == [4, 4]


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
def test_clocks_give_seconds_and_aware_time(clock: SystemClock | ManualClock) -> None:
    """Monotonic seconds decide, aware wall-clock time is shown."""
    assert clock.monotonic_s() >= 0.0
    assert clock.now().utcoffset() is not None
