"""`gradata store backup|restore|check`, on both stores: copies that are sound, and what is looked for in a store."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gradata.cloud.service.integrity import check
from gradata.cloud.store.open import open_store
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import living_brains
from gradata.cloud.store.values import EventQuery
from tests.support.cli_runner import CommandLine
from tests.support.cloud_batches import append, counted, event

NOW = 1_764_000_000_000_000
LOG_RECORDS = [event(f"{number:03d}") for number in range(60)]
Open = Callable[[], Store]


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/cloud/cloud.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def opened(store_url: str) -> Iterator[Open]:
    """Opens the store as its server does."""
    stores: list[Store] = []

    def open_one() -> Store:
        stores.append(open_store(store_url, serving=True))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def lose_events(store_url: str, ids: list[str]) -> None:
    """Take events out of the projection behind the store's back."""
    if store_url.startswith("sqlite"):
        with sqlite3.connect(store_url.removeprefix("sqlite:")) as connection:
            marks = ", ".join("?" * len(ids))
            connection.execute(f"DELETE FROM events WHERE event_id IN ({marks})", ids)
        connection.close()
    else:
        with psycopg.connect(store_url, autocommit=True) as connection:
            connection.execute("DELETE FROM gradata.events WHERE event_id = ANY(%s)", (ids,))


def size(store: Store) -> int:
    (log,) = store.logs("default", "brain")
    return log.tree.size


def answer(cli: CommandLine, *arguments: str, status: int = 0) -> dict[str, Any]:
    done = cli(*arguments, "--json")
    assert done.code == status, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_a_copy_made_beside_a_server_is_restored(
    cli: CommandLine, opened: Open, store_url: str, tmp_path: Path
) -> None:
    """What was committed at its moment is in it; the restored store is sound, goes on, and keeps what it replaced."""
    copy = str(tmp_path / "copy")
    store = opened()
    store.ingest([append(LOG_RECORDS, 0, 40)], now=NOW)
    made = answer(cli, "store", "backup", copy, "--store", store_url)
    assert made == {"file": copy, "bytes": os.path.getsize(copy)}
    assert os.stat(copy).st_mode & 0o077 == 0
    store.ingest([append(LOG_RECORDS, 40, 60)], now=NOW)
    cloud_id = store.cloud_id
    refused = cli("store", "restore", copy, "--store", store_url, "--yes")
    assert refused.code == 1
    assert "gradata serve" in refused.err
    store.close()
    planned = answer(cli, "store", "restore", copy, "--store", store_url, "--dry-run")
    assert planned["restored"] is False
    done = answer(cli, "store", "restore", copy, "--store", store_url, "--yes")
    assert done["restored"] is True
    assert len(done["kept"]) >= 1
    store = opened()
    assert (size(store), store.cloud_id) == (40, cloud_id)
    assert all(report.sound for report in check(store))
    assert counted(store.ingest([append(LOG_RECORDS, 40, 60)], now=NOW)) == [(20, 0)]
    assert answer(cli, "store", "check", "--store", store_url) == {
        "files": None, "logs": 1, "wrong": [], "events_restored": 0,
    }  # fmt: skip


def test_a_copy_is_never_written_over(cli: CommandLine, opened: Open, store_url: str, tmp_path: Path) -> None:
    """A file that exists is left alone, and what is no copy of a store is not restored."""
    opened().close()
    copy = tmp_path / "copy"
    copy.write_text("mine")
    assert cli("store", "backup", str(copy), "--store", store_url).code == 1
    refused = cli("store", "restore", str(copy), "--store", store_url, "--yes")
    assert (refused.code, copy.read_text()) == (1, "mine")
    assert "hint:" in refused.err
    store = opened()
    assert living_brains(store, "default") == []


def test_f90_a_store_that_is_restored_by_the_command_is_sound(cli: CommandLine, tmp_path: Path) -> None:
    """The server was killed: the journal that it left goes aside with its file."""
    store = open_store(f"sqlite:{tmp_path}/server/cloud.db")
    store.ingest([append(LOG_RECORDS, 0, 20)], now=NOW)
    cli("store", "backup", str(tmp_path / "copy"), "--store", f"sqlite:{tmp_path}/server/cloud.db")
    store.ingest([append(LOG_RECORDS, 20, 60)], now=NOW)
    (tmp_path / "killed").mkdir()
    for name in ("cloud.db", "cloud.db-wal", "cloud.db-shm"):
        shutil.copy(tmp_path / "server" / name, tmp_path / "killed" / name)
    store.close()
    url = f"sqlite:{tmp_path}/killed/cloud.db"
    kept = answer(cli, "store", "restore", str(tmp_path / "copy"), "--store", url, "--yes")["kept"]
    restored, before = open_store(url, serving=True), open_store(f"sqlite:{min(kept, key=len)}")
    assert (size(restored), size(before)) == (20, 60)
    restored.close()
    before.close()


def test_f96_events_that_the_projection_lost_are_found_and_given_back(
    cli: CommandLine, opened: Open, store_url: str
) -> None:
    """The tree is proven and the events are gone: said by the check, shown again by its repair, and counted once."""
    store = opened()
    store.ingest([append(LOG_RECORDS, 0, 30)], now=NOW)
    store.ingest([append(LOG_RECORDS, 30, 60)], now=NOW + 1)
    lost = [f"{number:03d}" for number in (0, 7, 8, 59)]
    lose_events(store_url, lost)
    found = answer(cli, "store", "check", "--store", store_url, status=1)
    assert [log["events_missing"] for log in found["wrong"]] == [4]
    found = answer(cli, "store", "check", "--repair", "--store", store_url)
    assert (found["wrong"], found["events_restored"]) == ([], 4)
    events = store.events("default", EventQuery("brain", limit=100))
    assert sorted(item.event_id for item in events) == [f"{number:03d}" for number in range(60)]
    assert sum(count for _, _, count in store.days("default", "2020-01-01", "brain")) == 60
    (brain,) = store.fleet("default")
    assert brain.events == 60
    assert counted(store.ingest([append(LOG_RECORDS, 0, 60)], now=NOW + 2)) == [(0, 60)]
    assert answer(cli, "store", "check", "--store", store_url)["wrong"] == []
