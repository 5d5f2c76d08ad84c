"""What belongs to one process stays in it."""

from __future__ import annotations

import os
import threading

import pytest

from gradata.brain.fork_safe import PerProcess


def test_threads_that_come_together_share_one_value() -> None:
    """Eight threads that ask first at the same time get the same object, and so does every later call."""
    owned: PerProcess[list[int]] = PerProcess(list)
    barrier, found = threading.Barrier(8), []

    def come() -> None:
        barrier.wait()
        found.append(owned.own())

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(value) for value in found} == {id(owned.own())}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_f43_a_forked_child_makes_its_own_and_keeps_the_parents_alive() -> None:
    """The child's value is new; the parent's is still referenced, so that nothing finalises it in the child."""
    owned: PerProcess[list[int]] = PerProcess(list)
    owned.own().append(1)
    child = os.fork()
    if child == 0:
        fresh = owned.own() == [] and owned.own() is owned.own()
        os._exit(0 if fresh and [1] in owned._values.values() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert owned.own() == [1]
