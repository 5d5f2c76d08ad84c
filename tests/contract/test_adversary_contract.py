"""What a client of ill will may say, on every store: it changes nothing for other brains, and each view answers."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gradata.cloud.domain.rate_limit import Rate
from gradata.cloud.domain.requests import HoleClaim
from gradata.cloud.protocol.log_bytes import CHUNK_BYTES, Span, log_bytes
from gradata.cloud.service import deletion
from gradata.cloud.service.api_keys import revoke_key
from gradata.cloud.service.background import forever
from gradata.cloud.service.retention_task import Sweeping
from gradata.cloud.store.port import Store
from replicator.proof import EMPTY_ROOT, leaf_hash
from tests.support.cloud_app import App, open_app
from tests.support.cloud_batches import BATCH, LOG, append, body, event

NOW = 1_764_000_000_000_000
STATUS = {"state": "live", "log_bytes": 0, "backlog_bytes": 0, "last_event_at": None, "dead_letters": 0, "version": "1"}
YEARS = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "10000-01-01", "-1", "x" * 300, "1969-12-31"]


@pytest.fixture
def app(store: Store) -> Iterator[App]:
    """The whole application on the store."""
    with open_app(store) as opened:
        yield opened


def beat(app: App, brain: str = "evil", key: str | None = None, **status: Any) -> httpx.Response:
    """A heartbeat that says this of its replicator."""
    said = {"brain_id": brain, "device_id": "d", "log_id": str(uuid.uuid4()), "cloud_id": None, "size": 0}
    document = said | {"root": EMPTY_ROOT.hex(), "status": STATUS | status}
    return app.ask("POST", "/heartbeat", json.dumps(document), key=key or app.key)


def send(app: App, content: bytes, key: str | None = None) -> httpx.Response:
    """A batch."""
    return app.ask("POST", "/ingest", content, kind=BATCH, key=key or app.key)


def continued(record: bytes, **envelope: Any) -> bytes:
    """A batch of one record, somewhere in the log."""
    said = json.loads(body([record]).partition(b"\n")[0]) | envelope
    return json.dumps(said).encode() + b"\n" + record


def views(app: App, *brains: str) -> dict[str, int]:
    """The status of every view of the workspace."""
    paths = ["/fleet", "/metrics", "/brains", "/admin/brains"]
    for brain in brains:
        paths += [f"/charts?brain={brain}", f"/events?brain={brain}", f"/events/pull?brain_id={brain}"]
        paths += [f"/logs?brain={brain}", f"/events?brain={brain}&before=9999"]
    found = {path: app.ask("GET", path, key=app.admin_key).status_code for path in paths}
    signed = app.send("POST", "/sign-in", data={"key": app.key}, headers={"Sec-Fetch-Site": "same-origin"})
    cookie = {"Cookie": signed.headers["set-cookie"].partition(";")[0]}
    for path in ("/", "/?all=1", *(f"/brain?id={brain}" for brain in brains)):
        found[path] = app.send("GET", path, headers=cookie).status_code
    return found


@pytest.mark.parametrize("year", YEARS)
def test_f100_a_time_that_no_calendar_has_hides_nobodys_fleet(app: App, year: str) -> None:
    """In a heartbeat's times and an event's own: each view answers, and the other brain is in the fleet."""
    assert send(app, body([event("e")], brain_id="victim")).status_code == 200
    assert beat(app, last_event_at=year, last_ack_at=year, state="paused").status_code == 200
    record = json.dumps({"event_id": "x", "type": "CORRECTION", "ts": year}).encode() + b"\n"
    assert send(app, body([record], brain_id="evil", log_id=str(uuid.uuid4()))).status_code == 200
    assert set(views(app, "victim", "evil").values()) == {200}
    fleet = app.ask("GET", "/fleet").json()
    assert {brain["brain_id"] for brain in fleet["brains"]} == {"victim", "evil"}


def test_f100_what_is_stored_already_is_skipped_shown_and_counted(app: App) -> None:
    """A status that an older server took: the fleet says that it cannot be read, and metrics count it."""
    said = json.dumps(STATUS | {"last_event_at": YEARS[0], "backlog_bytes": "many", "dead_letters": []}).encode()
    app.store.ingest([append([event("e")], status=said)], now=NOW)
    (brain,) = app.ask("GET", "/fleet").json()["brains"]
    assert brain["devices"][0]["unreadable"] is True
    assert "gradata_unreadable_statuses 1.0" in app.ask("GET", "/metrics").text
    assert set(views(app, "brain").values()) == {200}


def test_f100_a_day_that_no_month_has_is_the_day_of_storing(app: App) -> None:
    """30 February is no key of the table of days; one that is there from before is left out of habits."""
    record = json.dumps({"event_id": "x", "type": "CORRECTION", "ts": "2025-02-30T10:00:00Z"}).encode() + b"\n"
    assert send(app, body([record])).status_code == 200
    assert [kind.day for _, kind, _ in app.store.days("default", "0000", "brain")] != ["2025-02-30"]
    assert set(views(app, "brain").values()) == {200}


def test_f101_a_hole_is_served_in_pieces(store: Store) -> None:
    """One byte, and the whole, of a hole of 64 MiB: memory for a chunk of it, and a line of its length."""
    length = 64 * 1024 * 1024
    store.ingest([append([], load=HoleClaim(length, bytes(32)))], now=NOW)
    log = store.log("default", LOG)
    assert log is not None
    tracemalloc.start()
    try:
        assert b"".join(log_bytes(store, log, Span(0, 1))) == b"{"
        assert sum(map(len, log_bytes(store, log, Span(0, length)))) == length
        assert tracemalloc.get_traced_memory()[1] < 8 * CHUNK_BYTES
    finally:
        tracemalloc.stop()


def test_f101_lengths_that_a_client_claims_are_bounded(app: App) -> None:
    """A hole, and a log, beyond the protocol's bounds are malformed; at the bound they are taken."""
    leaf = "11" * 32
    hole = {"hole": {"length": 2**32, "leaf": leaf}, "count": 1}
    assert send(app, body([], **hole)).status_code == 200
    refused = send(app, body([], **hole | {"hole": {"length": 2**32 + 1, "leaf": leaf}}))
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed")
    many = [{"record": number, "length": 2**53, "leaf": leaf} for number in range(16)]
    refused = send(app, body([event("e")], log_id=str(uuid.uuid4()), holes=many, count=17))
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed")
    far = continued(event("e"), first=5, offset=2**42 - 5, root=leaf)
    assert send(app, far).json()["code"] == "malformed"


