"""The lease between real processes: exactly one holds it, death frees it, a fork neither shares nor frees it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.lease import Lease

CONTENDER = """
import os, sys
from replicator.lease import Lease
lease = Lease(sys.argv[1])
for line in sys.stdin:
    if line == "acquire\\n":
        print("held" if lease.acquire() else "taken", flush=True)
    elif line == "holds\\n":
        print("held" if lease.holds() else "lost", flush=True)
"""

FORK = """
import os, signal, sys
from replicator.lease import Lease
lease = Lease(sys.argv[1])
assert lease.acquire()
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    held = lease.holds()
    if sys.argv[2] == "abandon":
        lease.abandon()
    elif sys.argv[2] == "release":
        lease.release()
    elif sys.argv[2] == "acquire":
        held = held or lease.acquire()
    freed = Lease(sys.argv[1]).acquire()
    print(f"child done: {held=} {freed=}", flush=True)
    os.close(writer)
    os.read(0 if sys.argv[3] == "die" else reader, 1)  # lives on; longer than a parent that is to die
    os._exit(0)
os.close(reader)
if sys.argv[3] == "release":
    print(sys.stdin.readline(), end="")
    lease.release()
    print("released", flush=True)
signal.pause()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the lease is to be."""
    return str(tmp_path / ".replicator.lock")


class Contender:
    """One process that does what it is told."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def contenders() -> Iterator[list[Contender]]:
    """Processes to be killed at the end."""
    started: list[Contender] = []
    yield started
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("count", [2, 27])
def test_f44_of_many_processes_exactly_one_holds_and_its_death_frees_it_at_once(
    path: str, contenders: list[Contender], count: int
) -> None:
    """All ask at the same moment: one gets it. `kill -9` of it: the next to ask gets it, again one alone."""
    contenders += [Contender(CONTENDER, path) for _ in range(count)]

    for _ in range(min(count, 5)):
        for one in contenders:
            one.tell("acquire")
        answers = [one.hear() for one in contenders]
        assert answers.count("held") == 1
        holder = contenders.pop(answers.index("held"))
        found = Lease.holder(path)
        assert found is not None
        assert found.pid == holder.process.pid
        for one in contenders:
            one.tell("holds")
        assert {one.hear() for one in contenders} <= {"lost"}
        holder.kill()
        assert Lease.holder(path) is None


def test_f44_looking_who_holds_it_keeps_nobody_from_taking_it(path: str, contenders: list[Contender]) -> None:
    """While one process looks thousands of times, another takes a free lease at the first attempt, 50 times."""
    Path(path).touch(0o600)
    prober = f"from replicator.lease import Lease\nprint('go', flush=True)\nwhile True: Lease.holder({path!r})"
    contenders += [Contender(prober), Contender(prober)]
    assert [one.hear() for one in contenders] == ["go", "go"]
    taken = []
    for _ in range(50):
        lease = Lease(path)
        taken.append(lease.acquire())
        lease.release()

    assert taken == [True] * 50


@pytest.mark.parametrize("how", ["abandon", "release", "acquire"])
def test_f43_a_forked_child_frees_nothing_and_its_parents_death_frees_the_lease(
    path: str, contenders: list[Contender], how: str
) -> None:
    """Whatever the child does with the inherited lease, the parent holds it; once the parent is killed, while the
    child lives on, it is free at once."""
    parent = Contender(FORK, path, how, "die")
    contenders.append(parent)
    assert parent.hear() == "child done: held=False freed=False"
    assert not Lease(path).acquire()

    parent.process.kill()
    parent.process.wait()

    lease = Lease(path)
    assert lease.acquire()
    lease.release()


def test_f43_a_release_frees_the_lease_although_a_child_has_the_descriptor_still(
    path: str, contenders: list[Contender]
) -> None:
    """A child that never touched its copy does not keep the lease from the next process."""
    parent = Contender(FORK, path, "nothing", "release")
    contenders.append(parent)
    assert parent.hear() == "child done: held=False freed=False"
    parent.tell("go")
    assert [parent.hear(), parent.hear()] == ["go", "released"]

    lease = Lease(path)

    assert lease.acquire()
    lease.release()
