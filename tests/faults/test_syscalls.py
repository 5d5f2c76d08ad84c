"""Every system call of an append as a point of death and failure; all paths by `python -m tests.campaigns syscalls`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.acceptance.world import ROOT
from tests.faults.strace import missing


def test_f19_f23_no_system_call_is_a_point_where_a_record_is_lost() -> None:
    """Killed at, or failed by (EIO, ENOSPC), each system call of append, and many of the others: nothing acknowledged
    is lost, nothing torn is glued, replication goes on."""
    why = missing()
    if why is not None and not (os.environ.get("CI") and shutil.which("strace") is None):
        pytest.skip(why)
    # A process of its own: this one has threads, and the trials fork.
    command = [sys.executable, "-m", "tests.campaigns", "syscalls", "--short", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, cwd=ROOT)
    assert done.stdout, done.stderr
    rows = json.loads(done.stdout)
    assert [text for row in rows for text in row["failed"]] == []
    assert all(set(row["points"]) == {"KILL", "EIO", "ENOSPC"} for row in rows)
    assert done.returncode == 0