def test_f101_sums_over_logs_of_an_older_server_do_not_overflow(store: Store) -> None:
    """Logs that claim 2^60 bytes each: the brains are listed, swept and deleted."""
    for number in range(17):
        log_id = f"{number:08d}-0000-4000-8000-000000000000"
        store.ingest([append([], log_id=log_id, load=HoleClaim(2**60, bytes(32)))], now=NOW)
    assert store.standings("default")[0].offset > 2**60
    deletion.retain(store, "default", "brain", 1)
    deletion.sweep(store, now=NOW + 1)
    assert deletion.delete(store, "default", "brain", now=NOW).logs == 17


def test_f101_one_brain_that_cannot_be_swept_does_not_stop_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error is recorded; the bytes of the other brain expire."""
    for brain in ("a-broken", "other"):
        store.ingest([append([event("e")], brain_id=brain)], now=NOW)
        deletion.retain(store, "default", brain, 1)
    expire = store.expire

    def broken(workspace: str, brain_id: str, before: int, limit: int) -> int:
        if brain_id == "a-broken":
            raise ValueError("a row that nobody expected")
        return expire(workspace, brain_id, before, limit)

    monkeypatch.setattr(store, "expire", broken)
    later = NOW + 40 * deletion.DAY_US
    Sweeping(store).sweep(now=later)
    assert store.standings("default", "other")[0].expired > 0


def test_f103_another_brain_with_the_same_log_id_takes_nothing_over(app: App) -> None:
    """Whoever claims the log_id of another brain: bound and unbound keys read what they read before."""
    evil = app.make_key("ingest", brains=("evil",))
    bound = app.make_key("ingest", "read", brains=("brain",))
    mine, forged = event("e", "REAL"), event("e", "FORGED")
    assert send(app, body([mine])).status_code == 200
    assert send(app, body([forged], brain_id="evil"), key=evil).status_code == 200
    for key in (app.key, bound):
        assert app.ask("GET", f"/logs/{LOG}", key=key).json()["brain_id"] == "brain"
        assert app.ask("GET", f"/logs/{LOG}/bytes", key=key).content == mine
    named = app.ask("GET", f"/logs/{LOG}/bytes?brain=evil")
    assert named.content == forged
    erased = app.ask("POST", f"/admin/brains/erase?brain=brain&log={LOG}&record=0", key=app.admin_key)
    assert erased.json()["places"] == [{"log_id": LOG, "record": 0}]
    assert app.ask("GET", f"/logs/{LOG}/bytes?brain=evil").content == forged
    # A deleted brain of the same log_id says nothing of the living one.
    app.ask("DELETE", "/admin/brains?brain=evil", key=app.admin_key)
    assert app.ask("GET", f"/logs/{LOG}").status_code == 200
    assert app.ask("GET", f"/logs/{LOG}?brain=evil").status_code == 410


def test_f107_the_public_part_of_a_key_paints_nothing_and_tells_nothing(app: App) -> None:
    """With a wrong secret it is a guess like any other: no refusal is noted, and a guesser is throttled alike."""
    send(app, body([event("e")]))
    known, unknown = app.key[:16] + "_" + "A" * 43, "gk_live_zzzzzzzz_" + "A" * 43
    headers = {"Gradata-Brain": "brain"}
    for _ in range(3):
        assert app.ask("GET", "/brains", key=known, headers=headers).status_code == 401
    assert [brain["state"] for brain in app.ask("GET", "/fleet").json()["brains"]] == ["live"]
    while app.ask("GET", "/brains", key=unknown).status_code == 401:
        pass
    assert app.ask("GET", "/brains", key=known).status_code == 429


def test_f107_a_revoked_key_is_shown_at_the_brains_that_it_reached(app: App) -> None:
    """The refusal of the right secret is noted, for brains that exist and few others: what it says has a budget."""
    real = app.make_key("ingest", brains=("brain",))
    assert send(app, body([event("e")]), key=real).status_code == 200
    revoke_key(app.store, real[:16])
    for brain in ("brain", "another"):
        while app.ask("GET", "/brains", key=real, headers={"Gradata-Brain": brain}).status_code != 401:
            pass  # a key that works is remembered for a second
    found = {brain["brain_id"]: brain["state"] for brain in app.ask("GET", "/fleet").json()["brains"]}
    assert found == {"brain": "refused"}


def test_f108_a_log_without_bytes_is_not_said_to_be_all_there(app: App) -> None:
    """The fleet and the brain's page say how many records have no bytes."""
    holes = [{"record": number, "length": 100, "leaf": f"{number:02x}" * 32} for number in range(3)]
    content = body([event("e")], holes=holes, count=4, first=0, status=STATUS)
    assert send(app, content).status_code == 200
    (brain,) = app.ask("GET", "/fleet").json()["brains"]
    assert "3 of 4 records without their bytes" in brain["words"]


