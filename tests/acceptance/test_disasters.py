"""Every row of "Disasters" in DESIGN.md, with real processes and a real server, on both stores where they matter."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import stores
from tests.acceptance.conftest import MakeWorld
from tests.acceptance.world import World, eventually, line, shorter, status_of
from tests.support.cloud_fixture import LiveCloud, StartCloud

IDLE = shorter(heartbeat_s=0.3)
"""A heartbeat every 0.3 s instead of 60: what an idle client notices by, without waiting for a minute."""


@pytest.fixture(params=["sqlite", "postgresql"])
def cloud(request: pytest.FixtureRequest, start_cloud: StartCloud) -> LiveCloud:
    """A cloud of the test's own on each store."""
    if request.param == "sqlite":
        return start_cloud()
    return start_cloud(store_url=request.getfixturevalue("postgres_url"))


def verified(world: World, *options: str) -> tuple[int, dict[str, Any]]:
    """`gradata verify --json`: its exit code and answer."""
    done = world.run("verify", "--json", *options)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def restored(world: World, *options: str) -> tuple[int, dict[str, Any]]:
    """`gradata restore --json` into this world's directory: its exit code and answer, `{}` for a refusal."""
    done = world.run("restore", "--json", *options, brain=False, GRADATA_BRAIN=str(world.directory))
    return done.returncode, json.loads(done.stdout or "{}") | {"stderr": done.stderr}


def codes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The codes of the notices so far."""
    return [record.getMessage().split(":")[0] for record in caplog.records if record.name == "replicator"]


# ---------------------------------------------------------------- the cloud


def test_f27_the_cloud_lost_its_last_day_while_the_client_is_idle(
    make_world: MakeWorld, cloud: LiveCloud, caplog: pytest.LogCaptureFixture
) -> None:
    """An older backup is brought back and nobody appends: the next heartbeat notices, the tail is sent by itself."""
    caplog.set_level(logging.INFO, "replicator")
    world = make_world(cloud)
    brain = world.brain(policy=IDLE)
    world.append(*[line(number) for number in range(5)])
    world.settle()
    stores.back_up(cloud)
    world.append(*[line(number) for number in range(5, 9)])
    world.settle()
    log_id = world.standing.cursor.log_id
    cloud.stop()
    stores.bring_back(cloud)
    cloud.start()
    eventually(lambda: "rewound" in codes(caplog))
    world.settle()
    assert world.standing.cursor.log_id == log_id
    assert len(world.event_ids()) == 9
    assert status_of(brain).generations == 0


@pytest.mark.parametrize("how", ["emptied", "made anew"])
def test_the_cloud_lost_everything_and_gets_it_again(
    make_world: MakeWorld, cloud: LiveCloud, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Its tables are empty, or it is another store with the same keys: replayed from the first record, by itself."""
    caplog.set_level(logging.INFO, "replicator")
    world = make_world(cloud)
    world.brain(policy=IDLE)
    world.append(*[line(number) for number in range(5)])
    world.settle()
    cloud.stop()
    (stores.empty if how == "emptied" else stores.made_anew)(cloud)
    cloud.start()
    eventually(lambda: "rewound" in codes(caplog))
    world.settle()
    assert world.event_ids() == [f"e-{number}" for number in range(5)]
    assert ("cloud_changed" in codes(caplog)) == (how == "made anew")


