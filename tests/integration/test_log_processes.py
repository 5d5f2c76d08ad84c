"""The log among real processes: writers with and without the lock, kills in mid-write, forks, exhausted limits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from replicator.actions import Found, Nothing, Read
from replicator.log import LogReader, LogWriter
from replicator.model import MIB, Anchor, Batch, Cursor
from replicator.proof import leaf_hashes

RECORDS_EACH = 60

# Every worker waits for a line on stdin, so that all begin at once, and prints each record that it may rely on.
WORKERS = {
    "ours": """
        writer = LogWriter(path)
        for number in range(count):
            writer.append(record(number))
            print(number, flush=True)
        """,
    "unlocked": """
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for number in range(count):
            os.write(fd, record(number))
            print(number, flush=True)
        """,
    "killed in mid-write": """
        class DiesInMidWrite(PosixDisk):
            def write(self, fd, piece):
                if b'"n": 20,' not in piece:
                    return super().write(fd, piece)
                os.write(fd, piece[: len(piece) // 2])
                os.kill(os.getpid(), signal.SIGKILL)

        writer = LogWriter(path, DiesInMidWrite())
        for number in range(count):
            writer.append(record(number))
            print(number, flush=True)
        """,
}
PRELUDE = """
    import os, signal, sys
    from replicator.log import LogWriter, PosixDisk
    path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

    def record(number):
        text = "x" * (30_000 if number % 10 == 0 else 700)
        return ('{"writer": "%s", "n": %d, "text": "%s"}\\n' % (name, number, text)).encode()

    sys.stdin.readline()
    """


def start(kind: str, path: Path, name: str) -> subprocess.Popen[str]:
    program = textwrap.dedent(PRELUDE) + textwrap.dedent(WORKERS[kind])
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path), name, str(RECORDS_EACH)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    source = textwrap.dedent(program)
    return subprocess.run([sys.executable, "-c", source, *arguments], capture_output=True, text=True, timeout=60)


def follow(path: Path, workers: list[subprocess.Popen[str]]) -> bytes:
    """All whole records, read batch by batch while the workers write and until nothing is left."""
    reader = LogReader(str(path))
    cursor = Cursor("log-1")
    joined = b""
    while True:
        running = any(worker.poll() is None for worker in workers)
        outcome = reader.read(Read(cursor, 64 * 1024, 50, MIB))
        if isinstance(outcome, Nothing):
            if not running:
                return joined
            continue
        assert isinstance(outcome, Found), outcome
        load = outcome.load
        assert isinstance(load, Batch)
        joined += load.data
        tree = cursor.tree.extended(leaf_hashes(load.records()))
        cursor = replace(cursor, offset=load.end, tree=tree, anchor=Anchor.of(load.last))


def lines_by_writer(content: bytes) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    for line in content.split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found[row["writer"], row["n"]] += 1
    return found


@pytest.mark.parametrize("round_number", range(3))
def test_f17_eight_writers_at_once_lose_nothing(tmp_path: Path, round_number: int) -> None:
    """Four writers of ours (two by a symlinked path), three without the lock, one killed in mid-write, and a
    reader that follows: every record that was appended stands there exactly once, and the reader saw every byte
    exactly once. Only what an unlocked writer itself glues to the torn piece is no line of its own."""
    (tmp_path / "brain").mkdir()
    (tmp_path / "other way").symlink_to(tmp_path / "brain")
    path = tmp_path / "brain" / "events.jsonl"
    kinds = {"a": "ours", "b": "ours", "c": "ours", "d": "ours", "e": "unlocked", "f": "unlocked", "g": "unlocked"}
    kinds["k"] = "killed in mid-write"
    paths = {"c": tmp_path / "other way" / "events.jsonl", "d": tmp_path / "other way" / "events.jsonl"}
    workers = {name: start(kind, paths.get(name, path), name) for name, kind in kinds.items()}
    path.touch()
    for worker in workers.values():
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    followed = follow(path, list(workers.values()))
    appended = {(name, int(number)) for name, worker in workers.items() for number in worker.communicate()[0].split()}
    codes = {name: worker.returncode for name, worker in workers.items()}
    LogWriter(str(path)).append(b'{"writer": "last", "n": 0}\n')

    content = path.read_bytes()
    lines = lines_by_writer(content)
    lost = {key for key in appended if lines[key] != 1}
    assert codes == dict.fromkeys("abcdefg", 0) | {"k": -signal.SIGKILL}
    assert {key for key in lost if kinds[key[0]] != "unlocked"} == set()
    assert len(lost) <= 1, "at most one unlocked record is glued to the one torn piece"
    assert all(content.count(b'"writer": "%s", "n": %d,' % (name.encode(), n)) == 1 for name, n in appended)
    assert set(lines) - appended <= {("last", 0)}
    assert content.startswith(followed)
    assert content[len(followed) :].split(b"\n")[-2] == b'{"writer": "last", "n": 0}'
    assert content[len(followed) :].count(b"\n") <= 2, "the last record, and before it at most the torn piece"


def test_f01_a_writer_killed_in_mid_write_holds_up_nobody(tmp_path: Path) -> None:
    """It dies with the lock held and half a record written: the next append gets the lock, ends the piece, and
    only whole records of others are around it."""
    path = tmp_path / "events.jsonl"
    worker = start("killed in mid-write", path, "k")
    appended = [int(number) for number in worker.communicate("go\n")[0].split()]
    assert worker.returncode == -signal.SIGKILL
    assert appended == list(range(20))
    torn = path.read_bytes().rsplit(b"\n", 1)[1]
    assert torn.startswith(b'{"writer": "k", "n": 20,')
    assert LogWriter(str(path)).append(b'{"writer": "last", "n": 0}\n').ended_torn_tail
    assert path.read_bytes().endswith(torn + b"\n" + b'{"writer": "last", "n": 0}\n')


def test_f23_writers_killed_at_random_leave_every_acknowledged_record(tmp_path: Path) -> None:
    """`kill -9` after a random-length run, ten times over: what was printed as appended is there, once."""
    path = tmp_path / "events.jsonl"
    appended: set[tuple[str, int]] = set()
    for round_number in range(10):
        name = f"r{round_number}"
        worker = start("ours", path, name)
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
        printed = [worker.stdout.readline() for _ in range(round_number * 3 + 1)]
        worker.kill()
        printed += worker.communicate()[0].splitlines()
        appended |= {(name, int(number)) for number in printed if number.strip()}
    lines = lines_by_writer(path.read_bytes())
    assert {key for key in appended if lines[key] != 1} == set()


def test_f43_a_forked_child_appends_though_the_parent_was_in_mid_append(tmp_path: Path) -> None:
    """The fork happens while another thread holds the writer's mutex: the child does not hang, and the records
    of both stand in the log."""
    path = tmp_path / "events.jsonl"
    done = run(
        """
        import os, sys, threading
        from replicator.log import LogWriter
        writer = LogWriter(sys.argv[1])
        writer.append(b"parent 1\\n")
        writer._mutex.acquire()
        child = os.fork()
        if child == 0:
            writer.append(b"child\\n")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        writer._mutex.release()
        writer.append(b"parent 2\\n")
        """,
        str(path),
    )
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == b"parent 1\nchild\nparent 2\n"


def test_f43_a_forked_child_does_not_free_the_parents_lock(tmp_path: Path) -> None:
    """The child closes the inherited descriptor without unlocking: others still find the log locked."""
    done = run(
        """
        import fcntl, os, sys
        from replicator.log import LogWriter
        writer = LogWriter(sys.argv[1])
        writer.append(b"one\\n")
        fcntl.flock(writer._current.fd, fcntl.LOCK_EX)
        child = os.fork()
        if child == 0:
            writer._begin_anew_in_child()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        other = os.open(sys.argv[1], os.O_RDONLY)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("still locked")
        """,
        str(tmp_path / "events.jsonl"),
    )
    assert (done.stdout, done.stderr) == ("still locked\n", "")


def test_f18_appending_goes_on_when_no_descriptors_are_left(tmp_path: Path) -> None:
    """A host that has used up its descriptors: an open log still takes records, a new writer says EMFILE."""
    done = run(
        """
        import os, resource, sys
        from replicator.errors import AppendError
        from replicator.log import LogReader, LogWriter
        writer = LogWriter(sys.argv[1])
        writer.append(b"one\\n")
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            writer.append(b"two\\n")
        try:
            LogWriter(sys.argv[1]).append(b"three\\n")
        except AppendError as error:
            print(error.hint)
        """,
        str(tmp_path / "events.jsonl"),
    )
    assert "ulimit -n" in done.stdout, done.stderr
    assert (tmp_path / "events.jsonl").read_bytes() == b"one\ntwo\n"


def test_f18_a_log_of_another_user_is_refused_then_heals(tmp_path: Path) -> None:
    """Without the right to write: EACCES with a hint; after `chmod` the same writer goes on. Run as an
    unprivileged user where the tests run as root, for whom no file is closed."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"one\n")
    done = run(
        """
        import os, sys
        from replicator.errors import AppendError
        from replicator.log import LogWriter
        path = sys.argv[1]
        os.chdir(os.path.dirname(path))
        if os.geteuid() == 0:
            os.chown(".", 65534, 65534)
            os.chown("events.jsonl", 65534, 65534)
            os.setegid(65534)
            os.seteuid(65534)
        os.chmod("events.jsonl", 0)
        writer = LogWriter("events.jsonl")
        try:
            writer.append(b"two\\n")
        except AppendError as error:
            print(error)
            print(error.hint)
        os.chmod("events.jsonl", 0o600)
        writer.append(b"two\\n")
        """,
        str(path),
    )
    assert "EACCES" in done.stdout, done.stderr
    assert path.read_bytes() == b"one\ntwo\n"


def test_f18_a_read_only_directory_takes_records_all_the_same(tmp_path: Path) -> None:
    """The directory may not be written to, the log may: append and read work, and its name is synced or not."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"one\n")
    tmp_path.chmod(0o555)
    try:
        LogWriter(str(path)).append(b"two\n")
        outcome = LogReader(str(path)).read(Read(Cursor("log-1"), MIB, 100, MIB))
    finally:
        tmp_path.chmod(0o755)
    assert isinstance(outcome, Found)
    assert outcome.load.count == 2
