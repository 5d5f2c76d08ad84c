"""The check that every test ends with: what was started and not ended is found, named and killed."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from tests.support import leaks
from tests.support.leaks import Leaks

FOR_EVER = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
def test_f113_a_process_that_was_left_behind_is_found_and_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the test that started it, before its warning fails another one; what was there before is allowed."""
    monkeypatch.setattr(leaks, "GONE_S", 0.0)
    with subprocess.Popen(FOR_EVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as allowed:
        known = Leaks()
        with subprocess.Popen(FOR_EVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as left:
            assert left.stdout is not None
            assert left.stdout.readline() == b"up\n"
            (found,) = known.found()
            assert found.startswith(f"process {left.pid}: ")
            assert left.wait(30) == -9
        assert allowed.poll() is None
        allowed.communicate()
    assert known.found() == []


def test_f113_a_thread_that_was_left_behind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends in time is none."""
    monkeypatch.setattr(leaks, "GONE_S", 0.0)
    known, end = Leaks(), threading.Event()
    thread = threading.Thread(target=end.wait, name="of a test")
    thread.start()
    assert known.found() == ["thread of a test"]
    end.set()
    thread.join()
    assert known.found() == []
