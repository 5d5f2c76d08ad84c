"""What looks at a cloud, against a real server: fleet, feed, sign-in, metrics, alerts, the command line."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import html
import json
import queue
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from gradata.cloud.service.api_keys import revoke_key
from gradata.cloud.store.open import open_store
from replicator.model import Identity
from replicator.sink import HttpSink
from tests.support.cli_runner import CommandLine
from tests.support.cloud_batches import event
from tests.support.cloud_client import Agent, problem
from tests.support.cloud_fixture import LiveCloud, StartCloud
from tests.support.patience import AT_ONCE_S, PATIENCE_S

STATUS = {"state": "live", "log_bytes": 9, "backlog_bytes": 0, "last_event_at": None, "dead_letters": 0, "version": "1"}
HERE = {"Sec-Fetch-Site": "same-origin"}


def beat(agent: Agent, **status: object) -> httpx.Response:
    """A heartbeat."""
    names = {"brain_id": agent.brain, "device_id": "device", "log_id": agent.log_id, "cloud_id": None}
    body = {**names, "size": 0, "root": hashlib.sha256(b"").hexdigest(), "status": STATUS | status}
    return agent.ask("POST", "/heartbeat", json.dumps(body), kind="application/json")


def of(agent: Agent, **query: str) -> dict[str, Any]:
    """The agent's brain in the fleet, which is read anew at most twice a second."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        brains = agent.ask("GET", f"/fleet?{httpx.QueryParams(query)}").json()["brains"]
        found = [brain for brain in brains if brain["brain_id"] == agent.brain]
        if found:
            assert isinstance(found[0], dict)
            return found[0]
        assert time.monotonic() < deadline, f"the brain is not among the {len(brains)} of the fleet"


@contextmanager
def following(agent: Agent, query: str = "", **headers: str) -> Iterator[queue.SimpleQueue[tuple[str, str, str]]]:
    """A feed that is read on a thread: (event, id, data) each."""
    heard: queue.SimpleQueue[tuple[str, str, str]] = queue.SimpleQueue()
    sent = {"Authorization": f"Bearer {agent.key or agent.cloud.key}", **headers}
    client = httpx.Client(trust_env=False, verify=False, timeout=30)
    with client, client.stream("GET", f"{agent.cloud.url}/feed{query}", headers=sent) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")

        def read() -> None:
            fields: dict[str, str] = {}
            try:
                for line in answer.iter_lines():
                    if not line and fields:
                        heard.put((fields.get("event", ""), fields.get("id", ""), fields.get("data", "")))
                        fields = {}
                    elif not line.startswith(":"):
                        name, _, value = line.partition(": ")
                        fields[name] = value
            except (httpx.HTTPError, httpx.StreamError):
                return

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield heard
        with contextlib.suppress(OSError):  # the server may have ended it
            answer.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        thread.join(30)


def events_of(heard: queue.SimpleQueue[tuple[str, str, str]], count: int) -> list[tuple[str, str]]:
    """The next events of a brain's feed: id and event_id."""
    found: list[tuple[str, str]] = []
    while len(found) < count:
        kind, mark, data = heard.get(timeout=PATIENCE_S)
        if kind == "event":
            found.append((mark, json.loads(data)["event_id"]))
    return found


def test_the_fleet_has_each_brain_with_its_state(shared_cloud: LiveCloud) -> None:
    """A batch makes it live; what the heartbeat says shows; patience can be asked for."""
    agent = Agent(shared_cloud)
    agent.send([event("a")], status=STATUS)
    found = of(agent)
    assert (found["state"], found["events"], found["devices"][0]["size"]) == ("live", 1, 1)
    beat(agent, state="paused", trouble="misconfigured", log_bytes=10_000, backlog_bytes=77)
    deadline = time.monotonic() + PATIENCE_S
    while (found := of(agent))["state"] != "paused":  # a fleet is read anew at most twice a second
        assert time.monotonic() < deadline
    assert (found["alert"], found["command"], found["devices"][0]["backlog_bytes"]) == (True, "gradata doctor", 77)
    assert of(agent, silent_for="0.001")["state"] == "silent"