def test_f41_rows_that_the_cloud_lost_or_spoilt_are_named_and_mended(make_world: MakeWorld, cloud: LiveCloud) -> None:
    """Three rows deleted and three altered behind its back: all six are named, six are sent, then it is identical.

    A live replicator goes on meanwhile, and never learns of it.
    """
    world = make_world(cloud)
    records = [line(number) for number in range(600)]
    with world.brain() as brain:
        world.append(*records)
        world.settle()
        code, answer = verified(world)
        assert (code, answer["state"], answer["records"]) == (0, "identical", 600)
        stores.lose(cloud, (5, 6, 300))
        stores.spoil(cloud, {number: records[number].upper() for number in (0, 256, 599)})
        code, answer = verified(world)
        assert (code, answer["state"]) == (1, "differences")
        named = {each["record"]: each["what"] for each in answer["differences"]}
        assert named == dict.fromkeys((5, 6, 300), "missing_at_cloud") | dict.fromkeys(
            (0, 256, 599), "damaged_at_cloud"
        )
        assert [each["event_id"] for each in answer["differences"]] == [f"e-{n}" for n in (0, 5, 6, 256, 300, 599)]
        assert answer["wire_bytes"] < 100_000
        code, answer = verified(world, "--repair")
        assert (code, answer["sent"], answer["mended"], answer["not_taken"]) == (1, 6, 6, [])
        world.append(line(600))
        world.settle()
        code, answer = verified(world)
        assert (code, answer["state"], answer["records"]) == (0, "identical", 601)
        assert (status_of(brain).rewinds, status_of(brain).generations, status_of(brain).duplicates) == (0, 0, 0)


def test_the_shallow_look_finds_lost_rows_and_says_that_it_proves_nothing(
    make_world: MakeWorld, start_cloud: StartCloud
) -> None:
    """Gaps are found; an altered row is not, and the words never claim a proof; the deep one finds it."""
    cloud = start_cloud()
    world = make_world(cloud)
    with world.brain():
        world.append(*[line(number) for number in range(10)])
        world.settle()
    stores.spoil(cloud, {3: b"other\n"})
    done = world.run("verify", "--shallow")
    assert done.returncode == 0
    assert done.stdout.startswith("same root, no gaps: 10 records")
    assert "proven" not in done.stdout
    done = world.run("verify")
    assert done.returncode == 1
    assert "1 damaged at the cloud" in done.stdout
    stores.lose(cloud, (3,))
    assert verified(world, "--shallow")[1]["missing_at_cloud"] == 1


def test_a_cloud_that_cannot_be_reached_proves_nothing(world: World) -> None:
    """Exit 3, and what to do."""
    world.brain().close()
    world.endpoint = "http://127.0.0.1:1/api/v1"
    for command in ("verify", "restore"):
        done = world.run(command)
        assert done.returncode == 3
        assert "cannot be reached" in done.stderr
        assert "hint:" in done.stderr


# ---------------------------------------------------------------- the log


def test_f10_an_old_record_edited_in_place_is_named_and_nobody_overwrites_it(world: World) -> None:
    """Same length, long acknowledged: verify names it and exits 2; --repair leaves both sides as they are."""
    records = [line(number) for number in range(300)]
    with world.brain() as brain:
        world.append(*records)
        world.settle()
        log_id = world.standing.cursor.log_id
        edited = world.whole.replace(records[270], records[270].replace(b"text", b"TEXT"))
        with world.log.open("r+b") as file:
            file.write(edited)
        world.append(line(300))
        assert brain.replicator is not None
        assert brain.replicator.drain(20).reason == "caught_up"
        for options in ((), ("--repair",)):
            code, answer = verified(world, *options)
            assert (code, answer["state"], answer["sent"]) == (2, "diverged", 0)
            assert answer["differences"] == [
                {
                    "record": 270,
                    "offset": len(b"".join(records[:270])),
                    "event_id": "e-270",
                    "what": "edited_here",
                }
            ]
    assert world.whole == edited + line(300)
    assert world.replica(log_id) == b"".join(records) + line(300)


