"""The store in trouble: full, mute, cut, demoted, restored beside a foreign journal, taken by a second server."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from gradata.cloud.domain.requests import WriteRequest
from gradata.cloud.store.open import open_store
from gradata.cloud.store.port import Store
from gradata.cloud.store.postgres.connection import Connection
from gradata.cloud.store.postgres.store import PostgresStore
from gradata.cloud.store.sqlite.store import SqliteStore
from gradata.cloud.store.values import Erasure, StoreError, StoreUnavailableError
from tests.support.cloud_batches import BATCH, append, body, counted, event
from tests.support.cloud_fixture import LiveCloud
from tests.support.postgres_fixture import Postgres
from tests.support.postgres_proxy import Relay, relay, short_directory

__all__ = ["relay", "short_directory"]

NOW = 1_764_000_000_000_000
RECORDS = [event(f"{number:03d}") for number in range(40)]
PATIENCE_S = 0.5


def counts(store: Store, *requests: WriteRequest) -> list[tuple[int, int]]:
    return counted(store.ingest(requests, now=NOW))


@pytest.fixture
def behind_relay(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresStore]:
    """A store whose connections go through the relay, with little patience."""
    monkeypatch.setattr(Connection, "answer_s", PATIENCE_S)
    store = open_store(relay.url("postgres"), serving=True)
    assert isinstance(store, PostgresStore)
    yield store
    relay.close()
    store.close()


def test_f87_a_mute_connection_is_dropped_and_a_new_one_works(behind_relay: PostgresStore, relay: Relay) -> None:
    """No answer comes on the open connections: after the deadline the same group is committed on a new one, once."""
    assert counts(behind_relay, append(RECORDS, 0, 2)) == [(2, 0)]
    relay.mute()
    assert counts(behind_relay, append(RECORDS, 2, 4)) == [(2, 0)]
    relay.mute()
    (decision,) = counts(behind_relay, append([event("x")], brain_id="the general way"))
    assert decision == (1, 0)
    relay.mute()
    behind_relay.ingest([], now=NOW)
    relay.mute()
    behind_relay.rest()
    assert counts(behind_relay, append(RECORDS, 0, 5)) == [(1, 4)]


def test_f87_a_mute_read_ends_and_the_next_one_works(behind_relay: PostgresStore, relay: Relay) -> None:
    """The reader that waits is told so; those at rest are not used any more."""
    counts(behind_relay, append(RECORDS, 0, 2))
    assert len(behind_relay.logs("default", "brain")) == 1
    relay.mute()
    with pytest.raises(StoreUnavailableError, match="did not answer"):
        behind_relay.logs("default", "brain")
    assert len(behind_relay.logs("default", "brain")) == 1


def test_f87_a_database_that_says_nothing_at_all_is_away(behind_relay: PostgresStore, relay: Relay) -> None:
    """New connections are mute, too: an error in the end, not a wait for ever; and it goes on when it answers."""
    counts(behind_relay, append(RECORDS, 0, 2))
    relay.mute(new=True)
    with pytest.raises(StoreUnavailableError):
        behind_relay.ingest([append(RECORDS, 2, 3)], now=NOW)
    relay.refusing = False
    behind_relay._away_until = 0.0
    assert counts(behind_relay, append(RECORDS, 2, 3)) == [(1, 0)]


def test_f87_the_listener_of_other_processes_notices_that_it_is_mute(
    behind_relay: PostgresStore, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that only waits for hints is asked now and then whether it lives, and replaced."""
    monkeypatch.setattr("gradata.cloud.store.postgres.notifications.SILENCE_S", 0.2)
    monkeypatch.setattr("gradata.cloud.store.postgres.notifications.AGAIN_S", 0.05)
    behind_relay.listen(lambda _: None)
    while relay.connections < 2:
        pass
    relay.mute()
    muted = relay.connections
    while relay.connections == muted:
        pass


