"""Completions, tried by the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gradata.cli import build_parser
from gradata.cli.completion_scripts import SHELLS, places

BASH = shutil.which("bash")
ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
_gradata
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(tmp_path: Path, shell: str) -> Path:
    """The completions of a shell, in a file."""
    path = tmp_path / f"completion.{shell}"
    path.write_text(SHELLS[shell](build_parser()))
    return path


def by_bash(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    assert BASH is not None
    command = [BASH, "--norc", "--noprofile", "-c", ASK, "ask", str(script(tmp_path, "bash")), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@pytest.mark.skipif(BASH is None, reason="no bash here")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("gradata", "doc"), ["doctor"]),
        (("gradata", "co"), ["correct", "config", "completion"]),
        (("gradata", "doctor", "--no"), ["--no-cloud"]),
        (("gradata", "cursor", "r"), ["reset"]),
        (("gradata", "cursor", "reset", "--to-ev"), ["--to-event"]),
        (("gradata", "doctor", "--json", "--qu"), ["--quiet"]),
        (("gradata", "completion", "b"), ["bash"]),
        (("gradata", "doctor", "--endpoint", ""), []),
        (("gradata", "nothing", "--no"), []),
    ],
)
def test_bash_completes(tmp_path: Path, words: tuple[str, ...], expected: list[str]) -> None:
    """Commands, the commands of commands, options and choices; nothing where anything may come."""
    assert sorted(by_bash(tmp_path, *words)) == sorted(expected)


@pytest.mark.skipif(BASH is None, reason="no bash here")
def test_bash_completes_directories(tmp_path: Path) -> None:
    """Where an option takes a directory, with blanks in their names, and files are not offered."""
    (tmp_path / "brain one").mkdir()
    (tmp_path / "brain.txt").touch()
    assert by_bash(tmp_path, "gradata", "doctor", "--brain", "br") == ["brain one"]
    assert by_bash(tmp_path, "gradata", "init", "br") == ["brain one"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_takes_the_script(tmp_path: Path) -> None:
    """It parses, and loading it behind compinit makes `_gradata` the completion of `gradata`."""
    code = f"autoload -Uz compinit; compinit -u -D; source {script(tmp_path, 'zsh')}; print -- $_comps[gradata]"
    done = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout.strip(), done.stderr) == ("_gradata", "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [("gradata doc", {"doctor"}), ("gradata cursor ", {"show", "reset"}), ("gradata doctor --no", {"--no-cloud"})],
)
def test_fish_completes(tmp_path: Path, typed: str, expected: set[str]) -> None:
    """By `complete -C`, which says what the Tab key would offer."""
    code = f"source {script(tmp_path, 'fish')}; complete -C '{typed}'"
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TERM": "dumb"}
    command = ["fish", "--no-config", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} == expected, done.stderr


def test_every_command_is_in_every_script(tmp_path: Path) -> None:
    """None is forgotten, in no shell."""
    parser = build_parser()
    options = {offer.word for place in places(parser) for offer in place.offers}
    for make in SHELLS.values():
        text = make(parser)
        assert all(option.lstrip("-") in text for option in options)