def test_f09_f11_a_log_that_was_cut_comes_back(world: World) -> None:
    """Two records go; a new generation begins; `restore` brings the old log back, and replication goes on in it."""
    with world.brain():
        world.append(*[line(number) for number in range(10)])
        world.settle()
        before, old = world.whole, world.standing.cursor.log_id
        os.truncate(world.log, len(b"".join(line(number) for number in range(8))))
        world.settle()
        assert world.standing.cursor.log_id != old
        code, answer = restored(world)
        assert code == 1
        assert "is being replicated now" in answer["stderr"]
    code, answer = restored(world, "--dry-run")
    assert (code, answer["was"], answer["log_id"], answer["shared_records"]) == (0, "behind", old, 8)
    assert len(answer["others"]) == 1
    code, answer = restored(world)
    assert (code, answer["proven"], answer["adopted"]) == (0, True, True)
    assert answer["fetched_bytes"] == len(line(8)) + len(line(9))
    assert world.log.read_bytes() == before
    with world.brain() as brain:
        world.append(line(10))
        world.settle()
        assert (status_of(brain).log_id, status_of(brain).accepted, status_of(brain).duplicates) == (old, 1, 0)


def test_a_log_that_was_replaced_is_kept_when_the_old_one_comes_back(world: World) -> None:
    """Another log of its own: refused, unless by force, which keeps it beside; or merged, which replaces nothing."""
    with world.brain():
        world.append(*[line(number) for number in range(6)])
        world.settle()
    before, old = world.whole, world.standing.cursor.log_id
    own = line(0) + line(100) + line(101)
    world.log.write_bytes(own)
    code, answer = restored(world)
    assert code == 1
    assert "2 records of its own" in answer["stderr"]
    assert "--merge" in answer["stderr"]
    assert world.log.read_bytes() == own
    code, answer = restored(world, "--force")
    assert code == 2
    assert "--yes" in answer["stderr"]
    code, answer = restored(world, "--force", "--yes")
    assert (code, answer["was"], answer["proven"]) == (0, "other", True)
    assert world.log.read_bytes() == before
    assert Path(answer["backup"]).read_bytes() == own
    world.log.write_bytes(own)
    with world.brain():
        world.settle()
        code, answer = restored(world, "--merge")
        assert (code, answer["appended"], answer["log_id"]) == (0, 5, old)
        assert world.log.read_bytes() == own + b"".join(line(number) for number in range(1, 6))
        world.settle()
    assert sorted(world.event_ids()) == sorted([f"e-{number}" for number in (*range(6), 100, 101)])
    assert restored(world, "--merge")[1]["appended"] == 0


# ---------------------------------------------------------------- the machine


def test_the_machine_is_gone(make_world: MakeWorld, cloud: LiveCloud) -> None:
    """On a new one, with the key alone: byte-identical, a Brain opens, new corrections go on in the same log.

    Then the new machine loses its sidecar, too, and still sends nothing again.
    """
    world = make_world(cloud)
    with world.brain() as brain:
        for number in range(20):
            brain.correct(f"draft {number}", f"final {number}")
        world.settle()
    before, log_id = world.log.read_bytes(), world.standing.cursor.log_id
    fresh = make_world(cloud)
    code, answer = restored(fresh)  # the key reaches one brain
    assert (code, answer["proven"], answer["adopted"], answer["was"]) == (0, True, True, "absent")
    assert fresh.log.read_bytes() == before
    assert [name for name in os.listdir(fresh.directory) if "partial" in name] == []
    assert (fresh.directory / ".device_id").read_text() != (world.directory / ".device_id").read_text()
    assert json.loads(fresh.run("status", "--json").stdout)["cloud"]["in_step"]
    with fresh.brain() as brain:
        assert len(brain.query_events(event_type="CORRECTION", limit=100)) == 20
        event = brain.correct("one more draft", "one more final")
        fresh.settle()
        status = status_of(brain)
        assert (status.accepted, status.duplicates, status.log_id) == (1, 0, log_id)
    assert event["event_id"] in fresh.event_ids()
    for file in fresh.directory.glob(".replicator.db*"):
        file.unlink()
    with fresh.brain() as brain:
        brain.correct("and another draft", "and another final")
        fresh.settle()
        status = status_of(brain)
        assert (status.accepted, status.duplicates, status.log_id) == (1, 0, log_id)
    assert [log["log_id"] for log in fresh.logs()] == [log_id]
    assert verified(fresh)[0] == 0


