"""How the server starts, stops and dies: what it refuses to begin with, and that every 200 outlives a kill."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from gradata.cloud.server import is_loopback, run
from gradata.cloud.service.api_keys import create_key
from gradata.cloud.service.integrity import check
from gradata.cloud.store.open import open_store
from gradata.cloud.store.values import StoreError
from replicator.errors import ConfigurationError
from tests.support.cloud_batches import event, tree
from tests.support.cloud_client import Agent
from tests.support.cloud_fixture import LiveCloud


def test_the_first_start_makes_an_admin_key(live_cloud: LiveCloud) -> None:
    """Said once on a line of its own, kept in a file for the owner alone; no second one at the next start."""
    kept = live_cloud.directory / "admin.key"
    assert live_cloud.said.splitlines()[-1] == live_cloud.admin_key
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert Agent(live_cloud, key=live_cloud.admin_key).ask("GET", "/brains").status_code == 200
    live_cloud.restart()
    assert (live_cloud.said.count(live_cloud.admin_key), kept.read_text().strip()) == (1, live_cloud.admin_key)


def test_a_key_made_before_the_first_start_does_not_prevent_the_admin_key(tmp_path: Path) -> None:
    """`gradata keys create` may come first, as in the README; the promised admin key is made all the same."""
    url = f"sqlite:{tmp_path}/cloud.db"
    store = open_store(url)
    create_key(store, "me", ("ingest", "read"))
    store.close()
    command = [sys.executable, "-m", "gradata", "serve", "--port", "0", "--store", url, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        started = json.loads(server.stdout.readline())
        server.terminate()
    assert (tmp_path / "admin.key").read_text().strip() == started["admin_key"] != ""


def test_f80_a_stderr_that_nobody_reads_stops_no_server(tmp_path: Path) -> None:
    """The pipe is full while requests fail and are logged: others are answered, and SIGTERM ends the server."""
    unread, full = os.pipe()
    url = f"sqlite:{tmp_path}/cloud.db"
    command = [sys.executable, "-m", "gradata", "serve", "--port", "0", "--store", url, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=full, text=True) as server:
        assert server.stdout is not None
        started = json.loads(server.stdout.readline())
        os.set_blocking(full, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(full, b"an earlier line\n" * 64)
        os.set_blocking(full, True)
        headers = {"Authorization": f"Bearer {started['admin_key']}"}
        holder = sqlite3.connect(tmp_path / "cloud.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        path = f"{started['url']}/ingest"
        told = dict.fromkeys(("category", "severity", "description", "draft_preview", "final_preview"), "x")
        correction = {"brain_id": "b", "correction": told | {"session": 1, "created_at": "2026-01-01T00:00:00Z"}}
        failed = [httpx.post(path, json=correction, headers=headers, timeout=60).status_code for _ in range(2)]
        holder.execute("ROLLBACK")
        holder.close()
        healthy = httpx.get(f"{started['url']}/health", timeout=30).status_code
        server.terminate()
        assert server.wait(30) == 0
    os.close(full)
    os.close(unread)
    assert (healthy, failed) == (200, [503, 503])


def test_f56_the_store_is_for_its_owner_alone(live_cloud: LiveCloud) -> None:
    """Every file of it is 0600; a symlink in its place is not followed."""
    Agent(live_cloud).send([event("a")])
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in live_cloud.directory.iterdir()}
    assert set(modes.values()) == {"0o600"}, modes
    planted = live_cloud.directory / "link.db"
    planted.symlink_to(live_cloud.directory / "elsewhere.db")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(f"sqlite:{planted}")
    assert not (live_cloud.directory / "elsewhere.db").exists()


def test_it_does_not_listen_beyond_this_machine_unasked(tmp_path: Path) -> None:
    """Plain HTTP on every interface needs an explicit word."""
    with pytest.raises(ConfigurationError, match=r"other machines") as refused:
        run("0.0.0.0", 0, f"sqlite:{tmp_path}/cloud.db")
    assert "--allow-remote" in refused.value.hint
    assert [is_loopback(host) for host in ("127.0.0.9", "::1", "localhost", "10.0.0.1", "example.org", "")] == (
        [True, True, True, False, False, False]
    )


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """With the hint that helps; nothing is made."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)) as refused:
            run("127.0.0.1", port, f"sqlite:{tmp_path}/cloud.db")
    assert "--port" in refused.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_use_is_named(live_cloud: LiveCloud) -> None:
    """A second server on the same store says who has it; the first goes on."""
    with pytest.raises(StoreError, match=rf"locked.*{live_cloud.pid}") as refused:
        run("127.0.0.1", 0, live_cloud.store_url)
    assert "--store" in refused.value.hint
    assert Agent(live_cloud).send([event("a")]).status_code == 200


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:{0}", "is a directory"),
        ("sqlite:{0}/garbage.db", "cannot be used"),
        ("sqlite:{0}/newer.db", "schema 99"),
        ("mysql://x", "sqlite:PATH"),
        ("sqlite:", "sqlite:PATH"),
        ("postgresql://127.0.0.1:1/x", "cannot be used"),
    ],
)
def test_a_store_that_cannot_work_is_a_clear_error(tmp_path: Path, url: str, words: str) -> None:
    """Each with a hint."""
    (tmp_path / "garbage.db").write_bytes(b"no database at all" * 100)
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreError, match=words) as refused:
        open_store(url.format(tmp_path), serving=True)
    assert refused.value.hint