def test_f87_f30_ready_says_what_a_commit_would_meet(relay: Relay, tmp_path: Path) -> None:
    """Mute: not ready, healthy, 503 to clients; it answers again: ready by itself; and mute again SIGTERM ends it."""
    prelude = (
        "from gradata.cloud.store.postgres.connection import Connection; Connection.answer_s = 1.0\n"
        "import gradata.cloud.service.group_commit as g; g.CLOSE_S = 1.0\n"
    )
    cloud = LiveCloud(tmp_path, {"limits": {"requests_per_minute": None}}, relay.url("postgres"), prelude=prelude)
    try:
        headers = {"Authorization": f"Bearer {cloud.key}", "Content-Type": BATCH}
        with httpx.Client(trust_env=False, verify=False, timeout=30, headers=headers) as client:
            assert client.post(cloud.url + "/ingest", content=body(RECORDS, 0, 1)).status_code == 200
            assert client.get(cloud.url + "/ready").status_code == 200
            relay.mute(new=True)
            assert client.post(cloud.url + "/ingest", content=body(RECORDS, 1, 2)).status_code == 503
            assert client.get(cloud.url + "/ready").status_code == 503
            assert client.get(cloud.url + "/health").status_code == 200
            relay.refusing = False
            while client.post(cloud.url + "/ingest", content=body(RECORDS, 1, 2)).status_code != 200:
                pass
            while client.get(cloud.url + "/ready").status_code != 200:
                pass
            relay.mute(new=True)
        cloud.stop()
    finally:
        cloud.close()