def test_a_log_brought_to_a_new_machine_by_hand_goes_on_when_the_old_one_is_silent(
    make_world: MakeWorld, cloud: LiveCloud
) -> None:
    """With curl, and the brain's id: while the old device is heard of, a log of its own; else the same log goes on."""
    world = make_world(cloud)
    with world.brain():
        world.append(*[line(number) for number in range(3)])
        world.settle()
    log_id = world.standing.cursor.log_id

    def by_hand(number: int) -> tuple[int, int, bool]:
        fresh = make_world(cloud)
        fresh.directory.mkdir()
        fresh.log.write_bytes(world.replica(log_id))
        (fresh.directory / ".tenant_id").write_text(world.brain_id)
        with fresh.brain() as brain:
            fresh.append(line(number))
            fresh.settle()
            status = status_of(brain)
            return status.accepted, status.duplicates, status.log_id == log_id

    assert by_hand(10) == (1, 3, False)
    stores.fall_silent(cloud)
    assert by_hand(11) == (1, 0, True)


def test_a_restored_log_with_a_place_without_bytes_says_so_and_goes_on(world: World, make_world: MakeWorld) -> None:
    """A record was too long for the cloud: its place holds a line that says so; nothing is sent again."""
    long = line(3, "x" * 1_100_000)
    with world.brain():
        world.append(line(0), line(1), line(2), long, line(4))
        eventually(lambda: world.standing is not None and world.standing.cursor.size == 5)
    fresh = make_world(world.cloud)
    code, answer = restored(fresh, "--brain", world.brain_id)
    assert (code, answer["proven"], answer["adopted"]) == (1, False, True)
    assert answer["placeholders"] == [{"first": 3, "end": 4, "why": "hole"}]
    assert answer["unproven"] == []
    assert fresh.log.stat().st_size == world.log.stat().st_size
    with fresh.brain() as brain:
        fresh.append(line(5))
        eventually(lambda: "e-5" in fresh.event_ids())
        assert (status_of(brain).accepted, status_of(brain).duplicates) == (1, 0)
        assert status_of(brain).generations == 0
    code, answer = verified(fresh)
    assert (code, answer["placeholder_here"], answer["without_bytes"]) == (1, 1, 1)
    code, answer = verified(world)
    assert (answer["state"], answer["only_at_cloud"]) == ("diverged", 1)  # the old machine does not have e-5


def test_a_directory_is_not_taken_from_another_brain(world: World, make_world: MakeWorld) -> None:
    """The target is another brain's: nothing is written, wrong usage."""
    with world.brain():
        world.append(line(0))
        world.settle()
    other = make_world(world.cloud)
    other.brain().close()
    code, answer = restored(other, "--brain", world.brain_id)
    assert code == 2
    assert "another brain" in answer["stderr"]
    assert other.log.read_bytes() == b""


def test_a_reset_says_what_it_costs(world: World) -> None:
    """--to 0, --to-cloud and --to-offset say what is sent again and what the cloud will drop; then it does."""
    with world.brain():
        world.append(*[line(number) for number in range(6)])
        world.settle()
    for options, again in ((("--to-offset", str(len(line(0)))), 5), (("--to-cloud",), 0)):
        answer = json.loads(world.run("cursor", "reset", "--json", "--dry-run", *options).stdout)
        assert (answer["again_records"], answer["dropped"], answer["cloud_records"]) == (again, again, 6)
    done = world.run("cursor", "reset", "--to", "0", "--yes")
    assert "6 records" in done.stdout
    assert "the cloud has 6 of them and drops those as duplicates" in done.stdout
    with world.brain() as brain:
        eventually(lambda: status_of(brain).duplicates == 6)
        world.settle()
    world.endpoint = "http://127.0.0.1:1/api/v1"
    assert world.run("cursor", "reset", "--to-cloud", "--dry-run").returncode == 1
