"""What processes do to a brain and to each other: docs/failures.md F43 to F53."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from gradata import Brain
from gradata.brain.brain import Ports
from gradata.config.settings import Settings
from replicator.actions import Beat, BeatOutcome, RecallOutcome, Send, SendOutcome
from replicator.lease import Lease, lease_path
from replicator.loop import Replicator
from replicator.model import Identity
from replicator.sink import HttpSink
from replicator.status import Notice
from replicator.testing.chaos import NONE, Chaos, black_hole
from replicator.wire import Report
from tests.acceptance.front import Front
from tests.acceptance.programs import EXIT_S_MAX, LEAVE
from tests.acceptance.world import FOLLOW, QUICK, ROOT, World, eventually, hear, line, say, status_of, trouble_of
from tests.support.scripted import answer


@pytest.fixture
def chaos(world: World) -> Iterator[Chaos]:
    """A network between this world's programs and the cloud."""
    with Chaos(("127.0.0.1", world.cloud.port)) as made:
        world.endpoint = f"{made.url}/api/v1"
        yield made


# ---------------------------------------------------------------- fork

FORK = """
import os, sys, threading
from gradata import Brain
brain = Brain(sys.argv[1])
names = [brain.emit("NOTE", "parent", {"n": n})["event_id"] for n in range(20)]
stop = threading.Event()
def busy():
    while not stop.is_set():
        names.append(brain.emit("NOTE", "parent", {"n": len(names)})["event_id"])
thread = threading.Thread(target=busy)
thread.start()
children = []
for child in range(5):
    pid = os.fork()
    if pid == 0:
        for n in range(10):
            os.write(1, f'{brain.emit("NOTE", "child", {"n": n})["event_id"]}\\n'.encode())
        os._exit(0)
    children.append(pid)
statuses = [os.waitpid(pid, 0)[1] for pid in children]
stop.set()
thread.join()
drained = brain.replicator.drain(10)
os.write(1, "".join(f"{name}\\n" for name in names).encode())
os.write(1, f"{statuses} {drained.reason}\\n".encode())
"""


def test_f43_forked_while_sending_no_child_hangs_and_all_records_arrive(world: World) -> None:
    """Five forks in the middle of appending and sending: every child's ten events and the parent's are there once."""
    world.brain().close()
    program = world.start(FORK)
    *names, last = program.communicate(timeout=60)[0].splitlines()
    assert last == "[0, 0, 0, 0, 0] caught_up"
    world.settle()
    assert sorted(names) == sorted(world.event_ids())
    assert len(names) >= 70


LONG_LIVED_CHILD = """
import os, sys
from gradata import Brain
brain = Brain(sys.argv[1])
brain.emit("NOTE", "parent", {})
assert brain.replicator.drain(10).reason == "caught_up"
pid = os.fork()
if pid == 0:
    sys.stdin.readline()
    for n in range(10):
        os.write(1, f'{brain.emit("NOTE", "child", {"n": n})["event_id"]}\\n'.encode())
    os.write(1, f"{brain.replicator.drain(10).reason}\\n".encode())
    os._exit(0)
os.write(1, f"{pid}\\n".encode())
os.kill(os.getpid(), 9)
"""


def test_f43_a_child_that_outlives_its_parent_replicates_by_itself(world: World) -> None:
    """As with a preloading server: the child takes the lease over, with a connection of its own."""
    world.brain().close()
    program = world.start(LONG_LIVED_CHILD)
    assert int(hear(program)) > 0
    assert program.wait(30) == -signal.SIGKILL
    say(program, "go")
    assert [hear(program) for _ in range(11)][-1] == "caught_up"
    world.settle()
    assert len(world.event_ids()) == 11


POOL = """
import multiprocessing, sys
from gradata import Brain
from tests.acceptance.programs import ten_by
brain = Brain(sys.argv[1])
brain.emit("NOTE", "parent", {})
how = multiprocessing.get_context(sys.argv[2])
given = brain if sys.argv[2] == "fork" else sys.argv[1]
children = [how.Process(target=ten_by, args=(given,)) for _ in range(3)]
for child in children:
    child.start()
for child in children:
    child.join(10)
print([child.exitcode for child in children], brain.replicator.drain(10).reason, flush=True)
"""


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_f43_children_of_multiprocessing_deliver(world: World, how: str) -> None:
    """Three workers with the parent's Brain, or with their own, each with ten events: all arrive once."""
    world.brain().close()
    program = world.start(POOL, how)
    said, errors = program.communicate(timeout=30)
    assert said == "[0, 0, 0] caught_up\n", errors
    world.settle()
    assert len(world.event_ids()) == 31