def test_f58_a_key_sees_its_own_brains_alone(shared_cloud: LiveCloud) -> None:
    """In fleet, feed, charts and pages; another's brain is answered like one that does not exist."""
    mine, other = Agent(shared_cloud), Agent(shared_cloud)
    mine.send([event("a")])
    other.send([event("b")])
    bound = Agent(shared_cloud, key=shared_cloud.make_key("read", brains=(mine.brain,)))
    while not (brains := bound.ask("GET", "/fleet").json()["brains"]):  # a fleet may be half a second old
        pass
    assert [brain["brain_id"] for brain in brains] == [mine.brain]
    foreign = Agent(shared_cloud, key=shared_cloud.make_key("read", workspace="elsewhere"))
    assert foreign.ask("GET", "/fleet").json()["brains"] == []
    for path in ("/feed", "/charts"):
        answers = [
            problem(asking.ask("GET", f"{path}?brain={brain}"))
            for asking, brain in ((bound, other.brain), (bound, "nobody"), (foreign, mine.brain))
        ]
        assert answers == [(403, "brain_forbidden")] * 3


@pytest.mark.parametrize("path", ["/fleet", "/feed", "/charts?brain=x", "/metrics"])
def test_f58_looking_needs_a_key_that_may_read(shared_cloud: LiveCloud, path: str) -> None:
    """None, an unknown one, and one that may only send."""
    assert problem(Agent(shared_cloud, key="gk_live_none").ask("GET", path)) == (401, "key_unknown")
    assert problem(Agent(shared_cloud, key=shared_cloud.make_key("ingest")).ask("GET", path)) == (403, "scope_missing")


def test_a_feed_tells_of_each_event_once_and_resumes(shared_cloud: LiveCloud) -> None:
    """New ones as they are stored; behind Last-Event-ID after a break, in order, without a gap."""
    agent = Agent(shared_cloud)
    log = [event(f"e{number}") for number in range(250)]
    agent.send(log[:2])
    with following(agent, f"?brain={agent.brain}") as heard:
        assert heard.get(timeout=PATIENCE_S)[0] == "ready"
        agent.send(log[:3], 2)
        assert events_of(heard, 1) == [("3", "e2")]
    agent.send(log, 3)
    with following(agent, f"?brain={agent.brain}", **{"Last-Event-ID": "3"}) as heard:
        assert events_of(heard, 247) == [(str(n + 1), f"e{n}") for n in range(3, 250)]
    with following(agent, f"?brain={agent.brain}&type=NOTE&after=0") as heard:
        agent.send([*log, event("note", kind="NOTE")], 250)
        assert events_of(heard, 1) == [("251", "note")]
    wrong = agent.ask("GET", f"/feed?brain={agent.brain}", **{"Last-Event-ID": "x"})
    assert problem(wrong) == (422, "invalid_parameter")


def test_older_corrections_are_pages_without_script(shared_cloud: LiveCloud) -> None:
    """From link to link down to the first one; the newest are one link away, and programs page the same way."""
    agent = Agent(shared_cloud)
    log = [event(str(number), kind="CORRECTION") for number in range(120)]
    assert agent.send(log, status=STATUS).status_code == 200
    seen: list[int] = []
    with browser(shared_cloud) as client:
        client.post("/sign-in", data={"key": shared_cloud.key}, headers=HERE)
        address: str | None = f"/brain?id={agent.brain}"
        while address is not None:
            text = client.get(address).text
            seen += map(int, re.findall(r'id="event-(\d+)"', text))
            assert ("New ones do not appear" in text) == ("before=" in address)
            assert (">Newest</a>" in text) == ("before=" in address)
            older = re.search(r'rel="next" href="([^"]+)"', text)
            address = None if older is None else html.unescape(older[1]).partition("#")[0]
    assert seen == list(range(120, 0, -1))
    page = agent.ask("GET", f"/events?brain={agent.brain}&before=50&limit=40").json()
    assert [each["cursor"] for each in page["events"]] == list(range(49, 9, -1))
    assert page["next"] == 10
    assert agent.ask("GET", f"/events?brain={agent.brain}&before=10&limit=40").json()["next"] is None


def test_the_fleets_feed_tells_when_something_changes(shared_cloud: LiveCloud) -> None:
    """The present first, then each change."""
    agent = Agent(shared_cloud)
    with following(agent) as heard:
        first = json.loads(heard.get(timeout=PATIENCE_S)[2])
        beat(agent, state="paused", trouble="malformed")
        while json.loads(heard.get(timeout=PATIENCE_S)[2])["states"]["paused"] <= first["states"]["paused"]:
            pass


