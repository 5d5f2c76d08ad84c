"""What happens to the cursor and its sidecar, with everything else real: docs/failures.md F23 to F28."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from gradata import Brain
from tests.acceptance.conftest import MakeWorld
from tests.acceptance.front import Front
from tests.acceptance.world import World, eventually, line, status_of
from tests.support.cloud_fixture import StartCloud

SIDECAR = ".replicator.db"


def sidecar_files(world: World) -> list[Path]:
    """The sidecar with its journal."""
    return sorted(world.directory.glob(f"{SIDECAR}*"))


def three(world: World) -> Brain:
    """A brain with three events, all of them at the cloud."""
    brain = world.brain()
    world.append(*[line(number) for number in range(3)])
    world.settle()
    return brain


DIE = """
import os, signal, sys
from gradata import Brain
from gradata.brain.brain import Ports, open_replicator
from replicator.engine import Engine
from replicator import actions as act
from replicator.model import Policy
brain_dir, kind, when, left = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
wanted = getattr(act, kind)
perform = Engine.perform
def dying(self, action):
    global left
    left -= isinstance(action, wanted)
    if left < 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    perform(self, action)
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
Engine.perform = dying
def small(settings, log, identity):
    replicator = open_replicator(settings, log, identity)
    replicator.policy = Policy(batch_bytes_first=1000, batch_bytes=1000)
    return replicator
brain = Brain(brain_dir, ports=Ports(open_replicator=small))
print(brain.replicator.drain(10).reason)
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["Read", "Send", "Checkpoint"])
def test_f23_killed_at_every_point_nothing_is_lost_and_a_batch_at_most_comes_twice(
    world: World, front: Front, kind: str, when: str
) -> None:
    """SIGKILL before and after the third read, send and checkpoint, then a new process: the cloud absorbs it."""
    world.directory.mkdir()
    world.log.write_bytes(b"".join(line(number, "x" * 200) for number in range(40)))
    died = world.start(DIE, kind, when, "2")
    assert (died.wait(20), died.communicate()[0]) == (-signal.SIGKILL, "")
    with world.brain() as brain:
        world.settle()
        status = status_of(brain)
        assert status.accepted > 0
        assert status.duplicates <= 4  # what fits into 1,000 bytes
    assert len(world.event_ids()) == 40
    assert len(world.logs()) == 1


def test_f24_a_deleted_sidecar_is_rebuilt_and_nothing_is_sent_again(world: World, front: Front) -> None:
    """The cloud is asked once for this device's logs; the next record goes as if nothing had happened."""
    three(world).close()
    log_id = world.standing.cursor.log_id
    for file in sidecar_files(world):
        file.unlink()
    front.seen.clear()
    world.append(line(3))
    with world.brain() as brain:
        world.settle()
        status = status_of(brain)
        assert (status.accepted, status.duplicates, status.log_id) == (1, 0, log_id)
    assert (front.count("/logs"), front.count("/ingest")) == (1, 1)


def test_f24_a_sidecar_deleted_under_a_live_replicator_is_written_anew(world: World) -> None:
    """It goes while the thread runs: replication goes on, and the next checkpoint makes it again."""
    brain = three(world)
    for file in sidecar_files(world):
        file.unlink()
    brain.correct("a", "b")
    world.settle()
    assert len(world.logs()) == 1


def spoilt(path: Path, how: str) -> None:
    """Make a sidecar unusable."""
    if how == "newer":
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        size = path.stat().st_size
        path.write_bytes(bytes(size) if how == "zeroed" else os.urandom(size))


@pytest.mark.parametrize("how", ["zeroed", "garbage", "newer"])
def test_f25_an_unusable_sidecar_is_set_aside_rebuilt_and_told(
    world: World, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Zeroed, garbage, or of a newer schema: kept aside, warned of, shown by doctor, and nothing is sent again."""
    three(world).close()
    for file in sidecar_files(world)[1:]:
        file.unlink()
    spoilt(world.directory / SIDECAR, how)
    world.append(line(3))
    with world.brain() as brain:
        world.settle()
        status = status_of(brain)
        assert (status.accepted, status.duplicates) == (1, 0)
    assert any(record.getMessage().startswith("sidecar: ") for record in caplog.records)
    assert list(world.directory.glob(f"{SIDECAR}.set-aside-*"))
    assert "set aside" in world.doctor()["sidecar"][1]


def test_f26_a_sidecar_locked_by_another_process_delays_nothing_but_its_own_truth(world: World) -> None:
    """While someone holds its lock, corrections work and reach the cloud; freed, the cursor is saved."""
    brain = three(world)
    saved = world.standing.cursor.size
    with contextlib.closing(sqlite3.connect(world.directory / SIDECAR, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        event = brain.correct("a", "b")
        eventually(lambda: event["event_id"] in world.event_ids())
        assert world.standing.cursor.size == saved
        assert world.doctor("--no-cloud")["backlog"][1].startswith("1 pending")
        other.execute("ROLLBACK")
    world.settle()


def test_f27_a_cloud_restored_from_a_backup_gets_its_tail_again(
    make_world: MakeWorld, start_cloud: StartCloud, caplog: pytest.LogCaptureFixture
) -> None:
    """The cloud's store goes back to a copy: the cursor follows it back and everything is there again."""
    cloud = start_cloud()
    world = make_world(cloud)
    brain = three(world)
    log_id = world.standing.cursor.log_id
    store = Path(cloud.store_url.removeprefix("sqlite:"))
    backup = store.with_name("backup.db")
    with contextlib.closing(sqlite3.connect(store)) as source, contextlib.closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)
    for number in range(3, 6):
        world.append(line(number))
    world.settle()
    cloud.stop()
    for file in store.parent.glob("cloud.db-*"):
        file.unlink()
    shutil.copy(backup, store)
    cloud.start()
    brain.correct("a", "b")
    world.settle()
    assert world.standing.cursor.log_id == log_id
    assert any(record.getMessage().startswith("rewound: ") for record in caplog.records)
    assert len(world.event_ids()) == 7


def test_f28_a_cursor_restored_from_a_backup_causes_no_storm(world: World, front: Front) -> None:
    """The brain's sidecar goes back to an older copy: the same generation, a handful of requests, nothing twice."""
    three(world).close()
    copy = world.home / "copy.db"
    shutil.copy(world.directory / SIDECAR, copy)
    with world.brain() as brain:
        for number in range(5):
            brain.correct("a", f"b {number}")
        world.settle()
        log_id = world.standing.cursor.log_id
    for file in sidecar_files(world):
        file.unlink()
    shutil.copy(copy, world.directory / SIDECAR)
    front.seen.clear()
    with world.brain() as brain:
        brain.correct("c", "d")
        world.settle()
    assert world.standing.cursor.log_id == log_id
    assert len(world.event_ids()) == 9
    assert front.count() <= 5