# ---------------------------------------------------------------- many processes

WORKER = """
import sys
from gradata import Brain
brain = Brain(sys.argv[1])
print("ready", flush=True)
for _ in sys.stdin:
    print(brain.emit("NOTE", "worker", {})["event_id"], flush=True)
"""


@pytest.mark.parametrize("count", [2, 27])
def test_f44_one_of_many_sends_and_another_takes_over(world: World, count: int) -> None:
    """One leads; it is killed; what the others write is at the cloud soon, and all of it once."""
    world.brain().close()
    workers = {worker.pid: worker for worker in [world.start(WORKER) for _ in range(count)]}
    assert {hear(worker) for worker in workers.values()} == {"ready"}
    for worker in workers.values():
        say(worker, "emit")
    names = [hear(worker) for worker in workers.values()]
    world.settle()
    holder = Lease.holder(lease_path(str(world.log)))
    assert holder is not None
    leader = workers.pop(holder.pid or 0)
    say(leader, "emit")
    names.append(hear(leader))
    leader.kill()
    for worker in workers.values():
        say(worker, "emit")
    names += [hear(worker) for worker in workers.values()]
    eventually(lambda: set(names) == set(world.event_ids()))
    world.settle()
    assert len(world.logs()) == 1


# ---------------------------------------------------------------- the end of a process


@pytest.mark.parametrize("cloud", ["live", "dead", "black hole"])
def test_f45_an_interpreter_that_ends_with_a_backlog_ends_at_once(world: World, chaos: Chaos, cloud: str) -> None:
    """At most a second more, one line where something remains, and nothing is lost."""
    world.brain().close()
    if cloud == "dead":
        chaos.refuse()
    if cloud == "black hole":
        chaos.fault = black_hole()
    program = world.start(LEAVE)
    printed, errors = program.communicate(timeout=30)
    assert program.returncode == 0, errors
    assert float(printed.split()[1]) < EXIT_S_MAX
    said = [text for text in errors.splitlines() if "wait in the log" in text]
    assert len(said) == len(errors.splitlines()) <= 1
    assert len(said) == (0 if cloud == "live" and world.in_step() else 1)
    chaos.refuse(False)
    chaos.fault = NONE
    with world.brain():
        world.settle()
    assert len(world.event_ids()) == 50


HOLD = """
import sys
from replicator.lease import Lease, lease_path
lease = Lease(lease_path(sys.argv[1] + "/events.jsonl"))
assert lease.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_f45_where_another_process_leads_an_interpreter_that_ends_waits_for_nothing(world: World) -> None:
    """The workers of a preloading server end at once: who leads has their records in its log. Bound far above."""
    with world.brain() as brain:
        world.settle()
    assert hear(world.start(HOLD)) == "held"
    brain = world.brain()
    brain.emit("NOTE", "worker", {})
    began = time.monotonic()
    left = brain.replicator.leave(60.0)
    assert left.remaining_bytes > 0
    assert time.monotonic() - began < 30


WORK = """
import sys, time
from gradata import Brain
with Brain(sys.argv[1]) as brain:
    while True:
        print(brain.correct(f"a {time.time_ns()}", "b")["event_id"], flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=str)
def test_f46_a_program_ended_by_a_signal_loses_no_correction(world: World, how: signal.Signals) -> None:
    """SIGTERM, SIGINT, SIGKILL in the middle of correct(): it ends soon, and what was returned arrives once."""
    world.brain().close()
    program = world.start(WORK)
    names = [hear(program) for _ in range(5)]
    program.send_signal(how)
    names += program.communicate(timeout=30)[0].split()
    with world.brain():
        world.settle()
    assert set(names) <= set(world.event_ids())


LEAVE_SLOWLY = """
import sys, time
from gradata import Brain
brain = Brain(sys.argv[1])
try:
    while True:
        print(brain.correct(f"a {time.time_ns()}", "b")["event_id"], flush=True)
except KeyboardInterrupt:
    print("leaving", flush=True)
    brain.close(timeout_s=60)
"""