def test_f60_feeds_that_nobody_reads_cost_nothing(live_cloud: LiveCloud) -> None:
    """Forty of them, while 20 MB of events are stored: ingest goes on, the server's memory stays."""
    agent = Agent(live_cloud)
    big = [event(str(number), "x" * 20_000) for number in range(1_000)]
    agent.send(big[:100])
    host = live_cloud.url.split("/")[2].split(":")[0]
    sockets = [socket.create_connection((host, live_cloud.port)) for _ in range(40)]
    try:
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line = f"GET /api/v1/feed?brain={agent.brain}&after=0 HTTP/1.1\r\nHost: x\r\n"
            each.sendall(f"{line}Authorization: Bearer {live_cloud.key}\r\n\r\n".encode())
        agent.send(big[:200], 100)
        before = memory_kb(live_cloud.pid)
        for first in range(200, 1_000, 100):
            assert agent.send(big[: first + 100], first).status_code == 200
        assert memory_kb(live_cloud.pid) - before < 100_000
    finally:
        for each in sockets:
            each.close()


def memory_kb(pid: int) -> int:
    """The resident size of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        found = re.search(r"VmRSS:\s+(\d+)", file.read())
    assert found is not None
    return int(found[1])


def test_open_feeds_do_not_hold_up_the_end(live_cloud: LiveCloud) -> None:
    """SIGTERM ends them."""
    agent = Agent(live_cloud)
    agent.send([event("a")])
    with following(agent, f"?brain={agent.brain}") as heard:
        heard.get(timeout=PATIENCE_S)
        begun = time.monotonic()
        live_cloud.stop()
        assert time.monotonic() - begun < AT_ONCE_S


# ---------------------------------------------------------------- signing in


def browser(cloud: LiveCloud) -> httpx.Client:
    """Something with cookies at the server's root."""
    base = cloud.url.removesuffix("/api/v1")
    return httpx.Client(base_url=base, trust_env=False, verify=False, timeout=30)


def test_signing_in_gives_a_session(shared_cloud: LiveCloud) -> None:
    """HttpOnly, SameSite=Strict, without the key in it; it opens pages, fleet and feed, until signed out or revoked."""
    key = shared_cloud.make_key("read")
    with browser(shared_cloud) as client:
        assert "<h1>Sign in</h1>" in client.get("/brain?id=x").text
        answer = client.post("/sign-in", data={"key": key, "next": "/brain?id=x"}, headers=HERE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/brain?id=x")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and key.rpartition("_")[2] not in cookie  # noqa: PT018
        assert "<h1>Fleet</h1>" in client.get("/").text
        assert client.get("/api/v1/fleet").status_code == 200
        assert client.get("/api/v1/events?brain=x").status_code == 401  # a session is for pages
        client.post("/sign-out", headers=HERE)
        assert "<h1>Sign in</h1>" in client.get("/").text
        assert client.get("/api/v1/fleet").status_code == 401


def test_f58_a_revoked_key_ends_its_sessions(live_cloud: LiveCloud) -> None:
    """At once, or nearly."""
    from gradata.cloud.service.api_keys import revoke_key
    from gradata.cloud.store.open import open_store

    key = live_cloud.make_key("read")
    with browser(live_cloud) as client:
        client.post("/sign-in", data={"key": key}, headers=HERE)
        assert client.get("/api/v1/fleet").status_code == 200
        store = open_store(live_cloud.store_url)
        revoke_key(store, key.rpartition("_")[0][:16])
        store.close()
        deadline = time.monotonic() + PATIENCE_S
        while client.get("/api/v1/fleet").status_code != 401:
            assert time.monotonic() < deadline


def test_sessions_survive_a_restart(live_cloud: LiveCloud) -> None:
    """The secret is the store's: any process knows them."""
    with browser(live_cloud) as client:
        client.post("/sign-in", data={"key": live_cloud.key}, headers=HERE)
        live_cloud.restart()
        assert client.get("/api/v1/fleet").status_code == 200


def test_f58_signing_in_is_for_people_with_keys_on_this_page(live_cloud: LiveCloud) -> None:
    """Another origin, a key without the scope, a guess, and too many of these."""
    with browser(live_cloud) as client:
        data = {"key": live_cloud.key}
        assert problem(client.post("/sign-in", data=data, headers={"Sec-Fetch-Site": "cross-site"}))[0] == 403
        assert problem(client.post("/sign-in", data=data, headers={"Origin": "https://evil.example"}))[0] == 403
        assert problem(client.post("/sign-out", headers={"Origin": "https://evil.example"}))[0] == 403
        sends = client.post("/sign-in", data={"key": live_cloud.make_key("ingest")}, headers=HERE)
        assert (sends.status_code, "may not read" in sends.text) == (403, True)
        guesses = [client.post("/sign-in", data={"key": f"gk_live_abcdefgh_{n:043}"}, headers=HERE) for n in range(15)]
        assert guesses[0].status_code == 403
        assert guesses[-1].status_code == 429
        assert not client.cookies


def test_every_page_is_locked_down(shared_cloud: LiveCloud) -> None:
    """CSP without inline anything, no framing, no sniffing, no caching; static files for ever, by their hash."""
    with browser(shared_cloud) as client:
        page = client.get("/")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (page.headers["x-content-type-options"], page.headers["cache-control"]) == ("nosniff", "no-store")
        assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page.text)
        address = re.search(r'href="(/static/[^"]+\.css)"', page.text)
        assert address is not None
        style = client.get(address[1])
        assert (style.status_code, "immutable" in style.headers["cache-control"]) == (200, True)
        assert client.get("/static/0000000000000000/dashboard.css").status_code == 404
        assert client.get("/static/x/../../secret").status_code == 404


