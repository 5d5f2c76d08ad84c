"""`gradata torture`, a few seconds of it; more by the command itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.world import CLI, ROOT


@pytest.fixture
def torture(tmp_path: Path) -> subprocess.Popen[str]:
    """The command, running, with a temporary directory and a home that nobody else uses."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GRADATA_", "BRAIN_"))}
    (tmp_path / "tmp").mkdir()
    (tmp_path / "home").mkdir()
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CLI, "torture", "--minutes", "0.1", "--seed", "9", "--json"],
        env={**kept, "TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_f23_f27_f31_f46_torture_breaks_no_promise_and_leaves_nothing(
    torture: subprocess.Popen[str], tmp_path: Path
) -> None:
    """Kills, cuts and a bent network, then the counts: 0 lost, 0 twice, both sides equal; the user's home is empty."""
    out, talk = torture.communicate(timeout=280)
    found = json.loads(out)
    assert (torture.returncode, found["held"]) == (0, True), talk
    assert (found["lost"], found["twice"], found["roots_equal"], found["bytes_equal"]) == (0, 0, True, True)
    assert found["stored"] >= found["promised"] > 0
    assert sum(found["acts"].values()) > 0
    assert list((tmp_path / "tmp").iterdir()) == list((tmp_path / "home").iterdir()) == []


def test_ctrl_c_ends_torture_and_leaves_nothing(torture: subprocess.Popen[str], tmp_path: Path) -> None:
    """Interrupted in the middle: exit code 130, no process that still writes, no directory, no mount."""
    assert torture.stderr is not None
    while " s  " not in torture.stderr.readline():
        pass
    torture.send_signal(signal.SIGINT)
    out, _ = torture.communicate(timeout=120)
    assert (torture.returncode, out) == (130, "")
    assert list((tmp_path / "tmp").iterdir()) == list((tmp_path / "home").iterdir()) == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
