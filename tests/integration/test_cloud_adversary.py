"""A real server and clients that mean harm, or whose rights have ended: others go on, and what ended ends."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gradata.cloud.service.api_keys import revoke_key
from gradata.cloud.store.open import open_store
from tests.support.cloud_batches import event
from tests.support.cloud_client import Agent
from tests.support.cloud_fixture import LiveCloud, StartCloud

REVOKED_S = 5.0
SLACK_S = 10.0
"""What a busy machine may add; the bound itself is the server's, which looks every two seconds."""


@pytest.fixture(params=["sqlite", "postgresql"])
def cloud(request: pytest.FixtureRequest, start_cloud: StartCloud) -> LiveCloud:
    """A server on each store."""
    if request.param == "sqlite":
        return start_cloud()
    return start_cloud(store_url=request.getfixturevalue("postgres_url"))


def revoke(cloud: LiveCloud, key: str) -> None:
    """What `gradata keys revoke` does, in another process than the server's."""
    with contextlib.closing(open_store(cloud.store_url)) as store:
        revoke_key(store, key[:16])


def sign_in(cloud: LiveCloud, key: str) -> dict[str, str]:
    """The cookie's header."""
    at = cloud.url.removesuffix("/api/v1")
    answer = httpx.post(f"{at}/sign-in", data={"key": key}, headers={"Sec-Fetch-Site": "same-origin"}, trust_env=False)
    assert answer.status_code == 303
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


@contextlib.contextmanager
def opened(cloud: LiveCloud, path: str, headers: dict[str, str]) -> Iterator[socket.socket]:
    """A connection that has sent a GET."""
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=60) as connection:
        lines = [f"GET /api/v1{path} HTTP/1.1", "Host: cloud", *(f"{name}: {value}" for name, value in headers.items())]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        yield connection


def read_until_its_end(connection: socket.socket) -> tuple[bytes, float]:
    """What came, and how many seconds it took to end."""
    begun, heard = time.monotonic(), b""
    try:
        while part := connection.recv(65_536):
            heard += part
    except ConnectionResetError:
        pass
    return heard, time.monotonic() - begun


@pytest.mark.parametrize("by", ["key", "session"])
def test_f102_a_feed_ends_with_its_key(cloud: LiveCloud, by: str) -> None:
    """Within seconds of the revocation, by key and by session; nothing stored afterwards is told."""
    agent, key = Agent(cloud), cloud.make_key("read")
    agent.send([event("before")])
    headers = {"Authorization": f"Bearer {key}"} if by == "key" else sign_in(cloud, key)
    with opened(cloud, f"/feed?brain={agent.brain}", headers) as feed:
        assert feed.recv(65_536).startswith(b"HTTP/1.1 200 OK")
        revoke(cloud, key)
        heard, seconds = read_until_its_end(feed)
        agent.send([event("before"), event("SECRET")], 1)
    assert b"SECRET" not in heard
    assert seconds < REVOKED_S + SLACK_S


def test_f102_a_feed_and_the_pages_end_with_a_sign_out(cloud: LiveCloud) -> None:
    """The cookie that was kept is worth nothing any more, at once and for every server; another session goes on."""
    agent = Agent(cloud)
    agent.send([event("before")])
    mine, other = sign_in(cloud, cloud.key), sign_in(cloud, cloud.key)
    at = cloud.url.removesuffix("/api/v1")

    def page(cookie: dict[str, str]) -> str:
        return httpx.get(f"{at}/parts/fleet", headers=cookie, trust_env=False).reason_phrase

    with opened(cloud, f"/feed?brain={agent.brain}", mine) as feed:
        assert feed.recv(65_536).startswith(b"HTTP/1.1 200 OK")
        assert [page(mine), page(other)] == ["OK", "OK"]
        out = httpx.post(f"{at}/sign-out", headers=mine | {"Sec-Fetch-Site": "same-origin"}, trust_env=False)
        assert out.status_code == 303
        assert [page(mine), page(other)] == ["Unauthorized", "OK"]
        _, seconds = read_until_its_end(feed)
    assert seconds < REVOKED_S + SLACK_S
    cloud.restart()
    assert [page(mine), page(other)] == ["Unauthorized", "OK"]


def test_f102_a_long_read_ends_with_its_key(cloud: LiveCloud) -> None:
    """A replica of 4 GiB of blanks, read slowly: cut within seconds of the revocation."""
    agent, key = Agent(cloud), cloud.make_key("read")
    hole: dict[str, Any] = {"length": 2**32, "leaf": "11" * 32}
    assert agent.send([], hole=hole, count=1).status_code == 200
    with opened(cloud, f"/logs/{agent.log_id}/bytes", {"Authorization": f"Bearer {key}"}) as read:
        assert read.recv(1_000).startswith(b"HTTP/1.1 200 OK")
        revoke(cloud, key)
        begun = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            while read.recv(1_000_000):
                assert time.monotonic() - begun < REVOKED_S + SLACK_S


# ---------------------------------------------------------------- shares of what all use

SIGN_IN = (
    "POST /sign-in HTTP/1.1\r\nHost: cloud\r\nSec-Fetch-Site: same-origin\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n"
)
FEW_CONNECTIONS = "import gradata.cloud.http.connection as c; c.CONNECTIONS_MAX = 40\n"
FEW_SLOTS = (
    "import gradata.cloud.http.middleware as m; m.RequestMiddleware.__init__.__kwdefaults__['requests_max'] = 8\n"
)


