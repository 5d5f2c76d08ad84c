"""What embedded senders of others do in these scenarios is published; this is what we do: everything arrives.

The column "here" of the table in docs/reliability.md: 50 events each, the documented policy but for shorter waits, and
outages that last until the client has met them several times, instead of half a minute.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import pytest

from replicator.testing.chaos import Chaos, black_hole
from tests.acceptance.front import PASS, Front
from tests.acceptance.programs import EXIT_S_MAX, LEAVE
from tests.acceptance.world import World, eventually, hear, status_of
from tests.support.scripted import Seen, answer

EVENTS = 50


def outage(front: Front, rule: Callable[[Seen], bytes | None], world: World) -> None:
    """50 corrections under this rule, until it has answered several times; then the cloud is itself again."""
    front.rule = rule
    with world.brain() as brain:
        for number in range(EVENTS):
            brain.correct(f"draft {number}", f"final {number}")
        eventually(lambda: front.count("/") >= 6)
        front.heal()
        world.settle()


def counted(seen: Seen) -> int:
    """How many records a batch has; 0 for other requests."""
    if not seen.path.endswith("/ingest"):
        return 0
    count: int = json.loads(seen.body.partition(b"\n")[0])["count"]
    return count


@pytest.mark.parametrize("status", [401, 503])
def test_f33_f29_a_status_for_a_while_loses_none_of_50(world: World, front: Front, status: int) -> None:
    """401 for a while, 503 for a while: 50 of 50."""
    raw = answer(status, b"{}")
    outage(front, lambda _: raw, world)
    assert len(world.event_ids()) == EVENTS


def test_f29_a_cloud_that_is_down_for_a_while_loses_none_of_50(world: World, front: Front) -> None:
    """Down: 50 of 50."""
    outage(front, lambda _: None, world)
    assert len(world.event_ids()) == EVENTS


def test_f35_one_poison_event_costs_itself_alone(world: World, front: Front) -> None:
    """49 and one dead letter."""
    front.rule = lambda seen: answer(422, b"{}") if b"final 17" in seen.body else PASS
    with world.brain() as brain:
        for number in range(EVENTS):
            brain.correct(f"draft {number}", f"final {number}")
        eventually(lambda: world.standing and world.standing.cursor.size == EVENTS)
        assert status_of(brain).dead_letters == 1
    assert len(world.event_ids()) == EVENTS - 1


def test_f36_a_cloud_that_takes_ten_at_most_gets_all_50(world: World, front: Front) -> None:
    """413 for batches over 10: 50 of 50."""
    world.brain(GRADATA_DISABLE_WRITE_THROUGH="1").close()
    with world.brain(GRADATA_DISABLE_WRITE_THROUGH="1") as brain:
        for number in range(EVENTS):
            brain.correct(f"draft {number}", f"final {number}")
    front.rule = lambda seen: answer(413, b"{}") if counted(seen) > 10 else PASS
    with world.brain() as brain:
        world.settle()
        assert status_of(brain).dead_letters == 0
    assert len(world.event_ids()) == EVENTS


STAY = f"{LEAVE}\nsys.stdin.readline()\n"


@pytest.mark.parametrize("in_flight", [False, True], ids=["down", "in flight"])
def test_f23_f46_sigkill_and_a_restart_lose_none_of_50(world: World, in_flight: bool) -> None:
    """SIGKILL with the server down, and with a batch in flight; another process later: 50 of 50."""
    with Chaos(("127.0.0.1", world.cloud.port)) as chaos:
        world.endpoint = f"{chaos.url}/api/v1"
        world.brain(GRADATA_DISABLE_WRITE_THROUGH="1").close()
        if in_flight:
            chaos.fault = black_hole()
        else:
            chaos.refuse()
        program = world.start(STAY)
        assert hear(program) == "done"
        if in_flight:
            chaos.until(lambda: chaos.accepted > 0)
        program.send_signal(signal.SIGKILL)
        program.wait(30)
    world.endpoint = world.cloud.url
    with world.brain():
        world.settle()
    assert len(world.event_ids()) == EVENTS


FORK = """
import os, sys
from gradata import Brain
brain = Brain(sys.argv[1])
for n in range(50):
    brain.correct(f"draft {n}", f"final {n}")
pid = os.fork()
if pid == 0:
    for n in range(10):
        brain.correct(f"child draft {n}", f"child final {n}")
    os._exit(0)
os.waitpid(pid, 0)
"""


def test_f43_a_forked_child_loses_none_of_10(world: World) -> None:
    """Fork: the child's 10 of 10, and the parent's 50, without any close()."""
    world.brain().close()
    program = world.start(FORK)
    assert program.wait(20) == 0
    with world.brain():
        world.settle()
    assert len(world.event_ids()) == EVENTS + 10


def test_f45_leaving_a_black_hole_takes_a_second_at_most(world: World) -> None:
    """Exit against a black hole: a second and the interpreter's own end; nothing is lost."""
    with Chaos(("127.0.0.1", world.cloud.port)) as chaos:
        world.endpoint = f"{chaos.url}/api/v1"
        chaos.fault = black_hole()
        world.brain(GRADATA_DISABLE_WRITE_THROUGH="1").close()
        program = world.start(LEAVE)
        assert float(program.communicate(timeout=30)[0].split()[1]) < EXIT_S_MAX
    world.endpoint = world.cloud.url
    with world.brain():
        world.settle()
    assert len(world.event_ids()) == EVENTS