def test_f88_a_primary_that_was_demoted_is_left(own_postgres: Postgres, relay: Relay, tmp_path: Path) -> None:
    """The session says read-only (25006): the same group goes to whoever takes writes where new connections lead."""
    store = open_store(relay.url("postgres"), serving=True)
    promoted_directory = relay.directory / "b"
    promoted_directory.mkdir()
    relay.directory.chmod(0o755)
    promoted = Postgres(promoted_directory)
    try:
        open_store(promoted.url("postgres"), serving=True).close()
        assert counts(store, append(RECORDS, 0, 2)) == [(2, 0)]
        assert len(store.logs("default", "brain")) == 1
        relay.target = promoted_directory
        with psycopg.connect(own_postgres.url("postgres"), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            admin.execute("SELECT pg_reload_conf()")
        while True:
            with psycopg.connect(own_postgres.url("postgres")) as looker:
                if looker.execute("SHOW transaction_read_only").fetchone() == ("on",):
                    break
        assert counts(store, append(RECORDS, 0, 3)) == [(3, 0)]
        (log,) = store.logs("default", "brain")
        assert log.tree.size == 3
    finally:
        relay.close()
        store.close()
        promoted.close()


def test_f88_no_store_is_opened_where_nothing_can_be_written(own_postgres: Postgres) -> None:
    """A standby or a fenced primary is refused at the start, with words."""
    open_store(own_postgres.url("postgres"), serving=True).close()
    with psycopg.connect(own_postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    with pytest.raises(StoreError, match="read-only"):
        open_store(own_postgres.url("postgres"), serving=True)


def test_f89_a_read_after_connections_were_cut_opens_a_new_one(postgres_url: str) -> None:
    """All of them are ended by an administrator: the next read and the next commit answer at once."""
    store = open_store(postgres_url, serving=True)
    try:
        counts(store, append(RECORDS, 0, 2))
        for _ in range(3):
            assert len(store.logs("default", "brain")) == 1
            with psycopg.connect(postgres_url, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name = 'gradata'"
                )
            assert len(store.logs("default", "brain")) == 1
        assert counts(store, append(RECORDS, 2, 3)) == [(1, 0)]
    finally:
        store.close()


def test_f92_a_database_in_another_encoding_is_refused_with_words(own_postgres: Postgres) -> None:
    """SQL_ASCII keeps whatever bytes come and says nothing of them: refused, with the command that helps."""
    with psycopg.connect(own_postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE old ENCODING 'SQL_ASCII' TEMPLATE template0")
    with pytest.raises(StoreError, match="SQL_ASCII") as refused:
        open_store(own_postgres.url("old"), serving=True)
    assert "--encoding UTF8" in refused.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX")
def test_f86_a_disk_that_was_full_is_used_again_by_itself(live_cloud: LiveCloud) -> None:
    """No file may grow any more: 503 with words, not ready, healthy. Room again: the same batch, no restart."""
    headers = {"Authorization": f"Bearer {live_cloud.key}", "Content-Type": BATCH}
    log = [event(f"{number:05d}", "x" * 60_000) for number in range(400)]
    with httpx.Client(trust_env=False, verify=False, timeout=60, headers=headers) as client:
        assert client.get(live_cloud.url + "/ready").status_code == 200
        _, hard = resource.prlimit(live_cloud.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(live_cloud.pid, resource.RLIMIT_FSIZE, (6 << 20, hard))
        size = 0
        for _ in range(20):
            answer = client.post(live_cloud.url + "/ingest", content=body(log, size, size + 20))
            if answer.status_code != 200:
                break
            size += 20
        assert answer.status_code == 503
        assert client.get(live_cloud.url + "/ready").status_code == 503
        assert client.get(live_cloud.url + "/health").status_code == 200
        resource.prlimit(live_cloud.pid, resource.RLIMIT_FSIZE, (hard, hard))
        answer = client.post(live_cloud.url + "/ingest", content=body(log, size, size + 20))
        assert (answer.status_code, answer.json()["head"]["size"]) == (200, size + 20)
        assert client.get(live_cloud.url + "/ready").status_code == 200


def crashed(directory: Path) -> Path:
    """The files of a server that was killed, with a journal that is not folded in; `backup.db`: of some time before."""
    store = SqliteStore.open(str(directory / "work" / "cloud.db"))
    log = [event(f"{number:05d}", "x" * 500) for number in range(4_000)]
    store.ingest([append(log, 0, 500)], now=NOW)
    store._connection.execute("VACUUM INTO ?", (str(directory / "vacuumed.db"),))
    with sqlite3.connect(directory / "copied.db") as copy:
        store._connection.backup(copy)
    copy.close()
    for first in range(500, 4_000, 500):
        store.ingest([append(log, first, first + 500)], now=NOW)
        store._checkpoint("TRUNCATE") if first == 2_000 else None
    for name in ("cloud.db", "cloud.db-wal", "cloud.db-shm"):
        shutil.copy(directory / "work" / name, directory / name)
    store.close()
    return directory / "cloud.db"


@pytest.mark.parametrize("backup", ["vacuumed.db", "copied.db"])
def test_f90_a_backup_beside_the_journal_of_another_file_is_refused(tmp_path: Path, backup: str) -> None:
    """Nothing is opened, the files are named, and the backup that was copied there is as it was."""
    path = crashed(tmp_path)
    shutil.copy(tmp_path / backup, path)
    with pytest.raises(StoreError) as refused:
        SqliteStore.open(str(path), serving=True)
    for name in ("cloud.db-wal", "cloud.db-shm"):
        assert name in str(refused.value)
    assert "gradata store restore" in refused.value.hint
    assert path.read_bytes() == (tmp_path / backup).read_bytes()
    for name in ("cloud.db-wal", "cloud.db-shm"):
        (tmp_path / name).rename(tmp_path / f"{name}.aside")
    store = SqliteStore.open(str(path), serving=True)
    (log,) = store.logs("default", "brain")
    assert log.tree.size == 500
    store.close()


def test_f90_the_journal_of_a_killed_server_is_taken(tmp_path: Path) -> None:
    """An unclean end alone is no reason to refuse: all that was committed is there."""
    store = SqliteStore.open(str(crashed(tmp_path)), serving=True)
    (log,) = store.logs("default", "brain")
    assert log.tree.size == 4_000
    store.close()


def test_f91_a_server_whose_lock_was_removed_takes_it_again_or_stops_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else has it: it is taken again, and keeps others out. Somebody has: the first one writes no more."""
    monkeypatch.setattr("gradata.cloud.store.sqlite.store.LEASE_CHECK_S", 0.0)
    path = tmp_path / "cloud.db"
    first = SqliteStore.open(str(path), serving=True)
    (tmp_path / "cloud.db.lock").unlink()
    assert counts(first, append(RECORDS, 0, 1)) == [(1, 0)]
    with pytest.raises(StoreError, match="another server uses it"):
        SqliteStore.open(str(path), serving=True)
    (tmp_path / "cloud.db.lock").unlink()
    second = SqliteStore.open(str(path), serving=True)
    with pytest.raises(StoreUnavailableError, match="another server"):
        first.ingest([append(RECORDS, 1, 2)], now=NOW)
    assert counts(second, append(RECORDS, 1, 2)) == [(1, 0)]
    second.close()
    assert counts(first, append(RECORDS, 2, 3)) == [(1, 0)]
    first.close()


def test_f93_an_erase_waits_for_no_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody reads: the journal is emptied when he has ended, and until then whoever writes goes on."""
    monkeypatch.setattr("gradata.cloud.store.sqlite.opening.BUSY_S", 3_600.0)
    monkeypatch.setattr("gradata.cloud.store.sqlite.store.BUSY_S", 3_600.0)
    store = SqliteStore.open(str(tmp_path / "cloud.db"), serving=True)
    counts(store, append(RECORDS, 0, 5))
    reader = sqlite3.connect(tmp_path / "cloud.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM records").fetchone()
    (log,) = store.logs("default", "brain")
    assert store.erase("default", "brain", Erasure(places={log.key: [1]}), now=NOW) == 1
    store.rest()
    assert counts(store, append(RECORDS, 5, 6)) == [(1, 0)]
    assert (tmp_path / "cloud.db-wal").stat().st_size > 0
    reader.execute("COMMIT")
    store.rest()
    assert (tmp_path / "cloud.db-wal").stat().st_size == 0
    reader.close()
    store.close()
