"""`gradata brains`: what people who run a cloud do to what it keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gradata.cloud.store.open import open_store
from gradata.cloud.store.values import EventQuery
from tests.support.cli_runner import CommandLine
from tests.support.cloud_batches import LOG, append, event
from tests.support.cloud_fixture import LiveCloud


@pytest.fixture
def url(cli: CommandLine) -> str:
    """A store with a brain of three records."""
    made = f"sqlite:{cli.home}/cloud.db"
    store = open_store(made)
    store.ingest([append([event("a"), event("secret"), b"garbage\n"])], now=1_700_000_000_000_000)
    store.close()
    return made


def names(url: str) -> list[str]:
    """The brain's projection."""
    store = open_store(url)
    try:
        return [item.event_id for item in store.events("default", EventQuery("brain"))]
    finally:
        store.close()


def test_nothing_is_taken_away_unasked(cli: CommandLine, url: str) -> None:
    """Without a terminal and without --yes: said what would be done, exit 2; a dry run says the same, exit 0."""
    for part in (["delete", "brain"], ["erase", "brain", "--event", "secret"], ["retain", "brain", "--days", "1"]):
        refused = cli("brains", *part, "--store", url)
        assert (refused.code, "from " in refused.out, "--yes" in refused.err) == (2, True, True)
        dry = cli("brains", *part, "--store", url, "--dry-run")
        assert (dry.code, dry.out) == (0, refused.out)
    assert names(url) == ["a", "secret"]


def test_a_record_is_erased_a_brain_expires_and_is_deleted(cli: CommandLine, url: str) -> None:
    """Each is done at once, and the list shows it; no byte of what was erased is left in the store's files."""
    assert cli("brains", "erase", "brain", "--event", "secret", "--yes", "--store", url).code == 0
    assert cli("brains", "erase", "brain", "--log", LOG, "--record", "2", "--yes", "--store", url).code == 0
    assert names(url) == ["a"]
    files = b"".join(path.read_bytes() for path in cli.home.glob("cloud.db*"))
    assert b"garbage" not in files
    assert event("secret") not in files
    assert event("a") in files
    done = cli("brains", "retain", "brain", "--days", "30", "--yes", "--json", "--store", url).json
    assert (done["from_days"], done["to_days"], done["expired_rows"] > 0) == (None, 30, True)
    assert names(url) == []
    assert cli("brains", "retain", "brain", "--for-ever", "--yes", "--json", "--store", url).json["to_days"] is None
    assert cli("brains", "delete", "brain", "--yes", "--store", url).code == 0
    listed = cli("brains", "list", "--store", url)
    assert "brain" in listed.out
    (brain,) = cli("brains", "list", "--json", "--store", url).json["brains"]
    assert (brain["events"], brain["bytes"], brain["deleted_at"] is None) == (0, 0, False)
    back = cli("brains", "readmit", "brain", "--yes", "--store", url)
    assert (back.code, "cursor reset" in back.err) == (0, True)
    assert cli("brains", "list", "--store", url).out == "no brains\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["delete", "nobody"], 1),
        (["readmit", "brain"], 1),
        (["erase", "brain", "--event", "nothing"], 1),
        (["erase", "brain", "--log", LOG], 2),
        (["erase", "brain", "--log", LOG, "--record", "-1"], 2),
        (["erase", "brain"], 2),
        (["retain", "brain", "--days", "0"], 2),
        (["retain", "brain"], 2),
        (["list", "--store", "sqlite:/nowhere/cloud.db"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said(cli: CommandLine, url: str, arguments: list[str], code: int) -> None:
    """With a hint, and nothing done."""
    done = cli("brains", *arguments, "--yes", *([] if arguments[0] == "list" else ["--store", url]))
    if arguments[0] == "list":
        done = cli("brains", *arguments)
    assert (done.code, done.err.startswith("error: "), "hint: " in done.err) == (code, True, True)
    assert names(url) == ["a", "secret"]


def test_f59_a_brains_name_is_inert_in_the_terminal(cli: CommandLine, url: str) -> None:
    """Names are printable by rule; what is printed of them is cleaned all the same, and JSON escapes it."""
    store = open_store(url)
    store.ingest(
        [append([event("x")], brain_id="<b>\x1b[31m\r\nx", log_id="22222222-2222-4222-8222-222222222222")], now=1
    )
    store.close()
    assert "\x1b" not in cli("brains", "list", "--store", url).out
    assert "\r" not in cli("brains", "list", "--store", url).out
    assert "\\u001b" in cli("brains", "list", "--json", "--store", url).out
    assert json.loads(cli("brains", "list", "--json", "--store", url).out)


def test_a_deleted_brains_client_stops_until_it_is_readmitted(cli: CommandLine, live_cloud: LiveCloud) -> None:
    """410: it says so, keeps its log, sends nothing; after `readmit` the next start uploads the whole of it."""
    environ = {"GRADATA_ENDPOINT": live_cloud.url, "GRADATA_API_KEY": live_cloud.key}
    store = ("--store", live_cloud.store_url)

    def once() -> dict[str, Any]:
        return cli("replicate", "--once", "--json", "--timeout", "20", **environ).json

    assert cli("init").code == 0
    correct = ("correct", "--draft", "Dear Sir", "--json", "--final")
    cli(*correct, "Hi", **environ)
    assert once()["remaining_records"] == 0
    (brain,) = cli("brains", "list", "--json", *store).json["brains"]
    assert cli("brains", "delete", brain["brain_id"], "--yes", *store).code == 0
    cli(*correct, "Hello", **environ)
    stopped = once()
    assert (stopped["reason"], stopped["trouble"]["code"], stopped["dead_letters"]) == ("trouble", "gone", 0)
    assert once()["trouble"]["code"] == "gone"
    assert cli("brains", "readmit", brain["brain_id"], "--yes", *store).code == 0
    again = once()
    assert (again["reason"], again["remaining_records"], again["accepted"]) == ("caught_up", 0, 2)


def test_an_erased_record_is_acknowledged_and_stays_away(cli: CommandLine, live_cloud: LiveCloud) -> None:
    """The client sends everything again: duplicates, no trouble, and nothing of it comes back."""
    environ = {"GRADATA_ENDPOINT": live_cloud.url, "GRADATA_API_KEY": live_cloud.key}
    store = ("--store", live_cloud.store_url)
    assert cli("init").code == 0
    draft = ("--draft", "Dear Sir", "--final", "a secret, pasted by accident", "--json")
    event_id = cli("correct", *draft, **environ).json["event_id"]
    assert cli("replicate", "--once", "--json", **environ).json["remaining_records"] == 0
    (brain,) = cli("brains", "list", "--json", *store).json["brains"]
    erased = cli("brains", "erase", brain["brain_id"], "--event", event_id, "--yes", "--json", *store).json
    assert len(erased["places"]) == 1
    again = cli("replicate", "--from-offset", "0", "--once", "--json", **environ).json
    assert (again["reason"], again["accepted"], again["trouble"]) == ("caught_up", 0, None)
    assert again["duplicates"] >= 1
    assert (
        cli("brains", "erase", brain["brain_id"], "--event", event_id, "--yes", "--json", *store).json["places"] == []
    )
    (left,) = cli("brains", "list", "--json", *store).json["brains"]
    assert left["events"] == brain["events"] - 1
