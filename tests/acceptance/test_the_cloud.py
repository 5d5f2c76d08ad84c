"""What the cloud and the way there do to a live brain: docs/failures.md F29 to F40."""

from __future__ import annotations

import json
import logging
import math
import shutil
import ssl
import stat
import time
from collections.abc import Iterator

import httpx
import pytest

from gradata.cloud.service.api_keys import revoke_key
from gradata.cloud.store.open import open_store
from replicator.testing.chaos import NONE, Chaos, ProxyFault, black_hole, cut_answer, drip, finish, garbage, reset
from replicator.wire import PROBLEM_TYPE, problem_body
from tests.acceptance.conftest import MakeWorld
from tests.acceptance.front import PASS, Front
from tests.acceptance.world import ROOT, World, eventually, line, shorter, status_of, trouble_of
from tests.support.cloud_fixture import StartCloud
from tests.support.patience import AT_ONCE_S, PATIENCE_S
from tests.support.scripted import Scripted, Seen, answer


@pytest.fixture
def chaos(world: World) -> Iterator[Chaos]:
    """A network between this world's programs and the cloud."""
    with Chaos(("127.0.0.1", world.cloud.port)) as made:
        world.endpoint = f"{made.url}/api/v1"
        yield made


# ---------------------------------------------------------------- the network


