"""Each route, whoever asks: a table with a row for every route of the application, and a column for every wrong key.

A route without a row fails. The answers to those who may not know of a brain are, to the byte, those for a brain that
does not exist.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from gradata.cloud.http.session_cookie import COOKIE
from gradata.cloud.service.api_keys import revoke_key, rotate_key
from gradata.cloud.store.open import open_store
from gradata.cloud.store.values import EventQuery
from tests.support.cloud_app import App, open_app
from tests.support.cloud_batches import OTHER_LOG, append, body, event
from tests.support.cloud_client import problem

BRAIN = "their-secret-brain"
LOG_ID = "11111111-1111-4111-8111-111111111111"
NOBODY = ("nobodys-brain", "99999999-9999-4999-8999-999999999999")
TEXT = "nobody else may read this"
LOG = [event("a", TEXT), event("b")]
BATCH = "application/vnd.gradata.batch"
Ask = tuple[str, Any, str]
"""Path with query, body, content type."""


@dataclass(frozen=True)
class Row:
    """`ask(brain, log_id)` is a request that is right; `scopes`: those of which one is enough; none: no key needed."""

    ask: Callable[[str, str], Ask]
    scopes: tuple[str, ...] = ()
    status: int = 200
    listing: bool = False
    """It names no brain: who may not see one gets a list without it."""


def get(path: str) -> Callable[[str, str], Ask]:
    return lambda brain, log_id: (path.format(brain=brain, log=log_id), None, "")


def sent(path: str, make: Callable[[str, str], Any], kind: str = "application/json") -> Callable[[str, str], Ask]:
    def ask(brain: str, log_id: str) -> Ask:
        content = make(brain, log_id)
        return path, content if isinstance(content, bytes) else json.dumps(content).encode(), kind

    return ask


def beat(brain: str, log_id: str) -> dict[str, Any]:
    return {"brain_id": brain, "device_id": "d", "log_id": log_id, "cloud_id": None, "size": 0, "root": "0" * 64}


def batch(brain: str, log_id: str) -> bytes:
    return body(LOG, brain_id=brain, log_id=log_id)


READ, SEND, ADMIN = ("read",), ("ingest",), ("admin",)
EITHER = ("ingest", "read")
NEW = {"event_id": "n", "type": "T"}
ROWS = {
    ("POST", "/ingest"): Row(sent("/ingest", batch, BATCH), SEND),
    ("POST", "/heartbeat"): Row(sent("/heartbeat", beat), SEND),
    ("POST", "/sync"): Row(sent("/sync", lambda brain, _: {"brain_name": brain, "events": [NEW]}), SEND),
    ("POST", "/events/push"): Row(sent("/events/push", lambda brain, _: {"brain_id": brain, "events": [NEW]}), SEND),
    ("POST", "/brains/connect"): Row(sent("/brains/connect", lambda brain, _: {"brain_name": brain}), SEND),
    ("POST", "/brains/sync"): Row(sent("/brains/sync", lambda brain, _: {"brain_id": brain}), SEND),
    ("POST", "/telemetry/metrics"): Row(sent("/telemetry/metrics", lambda *_: {"session": 1}), SEND, listing=True),
    ("POST", "/v1/telemetry/metrics"): Row(sent("/v1/telemetry/metrics", lambda *_: {}), SEND, listing=True),
    ("GET", "/events/pull"): Row(get("/events/pull?brain_id={brain}"), READ),
    ("GET", "/logs"): Row(get("/logs?brain={brain}"), EITHER, listing=True),
    ("GET", "/logs/{log_id}"): Row(get("/logs/{log}"), EITHER),
    ("GET", "/logs/{log_id}/bytes"): Row(get("/logs/{log}/bytes"), READ),
    ("HEAD", "/logs/{log_id}/bytes"): Row(get("/logs/{log}/bytes"), READ),
    ("GET", "/logs/{log_id}/tile/{level}/{index}"): Row(get("/logs/{log}/tile/0/0"), READ),
    ("GET", "/events"): Row(get("/events?brain={brain}"), READ),
    ("GET", "/brains"): Row(get("/brains"), READ, listing=True),
    ("GET", "/fleet"): Row(get("/fleet"), READ, listing=True),
    ("GET", "/metrics"): Row(get("/metrics"), READ, listing=True),
    ("GET", "/feed"): Row(get("/feed?brain={brain}"), READ),
    ("GET", "/charts"): Row(get("/charts?brain={brain}"), READ),
    ("GET", "/admin/brains"): Row(get("/admin/brains"), ADMIN, listing=True),
    ("PUT", "/admin/brains/retention"): Row(get("/admin/brains/retention?brain={brain}&days=9"), ADMIN),
    ("POST", "/admin/brains/erase"): Row(get("/admin/brains/erase?brain={brain}&event=b"), ADMIN),
    ("DELETE", "/admin/brains"): Row(get("/admin/brains?brain={brain}"), ADMIN),
    ("GET", "/health"): Row(get("/health")),
    ("GET", "/ready"): Row(get("/ready")),
    ("GET", "/openapi.json"): Row(get("/openapi.json")),
    ("HEAD", "/openapi.json"): Row(get("/openapi.json")),
}
KEYED = {name: row for name, row in ROWS.items() if row.scopes}
OUTSIDE = {
    ("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics"),  # as above, where tools look for them
    ("GET", "/"), ("GET", "/brain"), ("GET", "/parts/fleet"), ("GET", "/parts/brain"), ("POST", "/sign-in"),
    ("POST", "/sign-out"), ("POST", "/v1/telemetry/metrics"), ("GET", "/static/{mark}/{name:path}"),
}  # fmt: skip
"""Routes of pages, with sessions in place of keys; they have tests of their own below and in test_cloud_watch."""


@pytest.fixture
def app() -> Iterator[App]:
    """A cloud with a brain of one workspace and one of another."""
    with open_app(open_store("sqlite::memory:")) as opened:
        opened.store.ingest([append(LOG, brain_id=BRAIN, log_id=LOG_ID)], now=1)
        opened.store.ingest([append(LOG, brain_id="other", log_id=OTHER_LOG, workspace="others")], now=1)
        yield opened


def ask(app: App, name: tuple[str, str], key: str | None, brain: str = BRAIN, log_id: str = LOG_ID) -> httpx.Response:
    path, content, kind = ROWS[name].ask(brain, log_id)
    return app.ask(name[0], path, content, key=key, kind=kind)


def untouched(app: App) -> None:
    """Nobody changed the brain."""
    (brain,) = app.store.standings("default", BRAIN)
    assert (brain.events, brain.logs, brain.deleted_at, brain.retain_us) == (2, 1, None, None)
    records = [item.record for item in app.store.events("default", EventQuery(BRAIN))]
    assert records == LOG


def test_every_route_has_a_row(app: App) -> None:
    """Enumerated from the application: whoever adds a route says who may ask it."""
    found = {(method, route.path) for route in app.app.routes for method in (getattr(route, "methods", None) or ())}
    rows = {(method, f"/api/v1{path}") for method, path in ROWS} | OUTSIDE
    assert found == rows


def test_f58_the_right_key_is_answered(app: App) -> None:
    """Each row's request is right, so that the refusals below are for the key alone. Deleting comes last."""
    for name, row in ROWS.items():
        if name == ("GET", "/feed"):
            continue  # it never ends; a wrong key ends it
        key = app.make_key(*row.scopes[:1]) if row.scopes else None
        answer = ask(app, name, key)
        assert answer.status_code == row.status, (name, answer.text)


