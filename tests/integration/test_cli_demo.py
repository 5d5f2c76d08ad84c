"""`gradata demo`: the README's first command, for real."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gradata.trials import demo
from tests.support.cli_runner import CommandLine


@pytest.mark.timeout(180)
def test_the_demo_shows_what_is_promised_and_leaves_nothing(cli: CommandLine, tmp_path: Path) -> None:
    """Every step holds, in words and as JSON; the user's brain, home and temporary directory are as before."""
    cli.environ["TMPDIR"] = str(tmp_path / "tmp")
    (tmp_path / "tmp").mkdir()
    cli.use("https://far.example", "gk_live_CANARY")
    done = cli("demo", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["held"] is True
    steps = {step["name"]: step for step in done.json["steps"]}
    assert all(step["held"] for step in steps.values())
    assert steps["correct, without a cloud"]["backlog_records"] == demo.BEHIND
    assert steps["send everything again"]["accepted"] == 0
    assert os.listdir(tmp_path / "tmp") == []
    assert cli.log.read_bytes() == b""
    assert list(cli.home.iterdir()) == []


@pytest.mark.timeout(180)
def test_a_promise_that_fails_is_exit_1(cli: CommandLine, tmp_path: Path) -> None:
    """Without a working cloud the demo says which step failed, and stops there."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "uvicorn.py").write_text("def __getattr__(name):\n    raise SystemExit('no server today')\n")
    done = cli("demo", PYTHONPATH=str(broken), TMPDIR=str(tmp_path))
    assert done.code != 0
    assert "Traceback" not in done.err
