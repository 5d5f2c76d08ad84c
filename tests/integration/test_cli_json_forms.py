"""The JSON of every command has exactly the keys that docs/commands.md shows: a stable form is one that is checked."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gradata.cloud.store.open import open_store
from tests.support.cli_runner import CommandLine
from tests.support.cloud_batches import append, event
from tests.support.cloud_fixture import LiveCloud

DOCUMENT = Path(__file__).parents[2] / "docs" / "commands.md"
LARGE = b'{"data": "' + b"x" * (1200 * 1024) + b'"}\n'


def documented(command: str) -> list[dict[str, Any]]:
    """The JSON blocks of a command's section, in their order."""
    section = re.search(rf"^## gradata {command}$(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/commands.md has no section on gradata {command}"
    return [dict(json.loads(block)) for block in re.findall(r"```json\n(.*?)```", section[1], re.DOTALL)]


def same_form(shown: dict[str, Any], real: dict[str, Any]) -> None:
    """The same keys, in the same order, and the same kinds of values where both have one."""
    assert list(real) == list(shown)
    for name, value in shown.items():
        if isinstance(value, dict) and isinstance(real[name], dict) and len(value) > 1:
            same_form(value, real[name])
        elif value is not None and real[name] is not None:
            numbers = (int, float)
            alike = isinstance(value, numbers) and isinstance(real[name], numbers)
            assert alike or type(value) is type(real[name]), name


def test_the_forms_of_a_brain_s_commands(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """init, correct, replicate, status, cursor, dead-letters and doctor, in one life of a brain."""
    cli.use(shared_cloud.url, shared_cloud.key)
    correct = cli("correct", "--draft", "a b", "--final", "a c", "--wait", "20", "--json").json
    with cli.log.open("ab") as file:
        file.write(LARGE)
    real = {
        "init": [cli("init", "--json").json],
        "correct": [correct],
        "replicate": [cli("replicate", "--json").json, cli("replicate", "--dry-run", "--json").json],
        "status": [cli("status", "--json").json],
        "cursor": [
            cli("cursor", "show", "--json").json,
            cli("cursor", "reset", "--to-offset", "0", "--yes", "--json").json,
        ],
        "dead-letters": [
            cli("dead-letters", "list", "--json").json,
            cli("dead-letters", "retry", "--all", "--json").json,
            cli("dead-letters", "drop", "--all", "--yes", "--json").json,
        ],
        "doctor": [
            cli("doctor", "--json").json,
            cli("doctor", "--json", "--no-cloud", "--all-brains", str(cli.brain), GRADATA_BRAIN="").json,
        ],
        "config": [cli("config", "--json").json],
        "redact": [cli("redact", "--check", "-", "--json", stdin="to a@b.io").json],
        "completion": [cli("completion", "bash", "--json").json],
    }
    for command, answers in real.items():
        for shown, answer in zip(documented(command), answers, strict=True):
            same_form(shown, answer)
    letters, shown_letters = real["dead-letters"][0], documented("dead-letters")[0]
    assert list(letters["dead_letters"][0]) == list(shown_letters["dead_letters"][0])


def test_the_forms_of_an_operator_s_commands(cli: CommandLine) -> None:
    """serve and keys."""
    store = ("--store", f"sqlite:{cli.home}/cloud.db")
    process = cli.start("serve", "--port", "0", "--json", *store)
    assert process.stdout is not None
    same_form(documented("serve")[0], json.loads(process.stdout.readline()))
    made, listed, revoked = documented("keys")
    same_form(made, cli("keys", "create", "--name", "x", "--json", *store).json)
    answer = cli("keys", "list", "--json", *store).json
    same_form(listed, answer)
    same_form(listed["keys"][0], answer["keys"][1])
    prefix = answer["keys"][1]["key"]
    same_form(made, cli("keys", "rotate", prefix, "--json", *store).json)
    same_form(revoked, cli("keys", "revoke", prefix, "--yes", "--json", *store).json)


def test_the_forms_of_the_store_s_commands(cli: CommandLine) -> None:
    """`gradata store`: what is copied, restored and found; `migrate` needs a PostgreSQL and is tried with one."""
    url, copy = f"sqlite:{cli.home}/cloud.db", str(cli.home / "copy")
    store = open_store(url)
    store.ingest([append([event("a"), event("b")])], now=1)
    store.close()
    _, copied, restored, checked = documented("store")
    same_form(copied, cli("store", "backup", copy, "--json", "--store", url).json)
    with sqlite3.connect(cli.home / "cloud.db") as connection:
        connection.execute("DELETE FROM events WHERE event_id = 'a'")
    connection.close()
    answer = cli("store", "check", "--json", "--store", url).json
    same_form(checked, answer)
    same_form(checked["wrong"][0], answer["wrong"][0])
    same_form(restored, cli("store", "restore", copy, "--json", "--yes", "--store", url).json)


def test_the_forms_of_what_is_taken_away(cli: CommandLine) -> None:
    """`gradata brains`: each part, in an order that leaves something for the next."""
    url = f"sqlite:{cli.home}/cloud.db"
    store = open_store(url)
    store.ingest([append([event("a"), event("b")])], now=1)
    store.close()
    listed, deleted, readmitted, erased, retained = documented("brains")

    def brains(part: str, *arguments: str) -> dict[str, Any]:
        return cli("brains", part, *arguments, "--json", "--store", url).json

    answer = brains("list")
    same_form(listed, answer)
    same_form(listed["brains"][0], answer["brains"][0])
    answer = brains("erase", "brain", "--event", "a", "--yes")
    same_form(erased, answer)
    same_form(erased["places"][0], answer["places"][0])
    same_form(retained, brains("retain", "brain", "--days", "90", "--yes"))
    same_form(deleted, brains("delete", "brain", "--yes"))
    same_form(readmitted, brains("readmit", "brain", "--yes"))


@pytest.mark.parametrize("command", ["init", "demo"])
def test_every_command_has_a_section(command: str) -> None:
    """Also those whose answers other tests look at."""
    assert documented(command)
