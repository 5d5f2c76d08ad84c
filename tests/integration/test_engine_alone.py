"""The engine in a program of its own: what it says there, at the interpreter's end and in its log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import logging, sys, threading
from replicator import DeliverySink, LogWriter, Replicator

logging.basicConfig(level=logging.INFO)
tried = threading.Event()

def deliver(batch):
    tried.set()
    raise ConnectionError("down")

options = {"exit_line": sys.argv[2]} if len(sys.argv) > 2 else {}
writer = LogWriter(sys.argv[1])
writer.append(b'{"order": 1}\\n')
writer.close()
Replicator(sys.argv[1], endpoint="shop", open_sink=lambda: DeliverySink(deliver), **options).start()
tried.wait(30)
"""


@pytest.mark.parametrize("line", [None, "orders: {bytes} bytes are not in the shop yet"])
def test_a_library_users_program_is_told_in_its_own_words(tmp_path: Path, line: str | None) -> None:
    """One line at exit, as it was asked for; no word of any product in it or in the log."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "orders.log"), *([line] if line else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    expected = "replicator: {bytes} bytes wait in the log; they are replicated at the next start"
    assert (line or expected).format(bytes=13) in done.stderr.splitlines()
    assert not any(word in done.stderr.lower() for word in ("gradata", "brain", "correction"))
