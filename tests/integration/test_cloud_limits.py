"""Bombs, endless and slow bodies, too many requests: bounded memory and time, and a clear status."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gradata.cloud.http import connection as protocol
from gradata.cloud.store.open import open_store
from tests.support.cloud_app import open_app
from tests.support.cloud_batches import BATCH, body, event
from tests.support.cloud_client import Agent, problem
from tests.support.cloud_fixture import LiveCloud, StartCloud
from tests.support.packing import zstd

MIB = 1024 * 1024


def memory_mib(cloud: LiveCloud) -> float:
    """The server's largest resident size so far."""
    for line in Path(f"/proc/{cloud.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


def test_f57_compressed_bombs_cost_no_more_than_the_limit(live_cloud: LiveCloud) -> None:
    """A gigabyte in a few kilobytes, a quarter in gzip, and a frame that wants a huge window: 413 or 400."""
    agent = Agent(live_cloud)
    agent.send([event("a")])
    before = memory_mib(live_cloud)
    packer = zstd.ZstdCompressor(level=1)
    zeros = bytes(MIB)
    bomb = b"".join(packer.compress(zeros) for _ in range(1024)) + packer.flush()
    wide = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    window = wide.compress(bytes(MIB)) + wide.flush()
    gzipped = gzip.compress(bytes(256 * MIB), compresslevel=1)
    assert problem(agent.ask("POST", "/ingest", bomb, Content_Encoding="zstd")) == (413, "body_too_large")
    assert problem(agent.ask("POST", "/ingest", gzipped, Content_Encoding="gzip")) == (413, "body_too_large")
    assert problem(agent.ask("POST", "/ingest", window, Content_Encoding="zstd")) == (400, "malformed")
    assert memory_mib(live_cloud) - before < 100
    assert agent.send([event("a"), event("b")], 1).json()["accepted"] == 1


def test_f57_deep_json_is_an_uninterpretable_record(shared_cloud: LiveCloud) -> None:
    """A record 400,000 levels deep is kept and flagged, its neighbours are events; a deep envelope is malformed."""
    agent = Agent(shared_cloud)
    deep = b'{"a":' + b"[" * 400_000 + b"]" * 400_000 + b"}\n"
    answer = agent.send([event("a"), deep, event("b")]).json()
    assert (answer["accepted"], [item["code"] for item in answer["flagged"]]) == (2, ["not_json"])
    assert deep in agent.replica().content
    assert problem(agent.ask("POST", "/ingest", b"[" * 60_000 + b"\n")) == (400, "malformed")
    deep_correction = b'{"brain_id":"b","correction":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001
    assert problem(agent.ask("POST", "/ingest", deep_correction, kind="application/json")) == (400, "malformed")


def test_f57_an_endless_chunked_body_ends_at_the_limit(shared_cloud: LiveCloud) -> None:
    """413 while it is still coming."""
    agent = Agent(shared_cloud)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 512 * MIB:
            sent += 65_536
            yield b"x" * 65_536

    # The server may close the connection before the client has looked for the answer.
    with contextlib.suppress(httpx.WriteError):
        assert problem(agent.ask("POST", "/ingest", endless())) == (413, "body_too_large")
    assert sent < 256 * MIB


def test_f57_a_body_that_does_not_come_is_given_up(start_cloud: StartCloud) -> None:
    """After the time limit 408 and the connection is closed; others are served meanwhile and afterwards."""
    cloud = start_cloud(body_s=0.5)
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=60) as slow:
        head = f"POST /api/v1/ingest HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {cloud.key}\r\n"
        slow.sendall(f"{head}Content-Type: application/vnd.gradata.batch\r\nContent-Length: 1000\r\n\r\nx".encode())
        agent = Agent(cloud)
        assert agent.send([event("a")]).status_code == 200
        answer = b""
        while part := slow.recv(65_536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\ncontent-type: application/problem+json\r\n" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "body_too_slow"
    assert agent.send([event("a"), event("b")], 1).json()["accepted"] == 1
    assert agent.replica().content == event("a") + event("b")


def test_f57_an_endless_head_is_refused(shared_cloud: LiveCloud) -> None:
    """Headers without end are cut off with 400; what is no HTTP at all is a problem, too."""
    with socket.create_connection(("127.0.0.1", shared_cloud.port), timeout=60) as endless:
        endless.sendall(b"GET /health HTTP/1.1\r\n")
        try:
            for _ in range(2 * protocol.HEAD_BYTES_MAX // 1024):
                endless.sendall(b"X-More: " + b"y" * 1014 + b"\r\n")
            answer = endless.recv(65_536)
        except (ConnectionResetError, BrokenPipeError):  # closed with bytes of ours unread
            answer = b"HTTP/1.1 400 "
    assert answer.startswith(b"HTTP/1.1 400 ")
    with socket.create_connection(("127.0.0.1", shared_cloud.port), timeout=60) as garbage:
        garbage.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert b"application/problem+json" in garbage.recv(65_536)


def test_f57_many_connections_that_say_nothing_hinder_nobody(shared_cloud: LiveCloud) -> None:
    """400 silent connections are open; a batch is stored as usual."""
    silent = [socket.create_connection(("127.0.0.1", shared_cloud.port), timeout=60) for _ in range(400)]
    try:
        assert Agent(shared_cloud).send([event("a")]).status_code == 200
    finally:
        for connection in silent:
            connection.close()


def test_f37_the_request_budget_of_a_brain(start_cloud: StartCloud) -> None:
    """Beyond the burst 429 with Retry-After; other brains are not touched; every answer has the fields."""
    cloud = start_cloud(requests_per_minute=60, burst=10, burst_slack=0)
    agent, other = Agent(cloud), Agent(cloud)
    log = [event("a")]
    content = agent.body(log)
    statuses: list[int] = []
    refused: list[httpx.Response] = []

    def send() -> None:
        for _ in range(10):
            answer = agent.ask("POST", "/ingest", content)
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                refused.append(answer)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(200) >= 10
    assert set(statuses) == {200, 429}
    assert problem(refused[0]) == (429, "rate_limited")
    assert refused[0].headers["retry-after"] == "1"
    passed = other.send(log)
    assert (passed.status_code, passed.headers["ratelimit-policy"]) == (200, '"brain";q=60;w=60')
    assert passed.headers["ratelimit"] == '"brain";r=9;t=1'
    for path in ("/health", "/nowhere"):
        assert agent.ask("GET", path).headers["ratelimit-policy"] == '"brain";q=60;w=60'


def test_f37_a_budget_is_the_brains_whatever_key_address_and_way() -> None:
    """Batches, loose events, single corrections and old clients' requests of one brain spend one budget."""
    log = [event("a")]
    document = json.dumps({"brain_id": "brain", "correction": {}}).encode()
    sync = json.dumps({"brain_name": "brain", "events": []}).encode()
    with open_app(open_store("sqlite::memory:"), requests_per_minute=1, burst=5) as app:
        keys = [app.make_key("ingest") for _ in range(3)]

        def ask_all() -> list[int]:
            sent = [
                ("/ingest", body(log), BATCH),
                ("/ingest", body(log), BATCH),
                ("/ingest?brain=brain", event("b"), "application/x-ndjson"),
                ("/ingest", document, "application/json"),
                ("/sync", sync, "application/json"),
            ]
            return [
                app.ask("POST", path, content, kind=kind, key=keys[number % 3],
                        headers={"X-Forwarded-For": f"10.0.0.{number}"}).status_code
                for number, (path, content, kind) in enumerate(sent)
            ]  # fmt: skip

        assert ask_all() == [200] * 5
        assert ask_all() == [429] * 5
        assert app.ask("POST", "/ingest", body(log, brain_id="other"), kind=BATCH).status_code == 200


def test_heartbeats_have_a_budget_of_their_own(start_cloud: StartCloud) -> None:
    """A few above four a minute pass; a storm does not, and spends nothing of the brain's requests."""
    agent = Agent(start_cloud(requests_per_minute=600))
    beat = json.dumps({"brain_id": agent.brain, "device_id": "d", "log_id": agent.log_id, "size": 0, "root": "0" * 64})
    statuses = [agent.ask("POST", "/heartbeat", beat, kind="application/json").status_code for _ in range(12)]
    assert statuses[:8] == [200] * 8
    assert statuses[8:] == [429] * 4
    passed = agent.send([event("a")])
    assert (passed.headers["ratelimit-policy"], passed.headers["ratelimit"]) == (
        '"brain";q=600;w=60',
        '"brain";r=9;t=1',
    )


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_a_client_that_goes_away_leaves_nothing(shared_cloud: LiveCloud, encoding: str | None) -> None:
    """Half a body and a closed connection: not stored, and the next one is."""
    agent = Agent(shared_cloud)
    content = agent.body([event("a")])
    coding = f"Content-Encoding: {encoding}\r\n" if encoding else ""
    with socket.create_connection(("127.0.0.1", shared_cloud.port), timeout=60) as going:
        head = f"POST /api/v1/ingest HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {shared_cloud.key}\r\n{coding}"
        length = f"Content-Type: application/vnd.gradata.batch\r\nContent-Length: {len(content)}\r\n\r\n"
        going.sendall((head + length).encode() + content[:-10])
    assert agent.ask("GET", f"/logs?brain={agent.brain}").json()["logs"] == []
    assert agent.send([event("a")]).json()["accepted"] == 1
