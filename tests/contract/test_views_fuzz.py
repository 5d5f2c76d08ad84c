"""After any input, each view of the workspace answers: heartbeats, envelopes and records of every odd kind.

What comes in is answered with 200 or a client's error; then fleet, metrics, lists, charts, events, pulls, replicas,
pages, the alerts' look and a sweep are asked for, and none may fail.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradata.cloud.domain.thresholds import Alerting
from gradata.cloud.service import deletion
from gradata.cloud.service.alerts import Alerts
from gradata.cloud.service.fleet_reader import FleetReader
from gradata.cloud.store.open import open_store
from replicator.proof import EMPTY_ROOT
from tests.support.cloud_app import App, open_app
from tests.support.cloud_batches import BATCH

NOW = 1_764_000_000_000_000
TIMES = st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-31", "2026-02-30T00:00:00Z", "", "x",
     "2026-11-29", "1969-12-31T23:59:59Z", "2026-11-29T24:00:00Z", "2026-W48-7", "20261129T100000Z",
     "\u0662\u0660\u0662\u0666-11-29"]
)  # fmt: skip
NUMBERS = st.sampled_from([0, 1, -1, 2**31, 2**32, 2**53, 2**53 + 1, 2**63, 2**64, 10**30, 1.5, -0.0, 1e308])
TEXTS = st.one_of(TIMES, st.text(max_size=8), st.sampled_from(["\0", "\ud800", "\u202e", "x" * 300, "x" * 129]))
ANYTHING = st.one_of(NUMBERS, TEXTS, st.none(), st.booleans(), st.just([]), st.just({}), st.just([[]]))
STATES = st.one_of(st.sampled_from(["live", "paused", "held", "stopped", "lagging"]), ANYTHING)
STATUSES = st.fixed_dictionaries(
    {"state": STATES, "log_bytes": NUMBERS, "backlog_bytes": NUMBERS, "dead_letters": NUMBERS, "version": TEXTS},
    optional={"last_event_at": ANYTHING, "last_ack_at": ANYTHING, "trouble": ANYTHING, "brief": ANYTHING},
)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {"type": st.one_of(st.just("CORRECTION"), ANYTHING)},
        optional={"event_id": ANYTHING, "ts": ANYTHING, "session": ANYTHING, "data": ANYTHING, "category": ANYTHING},
    ),
    min_size=1,
    max_size=3,
)
HOLES = st.lists(st.sampled_from([1, 7, 1000, 2**31, 2**32, 2**32 + 1, 2**53]), max_size=2)
INPUTS = st.one_of(
    st.fixed_dictionaries({"beat": STATUSES}),
    st.fixed_dictionaries({"records": RECORDS, "holes": HOLES, "status": st.one_of(st.none(), STATUSES)}),
)


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An application whose store takes in everything that all examples bring."""
    url = "sqlite::memory:"
    if request.param == "postgresql":
        url_of, name = request.getfixturevalue("postgres_server"), f"fuzz_{uuid.uuid4().hex}"
        with psycopg.connect(url_of("postgres"), autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{name}"')
        url = url_of(name)
    with open_app(open_store(url)) as opened:
        yield opened


def dumps(said: Mapping[str, Any]) -> bytes:
    """JSON of anything, lone surrogates included."""
    return json.dumps(said).encode()


def take(app: App, said: dict[str, Any], log_id: str) -> int:
    """Send it; the answer's status."""
    brain = {"brain_id": "fuzzed", "device_id": "d", "log_id": log_id, "cloud_id": None}
    if "beat" in said:
        document = brain | {"size": 0, "root": EMPTY_ROOT.hex(), "status": said["beat"]}
        return app.ask("POST", "/heartbeat", dumps(document)).status_code
    records = b"".join(dumps(record) + b"\n" for record in said["records"])
    holes = [{"record": number, "length": length, "leaf": "11" * 32} for number, length in enumerate(said["holes"])]
    count = len(said["records"]) + len(holes)
    envelope = {
        "schema": 2,
        "first": 0,
        "offset": 0,
        "root": EMPTY_ROOT.hex(),
        "count": count,
        "status": said["status"],
    }
    body = dumps(brain | envelope | {"holes": holes}) + b"\n" + records
    return app.ask("POST", "/ingest", body, kind=BATCH).status_code


def views(app: App, log_id: str) -> dict[str, int]:
    """Every view of the workspace, with its status."""
    paths = [
        "/fleet", "/metrics", "/brains", "/admin/brains", "/charts?brain=fuzzed", "/events?brain=fuzzed&limit=1000",
        "/events?brain=fuzzed&before=1099511627775", "/events/pull?brain_id=fuzzed&limit=1000", "/logs?brain=fuzzed",
        f"/logs/{log_id}?scrub=deep&brain=fuzzed",
    ]  # fmt: skip
    found = {path: app.ask("GET", path, key=app.admin_key).status_code for path in paths}
    found["bytes"] = app.ask("GET", f"/logs/{log_id}/bytes", headers={"Range": "bytes=0-99"}).status_code
    signed = app.send("POST", "/sign-in", data={"key": app.key}, headers={"Sec-Fetch-Site": "same-origin"})
    cookie = {"Cookie": signed.headers["set-cookie"].partition(";")[0]}
    return found | {path: app.send("GET", path, headers=cookie).status_code for path in ("/", "/brain?id=fuzzed")}


async def posted(*_: object) -> bool:
    """A webhook that takes everything."""
    return True


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(INPUTS, min_size=1, max_size=3))
def test_f100_f101_after_any_input_each_view_answers(app: App, inputs: list[dict[str, Any]]) -> None:
    """Nothing that a client says ends in an error of the server, there or in any view afterwards."""
    for said in inputs:
        log_id = str(uuid.uuid4())
        status = take(app, said, log_id)
        assert status in (200, 400, 409, 413, 422), (status, said)
    assert {path: status for path, status in views(app, log_id).items() if status >= 500} == {}
    fleets = FleetReader(app.store, Alerting())
    asyncio.run(Alerts(fleets, posted).step())
    deletion.sweep(app.store, now=NOW)
