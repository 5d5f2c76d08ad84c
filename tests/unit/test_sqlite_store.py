"""What is particular to the store on SQLite: rows by few statements, and when the WAL is folded into the file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from gradata.cloud.meaning import read_lines
from gradata.cloud.requests import Append
from gradata.cloud.sqlite import REST_PAGES, SqliteStore
from gradata.cloud.sqlite_index import WalIndex
from gradata.cloud.sqlite_insert import ROWS_A_STATEMENT, insert_rows
from replicator.framing import split
from replicator.model import MIB
from replicator.proof import CompactRange


@pytest.mark.parametrize("count", [0, 1, ROWS_A_STATEMENT - 1, ROWS_A_STATEMENT, ROWS_A_STATEMENT + 1, 200])
def test_all_rows_are_inserted_whatever_their_number(count: int) -> None:
    """Each once, its values in their columns, the constants beside them; NULL stays NULL."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c BLOB, d)")
    insert = "INSERT INTO t SELECT ?1 + column1, column2, column3, ?2"
    rows = ((number, f"t{number}", None if number % 3 else bytes([number % 256])) for number in range(count))
    insert_rows(connection, insert, rows, width=3, constants=(1_000, "same"))
    expected = [(1_000 + n, f"t{n}", None if n % 3 else bytes([n % 256]), "same") for n in range(count)]
    assert connection.execute("SELECT * FROM t ORDER BY a").fetchall() == expected
    connection.close()


def test_a_row_that_cannot_be_inserted_is_an_error(tmp_path: Path) -> None:
    """A place taken twice stops the statement: nothing is passed over in silence."""
    connection = sqlite3.connect(tmp_path / "t.db")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    rows = [(number % 70,) for number in range(71)]
    with pytest.raises(sqlite3.IntegrityError):
        insert_rows(connection, "INSERT INTO t SELECT column1", rows, width=1)
    connection.close()


def batch(size_bytes: int) -> Append:
    """Records of 64 KiB, so that many bytes are few records."""
    record = b'{"event_id": "%s", "text": "' + b"x" * 65_000 + b'"}\n'
    data = b"".join(record % str(uuid.uuid4()).encode() for _ in range(size_bytes // len(record) + 1))
    lines = read_lines(data, split(data))
    return Append("w", "brain", "device", str(uuid.uuid4()), None, 0, 0, CompactRange.EMPTY.root, lines)


def test_rest_folds_a_large_wal_and_leaves_a_small_one(tmp_path: Path) -> None:
    """Until REST_PAGES nothing is folded; then all of it; and then, although the WAL is a large file, nothing again."""
    store = SqliteStore.open(str(tmp_path / "cloud.db"))
    index = WalIndex(str(tmp_path / "cloud.db"))
    store.ingest([batch(64 * 1024)], now=1)
    small = index.unfolded_pages()
    store.rest()
    assert 0 < small == index.unfolded_pages() < REST_PAGES
    store.ingest([batch(9 * MIB)], now=2)
    assert index.unfolded_pages() >= REST_PAGES
    store.rest()
    assert index.unfolded_pages() == 0
    store.ingest([batch(64 * 1024)], now=3)
    store.rest()
    assert 0 < index.unfolded_pages() <= small + 10
    store.close()
    index.close()
    assert index.unfolded_pages() == 0  # there is none any more


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
    store.rest()
    index = WalIndex(str(tmp_path / "cloud.db"))
    assert index.unfolded_pages() == 0
    store.close()
    index.close()


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
    store.forget_traces()
    assert locked() == "db-shm db"
    SqliteStore.open(str(path)).close()
    assert locked() == "db-shm db"
    store.close()