def test_a_store_that_is_locked_for_a_while_is_503(live_cloud: LiveCloud) -> None:
    """Retry-After; reads go on; after the lock everything is taken, nothing was half written."""
    agent = Agent(live_cloud)
    agent.send([event("a")])
    locker = sqlite3.connect(live_cloud.store_url.removeprefix("sqlite:"), isolation_level=None)
    try:
        locker.execute("BEGIN IMMEDIATE")
        refused = agent.send([event("a"), event("b")], 1)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert agent.replica().content == event("a")
        locker.execute("ROLLBACK")
    finally:
        locker.close()
    assert agent.send([event("a"), event("b")], 1).json()["accepted"] == 1


def test_sigterm_finishes_what_is_at_work(live_cloud: LiveCloud) -> None:
    """Batches under way get their answer, and what was answered is there at the next start."""
    agents = [Agent(live_cloud) for _ in range(4)]
    stored: dict[str, int] = {}
    begun = threading.Barrier(5)

    def send(agent: Agent) -> None:
        log = [event(f"{agent.brain}-{number}") for number in range(400)]
        begun.wait()
        for first in range(0, 400, 20):
            try:
                answer = agent.send(log, first, first + 20)
            except httpx.TransportError:
                return
            assert answer.status_code == 200
            stored[agent.log_id] = answer.json()["head"]["size"]

    threads = [threading.Thread(target=send, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    begun.wait()
    live_cloud.stop()
    for thread in threads:
        thread.join()
    live_cloud.start()
    sizes = {agent.log_id: len(agent.replica().content.splitlines()) for agent in agents if agent.log_id in stored}
    assert sizes == stored


def test_every_200_outlives_a_kill_at_any_moment(live_cloud: LiveCloud) -> None:
    """`kill -9` while 4 agents send: each ack is durable; heads, tiles, records and events agree."""
    chance = random.Random(11)
    agents = [Agent(live_cloud) for _ in range(4)]
    logs = {agent.log_id: [event(f"{agent.brain}-{number}", "x" * 300) for number in range(900)] for agent in agents}
    acked = dict.fromkeys(logs, 0)
    for _ in range(4):
        stop_after = chance.randrange(4, 40)
        answered = threading.Semaphore(0)

        def send(agent: Agent, answered: threading.Semaphore = answered) -> None:
            log = logs[agent.log_id]
            with httpx.Client(trust_env=False, verify=False, timeout=60) as client:
                headers = {"Authorization": f"Bearer {live_cloud.key}", "Content-Type": "application/vnd.gradata.batch"}
                while acked[agent.log_id] < len(log):
                    first = acked[agent.log_id]
                    content = agent.body(log, first, first + 7)
                    try:
                        answer = client.post(live_cloud.url + "/ingest", content=content, headers=headers)
                    except httpx.TransportError:
                        return
                    assert answer.status_code == 200, answer.text
                    acked[agent.log_id] = answer.json()["head"]["size"]
                    answered.release()

        threads = [threading.Thread(target=send, args=(agent,)) for agent in agents]
        for thread in threads:
            thread.start()
        for _ in range(stop_after):
            assert answered.acquire(timeout=60), "the server answers no more"
        live_cloud.kill()
        for thread in threads:
            thread.join()
        live_cloud.start()
    for agent in agents:
        log = logs[agent.log_id]
        stored = agent.ask("GET", f"/logs/{agent.log_id}").json()["size"]
        assert acked[agent.log_id] <= stored <= len(log)
        answer = agent.send(log, acked[agent.log_id]).json()
        assert (answer["head"]["size"], answer["head"]["root"]) == (len(log), tree(log).root.hex())
        assert agent.replica().content == b"".join(log)
        assert len(agent.events()) == len(log)
    live_cloud.stop()
    store = open_store(live_cloud.store_url)
    try:
        reports = check(store)
        assert len(reports) == 4
        assert all(report.sound for report in reports), reports
    finally:
        store.close()


def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    """As a person expects: the store is closed, nothing alarming is printed."""
    script = f"from gradata.cloud.server import run; run('127.0.0.1', 0, 'sqlite:{tmp_path}/cloud.db')"
    caught = f"try:\n    {script.replace('; ', chr(10) + '    ')}\nexcept KeyboardInterrupt:\n    print('ended')\n"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADATA_")}
    with subprocess.Popen(
        [sys.executable, "-c", caught], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stderr is not None
        while not server.stderr.readline().startswith("gk_live_"):
            pass
        server.send_signal(2)
        said, errors = server.communicate(timeout=30)
    assert (said.strip(), "Traceback" in errors) == ("ended", False), json.dumps(errors)
