"""Commands of the published SDK: each says where it went, and nothing is done."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gradata.cli import COMMANDS
from gradata.cli.sdk_verbs import SDK_VERBS
from tests.support.cli_runner import CommandLine, last_lines

PUBLISHED = """
init search embed manifest stats audit export context validate doctor install health report watch diagnose review
correct convergence demo hooks rule login logout seed mine skill sync cloud
"""
"""What `gradata --help` of 0.6.0 lists, and what later versions added."""


@pytest.mark.parametrize("verb", sorted(SDK_VERBS))
def test_a_command_of_the_sdk_says_where_it_went(cli: CommandLine, verb: str) -> None:
    """Exit 2, with what became of it and what to run; its options are not looked at."""
    done = cli(verb, "--some", "option")
    assert (done.code, done.out) == (2, "")
    error, hint = last_lines(done)
    assert error.startswith(f"error: `gradata {verb}` is a command of the SDK")
    assert hint.startswith("hint: ")


def test_every_command_of_the_sdk_is_here_or_accounted_for() -> None:
    """None is left to the parser's list of choices, and none is both."""
    ours = {command.NAME for command in COMMANDS}
    assert set(PUBLISHED.split()) <= ours | set(SDK_VERBS)
    assert not ours & set(SDK_VERBS)


def test_hints_name_commands_that_there_are() -> None:
    """Each hint begins a command of this program, or names the document."""
    ours = {command.NAME for command in COMMANDS}
    for _, hint in SDK_VERBS.values():
        words = hint.split()
        assert words[0] != "gradata" or words[1] in ours


def test_the_sdk_s_brain_option_before_the_command_is_seen_through(cli: CommandLine) -> None:
    """`gradata --brain-dir DIR sync`, as crontabs have it."""
    assert "replication is continuous" in cli("--brain-dir", str(cli.brain), "sync").err


def test_the_module_that_scripts_start_is_there() -> None:
    """`python -m gradata.cli` is `gradata`."""
    done = subprocess.run(
        [sys.executable, "-m", "gradata.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("gradata ")