def test_f46_a_second_sigint_ends_a_drain_that_hangs(world: World, chaos: Chaos) -> None:
    """Ctrl-C, then Ctrl-C again while close() waits for a black hole: it ends within seconds, nothing is lost."""
    world.brain().close()
    chaos.fault = black_hole()
    program = world.start(LEAVE_SLOWLY)
    names = [hear(program) for _ in range(5)]
    program.send_signal(signal.SIGINT)
    while (said := hear(program)) != "leaving":
        names.append(said)
    program.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in program.communicate(timeout=30)[1]  # close() would wait 60 s
    chaos.fault = NONE
    with world.brain():
        world.settle()
    assert set(names) <= set(world.event_ids())


def test_f46_follow_ends_on_sigterm_and_says_what_waits(world: World, front: Front) -> None:
    """`replicate --follow`: 0 when all is acknowledged; 143 and one warning when the cloud was away."""
    world.brain().close()
    world.append(line(0))
    follower = world.follow()
    eventually(lambda: world.event_ids() == ["e-0"])
    eventually(world.in_step)
    follower.send_signal(signal.SIGTERM)
    assert follower.wait(30) == 0
    front.always(503)
    world.append(line(1))
    follower = world.follow()
    eventually(lambda: world.standing is not None and Lease.holder(lease_path(str(world.log))) is not None)
    follower.send_signal(signal.SIGTERM)
    errors = follower.communicate(timeout=30)[1]
    assert follower.returncode == 143
    assert "wait in the log" in errors
    front.heal()
    with world.brain():
        world.settle()


def test_f46_a_machine_that_sleeps_and_wakes_goes_on(world: World) -> None:
    """The replicator is stopped, records come meanwhile, it is continued: it sends them, nobody does anything."""
    world.brain().close()
    world.append(line(0))
    follower = world.follow()
    eventually(world.in_step)
    follower.send_signal(signal.SIGSTOP)
    world.append(line(1), line(2))
    assert world.event_ids() == ["e-0"]
    follower.send_signal(signal.SIGCONT)
    eventually(world.in_step)
    assert world.event_ids() == ["e-0", "e-1", "e-2"]


def test_f77_a_stopped_leader_is_named_and_passed_over(world: World) -> None:
    """The process that holds the lease is stopped: doctor names it, another one sends, and stops when it goes on."""
    world.brain().close()
    follower = world.follow()
    world.append(line(0))
    eventually(world.in_step)
    follower.send_signal(signal.SIGSTOP)
    status, detail = world.doctor()["replicator"]
    assert (status, f"pid {follower.pid}" in detail, f"kill -CONT {follower.pid}" in detail) == ("warn", True, True)
    with world.brain() as brain:
        brain.correct("while it is stopped", "another process sends")
        eventually(lambda: len(world.event_ids()) == 2, within_s=30)
        assert brain.replicator is not None
        assert brain.replicator.leads
        follower.send_signal(signal.SIGCONT)
        eventually(lambda: brain.replicator is not None and not brain.replicator.leads)
        world.append(line(1))
        eventually(lambda: len(world.event_ids()) == 3)
        world.settle()
    assert len(world.logs()) == 1


WITHOUT_LOCKS = """
import errno, fcntl, os, sys

def flock(fd, operation):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

fcntl.flock = flock
from gradata import Brain

with Brain(sys.argv[1]) as brain:
    brain.correct("no locks here", "sent all the same")
    print(brain.drain(20), flush=True)
    from gradata.cli import main
    main(["doctor", "--brain", sys.argv[1]])
"""


def test_f74_a_disk_without_file_locks_replicates(world: World) -> None:
    """flock() says ENOLCK, as some network disks do: records are appended and sent, and doctor says so."""
    world.brain().close()
    program = world.start(WITHOUT_LOCKS)
    said, _ = program.communicate(timeout=60)
    assert "'caught_up'" in said
    assert "this disk has no file locks" in said
    assert len(world.event_ids()) == 1


