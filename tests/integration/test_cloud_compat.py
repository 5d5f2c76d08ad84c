"""Clients that exist, by their own requests: 0.6.0 (`/sync`), 0.7 (`/events/push`, `/events/pull`), the queue table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gradata.cloud.service import deletion
from gradata.cloud.store.open import open_store
from gradata.cloud.store.reading import each_row, living_brains, mark_of
from gradata.cloud.store.values import EventQuery
from gradata.legacy_rows import legacy_id
from replicator.framing import event_id_of
from tests.support.cloud_app import App, open_app
from tests.support.cloud_batches import append, body, event
from tests.support.cloud_client import problem

BRAIN = "3f0a1c52-5a60-4d0e-9a0a-6b8f0f3f2c11"
DEVICE = "dev_" + "0123456789abcdef" * 2


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest) -> Iterator[App]:
    """The cloud on either store."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else "sqlite::memory:"
    with open_app(open_store(url)) as opened:
        yield opened


def sync_event(name: str, **said: Any) -> dict[str, Any]:
    """One event as 0.6.0 sends it."""
    return {
        "event_id": name,
        "type": "CORRECTION",
        "source": "brain.correct",
        "data": {"category": "TONE", "severity": "minor", "draft_text": "Dear Sir", "final_text": "Hi"},
        "tags": ["category:TONE"],
        "session": 4,
        "created_at": "2026-11-23T05:58:22.828816+00:00",
        **said,
    }


def push_event(name: str, **said: Any) -> dict[str, Any]:
    """One event as 0.7 pushes it."""
    made = sync_event(name) | {"device_id": DEVICE, "content_hash": "a" * 64, "correction_chain_id": None,
                               "origin_agent": None}  # fmt: skip
    made["ts"] = made.pop("created_at")
    return made | said


def sync(app: App, *events: Any, cursor: str = "", **said: Any) -> Any:
    document = {"brain_name": BRAIN, "manifest": {"metadata": {}}, "events": events, "cursor": cursor}
    return app.ask("POST", "/sync", json.dumps(document, default=str).encode(), **said)


def push(app: App, *events: Any, **said: Any) -> Any:
    document = {"brain_id": BRAIN, "device_id": DEVICE, "events": events}
    return app.ask("POST", "/events/push", json.dumps(document).encode(), **said)


def pull(app: App, **said: Any) -> Any:
    """One page, asked for as 0.7 does."""
    query = urlencode({"brain_id": BRAIN, "device_id": DEVICE, "limit": 500, **said})
    return app.ask("GET", f"/events/pull?{query}")


def stored(app: App) -> dict[str, Any]:
    """The projection of the brain by event_id."""
    return {item.event_id: item for item in app.store.events("default", EventQuery(BRAIN, limit=1000))}


def test_a_0_6_client_syncs(app: App) -> None:
    """It connects, sends, reads count and watermark; the events are in the projection with what they say."""
    hello = {"brain_name": BRAIN, "domain": "", "manifest": {}}
    assert app.ask("POST", "/brains/connect", json.dumps(hello).encode()).json() == {"brain_id": BRAIN}
    answer = sync(app, sync_event("a"), sync_event("b", created_at="2026-11-23T06:00:00+00:00"))
    assert answer.status_code == 200
    assert answer.json() == {"ingested_count": 2, "new_watermark": "2026-11-23T06:00:00+00:00"}
    found = stored(app)["a"]
    assert (found.type, found.category, found.severity, found.session) == ("CORRECTION", "TONE", "minor", 4)
    assert found.ts == "2026-11-23T05:58:22.828816+00:00"
    again = sync(app, sync_event("b", created_at="2026-11-23T06:00:00+00:00"), sync_event("c"))
    assert again.json()["ingested_count"] == 2
    assert sorted(stored(app)) == ["a", "b", "c"]


