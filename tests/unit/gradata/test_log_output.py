"""A stream that nobody reads: its writer never waits, and what is lost is counted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gradata.log_output import DroppingStream


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: the end to read, the end to write."""
    ends = os.pipe()
    yield ends
    os.close(ends[0])  # first: it ends a write that still waits for room
    os.close(ends[1])


def fill(descriptor: int) -> None:
    """Make the pipe take no byte more."""
    os.set_blocking(descriptor, False)
    try:
        while True:
            os.write(descriptor, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(descriptor, True)


def test_lines_are_written_in_order(pipe: tuple[int, int]) -> None:
    """What is written is there once the stream was given the time."""
    stream = DroppingStream(pipe[1])
    for number in range(100):
        stream.write(f"{number}\n")
    stream.close()
    assert os.read(pipe[0], 65536) == b"".join(b"%d\n" % number for number in range(100))
    assert stream.dropped == 0


def test_f80_a_pipe_that_nobody_reads_drops_and_counts(pipe: tuple[int, int]) -> None:
    """The pipe is full: 50 lines return at once, ten are kept; read again, the kept ones and the number come."""
    fill(pipe[1])
    stream = DroppingStream(pipe[1], lines_max=10)
    for number in range(50):
        stream.write(f"line {number}\n")
    assert stream.dropped in (39, 40)  # one may be in the thread's hands
    said = b""
    while b"log lines were dropped" not in said or not said.endswith(b"\n"):
        said += os.read(pipe[0], 65536).replace(b"x", b"")
    assert said.startswith(b"line 0\n") or b"line 0\n" in said
    assert b"%d log lines were dropped" % stream.dropped in said
    stream.close()


def test_f80_a_descriptor_that_fails_is_no_error() -> None:
    """A closed pipe: nothing is raised, and the process that logged to it ends with its own exit code."""
    script = (
        "import atexit, os, signal, sys\n"
        "from gradata.log_output import DroppingStream\n"
        "stream = DroppingStream(2); atexit.register(stream.close)\n"
        "sys.stdin.readline()\n"
        "[stream.write('to nobody\\n') for _ in range(10)]\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stderr.close()
    process.stdin.write(b"go\n")
    process.stdin.close()
    assert process.wait(30) == 0


def test_a_forked_child_writes_its_own_lines(pipe: tuple[int, int]) -> None:
    """The child begins anew, with a thread of its own."""
    script = (
        "import os, sys\n"
        "from gradata.log_output import DroppingStream\n"
        "stream = DroppingStream(1); stream.write('parent\\n'); stream.close()\n"
        "pid = os.fork()\n"
        "stream.write('child\\n' if pid == 0 else ''); stream.close()\n"
        "os._exit(0) if pid == 0 else os.waitpid(pid, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30, check=True)
    assert done.stdout == b"parent\nchild\n"