def test_f108_a_filling_is_checked_against_the_length_too(app: App) -> None:
    """A hole whose length lies cannot be filled with its record, which is named; the log reads back."""
    record, after = event("real", "y" * 500), event("next")
    hole = {"length": 7, "leaf": leaf_hash(record).hex()}
    assert send(app, body([], hole=hole, count=1)).status_code == 200
    assert send(app, continued(after, first=1, offset=7, root=hole["leaf"])).status_code == 200
    refused = send(app, body([record]))
    assert (refused.status_code, refused.json()["code"], refused.json()["record"]) == (400, "malformed", 0)
    replica = app.ask("GET", f"/logs/{LOG}/bytes")
    assert (replica.status_code, len(replica.content)) == (200, 7 + len(after))


def test_f108_a_hole_that_tells_the_truth_is_filled(app: App) -> None:
    """The bytes of its length and leaf are taken as they always were."""
    record = event("real")
    assert (
        send(app, body([], hole={"length": len(record), "leaf": leaf_hash(record).hex()}, count=1)).status_code == 200
    )
    assert send(app, body([record])).json()["duplicates"] == 1
    assert app.ask("GET", f"/logs/{LOG}/bytes").content == record


def test_f100_a_background_task_that_fails_goes_on() -> None:
    """An unexpected error of one step is recorded; the next step is made."""
    steps: list[int] = []

    async def step() -> None:
        steps.append(len(steps))
        if len(steps) == 1:
            raise KeyError("a bug")
        if len(steps) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(forever("test", step, pause_s=0.0))
    assert steps == [0, 1, 2]


# ---------------------------------------------------------------- what a key may make


@pytest.fixture
def bounded(store: Store) -> Iterator[App]:
    """An application with small bounds."""
    with open_app(store, brains_max=3, logs_max=2) as opened:
        yield opened


def test_f106_brains_and_logs_are_bounded(bounded: App) -> None:
    """Beyond the bounds 403 with words, by batch, heartbeat and loose events; what exists goes on."""
    for number in range(3):
        assert send(bounded, body([event("e")], brain_id=f"brain {number}")).status_code == 200
    refused = [send(bounded, body([event("e")], brain_id="one more")), beat(bounded, "another")]
    refused.append(bounded.ask("POST", "/ingest?brain=loose", event("e"), kind="application/x-ndjson"))
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(403, "too_many_brains")}
    assert "--brains-max" in refused[0].json()["detail"]
    assert send(bounded, body([event("e"), event("f")], 1, brain_id="brain 0")).status_code == 200
    assert beat(bounded, "brain 1").status_code == 200
    assert (answer := beat(bounded, "brain 1")).status_code == 403
    assert answer.json()["code"] == "too_many_logs"


def test_f106_a_key_has_a_budget_beside_its_brains(store: Store) -> None:
    """Whichever brains and logs it names: beyond it 429 with Retry-After; another key passes."""
    with open_app(store, requests_per_minute=600, key_rate=Rate(60, burst=5)) as app:
        answers = [beat(app, f"brain {number}") for number in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        assert "key" in answers[-1].json()["detail"]
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert beat(app, "brain 9", key=app.make_key("ingest")).status_code == 200
