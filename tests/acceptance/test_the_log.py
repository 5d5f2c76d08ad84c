"""What happens to the log on a user's disk, with everything else real: docs/failures.md F01 to F21."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading

import pytest

from gradata import Brain
from replicator.framing import event_id_of, interpret
from replicator.loop import Replicator
from replicator.sink import HttpSink
from tests.acceptance.front import Front
from tests.acceptance.world import QUICK, ROOT, World, eventually, hear, line, say, status_of

LOGS = ROOT / "fixtures" / "logs"


def new_generation(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether a new generation was told, loudly."""
    return any(r.levelno == logging.WARNING and "new_generation" in r.getMessage() for r in caplog.records)


def three(world: World) -> Brain:
    """A brain with three events, all of them at the cloud."""
    brain = world.brain()
    world.append(*[line(number) for number in range(3)])
    world.settle()
    return brain


def replaced(world: World, data: bytes) -> None:
    """Another file takes the log's name, as editors and restores do it."""
    other = world.log.with_name("other")
    other.write_bytes(data)
    os.replace(other, world.log)


def test_f01_a_torn_tail_waits_until_it_is_completed(world: World) -> None:
    """Half a record is not sent and holds nothing up; completed by its writer, it goes by itself, once."""
    world.brain()
    record = line(1)
    world.append(line(0), record[:20], locked=False)
    world.settle()
    assert world.whole == line(0)
    world.append(record[20:], locked=False)
    eventually(lambda: len(world.event_ids()) == 2)
    world.settle()
    assert world.event_ids() == ["e-0", "e-1"]


def test_f01_a_torn_tail_that_is_never_completed_is_kept_and_flagged(world: World) -> None:
    """The next correction ends it: the piece is a record of the replica, flagged, and the correction is intact."""
    world.directory.mkdir()
    world.log.write_bytes(line(0) + b'{"torn": "in mid-')
    with world.brain() as brain:
        event = brain.correct("Dear Sir", "Hey")
        world.settle()
        assert status_of(brain).flagged == 1
    assert world.whole.split(b"\n")[1] == b'{"torn": "in mid-'
    assert world.event_ids() == ["e-0", event["event_id"]]


