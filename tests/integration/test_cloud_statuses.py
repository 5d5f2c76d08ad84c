"""Bad input: every status of the protocol, with its code, as a problem, and its neighbours stored.

A table with a row for each way to get a status. Before and after each bad request a good one of the same brain is
stored, and both are read back byte for byte: nothing that is refused takes anything with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from gradata.cloud.domain.plan import Decision
from gradata.cloud.domain.requests import WriteRequest
from gradata.cloud.service import deletion
from gradata.cloud.service.api_keys import revoke_key
from gradata.cloud.store.open import open_store
from gradata.cloud.store.port import Store
from gradata.cloud.store.sqlite.store import SqliteStore
from gradata.cloud.store.values import StoreUnavailableError
from tests.support.cloud_app import App, open_app
from tests.support.cloud_batches import LOG, OTHER_LOG, append, body, event, tree
from tests.support.cloud_client import problem

BATCH = "application/vnd.gradata.batch"
GOOD = [event("a"), event("b"), b"garbage\n", event("c")]
ROOT = tree(GOOD[:2]).root.hex()
THIRD = 3
GZIP = {"Content-Encoding": "gzip"}


class AwayStore(SqliteStore):
    """A store that can be told to be away."""

    away = False

    def ingest(self, requests: list[WriteRequest], *, now: int) -> list[Decision]:  # type: ignore[override]
        """Refused while it is away."""
        if self.away:
            raise StoreUnavailableError("locked")
        return super().ingest(requests, now=now)


@contextmanager
def opened(url: str) -> Iterator[App]:
    """The cloud with small limits."""
    store: Store = open_store(url) if url else AwayStore(None, record_bytes=2_000)
    with open_app(store, record_bytes=2_000, body_bytes=20_000, records=50) as app:
        yield app


def send(app: App, *arguments: Any, **envelope: Any) -> httpx.Response:
    return app.ask("POST", "/ingest", body(*arguments, **envelope), kind=BATCH)


def post(app: App, path: str, document: object, **said: Any) -> httpx.Response:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return app.ask("POST", path, content, **said)


def correction(app: App, **fields: Any) -> httpx.Response:
    return post(app, "/ingest", {"brain_id": "brain", "correction": {}, **fields})


def revoked(app: App) -> httpx.Response:
    key = app.make_key("ingest")
    revoke_key(app.store, key[:16])
    return app.ask("POST", "/ingest", body(GOOD), kind=BATCH, key=key)


def foreign(app: App) -> httpx.Response:
    app.store.ingest([append(GOOD, brain_id="theirs", log_id=OTHER_LOG, workspace="others")], now=1)
    return send(app, GOOD, brain_id="theirs")


def deleted(app: App) -> httpx.Response:
    app.store.ingest([append(GOOD, brain_id="deleted", log_id=OTHER_LOG)], now=1)
    deletion.delete(app.store, "default", "deleted", now=2)
    return send(app, GOOD, brain_id="deleted", log_id=OTHER_LOG)


def expired(app: App) -> httpx.Response:
    app.store.ingest([append(GOOD, brain_id="old", log_id=OTHER_LOG)], now=1)
    deletion.expire(app.store, "default", "old", 2)
    return app.ask("GET", "/events/pull?brain_id=old&rebuild_from=a")


@dataclass(frozen=True)
class Row:
    """`ask` gets `status` with `code`; `members` are further members of the problem, as far as they are named."""

    status: int
    code: str
    ask: Callable[[App], httpx.Response]
    members: dict[str, Any] = field(default_factory=dict)
    says: str = ""


ROWS = [
    Row(400, "malformed", lambda app: app.ask("POST", "/ingest", b"no envelope", kind=BATCH), says="envelope"),
    Row(400, "malformed", lambda app: send(app, GOOD, THIRD, count=7), says="count"),
    Row(400, "malformed", lambda app: send(app, GOOD, THIRD, log_id="x"), says="log_id"),
    Row(400, "malformed", lambda app: send(app, GOOD, 2, schema=1), says="schema"),
    Row(400, "malformed", lambda app: send(app, GOOD, 2, offset=3), says="offset of record 2"),
    Row(400, "malformed", lambda app: post(app, "/heartbeat", []), says="JSON object"),
    Row(400, "malformed", lambda app: post(app, "/ingest", b'{"brain_id":'), says="JSON"),
    Row(400, "malformed", lambda app: app.ask("POST", "/ingest", b"x", kind=BATCH, headers=GZIP), says="cut short"),
    Row(400, "malformed", lambda app: app.ask("GET", "/events?brain=a%00b"), says="NUL"),
    Row(401, "key_unknown", lambda app: app.ask("POST", "/ingest", body(GOOD), kind=BATCH, key=None)),
    Row(401, "key_unknown", revoked),
    Row(403, "brain_forbidden", foreign),
    Row(403, "brain_forbidden", lambda app: app.ask("GET", "/charts?brain=nobody")),
    Row(403, "scope_missing", lambda app: app.ask("GET", "/admin/brains")),
    Row(404, "not_found", lambda app: app.ask("GET", "/nowhere")),
    Row(404, "not_found", lambda app: app.ask("GET", f"/logs/{OTHER_LOG}")),
    Row(404, "not_found", lambda app: app.ask("GET", f"/logs/{LOG}/tile/7/9")),
    Row(405, "method_not_allowed", lambda app: app.ask("DELETE", "/events")),
    Row(409, "gap", lambda app: send(app, GOOD, THIRD), {"head": {"size": 2, "root": ROOT}}),
    Row(409, "gap", lambda app: send(app, GOOD, 1, log_id=OTHER_LOG), {"head": {"size": 0}}),
    Row(409, "diverged", lambda app: send(app, [GOOD[0], event("x")], 0), {"head": {"root": ROOT}, "record": 1}),
    Row(409, "diverged", lambda app: send(app, GOOD, 2, root="0" * 64), {"head": {"size": 2}}),
    Row(410, "brain_deleted", deleted),
    Row(410, "rewind_beyond_retention", expired),
    Row(413, "body_too_large", lambda app: app.ask("POST", "/ingest", b"x" * 20_001, kind=BATCH),
        {"limits": {"body_bytes": 20_000, "record_bytes": 2_000, "records": 50}}),
    Row(413, "body_too_large", lambda app: send(app, [b"\n"] * 51, 0, log_id=OTHER_LOG), {"limits": {"records": 50}}),
    Row(413, "body_too_large", lambda app: correction(app, correction={"description": "x" * 3_000})),
    Row(413, "body_too_large", lambda app: post(app, "/sync", {"brain_name": "brain", "events": [1] * 51})),
    Row(415, "media_type_unsupported", lambda app: app.ask("POST", "/ingest", b"x", kind="text/plain"), says=BATCH),
    Row(415, "encoding_unsupported",
        lambda app: app.ask("POST", "/ingest", b"x", kind=BATCH, headers={"Content-Encoding": "gzip, gzip"}),
        {"encodings": ["zstd", "gzip"]}),
    Row(416, "range_not_satisfiable",
        lambda app: app.ask("GET", f"/logs/{LOG}/bytes", headers={"Range": "bytes=99999-"})),
    Row(422, "invalid_field", lambda app: correction(app, brain_id=7), says="brain_id"),
    Row(422, "invalid_field", lambda app: correction(app, correction={"category": 7}), says="correction.category"),
    Row(422, "invalid_field", lambda app: correction(app, event_id="x" * 65), says="event_id"),
    Row(422, "invalid_field", lambda app: correction(app, schema=2), says="schema"),
    Row(422, "invalid_parameter", lambda app: app.ask("GET", "/events?brain=brain&limit=0"), says="limit"),
    Row(422, "invalid_parameter", lambda app: app.ask("GET", "/events"), says="brain"),
    Row(426, "schema_unsupported", lambda app: send(app, GOOD, 2, schema=3), {"supported": [1, 2]}),
    Row(426, "schema_unsupported", lambda app: correction(app, schema=3), {"supported": [1, 2]}),
]  # fmt: skip


def name_of(row: Row) -> str:
    return f"{row.status} {row.code} {row.says}".strip()


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_bad_input_is_named_and_harms_no_neighbour(row: Row) -> None:
    """Status, code, problem, members, words; the batches before and behind it are stored."""
    with opened("") as app:
        check(app, row)


@pytest.mark.parametrize("row", [row for row in ROWS if row.status in (409, 410)], ids=name_of)
def test_what_the_store_decides_is_the_same_on_postgresql(row: Row, postgres_url: str) -> None:
    """The rows whose status depends on what is stored."""
    with opened(postgres_url) as app:
        check(app, row)


def check(app: App, row: Row) -> None:
    """Ask, between two good batches."""
    assert send(app, GOOD, 0, 2).json()["accepted"] == 2
    answer = row.ask(app)
    assert problem(answer) == (row.status, row.code), answer.text
    document = answer.json()
    for member, value in row.members.items():
        named = {name: document[member][name] for name in value} if isinstance(value, dict) else document[member]
        assert named == value
    assert row.says in document["detail"]
    assert {"x-request-id", "content-length"} <= set(answer.headers)
    behind = send(app, GOOD, 2).json()
    assert (behind["accepted"], [flagged["code"] for flagged in behind["flagged"]]) == (1, ["not_json"])
    assert app.ask("GET", f"/logs/{LOG}/bytes").content == b"".join(GOOD)


def test_a_refused_record_among_good_ones_takes_none_with_it() -> None:
    """One record beyond the limit in a batch: its place is kept, the others are stored, and it is named."""
    log = [event("a"), event("large", "x" * 3_000), event("b")]
    with opened("") as app:
        answer = send(app, log).json()
        assert (answer["accepted"], [refused["record"] for refused in answer["refused"]]) == (2, [1])
        served = app.ask("GET", f"/logs/{LOG}/bytes").content.splitlines(keepends=True)
    assert (served[0], served[2], len(served[1])) == (log[0], log[2], len(log[1]))


def test_too_many_requests_are_429_and_harm_nobody() -> None:
    """With Retry-After and the budget's fields; another brain is stored meanwhile, and this one's batch afterwards."""
    with open_app(open_store("sqlite::memory:"), requests_per_minute=60, burst=3) as app:
        answers = [send(app, GOOD, brain_id="busy", log_id=OTHER_LOG) for _ in range(6)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert problem(refused[0]) == (429, "rate_limited")
        assert int(refused[0].headers["retry-after"]) >= 1
        for answer in (*answers, app.ask("GET", "/nowhere")):
            assert answer.headers["ratelimit-policy"] == '"brain";q=60;w=60'
            assert answer.headers["ratelimit"].startswith('"brain";r=')
        assert send(app, GOOD).json()["accepted"] == 3
        assert app.ask("GET", f"/logs/{OTHER_LOG}/bytes").content == b"".join(GOOD)


def test_a_store_that_is_away_is_503_and_loses_nothing() -> None:
    """With Retry-After, for batches and heartbeats alike; what was refused is taken afterwards."""
    store = AwayStore(None)
    with open_app(store) as app:
        assert send(app, GOOD, 0, 2).status_code == 200
        store.away = True
        beat = {"brain_id": "brain", "device_id": "d", "log_id": LOG, "cloud_id": None, "size": 0, "root": "0" * 64}
        for answer in (
            send(app, GOOD, 2),
            post(app, "/heartbeat", beat),
            post(app, "/sync", {"brain_name": "brain", "events": []}),
        ):
            assert problem(answer) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        store.away = False
        assert send(app, GOOD, 2).json()["accepted"] == 1
        assert app.ask("GET", f"/logs/{LOG}/bytes").content == b"".join(GOOD)


def test_every_status_of_the_protocol_has_a_row() -> None:
    """As docs/protocol.md lists them; 408, which needs a socket, is in test_cloud_limits."""
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    section = re.search(r"^## Statuses.*?$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    named = {int(status) for status in re.findall(r"\b([45]\d\d)\b", section[1])}
    assert named - {408, 429, 503} <= {row.status for row in ROWS}
    assert {400, 401, 403, 404, 409, 410, 413, 415, 422, 426, 429, 503} <= named
