"""What is particular to the store on SQLite: rows by few statements, and when the WAL is folded into the file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import uuid
from itertools import chain
from pathlib import Path

import pytest

from gradata.cloud.domain.plan import Deleted, Done
from gradata.cloud.domain.requests import Append
from gradata.cloud.protocol.interpret import read_lines
from gradata.cloud.store.reading import each_row, last_holes
from gradata.cloud.store.sqlite.bulk_insert import ROWS_A_STATEMENT, write_rows
from gradata.cloud.store.sqlite.store import PAGE_BYTES, SqliteStore
from gradata.cloud.store.values import Erasure, StoreUnavailableError
from replicator.framing import split
from replicator.model import MIB
from replicator.proof import CompactRange
from tests.support.cloud_batches import append, event, tree


@pytest.mark.parametrize("count", [0, 1, 4, 63, 64, 65, 85, 200])
def test_all_rows_are_written_whatever_their_number(count: int) -> None:
    """Each once, its values in their columns; NULL stays NULL; by statements of up to 64 rows."""
    assert ROWS_A_STATEMENT == 64
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c BLOB)")
    rows = [(number, f"t{number}", None if number % 3 else bytes([number % 256])) for number in range(count)]
    write_rows(connection, "INSERT INTO t {rows}", list(chain.from_iterable(rows)), width=3)
    assert connection.execute("SELECT * FROM t ORDER BY a").fetchall() == rows
    changed = [(number, f"u{number}") for number in range(count)]
    values = list(chain.from_iterable(changed))
    write_rows(connection, "UPDATE t SET b = column2 FROM ({rows}) WHERE a = column1", values, width=2)
    assert connection.execute("SELECT a, b FROM t ORDER BY a").fetchall() == changed
    connection.close()


def test_a_row_that_cannot_be_inserted_is_an_error(tmp_path: Path) -> None:
    """A place taken twice stops the statement: nothing is passed over in silence."""
    connection = sqlite3.connect(tmp_path / "t.db")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    rows = [number % 70 for number in range(71)]
    with pytest.raises(sqlite3.IntegrityError):
        write_rows(connection, "INSERT INTO t {rows}", rows, width=1)
    connection.close()


@pytest.mark.parametrize("own", [True, False])
def test_what_others_change_is_seen_by_the_next_commit(tmp_path: Path, own: bool) -> None:
    """A brain deleted through another connection, or through this one, is deleted for the log that was in use."""
    path = str(tmp_path / "cloud.db")
    store, other = SqliteStore.open(path), SqliteStore.open(path)
    log = [event(f"e{number}") for number in range(4)]
    assert isinstance(store.ingest([append(log, 0, 1)], now=1)[0], Done)
    assert isinstance(store.ingest([append(log, 1, 2)], now=1)[0], Done)
    (store if own else other).delete_brain("default", "brain", now=2)
    assert isinstance(store.ingest([append(log, 2, 3)], now=3)[0], Deleted)
    other.close()
    store.close()


def test_what_a_transaction_did_not_commit_is_not_remembered(tmp_path: Path) -> None:
    """The head is that of the last commit: the same batch is taken again, and once."""
    store = SqliteStore.open(str(tmp_path / "cloud.db"))
    log = [event(f"e{number}") for number in range(3)]
    store.ingest([append(log, 0, 1)], now=1)
    store.ingest([append(log, 0, 1)], now=1)
    connection = store._connection
    connection.set_authorizer(lambda _, table, *__: sqlite3.SQLITE_DENY if table == "records" else sqlite3.SQLITE_OK)
    with pytest.raises((StoreUnavailableError, sqlite3.DatabaseError)):
        store.ingest([append(log, 1, 3)], now=2)
    connection.set_authorizer(None)
    done = store.ingest([append(log, 1, 3)], now=3)[0]
    assert isinstance(done, Done)
    assert (done.accepted, done.duplicates, done.tree.size) == (2, 0, 3)
    store.close()


def test_a_statement_that_stops_midway_leaves_nothing(tmp_path: Path) -> None:
    """The second row of two is refused: the first, which SQLite kept, goes with the transaction."""
    store = SqliteStore.open(str(tmp_path / "cloud.db"))
    store._connection.execute('CREATE UNIQUE INDEX once ON records ("offset")')
    log = [event("e0")]
    with pytest.raises(sqlite3.IntegrityError):
        store.ingest([append(log, 0, 1), append(log, 0, 1, log_id=str(uuid.uuid4()))], now=1)
    reader = sqlite3.connect(tmp_path / "cloud.db")
    tables = ("brains", "logs", "records", "events", "days")
    assert [reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables] == [0] * 5
    reader.close()
    store.close()


@pytest.mark.parametrize("clustered", [True, False])
def test_a_store_whose_records_lie_in_the_order_of_their_places_works_as_any_other(
    tmp_path: Path, clustered: bool
) -> None:
    """Stores made before are left so: appends, a lost row that is mended, a hole, erasing, the proof."""
    store = SqliteStore.open(str(tmp_path / "cloud.db"))
    if clustered:
        store._connection.executescript(
            "DROP TABLE records; CREATE TABLE records"
            ' (place INTEGER PRIMARY KEY, "offset" INTEGER NOT NULL, length INTEGER NOT NULL, flag TEXT, record BLOB);'
            "CREATE INDEX holes ON records (place) WHERE record IS NULL AND flag IS NULL"
        )
    logs = {str(uuid.UUID(int=key)): [event(f"e{key}-{number}") for number in range(4)] for key in range(1, 4)}
    for number in range(4):
        store.ingest([append(log, number, number + 1, log_id=name) for name, log in logs.items()], now=number)
    name, log = next(iter(logs.items()))
    store._connection.execute("DELETE FROM records WHERE place = 1 << 40 | 1")
    store._connection.execute("UPDATE records SET record = NULL WHERE place = 1 << 40 | 2")
    stored = store.log("default", name)
    assert stored is not None
    assert [row.record for row in each_row(store, stored, 0, 4)] == [log[0], None, log[3]]
    assert [row.number for row in last_holes(store, stored)] == [2]
    assert isinstance(store.ingest([append(log, 0, 4, log_id=name)], now=9)[0], Done)
    for name, log in logs.items():
        stored = store.log("default", name)
        assert stored is not None
        rows = list(each_row(store, stored, 0, 4))
        assert [(row.number, row.offset, row.record) for row in rows] == [
            (number, sum(map(len, log[:number])), record) for number, record in enumerate(log)
        ]
        assert [row[0] for run in store.rows(stored, 0, 4, "places") for row in run] == [0, 1, 2, 3]
        assert [row[4] for run in store.rows(stored, 0, 4) for row in run] == log
        assert stored.tree.root == tree(log).root
        assert store.erase("default", "brain", Erasure(places={stored.key: [3]}), now=9) == 1
        assert [row.flag for row in each_row(store, stored, 0, 4)] == [None, None, None, "erased"]
    store.close()


def batch(size_bytes: int) -> Append:
    """Records of 64 KiB, so that many bytes are few records."""
    record = b'{"event_id": "%s", "text": "' + b"x" * 65_000 + b'"}\n'
    data = b"".join(record % str(uuid.uuid4()).encode() for _ in range(size_bytes // len(record) + 1))
    lines = read_lines(data, split(data))
    return Append("w", "brain", "device", str(uuid.uuid4()), None, 0, 0, CompactRange.EMPTY.root, lines)


def unfolded(path: Path) -> int:
    """Pages that are in the WAL and not in the file, as a checkpoint that does nothing says (no more than that)."""
    looking = sqlite3.connect(path, isolation_level=None)
    try:
        pages = int(looking.execute("PRAGMA page_count").fetchone()[0])
        return pages - path.stat().st_size // PAGE_BYTES
    finally:
        looking.close()


def test_rest_folds_a_large_wal_and_leaves_a_small_one(tmp_path: Path) -> None:
    """Until about REST_PAGES nothing is folded; then all of it; and then nothing again until it has grown anew."""
    path = tmp_path / "cloud.db"
    store = SqliteStore.open(str(path))
    store.ingest([batch(64 * 1024)], now=1)
    store.rest()
    assert path.stat().st_size < MIB
    store.ingest([batch(9 * MIB)], now=2)
    assert path.stat().st_size < MIB
    store.rest()
    folded = path.stat().st_size
    assert folded > 9 * MIB
    assert unfolded(path) == 0
    store.ingest([batch(64 * 1024)], now=3)
    store.rest()
    assert path.stat().st_size == folded
    store.close()


def test_folding_loses_nothing_that_a_reader_still_holds(tmp_path: Path) -> None:
    """A reader in the middle of the old state keeps pages from being folded: no error, and it reads what it read."""
    store = SqliteStore.open(str(tmp_path / "cloud.db"))
    store.ingest([batch(64 * 1024)], now=1)
    reader = sqlite3.connect(tmp_path / "cloud.db", isolation_level=None)
    reader.execute("BEGIN")
    before = reader.execute("SELECT count(*) FROM records").fetchone()
    store.ingest([batch(9 * MIB)], now=2)
    store.rest()
    assert reader.execute("SELECT count(*) FROM records").fetchone() == before
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM records").fetchone() > before
    reader.close()
    store.ingest([batch(9 * MIB)], now=3)
    store.rest()
    assert unfolded(tmp_path / "cloud.db") == 0
    store.close()


LOCKED = """
import fcntl, sys
locked = []
for path, first, count in ((sys.argv[1] + "-shm", 128, 1), (sys.argv[1], 0x40000002, 510)):
    with open(path, "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, count, first)
        except BlockingIOError:
            locked.append(path.rpartition(".")[2])
print(*locked)
"""
"""Whether somebody holds SQLite's locks: the one that says "the index is in use", and the shared one on the file."""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
def test_an_open_store_never_looks_abandoned_to_other_processes(tmp_path: Path) -> None:
    """Nothing that a store does ends its locks. Found by the soak: `rest` opened and closed the index, the next
    process that made a key cut the index to nothing, and the server died of SIGBUS."""
    path = tmp_path / "cloud.db"

    def locked() -> str:
        command = [sys.executable, "-c", LOCKED, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    store = SqliteStore.open(str(path))
    assert locked() == "db-shm db"
    store.ingest([batch(64 * 1024)], now=1)
    store.rest()
    store.rest()
    assert locked() == "db-shm db"
    SqliteStore.open(str(path)).close()
    assert locked() == "db-shm db"
    store.close()
