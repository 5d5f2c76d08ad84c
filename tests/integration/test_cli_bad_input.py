"""Bad input at the command line: each a clear error with a hint, no traceback, and nothing lost."""

from __future__ import annotations

import os
import socket
import sqlite3
from pathlib import Path

import pytest

from tests.support.cli_runner import CommandLine, Done, last_lines
from tests.support.cloud_fixture import LiveCloud


def refused(done: Done, code: int, *words: str) -> None:
    """It ended with this code, `error: …` that has these words, and a hint."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    error, hint = last_lines(done)
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    assert len(hint) > len("hint: ")
    for word in words:
        assert word in error, error


@pytest.mark.parametrize(
    "command", [("replicate",), ("correct", "--draft", "a", "--final", "b"), ("replicate", "--from-offset", "0")]
)
def test_a_log_path_that_is_a_directory(cli: CommandLine, command: tuple[str, ...]) -> None:
    """The log is named, and what it is; status and doctor say it, too."""
    cli.use("http://127.0.0.1:9", "gk_live_x")
    cli.log.unlink()
    cli.log.mkdir()
    refused(cli(*command), 1, str(cli.log))
    status = cli("status", "--json", "--no-cloud")
    assert status.code == 1
    assert str(cli.log) in status.json["errors"][0]
    doctor = cli("doctor", "--json", "--no-cloud")
    assert doctor.code == 1
    assert [check["status"] for check in doctor.json["checks"] if check["name"] == "log"] == ["fail"]


@pytest.mark.parametrize(
    "command",
    [
        ("correct", "--draft", "a", "--final", "b"), ("replicate",), ("status",), ("cursor", "show"),
        ("cursor", "reset", "--to-offset", "0", "--yes"), ("dead-letters", "list"),
    ],
)  # fmt: skip
def test_a_brain_that_does_not_exist(cli: CommandLine, command: tuple[str, ...]) -> None:
    """Named with the command that makes one; nothing is made by asking for it."""
    nowhere = cli.home / "nowhere"
    done = cli(*command, "--brain", str(nowhere))
    refused(done, 2, str(nowhere))
    assert "gradata init" in last_lines(done)[1]
    assert not nowhere.exists()


@pytest.mark.parametrize("command", [("replicate", "--from-offset"), ("cursor", "reset", "--yes", "--to-offset")])
def test_offsets_that_are_no_start_of_a_record(cli: CommandLine, command: tuple[str, ...]) -> None:
    """Negative, in the middle of a record (the nearest ones are named), beyond the end: nothing is ordered."""
    cli.use("http://127.0.0.1:9", "gk_live_x")
    length = len(cli.append(2)) // 2
    refused(cli(*command, "-1"), 2, "negative")
    middle = cli(*command, str(length + 5))
    refused(middle, 2, f"offset {length + 5}", str(length), str(2 * length))
    assert last_lines(middle)[1] == f"hint: use {length} or {2 * length}"
    refused(cli(*command, "1000000"), 2, "is not in the log")
    refused(cli(*command, "x"), 2, "invalid int")
    assert not (cli.brain / ".replicator.db").exists()


def test_an_unknown_event(cli: CommandLine) -> None:
    """An id that no record has."""
    cli.use("http://127.0.0.1:9", "gk_live_x")
    cli.append(1)
    refused(cli("replicate", "--from-event", "nope"), 2, "event nope")


def test_an_unknown_key(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """401 from a real server: said in words, everything kept, and it goes on with a good key."""
    cli.use(shared_cloud.url, "gk_live_zzzzzzzz_0000000000000000000000000000000000")
    records = cli.append(3)
    refused(cli("replicate"), 1, "401", "3 records", "nothing is lost")
    cli.use(shared_cloud.url, shared_cloud.key)
    assert cli("replicate", "--json").json["accepted"] == 3
    assert cli.log.read_bytes() == records


@pytest.mark.parametrize(
    ("endpoint", "word"),
    [
        ("api.gradata.ai/api/v1", "https://"),
        ("http://example.com/api/v1", "plain http"),
        ("ftp://example.com", "https://"),
        ("https://user:secret@example.com", "user name"),
        ("https://", "no host"),
    ],
)
def test_endpoints_that_cannot_be(cli: CommandLine, endpoint: str, word: str) -> None:
    """Without scheme, with http to a far host, with a password in it: refused before anything is sent."""
    cli.append(1)
    done = cli("replicate", "--endpoint", endpoint, GRADATA_API_KEY="gk_live_x")
    refused(done, 2, word)
    assert "secret" not in done.err
    doctor = cli("doctor", "--json", GRADATA_ENDPOINT=endpoint, GRADATA_API_KEY="gk_live_x")
    assert [check["status"] for check in doctor.json["checks"] if check["name"] == "endpoint"] == ["fail"]
    status = cli("status", "--json", GRADATA_ENDPOINT=endpoint, GRADATA_API_KEY="gk_live_x")
    assert status.json["cloud"] is None
    assert status.json["backlog_records"] == 1
    assert cli("correct", "--draft", "a", "--final", "b", GRADATA_ENDPOINT=endpoint, GRADATA_API_KEY="x").code == 0


def test_a_port_in_use(cli: CommandLine) -> None:
    """The port is named, and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(cli("serve", "--port", str(port), "--store", f"sqlite:{cli.home}/x.db"), 2, f"port {port}")


