"""Back to hooks and cron, and forth again: docs/failures.md F50, with real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradata.config.brain_dir import Directory
from gradata.config.settings import Settings
from gradata.replicate import once
from replicator.errors import ConfigurationError
from replicator.lease import Lease, lease_path
from tests.acceptance.front import Front
from tests.acceptance.world import World, eventually, line
from tests.campaigns.rollback import run

OFF = {"GRADATA_DISABLE_WRITE_THROUGH": "1"}


def drained(world: World, timeout_s: float = 20.0, **environ: str) -> once.Result:
    """What the session-close hook calls."""
    settings = Settings.resolve(str(world.directory), environ=world.environ(**OFF, **environ))
    return once.drain(settings, Directory(settings.brain_dir), timeout_s=timeout_s)


def test_f50_a_hook_drains_while_write_through_is_off(world: World, front: Front) -> None:
    """Everything in the log arrives, once; with nothing left to do nobody is asked."""
    with world.brain(**OFF) as brain:
        name = brain.correct("a", "b")["event_id"]
        world.append(line(1))
    assert drained(world).reason == "caught_up"
    assert world.event_ids() == [name, "e-1"]
    asked = len(front.seen)
    assert drained(world).reason == "caught_up"
    assert len(front.seen) == asked


def test_f04_f50_a_hook_sends_a_log_that_was_cut_meanwhile(world: World) -> None:
    """Nobody watched while the log was replaced by a shorter one: the old cursor does not pass for its end."""
    world.brain(**OFF).close()
    world.append(line(1), line(2), line(3))
    assert drained(world).reason == "caught_up"
    for records in ([line(7)], [line(8)]):  # shorter; then other content of the same length
        world.log.write_bytes(b"".join(records))
        assert drained(world).reason == "caught_up"
        assert world.in_step()
    assert sorted(world.event_ids()) == ["e-1", "e-2", "e-3", "e-7", "e-8"]


def test_f50_a_hook_keeps_its_deadline_and_says_why(world: World, front: Front) -> None:
    """A refused key is a result at once, a cloud that is away one at the deadline; consent forbids even the attempt."""
    world.brain(**OFF).close()
    world.append(line(1))
    front.always(503)
    late = drained(world, 1.0)
    assert (late.reason, late.remaining.records) == ("deadline", 1)
    front.always(401)
    denied = drained(world)
    assert (denied.reason, denied.trouble and denied.trouble.code) == ("trouble", "denied")
    (world.directory / "cloud-config.json").write_text('{"sync_enabled": false}')
    with pytest.raises(ConfigurationError, match="sync_enabled"):
        drained(world)
    (world.directory / "cloud-config.json").unlink()
    front.heal()
    world.keep_key(None)
    missing = drained(world)
    assert (missing.reason, missing.trouble and missing.trouble.code) == ("trouble", "no_key")


def test_f50_under_load_in_both_directions(tmp_path: Path) -> None:
    """Writers that never stop, the switch off and on, hook and cron in turn: 0 lost, 0 twice, nothing sent while off.

    More rounds: `python -m tests.campaigns rollback --rounds 20`.
    """
    figures = run(2, 20_261_123, tmp_path)
    assert figures.appended_while_off > 0
    assert figures.fine, figures


def test_f50_a_variable_set_inside_a_running_process_stops_it_at_the_next_append(world: World, front: Front) -> None:
    """Off: nothing more leaves, end_session alone drains; unset: it goes on where it was."""
    with world.brain() as brain:
        ids = [brain.correct("a", "b")["event_id"]]
        world.settle()
        environ = brain.settings._environ
        environ["GRADATA_DISABLE_WRITE_THROUGH"] = "1"
        ids.append(brain.correct("c", "d")["event_id"])
        assert brain.replicator is None
        eventually(lambda: Lease.holder(lease_path(str(world.log))) is None)
        assert world.event_ids() == ids[:1]
        ended = brain.end_session()
        assert ended["replication"]["reason"] == "caught_up"
        ids += [ended["event_id"], brain.correct("e", "f")["event_id"]]
        assert world.event_ids() == ids[:3]
        del environ["GRADATA_DISABLE_WRITE_THROUGH"]
        world.settle()  # by itself, without an append
        assert world.event_ids() == ids
        environ["GRADATA_DISABLE_WRITE_THROUGH"] = "1"
        brain.correct("g", "h")
        closed = brain.close()
    assert (closed.reason, closed.remaining_bytes > 0) == ("off", True)


def test_f50_a_config_file_stops_processes_whose_environment_nobody_can_change(world: World) -> None:
    """Within a few seconds, without any append: the lease is free, a command replicates, the file goes, it leads."""
    config = world.directory / "config.toml"
    with world.brain():
        world.append(line(1))
        world.settle()
        config.write_text("write_through = false\n")
        eventually(lambda: Lease.holder(lease_path(str(world.log))) is None)
        world.append(line(2))
        assert world.run("replicate", "--once", "--quiet").returncode == 0
        assert world.event_ids() == ["e-1", "e-2"]
        world.append(line(3))
        config.unlink()
        world.settle()
    assert world.event_ids() == ["e-1", "e-2", "e-3"]


def test_f50_end_session_drains_also_where_no_replicator_ever_was(world: World) -> None:
    """Opened with the switch off, and without a lesson or correction: `end_session` is a full drain all the same."""
    with world.brain(**OFF) as brain:
        world.append(line(1))
        ended = brain.end_session()
        assert ended["replication"]["remaining_bytes"] == 0
    assert world.event_ids() == ["e-1", ended["event_id"]]
    with world.brain(GRADATA_CLOUD_SYNC_DISABLE="1") as brain:
        assert brain.end_session()["replication"] is None


LEAVE_OFF = """
import os, sys
from gradata import Brain
brain = Brain(sys.argv[1])
brain.emit("NOTE", "rollback", {})
brain.replicator.drain(20)
os.environ["GRADATA_DISABLE_WRITE_THROUGH"] = "1"
print(brain.emit("NOTE", "rollback", {})["event_id"], flush=True)
"""


def test_f50_f45_the_exit_of_a_switched_off_process_sends_and_says_nothing(world: World, front: Front) -> None:
    """What waits is the hook's now: no request at the exit, and no line that promises one."""
    world.brain(**OFF).close()
    program = world.start(LEAVE_OFF)
    said, errors = program.communicate(timeout=60)
    assert (program.returncode, errors) == (0, "")
    assert said.strip() not in world.event_ids()
    assert drained(world).reason == "caught_up"
    assert said.strip() in world.event_ids()