# ---------------------------------------------------------------- metrics, logs


def test_metrics_count_what_happened(live_cloud: LiveCloud) -> None:
    """Events by outcome, requests, commits, lag, states; no name of a brain or key."""
    agent = Agent(live_cloud)
    agent.send([event("a"), b"garbage\n"])
    agent.send([event("a"), b"garbage\n"])
    beat(agent, state="paused")
    text = agent.ask("GET", "/metrics").text
    for line in (
        'gradata_events_total{outcome="accepted"} 1.0',
        'gradata_events_total{outcome="duplicate"} 2.0',
        'gradata_events_total{outcome="flagged"} 1.0',
        'gradata_http_requests_total{method="POST",route="ingest",status="200"} 2.0',
        'gradata_brains{state="paused"} 1.0',
        "gradata_silent_brains 1.0",
        "gradata_store_commit_seconds_count 3.0",
        "gradata_feed_clients 0.0",
    ):
        assert line in text
    assert agent.brain not in text
    assert live_cloud.key[:16] not in text


def test_f55_a_request_has_an_id_and_logs_have_no_secrets(live_cloud: LiveCloud) -> None:
    """The client's own if it is harmless; lines are JSON; neither key, text nor brain stands in them."""
    agent = Agent(live_cloud)
    assert agent.ask("GET", "/fleet", X_Request_Id="my-request-7").headers["x-request-id"] == "my-request-7"
    made = agent.ask("GET", "/fleet", X_Request_Id='"><script>').headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", made)
    agent.send([event("canary-text", "canary-text")])
    agent.ask("GET", "/feed?brain=nobody&key=canary-text")
    with browser(live_cloud) as client:
        client.post("/sign-in", data={"key": "canary-text"}, headers=HERE)
    live_cloud.stop()
    said = live_cloud.said.replace(live_cloud.admin_key, "")
    assert "canary-text" not in said
    assert live_cloud.key not in said
    for line in said.splitlines():
        assert not line.startswith("{") or {"at", "level", "message"} <= set(json.loads(line))


# ---------------------------------------------------------------- silence


