"""Back to hooks and cron, and forth again: FAILURES.md F50, with real processes."""

from __future__ import annotations

import pytest

from gradata import foreground
from gradata.directory import Directory
from gradata.settings import Settings
from replicator.errors import ConfigurationError
from tests.acceptance.front import Front
from tests.acceptance.world import World, line

OFF = {"GRADATA_DISABLE_WRITE_THROUGH": "1"}


def drained(world: World, timeout_s: float = 20.0, **environ: str) -> foreground.Result:
    """What the session-close hook calls."""
    settings = Settings.resolve(str(world.directory), environ=world.environ(**OFF, **environ))
    return foreground.drain(settings, Directory(settings.brain_dir), timeout_s=timeout_s)


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
