"""A few power cuts on real file systems; hundreds by `python -m tests.campaigns powercut --rounds 500`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.acceptance.world import ROOT


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_f14_f23_a_power_cut_takes_nothing_that_was_acknowledged(kind: str) -> None:
    """Brain, cloud, or both lose their power: 0 lost, 0 twice, and the cloud knows no byte that the log lost."""
    command = [sys.executable, "-m", "tests.campaigns", "powercut", "--rounds", "4", "--seed", "7", "--kind", kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, cwd=ROOT)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