def test_listening_beyond_this_machine(cli: CommandLine) -> None:
    """Plain HTTP to the world wants an explicit flag."""
    refused(cli("serve", "--host", "0.0.0.0", "--port", "0"), 2, "other machines")


def test_a_store_that_is_locked(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """A second server on the store of a running one, and a store that another program holds."""
    refused(cli("serve", "--port", "0", "--store", shared_cloud.store_url), 1, "cloud.db")
    path = cli.home / "held.db"
    assert cli("keys", "create", "--store", f"sqlite:{path}", "--name", "x").code == 0
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        refused(cli("keys", "create", "--store", f"sqlite:{path}", "--name", "y"), 1, "held.db")
    finally:
        holder.close()


@pytest.mark.parametrize("store", ["mysql:x", "cloud.db", "sqlite:"])
def test_a_store_without_a_known_name(cli: CommandLine, store: str) -> None:
    """The form of a store's name is said."""
    refused(cli("keys", "create", "--store", store, "--name", "x"), 1, "store")


def test_an_unknown_scope(cli: CommandLine) -> None:
    """Named before any store is made."""
    refused(cli("keys", "create", "--store", f"sqlite:{cli.home}/n.db", "--name", "x", "--scope", "fly"), 2, "scope")
    assert not (cli.home / "n.db").exists()


@pytest.mark.timeout(240)
def test_f15_a_record_of_100_mb_is_a_dead_letter_and_its_neighbours_flow(
    cli: CommandLine, shared_cloud: LiveCloud
) -> None:
    """It stays in the log, its place is kept, the rest arrives, and it is listed."""
    cli.use(shared_cloud.url, shared_cloud.key)
    cli.append(1)
    with cli.log.open("ab") as file:
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\n")
    cli.append(1)
    done = cli("replicate", "--json")
    assert done.code == 0, done.err
    assert (done.json["new_dead_letters"], done.json["remaining_records"]) == (1, 0)
    (letter,) = cli("dead-letters", "list", "--json").json["dead_letters"]
    assert (letter["record"], letter["length"]) == (1, 100_000_001)
    refused_again = cli("dead-letters", "retry", "--all", "--json")
    assert refused_again.code == 1
    assert cli("status", "--json").json["cloud"]["size"] == 3


@pytest.mark.parametrize("config", ["{not json", "[]", '"no"', "\x00\x00"])
def test_a_config_that_is_no_json(cli: CommandLine, config: str) -> None:
    """It may have been meant to forbid: nothing leaves, the file is named, and correcting goes on."""
    path = cli.brain / "cloud-config.json"
    path.write_text(config)
    cli.use("http://127.0.0.1:9", "gk_live_x")
    refused(cli("replicate"), 2, str(path))
    done = cli("correct", "--draft", "a", "--final", "b")
    assert done.code == 0
    checks = {check["name"]: check["status"] for check in cli("doctor", "--json").json["checks"]}
    assert (checks["consent"], checks["cloud"]) == ("warn", "skip")
    assert path.read_text() == config


def test_texts_that_are_no_correction(cli: CommandLine) -> None:
    """Identical, empty, too long, not UTF-8, a missing file, stdin twice: nothing is written."""
    binary = cli.home / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    large = cli.home / "large"
    large.write_text("x" * 100_001)
    for arguments in (
        ("--draft", "a", "--final", "a"),
        ("--draft", "", "--final", ""),
        ("--draft-file", str(large), "--final", ""),
        ("--draft-file", str(binary), "--final", "a"),
        ("--draft-file", str(cli.home / "none"), "--final", "a"),
        ("--draft-file", str(cli.home), "--final", "a"),
        ("--draft", "-", "--final-file", "-"),
        ("--draft", "a", "--final", "b", "--session", "0"),
        ("--draft", "a", "--final", "b", "--scope", "world"),
    ):
        refused(cli("correct", *arguments), 2)
    assert cli.log.read_bytes() == b""


def test_a_directory_where_no_brain_can_be(cli: CommandLine) -> None:
    """A file in the way is named."""
    path = cli.home / "file"
    path.write_text("")
    refused(cli("init", str(path)), 1, str(path))


@pytest.mark.skipif(os.name != "posix", reason="symlinks of POSIX")
def test_f56_planted_links_are_refused(cli: CommandLine) -> None:
    """A symlink in place of the sidecar or the lease: not followed, named, and nothing else is touched."""
    cli.use("http://127.0.0.1:9", "gk_live_x")
    cli.append(1)
    victim = cli.home / "victim"
    victim.write_bytes(b"")
    (cli.brain / ".replicator.db").symlink_to(victim)
    refused(cli("cursor", "show"), 1, ".replicator.db")
    checks = {check["name"]: check["status"] for check in cli("doctor", "--json", "--no-cloud").json["checks"]}
    assert checks["sidecar"] == "error"
    (cli.brain / ".replicator.db").unlink()
    (cli.brain / ".replicator.lock").symlink_to(victim)
    checks = {check["name"]: check["status"] for check in cli("doctor", "--json", "--no-cloud").json["checks"]}
    assert checks["replicator"] == "error"
    assert victim.read_bytes() == b""


def test_a_sidecar_of_a_newer_version(cli: CommandLine) -> None:
    """Commands that only look do not set it aside: they say what it is."""
    path: Path = cli.brain / ".replicator.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    refused(cli("cursor", "show"), 1, "schema 999")
    assert path.exists()


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_folder_for_all_agents_is_wrong_usage(cli: CommandLine, command: str) -> None:
    """`--home` is one agent's own folder; nothing is written there or elsewhere."""
    folder = cli.home / "somewhere"
    folder.mkdir()
    refused(cli(command, "--agent", "all", "--home", str(folder)), 2, "--home")
    assert list(folder.iterdir()) == []


def test_a_named_folder_is_the_agents_own(cli: CommandLine) -> None:
    """Hooks are written there, doctor finds them without the option, and uninstalling leaves nothing."""
    folder = cli.home / "srv" / "codex"
    folder.mkdir(parents=True)
    assert cli("install", "--agent", "codex", "--home", str(folder), "--yes").code == 0
    assert [path.name for path in folder.iterdir()] == ["hooks.json"]
    checks = {check["name"]: check["detail"] for check in cli("doctor", "--json", "--no-cloud").json["checks"]}
    assert "type /hooks" in checks["agent_codex"]
    assert cli("uninstall", "--agent", "codex", "--yes").code == 0
    assert list(folder.iterdir()) == []