def test_f46_os_exit_loses_nothing(world: World) -> None:
    """`os._exit` right behind correct(): no exit handler runs, and the next process sends it."""
    world.brain().close()
    script = f"{LEAVE}\nimport os\nos._exit(3)"
    program = world.start(script)
    program.communicate(timeout=30)
    assert program.returncode == 3
    with world.brain():
        world.settle()
    assert len(world.event_ids()) == 50


# ---------------------------------------------------------------- the thread


class Raising:
    """A sink with a bug: it raises as often as it is told, then works."""

    def __init__(self, sink: HttpSink, left: list[int]) -> None:
        self._sink = sink
        self._left = left

    def send(self, action: Send, report: Report) -> SendOutcome:
        if self._left[0]:
            self._left[0] -= 1
            raise RuntimeError("a text that could hold anything: canary")
        return self._sink.send(action, report)

    def beat(self, action: Beat, report: Report) -> BeatOutcome:
        return self._sink.beat(action, report)

    def recall(self) -> RecallOutcome:
        return self._sink.recall()

    def key_changed(self) -> bool:
        return self._sink.key_changed()

    def close(self) -> None:
        self._sink.close()


def test_f47_an_unexpected_exception_is_recorded_and_the_thread_starts_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in the thread, repeated: told with its place, not its text; correct() unaffected; then it goes on."""
    left = [1_000]

    def opened(settings: Settings, log: str, identity: Identity) -> Replicator:
        key = settings.read_key

        def open_sink() -> Raising:
            return Raising(HttpSink(endpoint=settings.endpoint, key=key, identity=identity), left)

        return Replicator(log, endpoint=settings.endpoint, open_sink=open_sink, policy=QUICK)

    with Brain.init(world.directory, environ=world.environ(), ports=Ports(open_replicator=opened)) as brain:
        brain.correct("a", "b")
        eventually(lambda: brain.replicator.crashes >= 2)
        assert "RuntimeError at test_the_process.py:" in brain.replicator.status().crash
        left[0] = 0
        world.settle()
        assert brain.replicator.status().crash is None
    crashed = [r.getMessage() for r in caplog.records if r.getMessage().startswith("crashed: ")]
    assert len(crashed) >= 2
    assert "RuntimeError at test_the_process.py:" in crashed[0]
    assert "canary" not in caplog.text


BACKLOG = """
import sys
from gradata import Brain
def peak():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) / 1024
small = Brain.init(sys.argv[2])
small.emit("NOTE", "test", {})
assert small.replicator.drain(10).reason == "caught_up"
idle = peak()
brain = Brain(sys.argv[1])
reason = brain.replicator.drain(60).reason
print(reason, peak() - idle, flush=True)
"""


def test_f48_a_backlog_of_200000_records_takes_constant_memory(world: World) -> None:
    """60 MB of backlog at the start: replicated whole, with less than 64 MiB more than an idle replicator has."""
    world.directory.mkdir()
    with world.log.open("wb") as log:
        for number in range(200_000):
            log.write(
                b'{"ts":"2026-11-23T10:00:00Z","type":"N","event_id":"b-%d","data":"%s"}\n' % (number, b"x" * 220)
            )
    program = world.start(BACKLOG, str(world.home / "small"))
    said, errors = program.communicate(timeout=240)
    assert said, errors
    reason, more_mib = said.split()
    assert reason == "caught_up"
    assert float(more_mib) < 64
    (head,) = world.logs()
    assert (head["size"], head["offset"]) == (200_000, world.log.stat().st_size)
    assert head["root"] == world.standing.cursor.root.hex()


COUNT = """
import gc, os, sys, threading
from gradata import Brain
def counted():
    gc.collect()
    return threading.active_count(), len(os.listdir("/proc/self/fd"))
def open_and_close(times, timeout_s):
    for _ in range(times):
        Brain(sys.argv[1]).close(timeout_s=timeout_s)
open_and_close(3, 5)
before = counted()
open_and_close(int(sys.argv[2]), float(sys.argv[3]))
from replicator.lifecycle import PROCESS
gc.collect()
deadline = 100
while counted()[0] > before[0] and deadline:
    threading.Event().wait(0.05)
    deadline -= 1
