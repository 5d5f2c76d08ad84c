"""`gradata serve` and `gradata keys`, as an operator uses them."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from pathlib import Path
from typing import Any

import httpx

from tests.support.cli_runner import CommandLine, last_lines
from tests.support.patience import PATIENCE_S


def serve(cli: CommandLine, store: Path, *arguments: str) -> tuple[Any, dict[str, Any]]:
    """A server on a free port with this store: its process, and what it said at the start."""
    process = cli.start("serve", "--port", "0", "--store", f"sqlite:{store}", "--json", *arguments)
    assert process.stdout is not None
    return process, dict(json.loads(process.stdout.readline()))


def answer(url: str, key: str) -> int:
    """The status of a reading request with this key."""
    with httpx.Client(trust_env=False) as client:
        return client.get(f"{url}/brains", headers={"Authorization": f"Bearer {key}"}).status_code


def test_serve_needs_no_configuration(cli: CommandLine) -> None:
    """The first start makes an admin key, says it once, keeps it 0600; a second start does not say it again."""
    process, started = serve(cli, cli.home / "cloud" / "cloud.db")
    assert set(started) == {"url", "store", "key_path", "admin_key"}
    assert answer(started["url"], started["admin_key"]) == 200
    assert stat.S_IMODE(os.stat(started["key_path"]).st_mode) == 0o600
    assert Path(started["key_path"]).read_text().strip() == started["admin_key"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    again, restarted = serve(cli, cli.home / "cloud" / "cloud.db")
    assert restarted["admin_key"] is None
    assert answer(restarted["url"], started["admin_key"]) == 200
    again.send_signal(signal.SIGINT)
    assert again.wait(20) == 0
    assert again.stderr is not None
    assert again.stderr.read() == ""


def test_f58_keys_live_from_their_making_to_their_end(cli: CommandLine) -> None:
    """Made, listed without their secret, rotated with both working, revoked at once; the server sees each."""
    store = cli.home / "cloud.db"
    _, started = serve(cli, store)
    where = ("--store", f"sqlite:{store}")
    key = cli("keys", "create", *where, "--name", "laptop", "--scope", "ingest,read", "--json").json["key"]
    assert answer(started["url"], key) == 200
    listed = cli("keys", "list", *where, "--json")
    (row,) = [each for each in listed.json["keys"] if each["name"] == "laptop"]
    assert set(row) == {"key", "name", "workspace", "scopes", "brains", "created_at", "expires_at", "revoked_at"}
    assert row["scopes"] == ["ingest", "read"]
    assert key.startswith(row["key"] + "_")
    secret = key.removeprefix(row["key"])
    assert secret not in listed.out
    assert secret not in cli("keys", "list", *where).out
    fresh = cli("keys", "rotate", *where, row["key"], "--json").json["key"]
    assert [answer(started["url"], each) for each in (key, fresh)] == [200, 200]
    unasked = cli("keys", "revoke", *where, row["key"])
    assert unasked.code == 2
    assert "laptop" in unasked.out
    assert cli("keys", "revoke", *where, row["key"], "--dry-run", "--json").json["revoked"] is False
    assert cli("keys", "revoke", *where, row["key"], "--yes", "--json").json["revoked"] is True
    deadline = time.monotonic() + PATIENCE_S  # the server may remember a working key for a second
    while answer(started["url"], key) != 401:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert cli("keys", "list", *where, "--json").json["keys"][1]["revoked_at"] is not None
    assert answer(started["url"], fresh) == 200


def test_a_created_key_alone_is_on_stdout(cli: CommandLine) -> None:
    """`gradata keys create … > ~/.gradata/key` works: the key, a newline, nothing else."""
    store = f"sqlite:{cli.home / 'cloud.db'}"
    done = cli("keys", "create", "--store", store, "--name", "x")
    assert done.code == 0
    assert len(done.out.split()) == 1
    assert done.out.startswith("gk_live_")
    assert "shown once" in done.err


def test_keys_of_a_store_that_is_not_there(cli: CommandLine) -> None:
    """A misspelt store is an error, and is not made by looking for keys in it."""
    path = cli.home / "nowhere.db"
    for arguments in (("list",), ("rotate", "gk_live_12345678"), ("revoke", "gk_live_12345678", "--yes")):
        done = cli("keys", arguments[0], "--store", f"sqlite:{path}", *arguments[1:])
        assert done.code == 2
        assert str(path) in last_lines(done)[0]
    assert not path.exists()