@pytest.mark.parametrize("name", KEYED, ids=" ".join)
def test_f58_no_key_that_works_no_answer(app: App, name: tuple[str, str]) -> None:
    """None, garbage, guessed, revoked, expired: 401 in the same words; nothing happens."""
    revoked, expired = app.make_key("admin"), app.make_key("admin")
    revoke_key(app.store, revoked[:16])
    rotate_key(app.store, expired[:16], grace_s=0.0)
    guessed = app.admin_key[:-4] + "AAAA"
    keys = (None, "garbage", guessed, revoked, expired)
    answers = [ask(app, name, key) for key in keys]
    assert [answer.status_code for answer in answers] == [401] * len(keys)
    words = {answer.content for answer in answers}
    assert len(words) == 1 or name == ("GET", "/feed") or name == ("GET", "/fleet") or name == ("GET", "/charts")
    for answer in answers:
        if name[0] != "HEAD":
            assert problem(answer) == (401, "key_unknown")
    untouched(app)


@pytest.mark.parametrize("name", KEYED, ids=" ".join)
def test_f58_a_key_without_the_scope_is_refused(app: App, name: tuple[str, str]) -> None:
    """403 for each scope that is not enough, whether the brain is there or not."""
    for scope in ("ingest", "read"):
        if scope not in ROWS[name].scopes:
            answers = [ask(app, name, app.make_key(scope), *where) for where in ((BRAIN, LOG_ID), NOBODY)]
            assert [answer.status_code for answer in answers] == [403, 403]
            assert answers[0].content == answers[1].content
            assert name[0] == "HEAD" or problem(answers[0]) == (403, "scope_missing")
    untouched(app)