print(*before, *counted(), len(PROCESS._embedded))
"""


@pytest.mark.parametrize(("times", "timeout_s", "key"), [(25, 5.0, True), (1_000, 0.0, False)], ids=["live", "local"])
def test_f49_brains_opened_and_closed_leave_nothing(world: World, times: int, timeout_s: float, key: bool) -> None:
    """25 live ones, 1,000 without a key, one behind the other: no thread, descriptor or callback is left."""
    world.brain().close()
    if not key:
        world.keep_key(None)
    program = world.start(COUNT, str(times), str(timeout_s))
    said, errors = program.communicate(timeout=30)
    assert said, errors
    threads, files, threads_after, files_after, embedded = map(int, said.split())
    assert (threads_after, files_after, embedded) == (threads, files, 0)


# ---------------------------------------------------------------- switches, keys, consent, silence


def test_f50_the_hook_and_the_replicator_in_turn_lose_nothing(world: World, front: Front) -> None:
    """Write-through switched off: no request; the command brings it; on again: the thread does; each event once."""
    ids = []
    for number in range(3):
        with world.brain(GRADATA_DISABLE_WRITE_THROUGH="1") as brain:
            seen = len(front.seen)
            ids.append(brain.correct(f"off {number}", "x")["event_id"])
            assert brain.replicator is None
            assert len(front.seen) == seen
        assert world.run("replicate", "--once", GRADATA_DISABLE_WRITE_THROUGH="1").returncode == 0
        with world.brain() as brain:
            ids.append(brain.correct(f"on {number}", "y")["event_id"])
            world.settle()
    assert world.event_ids() == ids
    assert world.run("replicate", "--once", GRADATA_CLOUD_SYNC_DISABLE="1").returncode == 2


def test_f51_without_a_key_all_works_and_a_key_that_appears_starts_it(
    world: World, front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """No key: said once, doctor says what to set; the key comes into the file, and the next correction goes too."""
    world.keep_key(None)
    caplog.set_level(logging.INFO, "gradata")
    with world.brain() as brain:
        first = brain.correct("a", "b")["event_id"]
        assert brain.query_events("CORRECTION")[0]["event_id"] == first
        found = world.doctor("--no-cloud")["key"]
        assert (found[0], "~/.gradata/key" in found[1]) == ("missing", True)
        assert front.seen == []
        world.keep_key(world.cloud.key)
        eventually(lambda: brain.correct("c", "d") and brain.replicator is not None, 5.0)
        world.settle()
    assert first in world.event_ids()


@pytest.mark.parametrize("config", [{"sync_enabled": False}, {"sync_enabled": True, "sync_mode": "metrics_only"}])
def test_f52_without_consent_nothing_leaves_by_any_path(world: World, front: Front, config: dict[str, object]) -> None:
    """The user's refusal stops thread and commands alike, is shown as a choice, and is never changed."""
    world.brain(GRADATA_DISABLE_WRITE_THROUGH="1").close()
    file = world.directory / "cloud-config.json"
    file.write_text(json.dumps(config))
    with world.brain() as brain:
        brain.correct("a", "b")
        assert brain.replicator is None
    assert world.run("replicate", "--once").returncode == 2
    assert world.doctor("--cloud")["consent"][0] == "skip"
    assert front.seen == []
    assert json.loads(file.read_text()) == config
    file.unlink()
    with world.brain():
        world.settle()


def test_f52_consent_withdrawn_while_running_holds_the_next_request(world: World, front: Front) -> None:
    """The switch is flipped under a live thread: nothing more leaves; flipped back, all of it goes."""
    with world.brain() as brain:
        brain.correct("a", "b")
        world.settle()
        file = world.directory / "cloud-config.json"
        file.write_text('{"sync_enabled": false}')
        seen = len(front.seen)
        brain.correct("c", "d")
        eventually(lambda: status_of(brain).state == "paused")
        assert len(front.seen) == seen
        file.unlink()
        world.settle()


def test_f53_silence_is_no_health(world: World) -> None:
    """Nothing was captured for three days: doctor warns, although nothing is pending and all is acknowledged."""
    with world.brain() as brain:
        brain.correct("a", "b")
        world.settle()
    assert world.doctor()["last_event"][0] == "ok"
    days_ago = time.time() - 3 * 86_400
    os.utime(world.log, (days_ago, days_ago))
    found = world.doctor()
    assert (found["last_event"][0], found["last_event"][1].startswith("silent")) == ("warn", True)
    assert found["backlog"] == ("ok", "0 pending")


