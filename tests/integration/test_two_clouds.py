"""Two API processes on one PostgreSQL: what is stored through one is seen at the other, and alerts are told once."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.world import eventually
from tests.integration.test_cloud_watch import STATUS, Hook, beat, events_of, following
from tests.support.cloud_batches import event
from tests.support.cloud_client import Agent
from tests.support.cloud_fixture import LiveCloud

TOLD_S = 60


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A webhook."""
    made = Hook()
    yield made
    made.close()


@pytest.fixture
def clouds(postgres_url: str, tmp_path: Path, hook: Hook) -> Iterator[list[LiveCloud]]:
    """Two servers on one store; both watch for silence and tell the same webhook."""
    options = {"limits": {"requests_per_minute": None}, "webhook": hook.url, "silent_s": 3.0}
    made = []
    try:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            made.append(LiveCloud(tmp_path / name, dict(options), postgres_url))
        yield made
    finally:
        for cloud in made:
            cloud.close()


def test_a_correction_stored_through_one_process_appears_at_the_other(clouds: list[LiveCloud]) -> None:
    """An open feed tells of it; whoever comes back to either process is told what he missed, and no event twice."""
    one, other = clouds
    agent = Agent(one)
    there = Agent(other, brain=agent.brain, log_id=agent.log_id)
    brain = f"?brain={agent.brain}"
    log = [event(str(number)) for number in range(6)]
    assert agent.send(log, 0, 1, status=STATUS).status_code == 200
    with following(there, brain) as heard:
        assert agent.send(log, 1, 2, status=STATUS).status_code == 200
        ((seen, _),) = events_of(heard, 1)
    assert agent.send(log, 2, 4, status=STATUS).status_code == 200
    for cloud in clouds:
        asking = Agent(cloud, brain=agent.brain, log_id=agent.log_id)
        with following(asking, brain, **{"Last-Event-ID": seen}) as heard:
            missed = events_of(heard, 2)
            assert there.send(log, 4, 5, status=STATUS).status_code == 200
            missed += events_of(heard, 1)
        cursors = [int(cursor) for cursor, _ in missed]
        assert cursors == list(range(int(seen) + 1, int(seen) + 4))


def test_f53_silence_is_told_once_however_many_processes_watch(
    clouds: list[LiveCloud], hook: Hook, postgres_url: str
) -> None:
    """Both see it; the webhook hears it once, and once that it is over, although one of them dies in between."""
    agent = Agent(clouds[0])
    agent.send([event("a")], status=STATUS)
    firing = hook.next()
    assert (firing["kind"], firing["brain_id"], firing["state"]) == ("firing", agent.brain, "silent")
    with psycopg.connect(postgres_url, autocommit=True) as store:  # settled: else the other would tell it once more
        eventually(lambda: store.execute("SELECT count(*) FROM gradata.notices").fetchone() == (0,), TOLD_S)
    clouds[0].kill()
    there = Agent(clouds[1], brain=agent.brain, log_id=agent.log_id)
    deadline = time.monotonic() + TOLD_S
    while hook.got.empty():  # what comes next is the all-clear: nothing was told twice
        assert time.monotonic() < deadline
        beat(there)
    cleared = json.loads(hook.got.get(timeout=TOLD_S)[1])
    assert (cleared["kind"], cleared["brain_id"]) == ("cleared", agent.brain)
    with pytest.raises(queue.Empty):
        hook.got.get_nowait()
