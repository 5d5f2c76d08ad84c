"""Every row of "Disasters" in DESIGN.md, with real processes and a real server."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

from tests.acceptance.conftest import MakeWorld
from tests.acceptance.world import World, line, status_of
from tests.cloud_fixture import LiveCloud, StartCloud


def behind_its_back(cloud: LiveCloud, *statements: str) -> None:
    """Change the store's rows as no client can."""
    with closing(sqlite3.connect(cloud.store_url.removeprefix("sqlite:"), timeout=20)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def verified(world: World, *options: str) -> tuple[int, dict[str, Any]]:
    """`gradata verify --json`: its exit code and answer."""
    done = world.run("verify", "--json", *options)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_f41_rows_that_the_cloud_lost_or_spoilt_are_named_and_mended(
    make_world: MakeWorld, start_cloud: StartCloud
) -> None:
    """Three rows deleted and three altered behind the cloud's back: all six are named, six are sent, then identical."""
    cloud = start_cloud()
    world = make_world(cloud)
    with world.brain():
        world.append(*[line(number) for number in range(600)])
        world.settle()
        code, answer = verified(world)
        assert (code, answer["state"], answer["records"]) == (0, "identical", 600)
        behind_its_back(
            cloud,
            "DELETE FROM records WHERE place & 1048575 IN (5, 6, 300)",
            "UPDATE records SET record = replace(record, 'text', 'TEXT') WHERE place & 1048575 IN (0, 256, 599)",
        )
        code, answer = verified(world)
        assert (code, answer["state"]) == (1, "differences")
        named = {each["record"]: each["what"] for each in answer["differences"]}
        assert named == dict.fromkeys((5, 6, 300), "missing_at_cloud") | dict.fromkeys(
            (0, 256, 599), "damaged_at_cloud"
        )
        assert [each["event_id"] for each in answer["differences"]] == [f"e-{n}" for n in (0, 5, 6, 256, 300, 599)]
        assert answer["wire_bytes"] < 100_000
        code, answer = verified(world, "--repair")
        assert (code, answer["sent"], answer["mended"]) == (1, 6, 6)
        assert verified(world)[0] == 0
        world.settle()


def restored(world: World, *options: str, **environ: str) -> tuple[int, dict[str, Any]]:
    """`gradata restore --json`: its exit code and answer."""
    done = world.run("restore", "--json", *options, brain=False, **environ)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_machine_is_gone(world: World, make_world: MakeWorld) -> None:
    """On a new one, with the key alone: byte-identical, a Brain opens, new corrections go on in the same log."""
    with world.brain() as brain:
        for number in range(20):
            brain.correct(f"draft {number}", f"final {number}")
        world.settle()
    before, log_id = world.log.read_bytes(), world.standing.cursor.log_id
    fresh = make_world(world.cloud)
    code, answer = restored(fresh, "--brain", world.brain_id, GRADATA_BRAIN=str(fresh.directory))
    assert (code, answer["proven"], answer["adopted"], answer["was"]) == (0, True, True, "absent")
    assert fresh.log.read_bytes() == before
    assert fresh.log.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in fresh.directory.iterdir() if "partial" in path.name) == []
    with fresh.brain() as brain:
        assert len(brain.query_events(event_type="CORRECTION", limit=100)) == 20
        event = brain.correct("one more draft", "one more final")
        fresh.settle()
        status = status_of(brain)
        assert (status.accepted, status.duplicates, status.log_id) == (1, 0, log_id)
    assert event["event_id"] in fresh.event_ids()
    assert [log["log_id"] for log in fresh.logs()] == [log_id]
    assert verified(fresh)[0] == 0