def test_f53_doctor_names_what_is_wrong_while_it_lasts(world: World, front: Front) -> None:
    """With the cloud away and a minute-old backlog doctor is degraded, in words; nothing stays behind afterwards."""
    front.rule = lambda _: answer(503, b"{}")
    old = line(0, ts="2026-11-20T10:00:00+00:00")
    with world.brain() as brain:
        world.append(old)
        eventually(lambda: trouble_of(brain))
        told = world.run("doctor", "--json")
        found = {check["name"]: check["status"] for check in json.loads(told.stdout)["checks"]}
        assert (told.returncode, json.loads(told.stdout)["status"]) == (0, "degraded")
        assert [found[name] for name in ("backlog", "trouble", "cloud", "replicator")] == ["warn", "warn", "warn", "ok"]
        front.heal()
        world.settle()
    found = {name: status for name, (status, _) in world.doctor().items()}
    assert [found[name] for name in ("backlog", "trouble", "cloud", "proof")] == ["ok", "ok", "ok", "ok"]


def test_f79_a_crash_that_cannot_be_recorded_stops_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The host's own `on_notice` raises while a crash is told: the thread goes on, and what waits is sent."""
    left = [3]

    def opened(settings: Settings, log: str, identity: Identity) -> Replicator:
        key = settings.read_key

        def on_notice(notice: Notice) -> None:
            raise OSError("the host's own log is full")

        def open_sink() -> Raising:
            return Raising(HttpSink(endpoint=settings.endpoint, key=key, identity=identity), left)

        return Replicator(log, endpoint=settings.endpoint, open_sink=open_sink, policy=QUICK, on_notice=on_notice)

    with Brain.init(world.directory, environ=world.environ(), ports=Ports(open_replicator=opened)) as brain:
        brain.correct("before", "a crash")
        eventually(lambda: len(world.event_ids()) == 1, within_s=40)
    assert any("a crash cannot be recorded" in each.getMessage() for each in caplog.records)


ODD_PATH = """
import os, sys
from gradata import Brain

path = os.path.join(sys.argv[1], os.fsdecode(b"caf\\xe9"))
os.makedirs(path)
os.environ["GRADATA_BRAIN"] = path
with Brain.init(path) as brain:
    brain.correct("a path", "that is not UTF-8")
    print(brain.drain(20).reason, flush=True)
from gradata.cli import main
for command in (["doctor"], ["status"], ["replicate", "--once"], ["correct", "--draft", "a", "--final", "b c d"]):
    print(command[0], main(command), flush=True)
"""


def test_f78_a_path_that_is_not_utf8_replicates(world: World) -> None:
    """A directory with a Latin-1 name: appended, sent, and looked at by every command, as any other."""
    world.directory.mkdir()
    said, errors = world.start(ODD_PATH).communicate(timeout=60)
    assert "Traceback" not in errors, errors
    codes = dict(
        line.rsplit(" ", 1) for line in said.splitlines() if line.startswith(("status ", "replicate ", "correct "))
    )
    assert said.startswith("caught_up"), said
    assert {name: codes.get(name) for name in ("replicate", "correct")} == {"replicate": "0", "correct": "0"}


def full_pipe() -> tuple[int, int]:
    """A pipe that takes no byte more: the end that nobody reads, and the one to write to."""
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(ends[1], b"an earlier line\n" * 256)
    os.set_blocking(ends[1], True)
    return ends


def test_f80_a_stderr_that_nobody_reads_stops_no_follower(world: World, front: Front) -> None:
    """Its pipe is full, and it has much to say: it sends what comes, and ends when it is told to."""
    world.brain().close()
    world.endpoint = front.url
    unread, full = full_pipe()
    command = [sys.executable, "-W", "error", "-c", FOLLOW, str(world.directory)]
    follower = subprocess.Popen(command, stderr=full, stdout=full, cwd=ROOT, env=world.environ())
    try:
        for number in range(3):
            before = front.count("")
            front.always(503)
            world.append(line(number))
            eventually(lambda: front.count("") > before)  # noqa: B023 - called at once
            front.heal()
            eventually(world.in_step)
        follower.send_signal(signal.SIGTERM)
        assert follower.wait(30) == 0
    finally:
        follower.kill()
        follower.wait()
        os.close(unread)
        os.close(full)
