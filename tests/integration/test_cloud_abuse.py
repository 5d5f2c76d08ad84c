"""What people and programs of ill will send to a server by the hundred: bounded, answered, and inert everywhere."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.cloud_batches import event
from tests.support.cloud_client import Agent, problem
from tests.support.cloud_fixture import LiveCloud, StartCloud

DEEP = 1_000_000
HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[2J\x07",
    "a\r\nSet-Cookie: x=1\r\n\r\n",
    "'; DROP TABLE events; --",
    "${jndi:ldap://x}",
    "\u202etxt.exe\u2028\u0085",
    "../../../../etc/passwd",
    "%s%n%00",
]


def resident_kb(pid: int) -> int:
    """The memory of a process now."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


@contextmanager
def connections(cloud: LiveCloud, count: int) -> Iterator[list[socket.socket]]:
    """So many open connections, closed at the end."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", cloud.port), timeout=30)) for _ in range(count)
        ]


@pytest.mark.parametrize("kind", ["batch", "ndjson", "correction", "sync", "push", "heartbeat", "connect"])
def test_f57_json_a_million_deep_is_refused_or_kept_as_no_event(shared_cloud: LiveCloud, kind: str) -> None:
    """In each body that is JSON: a clear status, no crash; a neighbour is stored afterwards, in a batch beside it."""
    agent = Agent(shared_cloud)
    deep = b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}\n"
    arrays = b"[" * DEEP
    if kind == "batch":
        answer = agent.send([event("a"), deep, event("b")]).json()
        assert (answer["accepted"], [item["code"] for item in answer["refused"]]) == (2, ["record_too_large"])
        return
    if kind == "ndjson":
        answer = agent.ask("POST", f"/ingest?brain={agent.brain}", event("a") + arrays, kind="application/x-ndjson")
        assert (answer.json()["accepted"], [item["code"] for item in answer.json()["flagged"]]) == (1, ["not_json"])
        return
    paths = {"correction": "/ingest", "sync": "/sync", "push": "/events/push", "connect": "/brains/connect"}
    path = paths.get(kind, f"/{kind}")
    sent = [arrays, b'{"events":' + arrays, b'{"brain_name":"b","brain_id":"b","events":[' + deep.strip() + b"]}"]
    for content in sent:
        assert problem(agent.ask("POST", path, content, kind="application/json"))[0] in (400, 413, 422)
    assert agent.send([event("a")]).json()["accepted"] == 1


def test_f57_slow_clients_by_the_hundred_are_given_up(start_cloud: StartCloud) -> None:
    """Half a body each, and no more: 408 to every one of them, while others are served; their memory is given back."""
    cloud = start_cloud(body_s=2.0)
    agent = Agent(cloud)
    agent.send([event("a")])
    head = (
        f"POST /api/v1/ingest HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {cloud.key}\r\n"
        "Content-Type: application/vnd.gradata.batch\r\nContent-Length: 100000\r\n\r\n"
    ).encode()
    with connections(cloud, 200) as slow:
        for each in slow:
            each.sendall(head + b"x" * 50_000)
        assert agent.send([event("a"), event("b")], 1).status_code == 200
        answers = [each.recv(65_536) for each in slow]
    assert {answer.split(b" ", 2)[1] for answer in answers} == {b"408"}
    assert agent.send([event("a"), event("b"), event("c")], 2).status_code == 200


def test_f60_feeds_by_the_hundred_that_nobody_reads_are_bounded(live_cloud: LiveCloud) -> None:
    """300 of them while more is stored than they take: every batch is acknowledged, the server's memory stays."""
    agent = Agent(live_cloud)
    big = [event(str(number), "x" * 20_000) for number in range(120)]
    agent.send(big[:20])
    asked = f"GET /api/v1/feed?brain={agent.brain}&after=0 HTTP/1.1\r\nHost: x\r\n"
    asked += f"Authorization: Bearer {live_cloud.key}"
    with connections(live_cloud, 300) as feeds:
        for each in feeds:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.sendall(f"{asked}\r\n\r\n".encode())
        before = resident_kb(live_cloud.pid)
        for first in range(20, 120, 50):
            assert agent.send(big[: first + 50], first).status_code == 200
        assert resident_kb(live_cloud.pid) - before < 150_000
        assert feeds[0].recv(15) == b"HTTP/1.1 200 OK"
    assert agent.ask("GET", "/health").status_code == 200


def test_f59_hostile_texts_come_back_as_they_were_and_break_nothing(live_cloud: LiveCloud) -> None:
    """In texts, ids, types, names and parameters: stored and given back exactly, in bodies, headers and the log."""
    agent = Agent(live_cloud)
    log = [event(text[:60], text, kind=text[:60]) for text in HOSTILE]
    assert agent.send(log).json()["accepted"] == len(HOSTILE)
    assert agent.replica().content == b"".join(log)
    # Control characters are legal in an id: what comes back is the id, escaped in JSON.
    assert [item["event_id"] for item in agent.events()] == [text[:60] for text in HOSTILE]
    pulled = agent.ask("GET", f"/events/pull?brain_id={agent.brain}").json()["events"]
    assert sorted(item["data"]["text"] for item in pulled) == sorted(HOSTILE)
    for text in HOSTILE:
        for answer in _asked_with(agent, text):
            assert answer.status_code in (200, 400, 401, 403, 404, 410, 422), answer.text
            assert "set-cookie" not in answer.headers
            assert b"\x1b" not in answer.content
            assert answer.headers["content-type"].split(";")[0] in ("application/json", "application/problem+json")
    assert agent.send([*log, event("after")], len(log)).json()["accepted"] == 1
    live_cloud.stop()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u0085]", live_cloud.said)
    for line in live_cloud.said.splitlines():
        assert not line.startswith(("Set-Cookie", "HTTP/"))


def _asked_with(agent: Agent, text: str) -> Iterator[Any]:
    """The text wherever a request may have one: query, path, body, header."""
    query = httpx.QueryParams({"brain": text, "brain_id": text, "type": text, "cursor": text, "rebuild_from": text})
    for path in ("/events", "/events/pull", "/logs", "/charts"):
        yield agent.ask("GET", f"{path}?{query}")
    yield agent.ask("GET", f"/logs/{quote(text, safe='')}")
    document = {"brain_id": text, "brain_name": text, "correction": {"category": text}, "events": [{"event_id": text}]}
    for path in ("/ingest", "/sync", "/events/push", "/brains/connect"):
        yield agent.ask("POST", path, json.dumps(document).encode(), kind="application/json")
    if text.isprintable() and text.isascii():
        yield agent.ask("GET", "/health", X_Request_Id=text, Gradata_Brain=text, Last_Event_Id=text)
