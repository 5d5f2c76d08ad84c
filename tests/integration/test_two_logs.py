"""Several logs in one directory, and destinations under other names: each log has a cursor and a lease of its own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from replicator.companions import companion_path

PROGRAM = """
import os, sqlite3, sys, threading
from replicator import DeliverySink, LogWriter, Replicator

path, endpoint, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])

def deliver(batch):
    with sqlite3.connect(endpoint, timeout=30) as db:
        db.execute("CREATE TABLE IF NOT EXISTS copy (log, number, line, PRIMARY KEY (log, number))")
        rows = [(batch.log_id, batch.first + i, line) for i, line in enumerate(batch.records)]
        db.executemany("INSERT OR IGNORE INTO copy VALUES (?, ?, ?)", rows)
    if 0 <= kill_at <= batch.first + len(batch.records):
        os._exit(9)

replicator = Replicator(path, endpoint=endpoint, open_sink=lambda: DeliverySink(deliver))
replicator.start()
print(replicator.drain(timeout_s=float(sys.argv[4])).reason)
replicator.close(0)
"""


def replicate(path: Path, copy: Path, *, kill_at: int = -1, within_s: float = 60.0) -> subprocess.Popen[str]:
    """A process that replicates one log into one database; it dies once `kill_at` records are delivered."""
    command = [sys.executable, "-c", PROGRAM, str(path), str(copy), str(kill_at), str(within_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it said."""
    said, errors = process.communicate(timeout=120)
    assert process.returncode in (0, 9), errors
    return process.returncode, said.strip()


def delivered(copy: Path) -> list[tuple[str, int, bytes]]:
    """Everything in a database, in order."""
    with sqlite3.connect(copy) as db:
        return db.execute("SELECT log, number, line FROM copy ORDER BY log, number").fetchall()


def lines(name: str, count: int) -> list[bytes]:
    return [b'{"%s": %d}\n' % (name.encode(), number) for number in range(count)]


def test_f72_two_logs_in_one_directory_are_replicated_side_by_side_and_in_turn(tmp_path: Path) -> None:
    """Each once, in order, in one generation, though one of the processes is killed; nobody waits for the other."""
    names = ("app.jsonl", "audit.jsonl")
    logs = {name: tmp_path / name for name in names}
    copies = {name: tmp_path / f"{name}.copy" for name in names}
    for name in names:
        logs[name].write_bytes(b"".join(lines(name, 500)))
    side_by_side = {
        name: replicate(logs[name], copies[name], kill_at=500 if name == names[0] else -1) for name in names
    }
    assert [ended(side_by_side[name]) for name in names] == [(9, ""), (0, "caught_up")]
    for part in range(3):
        for name in names:
            with open(logs[name], "ab") as log:
                log.write(b'{"more": %d}\n' % part)
            assert ended(replicate(logs[name], copies[name])) == (0, "caught_up")
    for name in names:
        found = delivered(copies[name])
        assert len({log_id for log_id, _, _ in found}) == 1
        expected = [*lines(name, 500), *(b'{"more": %d}\n' % part for part in range(3))]
        assert [(number, line) for _, number, line in found] == list(enumerate(expected))


def test_f72_the_companions_of_events_jsonl_keep_their_names(tmp_path: Path) -> None:
    """A brain's sidecar and lease are where they were; every other log's carry its name, which may be long or odd."""
    assert companion_path(str(tmp_path / "events.jsonl"), "db") == str(tmp_path / ".replicator.db")
    assert companion_path(str(tmp_path / "app.jsonl"), "lock") == str(tmp_path / ".app.jsonl.replicator.lock")
    longest, other = "x" * 250, "x" * 249 + "y"
    paths = {companion_path(str(tmp_path / name), "db") for name in (longest, other, "\udcff.log", "db")}
    assert len(paths) == 4
    assert all(len(os.fsencode(os.path.basename(path))) < 230 for path in paths)
    (tmp_path / "alias").symlink_to(tmp_path)
    assert companion_path(str(tmp_path / "alias" / "a"), "db") == companion_path(str(tmp_path / "a"), "db")


@pytest.mark.parametrize("confirmed", [False, True])
def test_f73_a_destination_under_another_name_holds_until_a_person_confirms(tmp_path: Path, confirmed: bool) -> None:
    """Nothing goes to the new one by itself; once confirmed it gets all of the log, not only what is new."""
    from replicator import order_reset, plan_reset

    log, here, there = tmp_path / "app.jsonl", tmp_path / "here.db", tmp_path / "there.db"
    log.write_bytes(b"".join(lines("app", 20)))
    assert ended(replicate(log, here)) == (0, "caught_up")
    with open(log, "ab") as more:
        more.write(b'{"more": 1}\n')
    assert ended(replicate(log, there, within_s=20.0)) == (0, "held")
    assert not there.exists()
    if confirmed:
        order_reset(str(log), plan_reset(str(log), size=0), confirmed=True)
        assert ended(replicate(log, there)) == (0, "caught_up")
        assert [line for _, _, line in delivered(there)] == [*lines("app", 20), b'{"more": 1}\n']
    assert ended(replicate(log, here if not confirmed else there)) == (0, "caught_up")