class Hook:
    """A webhook of ours: keeps what it gets, refuses the first times if it is told to."""

    def __init__(self) -> None:
        self.got: queue.SimpleQueue[tuple[dict[str, str], bytes]] = queue.SimpleQueue()
        self.refuse = 0
        hook = self

        class Receive(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.refuse -= 1
                self.send_response(500 if hook.refuse >= 0 else 204)
                self.end_headers()
                if hook.refuse < 0:
                    hook.got.put(({name.lower(): value for name, value in self.headers.items()}, body))

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receive)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def next(self) -> dict[str, Any]:
        """What came."""
        found = json.loads(self.got.get(timeout=PATIENCE_S)[1])
        assert isinstance(found, dict)
        return found

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A webhook."""
    made = Hook()
    yield made
    made.close()


def test_f53_silence_is_told_once_with_an_all_clear(start_cloud: StartCloud, hook: Hook) -> None:
    """Signed, although the webhook refused at first; once, also over a restart; then that it is well again."""
    hook.refuse = 1
    cloud = start_cloud(webhook=hook.url, silent_s=2.0)
    agent = Agent(cloud)
    agent.send([event("a")], status=STATUS)
    headers, body = hook.got.get(timeout=PATIENCE_S)
    firing = json.loads(body)
    assert (firing["kind"], firing["brain_id"], firing["state"]) == ("firing", agent.brain, "silent")
    secret = (cloud.directory / "webhook.key").read_text().strip()
    stamp, given = (part.partition("=")[2] for part in headers["gradata-signature"].split(","))
    assert given == hmac.new(secret.encode(), f"{stamp}.".encode() + body, "sha256").hexdigest()
    assert headers["gradata-delivery"] == "1"
    cloud.restart()
    deadline = time.monotonic() + PATIENCE_S
    while hook.got.empty():  # the next that comes is the all-clear: nothing was told twice
        assert time.monotonic() < deadline
        beat(agent)
    cleared = hook.next()
    assert (cleared["kind"], cleared["brain_id"]) == ("cleared", agent.brain)


def test_f33_a_refused_key_shows_at_its_brain(live_cloud: LiveCloud) -> None:
    """The replicator names its brain, so the fleet can say who is refused although nothing of it comes in."""
    agent = Agent(live_cloud)
    agent.send([event("a")], status=STATUS)
    key = live_cloud.make_key("ingest")
    with contextlib.closing(open_store(live_cloud.store_url)) as store:
        revoke_key(store, key[:16])
    identity = Identity(agent.brain, "device")
    sink = HttpSink(endpoint=live_cloud.url, key=lambda: key, identity=identity, name_header="Gradata-Brain")
    sink.recall()
    sink.close()
    deadline = time.monotonic() + PATIENCE_S
    while (found := of(agent))["state"] != "refused":
        assert time.monotonic() < deadline
    assert (found["alert"], found["command"]) == (True, "gradata keys list")


def test_gradata_fleet_exits_1_when_somebody_is_silent(cli: CommandLine, live_cloud: LiveCloud) -> None:
    """0 when all are well; with the words and the command on stderr, the document with --json."""
    (cli.home / ".gradata").mkdir(exist_ok=True)
    (cli.home / ".gradata" / "key").write_text(live_cloud.key)
    agent = Agent(live_cloud)
    agent.send([event("a")], status=STATUS)
    fine = cli("fleet", "--endpoint", live_cloud.url)
    assert (fine.code, agent.brain in fine.out, fine.err) == (0, True, "")
    silent = cli("fleet", "--endpoint", live_cloud.url, "--silent-for", "0.001s")
    assert (silent.code, "no word from it" in silent.err, "Run: gradata doctor" in silent.err) == (1, True, True)
    document = json.loads(cli("fleet", "--endpoint", live_cloud.url, "--json").out)
    assert (document["alerts"], [brain["state"] for brain in document["brains"]]) == (0, ["live"])
    assert cli("fleet", "--endpoint", live_cloud.url, "--silent-for", "soon").code == 2


def test_gradata_fleet_says_why_it_cannot(cli: CommandLine, live_cloud: LiveCloud) -> None:
    """No key: 2. A key that may not read, nobody there: 1. Each with a hint, none with the key."""
    assert cli("fleet", "--endpoint", live_cloud.url).code == 2
    key = live_cloud.make_key("ingest")
    (cli.home / ".gradata").mkdir(exist_ok=True)
    (cli.home / ".gradata" / "key").write_text(key)
    denied = cli("fleet", "--endpoint", live_cloud.url)
    assert (denied.code, "403 scope_missing" in denied.err, "--scope read" in denied.err) == (1, True, True)
    live_cloud.stop()
    away = cli("fleet", "--endpoint", live_cloud.url)
    assert (away.code, "cannot be reached" in away.err, key in away.err + denied.err) == (1, True, False)
    live_cloud.start()