@contextlib.contextmanager
def connected(cloud: LiveCloud, count: int, sent: str) -> Iterator[list[socket.socket]]:
    """So many connections that have sent this."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            made.append(stack.enter_context(socket.create_connection(("127.0.0.1", cloud.port), timeout=60)))
            made[-1].sendall(sent.encode())
        yield made


def test_f104_bodies_that_do_not_come_hold_no_slot(start_cloud: StartCloud) -> None:
    """Without a key, more of them than there are slots: batches are stored, pages and health are answered."""
    cloud = start_cloud(prelude=FEW_SLOTS)
    agent = Agent(cloud)
    with connected(cloud, 30, SIGN_IN):
        assert agent.send([event("a")]).status_code == 200
        assert agent.ask("GET", "/health").status_code == 200
        assert agent.ask("GET", "/fleet").status_code == 200


def test_f104_bodies_that_are_only_announced_take_no_room(live_cloud: LiveCloud) -> None:
    """40 of 16 MiB that never come: a large batch of another agent is stored."""
    head = (
        f"POST /api/v1/ingest HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer {live_cloud.key}\r\n"
        "Content-Type: application/vnd.gradata.batch\r\nContent-Length: 16777216\r\n\r\n"
    )
    with connected(live_cloud, 40, head):
        large = [event(str(number), "x" * 500_000) for number in range(20)]
        assert Agent(live_cloud).send(large).status_code == 200


def test_f104_connections_that_say_nothing_give_way(start_cloud: StartCloud) -> None:
    """More than the server takes, idle or with half a head or body: the oldest are closed, everybody else is served."""
    cloud = start_cloud(prelude=FEW_CONNECTIONS)
    agent = Agent(cloud)
    with connected(cloud, 60, ""), connected(cloud, 60, "GET /api/v1/health HT"), connected(cloud, 60, SIGN_IN) as last:
        assert agent.send([event("a")]).status_code == 200
        assert agent.ask("GET", "/ready").status_code == 200
        last[-1].sendall(b"key=" + b"x" * 96)
        assert last[-1].recv(100).startswith(b"HTTP/1.1 403")


def test_f104_reads_of_one_key_leave_room_for_others(live_cloud: LiveCloud) -> None:
    """Replicas that nobody reads on: beyond its share the key is told 429; ingest, other keys and health go on."""
    agent, key, other = Agent(live_cloud), live_cloud.make_key("read"), live_cloud.make_key("read")
    assert agent.send([], hole={"length": 2**32, "leaf": "11" * 32}, count=1).status_code == 200
    asked = f"GET /api/v1/logs/{agent.log_id}/bytes HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer {key}\r\n\r\n"
    with connected(live_cloud, 40, asked) as reads:
        heads = [each.recv(12) for each in reads]
        assert {head[9:] for head in heads} == {b"200", b"429"}
        assert agent.send([event("a")], log_id="22222222-2222-4222-8222-222222222222").status_code == 200
        assert Agent(live_cloud, other).ask("GET", "/fleet").status_code == 200
        assert agent.ask("GET", "/ready").status_code == 200


def test_f105_guesses_lock_nobody_out_who_has_a_key(start_cloud: StartCloud) -> None:
    """Behind a proxy that is believed, by address; a key that works passes wherever the guesses came from."""
    cloud = start_cloud(forwarded_allow_ips="127.0.0.1")
    at = cloud.url.removesuffix("/api/v1")

    def tried(key: str, address: str) -> int:
        headers = {"Sec-Fetch-Site": "same-origin", "X-Forwarded-For": address}
        return httpx.post(f"{at}/sign-in", data={"key": key}, headers=headers, trust_env=False).status_code

    wrong = "gk_live_00000000_" + "A" * 43
    while tried(wrong, "10.0.0.1") != 429:
        pass
    assert tried(wrong, "10.0.0.2") == 403
    assert tried(cloud.key, "10.0.0.1") == 303


# ---------------------------------------------------------------- requests of an odd form


def answered(cloud: LiveCloud, request: bytes) -> bytes:
    """What comes back first."""
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=20) as connection:
        connection.sendall(request)
        return connection.recv(65_536)


def test_f109_nobody_is_sent_to_the_host_that_a_client_names(shared_cloud: LiveCloud) -> None:
    """A path with one slash too many is not found; there is no redirect."""
    answer = answered(shared_cloud, b"GET /api/v1/health/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"evil.example" not in answer


def test_f109_a_head_above_the_bound_in_one_piece_is_refused(shared_cloud: LiveCloud) -> None:
    """However it comes: 400, and nothing is done."""
    head = b"GET /api/v1/health HTTP/1.1\r\nHost: cloud\r\nX-Large: " + b"x" * 70_000 + b"\r\n\r\n"
    assert answered(shared_cloud, head).startswith(b"HTTP/1.1 400 ")


def test_f109_an_upgrade_with_a_body_is_refused_and_loses_nothing(shared_cloud: LiveCloud) -> None:
    """400 instead of a body that is dropped; without a body the request is answered, and the connection ends."""
    agent = Agent(shared_cloud)
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"
    content = agent.body([event("a")])
    head = (
        f"POST /api/v1/ingest HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer {shared_cloud.key}\r\n{upgrade}"
        f"Content-Type: application/vnd.gradata.batch\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    assert answered(shared_cloud, head.encode() + content).startswith(b"HTTP/1.1 400 ")
    with socket.create_connection(("127.0.0.1", shared_cloud.port), timeout=20) as connection:
        connection.sendall(f"GET /api/v1/health HTTP/1.1\r\nHost: cloud\r\n{upgrade}\r\n".encode())
        heard, _ = read_until_its_end(connection)
    assert heard.startswith(b"HTTP/1.1 200 ")
