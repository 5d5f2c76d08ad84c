"""The sidecar across deaths and forks of real processes."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from replicator.actions import ResetOrder
from replicator.model import Anchor, Cursor, Standing
from replicator.proof import CompactRange
from replicator.sidecar import Sidecar

COMMON = """
import os, signal, sys
from replicator.actions import ResetOrder
from replicator.model import Anchor, Cursor, DeadLetter, Standing
from replicator.proof import CompactRange
from replicator.sidecar import Sidecar, read_only

def standing(size):
    tree = CompactRange(size, (b"n" * 32,) * size.bit_count())
    return Standing(Cursor("log-1", size * 10, tree, "e", Anchor(10, b"a" * 32)))
"""

SAVE_FOR_EVER = (
    COMMON
    + """
sidecar = Sidecar.open(sys.argv[1])
before = sidecar.load()
size = before.cursor.size if before else 0
while True:
    size += 1
    os.write(1, b"%d acked\\n" % size)
    sidecar.save(standing(size), [DeadLetter("log-1", size, size * 10, 10, "x")], status=b"s" * 500)
    os.write(1, b"%d saved\\n" % size)
"""
)

DIE_AT_STATEMENT = (
    COMMON
    + """
sidecar = Sidecar.open(sys.argv[1])
left = int(sys.argv[2])
def die(statement):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
sidecar._connection.set_trace_callback(die)
letters = [DeadLetter("log-1", 1, 10, 10, "x"), DeadLetter("log-1", 2, 20, 10, "x")]
sidecar.save(standing(5), letters, status=b"new", done_reset=1)
print("finished", flush=True)
"""
)

FORK = (
    COMMON
    + """
sidecar = Sidecar.open(sys.argv[1])
sidecar.save(standing(1))
mine = sidecar._connection
assert sidecar.hold()
child = os.fork()
if child == 0:
    sidecar.abandon()
    assert sidecar._connection is None
    assert sidecar.load() == standing(1)
    assert sidecar._connection is not mine
    assert mine.total_changes > 0, "raises if the child closed it"
    sidecar.save(standing(2))
    forgetful = Sidecar.open(sys.argv[1])
    grandchild = os.fork()
    if grandchild == 0:
        theirs = forgetful._connection
        assert forgetful.load() == standing(2)
        assert forgetful._connection is not theirs
        del theirs
        sys.exit(0)
    assert os.waitpid(grandchild, 0)[1] == 0
    assert forgetful.load() == standing(2)
    del mine
    sys.exit(0)
sidecar.let_go()
assert os.waitpid(child, 0)[1] == 0
assert sidecar._connection is mine
assert sidecar.load() == standing(2)
sidecar.save(standing(3))
assert os.path.exists(sys.argv[1] + "-wal"), "the child closed the parent's WAL"
view = read_only(sys.argv[1])
assert view.load() == standing(3)
print("fine", flush=True)
"""
)

OPEN_ON_COMMAND = (
    COMMON
    + """
sys.stdin.readline()
sidecar = Sidecar.open(sys.argv[1])
sidecar.save(standing(1))
print(os.stat(sidecar.path).st_ino)
"""
)


def standing(size: int) -> Standing:
    tree = CompactRange(size, (b"n" * 32,) * size.bit_count())
    return Standing(Cursor("log-1", size * 10, tree, "e", Anchor(10, b"a" * 32)))


def test_f23_kill_at_random_never_leaves_the_cursor_ahead_of_the_ack(tmp_path: Path) -> None:
    """50 times `kill -9` while saving: it opens each time, no save that returned is lost, none is ahead of its ack."""
    path = str(tmp_path / ".replicator.db")
    chance = random.Random(23)
    for _ in range(50):
        command = [sys.executable, "-c", SAVE_FOR_EVER, path]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(chance.randrange(1, 40))]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines()
        acked = max(int(line.split()[0]) for line in lines if b"acked" in line)
        saved = max((int(line.split()[0]) for line in lines if b"saved" in line), default=0)

        sidecar = Sidecar.open(path)
        found = sidecar.load()
        size = found.cursor.size if found else 0

        assert saved <= size <= acked
        assert (sidecar.dead_letter_count(), sidecar.set_aside) == (size, None)
        sidecar.close()


@pytest.mark.timeout(60)
def test_f23_kill_before_each_statement_of_a_save_leaves_all_or_nothing(tmp_path: Path) -> None:
    """Standing, dead letters, status and the done reset change together, whichever statement the process dies at."""
    finished, statements = False, 0
    while not finished:
        path = str(tmp_path / f"{statements}.db")
        sidecar = Sidecar.open(path)
        sidecar.save(standing(1), status=b"old")
        order = sidecar.ask_reset(ResetOrder(Cursor("log-1")))
        sidecar.close()
        command = [sys.executable, "-c", DIE_AT_STATEMENT, path, str(statements)]
        finished = b"finished" in subprocess.run(command, capture_output=True, check=False).stdout

        sidecar = Sidecar.open(path)
        found = (sidecar.load(), sidecar.status(), sidecar.dead_letter_count(), sidecar.reset_done(order))
        sidecar.close()

        old, new = (standing(1), b"old", 0, False), (standing(5), b"new", 2, True)
        assert found == (new if finished else old)
        statements += 1
        assert statements < 40
    assert statements > 6


def test_f43_a_forked_child_never_uses_or_closes_the_handle_of_its_parent(tmp_path: Path) -> None:
    """Parent, child and grandchild each save through their own connection, told to or not; the file stays sound."""
    path = str(tmp_path / ".replicator.db")

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORK, path], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr, done.returncode) == ("fine\n", "", 0)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_f25_processes_that_find_garbage_together_set_it_aside_once(tmp_path: Path) -> None:
    """Eight open the same garbage at once: one moves it, and all end with the same new file."""
    path = str(tmp_path / ".replicator.db")
    Path(path).write_bytes(b"garbage")
    code = (
        COMMON
        + "sys.stdin.readline(); s = Sidecar.open(sys.argv[1]); s.save(standing(1)); print(os.stat(s.path).st_ino)"
    )
    command = [sys.executable, "-c", code, path]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [process.communicate() for process in processes]

    assert [error for _, error in ends] == [""] * 8
    assert len({out for out, _ in ends}) == 1
    assert [p.name for p in tmp_path.iterdir() if "set-aside" in p.name] == [".replicator.db.set-aside-1"]