def test_f02_a_missing_log_is_no_noise_and_starts_when_it_appears(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """No log, then no directory either: nothing is said; what appears is replicated, without any wake, in 5 s."""
    world.brain()
    world.log.unlink()
    with world.brain():
        world.append(line(0), locked=False)
        world.settle(5.0)
        world.log.unlink()
        world.append(line(0), line(1), locked=False)
        world.settle(5.0)
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_f02_a_directory_that_appears_later_is_replicated(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A replicator that is older than its directory idles without noise, then starts within the timer's 2 s."""
    brain = world.brain()
    place, key = world.home / "later", world.cloud.key
    replicator = Replicator(
        str(place / "events.jsonl"),
        endpoint=world.endpoint,
        open_sink=lambda: HttpSink(endpoint=world.endpoint, key=lambda: key, identity=brain.identity),
        policy=QUICK,
    )
    replicator.start()
    brain.close()
    world.directory.rename(place)
    world.directory, world.log = place, place / "events.jsonl"
    world.append(line(0))
    world.settle(5.0)
    assert replicator.close().reason == "caught_up"
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("data", [b"", b"\n", b"{", line(0), line(0)[:-1]], ids=["0", "nl", "1", "one", "torn"])
def test_f03_the_smallest_logs_work_at_once(world: World, data: bytes) -> None:
    """Logs of 0 and 1 bytes, of one record, and of one without its newline are no special cases."""
    world.directory.mkdir()
    world.log.write_bytes(data)
    with world.brain() as brain:
        brain.emit("NOTE", "test", {"n": 1})
        world.settle()


def test_f04_a_log_that_is_rewritten_shorter_is_a_new_generation(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Truncated to 0 and rewritten: told loudly; the cloud keeps the old log whole and gets the new one."""
    three(world)
    before, old = world.whole, world.standing.cursor.log_id
    world.log.write_bytes(line(7))
    world.settle()
    assert new_generation(caplog)
    assert world.replica(old) == before
    assert world.standing.cursor.parent == old
    assert world.event_ids() == ["e-0", "e-1", "e-2", "e-7"]


def test_f05_f12_a_log_that_was_regrown_unseen_is_found_by_the_anchor(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Rewritten and longer than before while nobody looked: nothing is skipped, although the offset exists."""
    three(world).close()
    world.log.write_bytes(b"".join(line(number, "rewritten") for number in range(10, 15)))
    with world.brain():
        world.settle()
    assert new_generation(caplog)
    assert world.event_ids()[3:] == [f"e-{number}" for number in range(10, 15)]


def test_f06_the_same_content_under_another_inode_goes_on(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An editor's save changes nothing: no new generation, nothing is sent again."""
    brain = three(world)
    log_id = world.standing.cursor.log_id
    replaced(world, world.whole)
    world.append(line(3))
    world.settle()
    assert world.standing.cursor.log_id == log_id
    assert status_of(brain).duplicates == 0
    assert not new_generation(caplog)


def test_f07_f08_other_content_behind_the_same_beginning_is_a_new_generation(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Replaced by a file with the same first records and another last one: content decides."""
    three(world)
    replaced(world, line(0) + line(1) + line(9) + line(10))
    world.settle()
    assert new_generation(caplog)
    assert world.event_ids() == ["e-0", "e-1", "e-2", "e-9", "e-10"]


def test_f09_records_cut_off_by_hand_stay_at_the_cloud_and_doctor_counts_them(world: World) -> None:
    """The last two records go from the log: the cloud keeps them, and doctor says that only the cloud has them."""
    three(world)
    before, old = world.whole, world.standing.cursor.log_id
    os.truncate(world.log, len(line(0)))
    world.settle()
    assert world.replica(old) == before
    status, detail = world.doctor()["proof"]
    assert status == "warn"
    assert "2 records of the generation before" in detail


def test_f10_a_record_edited_in_place_stops_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An old record is edited, same length: replication of what follows goes on as if nothing were."""
    brain = three(world)
    log_id = world.standing.cursor.log_id
    world.log.write_bytes(world.whole.replace(b"text", b"TEXT", 1))
    world.append(line(3))
    eventually(lambda: len(world.event_ids()) == 4)
    assert brain.replicator.drain(5).remaining_bytes == 0
    assert world.standing.cursor.log_id == log_id
    assert not new_generation(caplog)


def test_f11_a_log_restored_from_a_backup_overwrites_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An older copy comes back and is written on: a new generation; the lost records stay in the old one."""
    brain = three(world)
    backup = world.whole
    brain.correct("a", "b")
    world.settle()
    before, old = world.whole, world.standing.cursor.log_id
    brain.close()
    world.log.write_bytes(backup)
    with world.brain() as again:
        event = again.correct("c", "d")
        world.settle()
    assert new_generation(caplog)
    assert world.replica(old) == before
    assert event["event_id"] in world.event_ids()


def test_f12_an_offset_beyond_the_end_never_waits(world: World) -> None:
    """The log is shorter than the cursor at the start: its records are sent at once, not when it has regrown."""
    three(world).close()
    world.log.write_bytes(line(5))
    with world.brain():
        world.settle(5.0)
    assert world.event_ids()[-1] == "e-5"


def test_f14_every_oddity_travels_and_holds_nothing_up(world: World) -> None:
    """All fixture logs behind one another: the replica is the file; what is no event, or a conflict, is flagged."""
    whole = b""
    for file in sorted(LOGS.glob("*.jsonl")):
        data = file.read_bytes()
        whole += data[: data.rfind(b"\n") + 1]
    flagged, known = 0, dict[str, bytes]()
    for record in [part + b"\n" for part in whole.split(b"\n")[:-1]]:
        stripped = record[:-1].removesuffix(b"\r")
        is_event = isinstance(interpret(record), dict)
        flagged += not is_event or known.setdefault(event_id_of(record), stripped) != stripped
    assert flagged > 18
    world.directory.mkdir()
    world.log.write_bytes(whole + line(1))
    with world.brain() as brain:
        world.settle()
        status = status_of(brain)
        assert (status.flagged, status.dead_letters) == (flagged, 0)
    assert set(world.event_ids()) == {*known, "e-1"}


def test_f15_records_that_are_too_large_are_dead_letters_and_their_neighbours_flow(world: World) -> None:
    """3 MB and 20 MB records become places without bytes: listed, kept in the log, and nothing stops at them."""
    large = [line(number, "x" * size) for number, size in ((1, 3_000_000), (3, 20_000_000))]
    world.directory.mkdir()
    world.log.write_bytes(line(0) + large[0] + line(2) + large[1] + line(4))
    with world.brain():
        eventually(lambda: world.standing and world.standing.cursor.offset == len(world.whole))
    assert world.event_ids() == ["e-0", "e-2", "e-4"]
    (head,) = world.logs()
    assert (head["size"], head["holes"]) == (5, 2)
    replica = world.replica(head["log_id"])
    assert len(replica) == len(world.whole)
    assert replica.startswith(line(0))
    assert replica.endswith(line(4))
    assert replica.count(b"\n") == 5
    listed = world.run("dead-letters", "list")
    assert (listed.returncode, listed.stdout.count("too_large")) == (0, 2)
    assert world.doctor()["dead_letters"][0] == "warn"


def test_f16_identity_is_the_event_id_or_else_the_bytes(world: World) -> None:
    """Without ids and with the same ones: the replica keeps all, the projection each once, a conflict is flagged."""
    nameless = b'{"type": "NOTE", "data": {}}\n'
    other = line(1, "other bytes")
    world.directory.mkdir()
    world.log.write_bytes(line(1) + nameless + line(1) + nameless + other + line(2))
    with world.brain() as brain:
        world.settle()
        status = status_of(brain)
        assert (status.accepted, status.duplicates, status.flagged) == (3, 2, 1)
    found = {event["event_id"]: event["line"] for event in world.events()}
    assert next(iter(found)) == "e-1"
    assert found["e-1"].encode() == line(1)
    assert len(found) == 3


WRITE = """
import os, sys
from replicator.log import LogWriter
path, name, locked = sys.argv[1] + "/events.jsonl", sys.argv[2], sys.argv[3] == "locked"
writer = LogWriter(path)
plain = os.open(path, os.O_WRONLY | os.O_APPEND)
sys.stdin.readline()
for number in range(10_000_000 if name == "7" else 150):
    record = b'{"type":"NOTE","event_id":"%s-%d","data":"%s"}\\n' % (name.encode(), number, b"x" * (number * 37 % 9000))
    if locked:
        writer.append(record)
    else:
        os.write(plain, record)
    os.write(1, b"%s-%d\\n" % (name.encode(), number))
"""


def test_f17_eight_processes_write_at_once_and_one_is_killed(world: World) -> None:
    """With and without our lock, one killed in the middle: every record that was completed is there once."""
    world.brain()
    writers = [world.start(WRITE, str(number), "locked" if number % 2 else "plain") for number in range(8)]
    for writer in writers:
        say(writer, "go")
    written = {hear(writers[7]) for _ in range(100)}
    writers[7].kill()
    written.update(name for writer in writers[:7] for name in writer.communicate()[0].split())
    world.settle()
    assert written <= set(world.event_ids())
    assert len(written) >= 7 * 150


FULL = """
import os, subprocess, sys
from replicator.errors import AppendError
from tests.acceptance.world import QUICK, eventually
from gradata import Brain
from replicator.log import LogReader
place = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], check=True)
brain = Brain.init(place + "/brain")
brain.correct("first", "First")
assert brain.replicator.drain(5).reason == "caught_up"
filler, told = os.open(place + "/filler", os.O_WRONLY | os.O_CREAT), ""
try:
    while True:
        os.write(filler, b"x" * 4096)
except OSError:
    os.close(filler)
for number in range(50):
    try:
        brain.emit("NOTE", "test", {"text": "y" * 500, "number": number})
    except AppendError as error:
        told = f"{error}; {error.hint}"
        break
assert told, "no error"
whole = open(brain.log_path, "rb").read()
assert whole.endswith(b"\\n")
waiting = [line for line in whole.split(b"\\n") if line]
print(len(waiting), told, flush=True)
sent = brain.replicator.drain(5)
print(sent.reason, sent.remaining_bytes, flush=True)
os.unlink(place + "/filler")
brain.correct("last", "Last")
print(brain.replicator.drain(5).reason, flush=True)
brain.close()
import shutil
shutil.copytree(place + "/brain", sys.argv[2])
"""


def test_f19_on_a_full_disk_correct_raises_and_what_is_there_goes_on(world: World) -> None:
    """Nothing torn stays behind, the error is clear, what stands in the log is replicated, and it heals."""
    place = world.home / "small"
    place.mkdir()
    how = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*how, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets no test mount a small disk of its own")
    command = [*how, sys.executable, "-W", "error", "-c", FULL, str(place), str(world.directory)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=world.environ()
    )
    assert done.returncode == 0, done.stderr
    written, replicated, healed = done.stdout.splitlines()
    assert "No space left" in written or "full" in written
    assert replicated == "caught_up 0"
    assert healed == "caught_up"
    assert len(world.event_ids()) == int(written.split()[0]) + 1
    with world.brain():  # its cursor may be older than its acknowledgements: the disk was full
        world.settle()
    assert len(world.event_ids()) == int(written.split()[0]) + 1


def test_f21_a_brain_reached_by_two_paths_has_one_replicator(world: World) -> None:
    """A symlink to the brain's directory: one of both replicates, and what either writes arrives once."""
    first = world.brain()
    second_path = world.home / "link"
    second_path.symlink_to(world.directory)
    second = world.brain(second_path)
    for brain in (first, second, first, second):
        brain.correct("a", "b")
    world.settle()
    leading = [brain.replicator.leads for brain in (first, second)]
    assert leading.count(True) == 1
    assert len(world.logs()) == 1


def test_f21_a_brain_moved_while_running_goes_on(world: World) -> None:
    """The directory is moved and a link put in its place: the same brain goes on, as the same generation."""
    brain = world.brain()
    brain.correct("a", "b")
    world.settle()
    moved = world.home / "moved"
    world.directory.rename(moved)
    world.directory.symlink_to(moved)
    event = brain.correct("c", "d")
    world.settle()
    assert event["event_id"] in world.event_ids()
    assert len(world.logs()) == 1


def test_f55_nothing_but_the_log_leaves_the_machine(world: World, front: Front) -> None:
    """The unredacted twin and the shadow beside the log are never read, whatever is written into them."""
    brain = world.brain()
    for name in ("events.raw.jsonl", "events.backfill.jsonl"):
        (world.directory / name).write_bytes(line(99, "canary-of-the-twin"))
    brain.correct("a", "b")
    world.settle()
    assert not any(b"canary-of-the-twin" in seen.body for _, seen in front.seen)


# ---------------------------------------------------------------- a lock that is kept

KEEP_LOCK = """
import fcntl, os, signal, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(fd, fcntl.LOCK_EX)
print("locked", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_f76_a_stopped_holder_of_the_logs_lock_stops_nobody(world: World) -> None:
    """A process is stopped while it holds the writers' lock: correct() appends all the same, and doctor names it."""
    brain = world.brain()
    brain.correct("before", "before it")
    keeper = subprocess.Popen([sys.executable, "-c", KEEP_LOCK, str(world.log)], stdout=subprocess.PIPE, text=True)
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "locked\n"
        stuck = threading.Thread(target=lambda: [brain.correct(f"d{n}", f"final {n}") for n in range(20)], daemon=True)
        stuck.start()
        stuck.join(20)
        assert not stuck.is_alive(), "correct() waits for a process that is stopped"
        status, detail = world.doctor()["log"]
        assert (status, f"pid {keeper.pid} keeps its lock and is stopped" in detail) == ("warn", True)
    finally:
        keeper.kill()
        keeper.communicate()
    brain.correct("after", "after it")
    world.settle()
    assert len(world.event_ids()) == 22
    assert world.doctor()["log"][0] == "ok"
    brain.close()