def test_f29_a_cloud_that_is_away_is_tried_for_ever_without_a_new_append(
    world: World, chaos: Chaos, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused at the start and for many attempts: told once, doctor shows it; back, everything goes by itself."""
    chaos.refuse()
    caplog.set_level(logging.INFO, "replicator")
    with world.brain() as brain:
        brain.correct("a", "b")
        eventually(lambda: status_of(brain).failures > 4)
        assert trouble_of(brain) == "unavailable"
        found = world.doctor("--no-cloud")
        assert (found["trouble"][0], "1 records wait" in found["trouble"][1]) == ("warn", True)
        chaos.refuse(False)
        world.settle()
    told = [record.getMessage().split(":")[0] for record in caplog.records if record.name == "replicator"]
    assert told == ["unavailable", "recovered"]


@pytest.mark.parametrize("where", ["https://nowhere.invalid/api/v1", "tls"])
def test_f29_an_unknown_name_and_an_unknown_certificate_are_waited_out(world: World, where: str) -> None:
    """Neither DNS nor TLS failures lose or raise anything: retried, in the network's own words."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls = ROOT / "fixtures" / "tls"
    context.load_cert_chain(tls / "server.pem", tls / "server.key")
    with Scripted(lambda _: answer(200), tls=context) as server:
        world.endpoint = where if where != "tls" else f"{server.url}/api/v1"
        brain = world.brain()
        brain.correct("a", "b")
        eventually(lambda: trouble_of(brain) == "unavailable")
        brain.close(0)
        assert server.seen == []
    world.endpoint = world.cloud.url
    with world.brain():
        world.settle()


@pytest.mark.parametrize("fault", [black_hole(), drip(0.2), reset(), finish(), garbage()], ids=lambda f: f.kind.name)
def test_f30_corrections_never_feel_the_network(world: World, chaos: Chaos, fault: ProxyFault) -> None:
    """Black hole, drip, resets, garbage: correct() never waits for a time-out; healed, everything arrives once."""
    with world.brain() as brain:
        brain.correct("a", "b")
        world.settle()
        chaos.fault = fault
        chaos.cut()
        costs = []
        for number in range(40):
            began = time.perf_counter()
            brain.correct(f"draft {number}", f"final {number}")
            costs.append(time.perf_counter() - began)
        assert sorted(costs)[20] < 1.0
        chaos.fault = NONE
        chaos.cut()
        world.settle()
    assert len(world.event_ids()) == 41


def test_f30_close_and_end_session_keep_their_deadline_against_a_black_hole(world: World, chaos: Chaos) -> None:
    """Draining into a black hole ends when it must, says what remains, and loses nothing."""
    chaos.fault = black_hole()
    brain = world.brain()
    brain.correct("a", "b")
    began = time.monotonic()
    ended = brain.end_session(timeout_s=0.5)
    drained = brain.close(timeout_s=0.5)
    assert time.monotonic() - began < AT_ONCE_S
    assert ended["replication"]["remaining_bytes"] > 0
    assert drained is not None
    assert drained.remaining_bytes > 0
    chaos.fault = NONE
    chaos.cut()
    with world.brain():
        world.settle()


def test_f31_an_answer_lost_after_the_commit_is_absorbed(world: World, chaos: Chaos) -> None:
    """The cloud has it, the client does not know: it is sent again as the same place, once in the projection."""
    with world.brain() as brain:
        brain.correct("a", "b")
        world.settle()
        chaos.fault = cut_answer()
        brain.correct("c", "d")
        eventually(lambda: status_of(brain).failures > 1)
        assert len(world.event_ids()) == 2
        chaos.fault = NONE
        world.settle()
    assert len(world.logs()) == 1


# ---------------------------------------------------------------- what is no ack

ACK = {"schema": 2, "cloud_id": "c", "head": {"log_id": "x", "size": 99, "offset": 1, "root": "00" * 32}}


@pytest.mark.parametrize(
    "raw",
    [
        answer(200, b"<html>Welcome to the hotel</html>", Content_Type="text/html"),
        answer(200, b""),
        answer(200, b'{"schema": 2, "cloud_id": "'),
        answer(200, json.dumps(ACK | {"accepted": "all"}).encode()),
        answer(200, b'"' + b"x" * 3_000_000 + b'"'),
        answer(200, b"\x1f\x8b\x08", Content_Encoding="gzip"),
    ],
    ids=["portal", "empty", "cut", "types", "huge", "encoded"],
)
def test_f32_a_200_that_is_no_ack_moves_no_cursor(world: World, front: Front, raw: bytes) -> None:
    """A captive portal and its like: the cursor stands still, nothing is believed, and it heals by itself."""
    with world.brain() as brain:
        brain.correct("a", "b")
        world.settle()
        cursor = world.standing.cursor
        front.rule = lambda _: raw
        brain.correct("c", "d")
        eventually(lambda: trouble_of(brain) in ("disagreement", "misconfigured"))
        assert world.standing.cursor == cursor
        front.heal()
        world.settle()


def test_f32_f55_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(world: World, front: Front) -> None:
    """302 to another host: paused as misconfigured; the other host hears nothing."""
    with Scripted(lambda _: answer(200)) as other, world.brain() as brain:
        front.always(302, Location=f"{other.url}/api/v1/ingest")
        brain.correct("a", "b")
        eventually(lambda: trouble_of(brain) == "misconfigured")
        assert other.connections == 0
        front.heal()
        world.settle()


# ---------------------------------------------------------------- the key


def test_f33_a_rotated_key_pauses_and_its_successor_resumes_within_seconds(world: World) -> None:
    """Revoked: paused, kept, told in the auth log and by doctor; the new key in the file, and it flows, unprompted."""
    key = world.cloud.make_key("ingest", "read")
    world.keep_key(key)
    with world.brain(policy=None) as brain:
        brain.correct("a", "b")
        world.settle()
        store = open_store(world.cloud.store_url)
        revoke_key(store, next(kept.prefix for kept in store.keys(None) if key.startswith(kept.prefix)))
        store.close()

        def refused() -> bool:
            brain.correct("c", "d")
            return trouble_of(brain) == "denied"

        eventually(refused)
        auth_log = world.directory / "logs" / "replication-auth.log"
        assert "denied" in auth_log.read_text()
        assert stat.S_IMODE(auth_log.stat().st_mode) == 0o600
        found = world.doctor("--no-cloud")["trouble"]
        assert (found[0], "refuses the API key" in found[1]) == ("fail", True)
        world.keep_key(world.cloud.make_key("ingest", "read"))
        began = time.monotonic()
        world.settle()
        assert time.monotonic() - began < AT_ONCE_S
        eventually(
            lambda: "recovered" in auth_log.read_text()
        )  # told when the answer is back, after the record is there
        assert key not in auth_log.read_text()


def test_f33_an_hour_of_401_loses_nothing(world: World, front: Front) -> None:
    """Each probe is refused, many times over: one request a probe, everything kept, all of it arrives."""
    front.always(401, problem_body(401, "key_unknown", "unknown"))
    with world.brain() as brain:
        for number in range(10):
            brain.correct(f"a{number}", f"b{number}")
        eventually(lambda: front.count("/") > 8)
        assert trouble_of(brain) == "denied"
        front.heal()
        world.settle()
    assert len(world.event_ids()) == 10


@pytest.mark.parametrize("status", [404, 405, 407, 307])
def test_f34_another_server_at_the_address_pauses_and_keeps_all(world: World, front: Front, status: int) -> None:
    """404, 405, 407, 3xx: "misconfigured" in status and doctor, nothing is dropped, and it heals by itself."""
    front.always(status, b"<html>not here</html>", Content_Type="text/html", Location="/elsewhere")
    with world.brain() as brain:
        brain.correct("a", "b")
        eventually(lambda: trouble_of(brain) == "misconfigured")
        assert world.doctor("--no-cloud")["trouble"][0] == "fail"
        front.heal()
        world.settle()
    assert len(world.event_ids()) == 1


# ---------------------------------------------------------------- refusals


def refusing(front: Front, *, naming: bool) -> list[tuple[int, bool]]:
    """Have requests with a poisoned record refused; returns the list of how many records each batch had, and that."""
    batches: list[tuple[int, bool]] = []

    def rule(seen: Seen) -> bytes:
        if not seen.path.endswith("/ingest"):
            return PASS
        head, _, records = seen.body.partition(b"\n")
        envelope = json.loads(head)
        batches.append((envelope["count"], b"poison" in records))
        if not batches[-1][1]:
            return PASS
        number = envelope["first"] + records[: records.index(b"poison")].count(b"\n")
        body = problem_body(422, "invalid_field", "bad", **({"record": number} if naming else {}))
        return answer(422, body, Content_Type=PROBLEM_TYPE)

    front.rule = rule
    return batches


@pytest.mark.parametrize("naming", [True, False], ids=["named", "unnamed"])
def test_f35_one_record_refused_among_5000_is_one_dead_letter(world: World, front: Front, naming: bool) -> None:
    """The rest arrives, with at most 2 requests more if the answer named it: the rest, and it alone; else log2(n)."""
    batches = refusing(front, naming=naming)
    world.directory.mkdir()
    records = [line(number, "poison" if number == 3_210 else "x" * 50) for number in range(5_000)]
    world.log.write_bytes(b"".join(records))
    with world.brain() as brain:
        eventually(lambda: world.standing and world.standing.cursor.size == 5_000)
        eventually(lambda: status_of(brain).dead_letters == 1)
    refused = [count for count, poisoned in batches if poisoned]
    without_poison = 2  # 256 KiB at first, then all the rest
    assert refused[-1] == 1
    assert len(batches) - without_poison <= (2 if naming else math.ceil(math.log2(refused[0])) + 2)
    assert set(world.event_ids()) == {f"e-{number}" for number in range(5_000) if number != 3_210}
    listed = json.loads(world.run("dead-letters", "list", "--json").stdout)
    assert "3210" in json.dumps(listed)


@pytest.mark.parametrize(
    ("status", "path"), [(400, ""), (422, ""), (400, "/ingest"), (422, "/ingest"), (413, "/ingest")]
)
def test_f35b_a_proxy_that_refuses_everything_makes_no_dead_letters(
    world: World, front: Front, status: int, path: str
) -> None:
    """400, 422 or 413 to everything, for many probes: paused; when it heals, every record arrives, none is given up."""
    brain = world.brain()
    brain.correct("a", "b")
    world.settle()
    raw = answer(status, problem_body(status, "refused", "a broken release"))
    refused: list[Seen] = []

    def rule(seen: Seen) -> bytes:
        if not seen.path.endswith(path) or healed(refused):
            return PASS
        refused.append(seen)
        return raw

    def healed(refused: list[Seen]) -> bool:
        # Not between a record that is refused alone and its place without bytes: that one would then be taken.
        records = refused and refused[-1].path.endswith("/ingest") and b'"hole"' not in refused[-1].body
        return len(refused) > 12 and (status == 400 or not records)

    front.rule = rule
    for number in range(20):
        brain.correct(f"a{number}", f"b{number}")
    eventually(lambda: trouble_of(brain) in ("refusing", "malformed"))
    eventually(lambda: healed(refused))
    world.settle()
    assert status_of(brain).dead_letters == 0
    assert len(world.event_ids()) == 21


def test_f35b_a_release_that_refuses_all_records_pauses_at_the_third(world: World, front: Front) -> None:
    """422 to all records but not to places without bytes: two dead letters, then a pause; healed, both are retried."""
    front.rule = lambda seen: (
        answer(422, problem_body(422, "invalid_field", "a broken release"), Content_Type=PROBLEM_TYPE)
        if seen.path.endswith("/ingest") and b'"hole"' not in seen.body.partition(b"\n")[0]
        else PASS
    )
    with world.brain() as brain:
        world.append(*[line(number) for number in range(20)])
        eventually(lambda: trouble_of(brain) == "refusing")
        assert status_of(brain).dead_letters == 2
        front.heal()
        eventually(lambda: world.standing.cursor.size == 20)
        done = world.run("dead-letters", "retry", "--all")
        assert done.returncode == 0, done.stderr
        world.settle()
    assert sorted(world.event_ids()) == sorted(f"e-{number}" for number in range(20))


def test_f36_batches_above_the_servers_limit_are_halved(make_world: MakeWorld, start_cloud: StartCloud) -> None:
    """A real server that takes 150 kB: 413 teaches the limit, all of 600 kB arrives, nothing is given up."""
    world = make_world(start_cloud(body_bytes=150_000))
    world.directory.mkdir()
    world.log.write_bytes(b"".join(line(number, "x" * 1_000) for number in range(550)))
    with world.brain() as brain:
        world.settle()
        assert status_of(brain).dead_letters == 0
        assert status_of(brain).requests < 20


def test_f36_a_record_too_large_alone_is_a_dead_letter(world: World, front: Front) -> None:
    """413 for one record by itself: that one is a dead letter, its neighbours flow."""
    front.rule = lambda seen: (
        answer(413, problem_body(413, "body_too_large", "no")) if len(seen.body) > 40_000 else PASS
    )
    world.directory.mkdir()
    world.log.write_bytes(b"".join(line(number, "x" * (50_000 if number == 5 else 900)) for number in range(100)))
    with world.brain() as brain:
        eventually(lambda: world.standing and world.standing.cursor.size == 100)
        assert status_of(brain).dead_letters == 1
    assert set(world.event_ids()) == {f"e-{number}" for number in range(100) if number != 5}


# ---------------------------------------------------------------- pace


@pytest.mark.parametrize(
    ("retry_after", "least_s"),
    [("1", 1.0), ("Wed, 21 Oct 2099 07:28:00 GMT", 1.0), ("-5", 0.0), ("99999999999999999999", 1.0), ("soon", 0.0)],
)
def test_f37_retry_after_is_a_minimum_and_clamped(world: World, front: Front, retry_after: str, least_s: float) -> None:
    """429 with seconds, a date, and nonsense: no attempt comes earlier, and none waits for a century."""
    with world.brain(policy=shorter(retry_after_s_max=1.2)) as brain:
        brain.correct("a", "b")
        world.settle()
        front.seen.clear()
        front.always(429, problem_body(429, "rate_limited", "slow"), Retry_After=retry_after)
        brain.correct("c", "d")
        times = eventually(
            lambda: len(found := [at for at, s in front.seen if s.path.endswith("ingest")]) > 1 and found
        )
        assert times[1] - times[0] >= least_s
        assert trouble_of(brain) is None
        front.heal()
        world.settle()


def test_f37_a_burst_never_exceeds_600_requests_a_minute(make_world: MakeWorld, start_cloud: StartCloud) -> None:
    """2,000 events as fast as they can be written, 600 requests a minute: coalesced, all stored within a minute."""
    world = make_world(start_cloud(requests_per_minute=600))
    with Front(world.cloud.url) as front:
        world.endpoint = front.url
        with world.brain(policy=None) as brain:
            for number in range(2_000):
                brain.emit("NOTE", "test", {"number": number})
            written = time.monotonic()
            assert brain.replicator.drain(PATIENCE_S).reason == "caught_up"
            assert time.monotonic() - written < PATIENCE_S
            world.settle()
        times = [at for at, seen in front.seen if not seen.path.endswith("/heartbeat")]
    assert len(world.event_ids()) == 2_000
    for place, began in enumerate(times):
        within = sum(began <= at < began + 1.0 for at in times[place:])
        assert within <= 10 + 10 + 1


# ---------------------------------------------------------------- heads


def test_f39_a_cloud_made_anew_gets_everything_again(make_world: MakeWorld, start_cloud: StartCloud) -> None:
    """The store is gone and so is the key; with a new key at the same address all is replayed, told loudly."""
    cloud = start_cloud()
    world = make_world(cloud)
    brain = world.brain()
    world.append(*[line(number) for number in range(3)])
    world.settle()
    cloud.stop()
    for file in cloud.directory.iterdir():
        file.unlink()
    cloud.start()
    cloud.key = cloud.make_key("ingest", "read")
    world.keep_key(cloud.key)
    event = brain.correct("a", "b")
    world.settle()
    assert world.event_ids() == ["e-0", "e-1", "e-2", event["event_id"]]
    brain.close()


def test_f39_two_machines_with_a_copied_brain_lose_nothing(world: World, make_world: MakeWorld) -> None:
    """The directory, ids and sidecar included, is cloned and both go on: the second becomes a new generation."""
    with world.brain() as brain:
        brain.correct("a", "b")
        world.settle()
    twin = make_world(world.cloud)
    shutil.copytree(world.directory, twin.directory)
    with world.brain() as first, twin.brain() as second:
        mine = first.correct("c", "d")["event_id"]
        world.settle()
        its = second.correct("e", "f")["event_id"]
        twin.settle()
        first.correct("g", "h")
        world.settle()
    assert {mine, its} <= set(world.event_ids())
    assert len(world.event_ids()) == 4
    assert len(world.logs()) == 2


def test_f39_another_cloud_at_another_address_waits_for_a_person(
    world: World, make_world: MakeWorld, start_cloud: StartCloud
) -> None:
    """The endpoint is changed to a cloud never seen: nothing is uploaded until somebody confirms it."""
    with world.brain() as brain:
        brain.correct("a", "b")
        world.settle()
    other = make_world(start_cloud())
    shutil.copytree(world.directory, other.directory)
    with other.brain() as brain:
        brain.correct("c", "d")
        eventually(lambda: status_of(brain).state == "held")
        assert [(log["size"], log["offset"]) for log in other.logs()] == [(0, 0)]
        done = other.run("cursor", "reset", "--to-offset", "0", "--yes")
        assert done.returncode == 0, done.stderr
        other.settle()


# ---------------------------------------------------------------- versions


def test_f40_a_server_that_is_too_old_is_named_and_nothing_is_lost(world: World, front: Front) -> None:
    """426: paused, doctor says which side is too old; after its upgrade everything flows."""
    front.always(426, problem_body(426, "schema_unsupported", "no", supported=[1]))
    with world.brain() as brain:
        brain.correct("a", "b")
        eventually(lambda: trouble_of(brain) == "too_old")
        assert "too old" in world.doctor("--no-cloud")["trouble"][1]
        front.heal()
        world.settle()


def test_f40_unknown_fields_are_ignored(world: World, front: Front) -> None:
    """A newer server answers with more than we know: all of it is ignored."""

    def rule(seen: Seen) -> bytes:
        head, _, body = front.forward(seen).partition(b"\r\n\r\n")
        told = json.loads(body) | {"future": {"deep": [1]}, "limits2": None}
        return answer(int(head.split()[1]), json.dumps(told).encode())

    front.rule = rule
    with world.brain() as brain:
        brain.correct("a", "b")
        world.settle()
        assert trouble_of(brain) is None


def test_f40_an_old_client_writes_beside_a_new_one(world: World) -> None:
    """A queue-table client of schema 1 and a Brain on the same brain: each event is there once."""
    with world.brain() as brain:
        event = brain.correct("a", "b")
        world.settle()
    body = {"brain_id": world.brain_id, "event_id": "old-1", "correction": {"category": "TONE", "session": 1}}
    headers = {"Authorization": f"Bearer {world.cloud.key}"}
    with httpx.Client(trust_env=False, headers=headers) as client:
        said = [client.post(f"{world.cloud.url}/ingest", json=body).json() for _ in range(2)]
    assert [answered["deduplicated"] for answered in said] == [False, True]
    assert world.event_ids() == [event["event_id"], "old-1"]