@pytest.mark.parametrize("name", KEYED, ids=" ".join)
@pytest.mark.parametrize("whose", ["another workspace's", "another brain's"])
def test_f58_a_foreign_brain_is_like_none(app: App, name: tuple[str, str], whose: str) -> None:
    """With all scopes: what is answered is what a brain that does not exist is answered, and nothing happens."""
    said: dict[str, Any] = {"workspace": "others"} if whose.startswith("another w") else {"brains": ("mine",)}
    key = app.make_key("ingest", "read", "admin", **said)
    foreign = ask(app, name, key)
    if ROWS[name].listing:
        assert foreign.status_code == 200
        assert BRAIN.encode() not in foreign.content
        assert LOG_ID.encode() not in foreign.content
    else:
        assert foreign.status_code in (403, 404) or name == ("GET", "/events")  # an empty list, as for a new brain
        assert TEXT.encode() not in foreign.content
        # Another workspace may make the brain that does not exist, so there the words alone are compared.
        writes = name[0] == "POST" and ROWS[name].scopes == SEND and whose.startswith("another w")
        if writes:
            assert problem(foreign) == (403, "brain_forbidden")
        else:
            unknown = ask(app, name, key, *NOBODY)
            assert (unknown.status_code, unknown.content) == (foreign.status_code, foreign.content)
    untouched(app)


@pytest.mark.parametrize("name", KEYED, ids=" ".join)
def test_a_deleted_brain_is_410_on_every_route(app: App, name: tuple[str, str]) -> None:
    """For its own keys; foreign ones learn as little as before."""
    app.store.delete_brain("default", BRAIN, now=5)
    answer = ask(app, name, app.admin_key)
    if ROWS[name].listing and name != ("GET", "/logs"):
        assert answer.status_code == 200
        assert (BRAIN.encode() in answer.content) == (name == ("GET", "/admin/brains"))
        return
    assert answer.status_code == 410
    assert name[0] == "HEAD" or problem(answer) == (410, "brain_deleted")
    foreign = ask(app, name, app.make_key("ingest", "read", "admin", workspace="others"))
    assert foreign.status_code in (200, 403, 404)
    assert BRAIN.encode() not in foreign.content


@pytest.mark.parametrize("path", ["/", "/brain?id={brain}", "/parts/fleet", "/parts/brain?id={brain}"])
def test_f58_a_page_shows_a_session_its_own_brains(app: App, path: str) -> None:
    """Without one, or with another workspace's: neither name nor text of a brain."""

    def signed_in(key: str) -> str:
        answer = app.send("POST", "/sign-in", content=f"key={key}", headers={"Sec-Fetch-Site": "same-origin"})
        return str(answer.cookies[COOKIE])

    asked = path.format(brain=BRAIN)
    foreign = signed_in(app.make_key("read", workspace="others"))
    for cookie in ("", "garbage", foreign):
        answer = app.send("GET", asked, headers={"Cookie": f"{COOKIE}={cookie}"} if cookie else {})
        assert TEXT not in answer.text
        assert LOG_ID not in answer.text
        assert BRAIN not in answer.text.replace(asked.replace("&", "&amp;"), "") or cookie != foreign
    own = app.send("GET", asked, headers={"Cookie": f"{COOKIE}={signed_in(app.make_key('read'))}"})
    assert own.status_code == 200
    assert own.text != answer.text
    assert BRAIN in own.text or path.startswith("/parts/brain")


def test_f58_guessed_keys_are_throttled(app: App) -> None:
    """From one address beyond the budget 429 with Retry-After; a key that works passes all the same."""
    statuses = [
        ask(app, ("GET", "/brains"), f"gk_live_guess{number:03}_{'x' * 43}").status_code for number in range(150)
    ]
    assert set(statuses) == {401, 429}
    assert statuses.index(429) >= 100
    refused = ask(app, ("GET", "/brains"), None)
    assert problem(refused) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert ask(app, ("GET", "/brains"), app.key).status_code == 200