def test_a_watermark_never_outruns_the_clock(app: App) -> None:
    """An event dated 2099 would have the client skip all others for ever; with no times at all its own comes back."""
    mark = "2026-11-23T06:00:00+00:00"
    for made, cursor, expected in (("2099-01-01T00:00:00+00:00", mark, mark), (None, "", None), ("2020", mark, mark)):
        answer = sync(app, sync_event(f"made {made}", created_at=made), cursor=cursor)
        assert answer.json() == {"ingested_count": 1, "new_watermark": expected}
    assert sync(app).json() == {"ingested_count": 0, "new_watermark": None}


def test_a_0_7_client_pushes_and_pulls(app: App) -> None:
    """All of a batch is accepted, new or not, and nothing rejected; the pages give it back as it was sent."""
    events = [push_event(f"01K{number:023}") for number in range(5)]
    assert push(app, *events).json() == {"accepted": 5, "rejected": []}
    assert push(app, *events[3:], push_event("01L")).json() == {"accepted": 3, "rejected": []}
    pages: list[Any] = []
    cursor: str | None = None
    while not pages or not pages[-1]["end_of_stream"]:
        answer = pull(app, limit=2, **({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200
        pages.append(answer.json())
        assert set(pages[-1]) == {"events", "next_cursor", "watermark", "end_of_stream"}
        cursor = pages[-1]["watermark"]
    found = [item for page in pages for item in page["events"]]
    assert [item["event_id"] for item in found] == [*(item["event_id"] for item in events), "01L"]
    assert {name: found[0][name] for name in events[0]} == events[0]
    assert found[0]["server_stored_at"] <= found[-1]["server_stored_at"]
    assert (pages[-1]["next_cursor"], pages[0]["next_cursor"]) == (None, pages[0]["watermark"])
    caught_up = pull(app, cursor=cursor).json()
    assert caught_up == {"events": [], "next_cursor": None, "watermark": cursor, "end_of_stream": True}


def test_pulling_begins_where_it_is_asked_to(app: App) -> None:
    """Behind an event, at a time of storing, at the beginning for an id that was never here; the limit is 1 to 1000."""
    push(app, push_event("01A"), push_event("01B"))
    times = [item["server_stored_at"] for item in pull(app).json()["events"]]
    push(app, push_event("01C"))

    def ids(**said: Any) -> list[str]:
        return [item["event_id"] for item in pull(app, **said).json()["events"]]

    assert ids(rebuild_from="01A") == ["01B", "01C"]
    assert ids(rebuild_from=times[0]) == ["01A", "01B", "01C"]
    assert ids(rebuild_from="2099-01-01T00:00:00Z") == []
    assert ids(rebuild_from="2020-01-01") == ids(cursor="01NEVER") == ids() == ["01A", "01B", "01C"]
    assert ids(rebuild_from="01B", cursor="01C") == ["01C"]
    assert ids(limit=1000, include_archived="true") == ["01A", "01B", "01C"]
    for limit in (0, 1001, "many"):
        assert problem(pull(app, limit=limit)) == (422, "invalid_parameter")
    assert problem(app.ask("GET", "/events/pull?brain_id=nobody&device_id=d")) == (403, "brain_forbidden")


def test_pulling_what_has_expired_is_410(app: App) -> None:
    """From before it, by id, by time or by an id that nobody knows; a new client begins with the oldest there is."""
    push(app, push_event("01A"), push_event("01B"))
    early = pull(app).json()["events"][0]["server_stored_at"]
    push(app, push_event("01C"))
    last = mark_of(app.store, "default", BRAIN, "01C")
    assert last is not None
    deletion.expire(app.store, "default", BRAIN, last.stored_at)
    for asked in ({"rebuild_from": "01A"}, {"rebuild_from": early}, {"cursor": "01A"}, {"rebuild_from": "01NEVER"}):
        assert problem(pull(app, **asked)) == (410, "rewind_beyond_retention")
    assert [item["event_id"] for item in pull(app).json()["events"]] == ["01C"]
    assert [item["event_id"] for item in pull(app, cursor="01B").json()["events"]] == ["01C"]
    assert pull(app, cursor="01C").json()["events"] == []


def test_one_event_is_one_whoever_sends_it(app: App) -> None:
    """By log, sync, push and queue table: once in the projection, in no conflict, stored when it was first stored."""
    name = "01KAR0000000000000000000A1"
    correction = {"brain_id": BRAIN, "event_id": name, "correction": {"category": "TONE", "created_at": None}}
    queue = json.dumps(correction).encode()
    batch = "application/vnd.gradata.batch"
    line = event(name)
    assert sync(app, sync_event(name)).json()["ingested_count"] == 1
    first = stored(app)[name].stored_at
    assert app.ask("POST", "/ingest", body([line], brain_id=BRAIN), kind=batch).json()["duplicates"] == 1
    assert push(app, push_event(name)).json()["accepted"] == 1
    answer = app.ask("POST", "/ingest", queue).json()
    assert (answer["deduplicated"], answer["event_id"], answer.get("rejected")) == (True, name, None)
    assert (list(stored(app)), stored(app)[name].stored_at) == ([name], first)
    assert app.store.holding("default", BRAIN, b"event_conflict") == []
    log = app.store.log("default", append([]).log_id)
    assert log is not None
    assert [row.record for row in each_row(app.store, log, 0, 1)] == [line]
    other = app.ask("POST", "/ingest", body([line, event(name, "other")], 1, brain_id=BRAIN), kind=batch).json()
    assert other["duplicates"] == 1, "two forms are not compared"


def test_a_queue_table_client_is_answered_as_it_is_used_to(app: App) -> None:
    """2xx with `deduplicated` for new and known alike; what it pulls later has the correction as data."""
    correction = {"session": 4, "category": "TONE", "severity": "minor", "description": "less formal",
                  "created_at": "2026-11-23T10:00:00+00:00"}  # fmt: skip
    sent = json.dumps({"brain_id": BRAIN, "correction": correction, "event_id": None}).encode()
    answers = [app.ask("POST", "/ingest", sent).json() for _ in range(2)]
    assert [answer["deduplicated"] for answer in answers] == [False, True]
    (given,) = pull(app).json()["events"]
    assert (given["event_id"], given["data"], given["session"]) == (answers[0]["event_id"], correction, 4)
    assert given["ts"] == correction["created_at"]


def test_nothing_in_an_event_blocks_its_neighbours(app: App) -> None:
    """Events without id, of any type, no objects, NaN, huge integers, lone surrogates: all durable, all counted."""
    odd = [{"type": 7}, {"event_id": ""}, "text", None, 5, [], sync_event("x" * 65)]
    odd.append(sync_event("big", data={"n": 2**70}))
    assert push(app, push_event("a"), *odd, push_event("b")).json() == {"accepted": 10, "rejected": []}
    assert push(app, push_event("a"), *odd, push_event("b")).json() == {"accepted": 10, "rejected": []}
    assert push(app, {"event_id": "nan", "data": {"n": float("nan"), "s": "\ud800"}}).json()["accepted"] == 1
    pulled = {item["event_id"]: item for item in pull(app).json()["events"]}
    assert {"a", "b", "big", "nan"} < set(pulled)
    assert pulled["big"]["data"]["n"] == 2**70
    assert pulled["nan"]["data"]["n"] is None
    spaced = json.dumps({"brain_id": BRAIN, "events": [push_event("pretty")]}, indent=2).encode()
    assert app.ask("POST", "/events/push", spaced).json() == {"accepted": 1, "rejected": []}
    assert pull(app).json()["events"][-1]["source"] == "brain.correct"


@pytest.mark.parametrize("path", ["/sync", "/events/push"])
def test_what_an_old_client_may_not_send(app: App, path: str) -> None:
    """Each with its status, as a problem; nothing of it is stored."""
    name = "brain_name" if path == "/sync" else "brain_id"

    def ask(document: object, **said: Any) -> tuple[int, str]:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        return problem(app.ask("POST", path, content, **said))

    assert ask(b"{") == (400, "malformed")
    assert ask(b'{"a":' * 100_000) == (400, "malformed")
    for events in ({}, None, 5):
        assert ask({name: BRAIN, "events": events}) == (422, "invalid_field")
    for wrong in ({}, [], 5):
        assert ask(wrong) == (422, "invalid_field")
    for brain in (7, "\n", "", "x" * 129, None):
        assert ask({name: brain, "events": []}) == (422, "invalid_field")
    assert ask({name: BRAIN, "events": []}, kind="text/plain") == (415, "media_type_unsupported")
    assert ask({name: BRAIN, "events": []}, key=None) == (401, "key_unknown")
    assert ask({name: BRAIN, "events": []}, key=app.make_key("read")) == (403, "scope_missing")
    bound = app.make_key("ingest", brains=("other", "third"))
    assert ask({name: BRAIN, "events": []}, key=bound) == (403, "brain_forbidden")
    large = {name: BRAIN, "events": [push_event("large", data={"text": "x" * 1_100_000}), push_event("small")]}
    assert ask(large) == (413, "body_too_large")
    assert list(stored(app)) == ["small"], "its neighbours are stored"
    assert ask({name: BRAIN, "events": [1] * 20_001}) == (413, "body_too_large")
    app.store.ingest([append([event("z")], brain_id="theirs", workspace="another")], now=1)
    assert ask({name: "theirs", "events": [push_event("q")]}) == (403, "brain_forbidden")
    deletion.delete(app.store, "default", BRAIN, now=1)
    assert ask({name: BRAIN, "events": [push_event("q")]}) == (410, "brain_deleted")
    assert problem(pull(app)) == (410, "brain_deleted")


def test_sync_finds_the_brain_that_has_the_events(app: App) -> None:
    """A client of 0.7 names the brain's directory: its events go to the brain that a replicator made, each once."""
    batch = "application/vnd.gradata.batch"
    log = [event(f"01KAR000000000000000000{number:03}") for number in range(40)]
    app.ask("POST", "/ingest", body(log, brain_id="7e1c-uuid"), kind=batch)
    told = [sync_event(json.loads(line)["event_id"]) for line in log]
    answer = sync(app, *told, sync_event("01KAR0000000000000000009NEW"))
    assert answer.json()["ingested_count"] == 41
    assert living_brains(app.store, "default") == ["7e1c-uuid"]
    ids = [item.event_id for item in app.store.events("default", EventQuery("7e1c-uuid", limit=1000))]
    assert (len(ids), ids[-1]) == (41, "01KAR0000000000000000009NEW")


def test_sync_makes_no_second_brain_under_a_directory_s_name(app: App) -> None:
    """Beside others it is refused, and nothing is stored; a key that was made for the name says that it is one."""
    batch = "application/vnd.gradata.batch"
    app.ask("POST", "/ingest", body([event("a")], brain_id="7e1c-uuid"), kind=batch)
    assert problem(sync(app, sync_event("b"))) == (409, "brain_unknown")
    assert problem(sync(app)) == (409, "brain_unknown")
    assert living_brains(app.store, "default") == ["7e1c-uuid"]
    only = app.make_key("ingest", brains=("7e1c-uuid",))
    assert problem(sync(app, sync_event("b"), key=only)) == (403, "brain_forbidden")
    assert sync(app, sync_event("a"), key=only).json()["ingested_count"] == 1, "it is of the key's brain"
    bound = app.make_key("ingest", brains=(BRAIN,))
    assert sync(app, sync_event("b"), key=bound).json()["ingested_count"] == 1
    assert living_brains(app.store, "default") == sorted(["7e1c-uuid", BRAIN])
    assert sync(app, sync_event("c")).json()["ingested_count"] == 1, "it exists now"
    assert list(stored(app)) == ["b", "c"]


def test_sync_does_not_guess_between_copies(app: App) -> None:
    """Two brains have the same events: a key for one of them decides."""
    batch = "application/vnd.gradata.batch"
    for brain in ("one", "two"):
        app.ask("POST", "/ingest", body([event("a"), event("b")], brain_id=brain), kind=batch)
    assert problem(sync(app, sync_event("a"))) == (409, "brain_ambiguous")
    bound = app.make_key("ingest", brains=("two",))
    assert sync(app, sync_event("a"), sync_event("new"), key=bound).status_code == 200
    assert sync(app, sync_event("a"), sync_event("new")).status_code == 200, "one has more of them now"
    assert len(app.store.events("default", EventQuery("two"))) == 3


def test_clients_of_0_4_to_0_6_get_an_answer(app: App) -> None:
    """They connect, send a manifest and counts, and no events: 200, nothing is kept, nothing is made."""
    key = {"brain_name": "brains", "domain": "sales", "manifest": {}}
    connected = app.ask("POST", "/brains/connect", json.dumps(key).encode()).json()
    manifest = json.dumps({"brain_id": connected["brain_id"], "manifest": {"lessons": 3}}).encode()
    answer = app.ask("POST", "/brains/sync", manifest).json()
    assert (answer["status"], answer["brain_id"], answer["events_received"]) == ("ok", "brains", 0)
    counts = json.dumps({"brain_id": "brains", "session": 4, "sent_at": "2026-11-23T05:58:22Z"}).encode()
    for path in ("/telemetry/metrics", "/v1/telemetry/metrics"):
        assert app.ask("POST", path, counts).json()["status"] == "ok"
        assert problem(app.ask("POST", path, counts, key=None)) == (401, "key_unknown")
    assert problem(app.ask("POST", "/brains/sync", b"{}")) == (422, "invalid_field")
    assert problem(app.ask("POST", "/brains/sync", manifest, key=None)) == (401, "key_unknown")
    assert living_brains(app.store, "default") == []


ROWS_OF_0_6 = (Path(__file__).parents[2] / "fixtures" / "brains" / "events-0.6.0.jsonl").read_bytes().splitlines(True)


@pytest.mark.parametrize("order", ["the log first", "the client first"])
def test_a_row_without_an_id_is_one_event_by_every_road(app: App, order: str) -> None:
    """By its bytes in the log, by its legacy id from `/sync` and `/events/push`; pulled under the latter."""
    kind = "application/vnd.gradata.batch"
    rows = ROWS_OF_0_6[:60]
    said = [json.loads(row) for row in rows]
    pushed = [{"event_id": legacy_id(row), **row} for row in said]
    synced = [{"created_at": each["ts"], **{k: v for k, v in each.items() if k != "ts"}} for each in pushed]

    def log() -> None:
        assert app.ask("POST", "/ingest", body(rows, brain_id=BRAIN), kind=kind).status_code == 200

    def client() -> None:
        assert push(app, *pushed).json()["accepted"] == len(rows)
        assert sync(app, *synced).json()["ingested_count"] == len(rows)

    for road in (log, client) if order == "the log first" else (client, log):
        road()
    assert sorted(stored(app)) == sorted({event_id_of(row) for row in rows})
    assert sorted(item["event_id"] for item in pull(app).json()["events"]) == sorted(set(map(legacy_id, said)))
    assert living_brains(app.store, "default") == [BRAIN]


def test_an_id_of_that_form_which_is_no_legacy_id_stays(app: App) -> None:
    """Mined events have 32 hex digits, too; a hook's row cannot be told from what is pushed of it."""
    mined = push_event("0123456789abcdef" * 2)
    hook = {"ts": 1_764_455_555.5, "type": "CORRECTION", "source": "", "data": {}, "tags": [], "session": None}
    assert push(app, mined, hook | {"event_id": legacy_id(hook)}).json()["accepted"] == 2
    assert set(stored(app)) == {"0123456789abcdef" * 2, legacy_id(hook)}
