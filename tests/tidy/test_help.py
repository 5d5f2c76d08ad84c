"""Every command is documented where people look: in its own help, and in the table of commands."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradata.cli import COMMANDS, build_parser

ROOT = Path(__file__).parents[2]
TABLES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.exists()]


def parsers(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Each command and part of one: its name, its parser, and the one-line help that lists it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, inner in action.choices.items():
                yield f"{path} {name}".strip(), inner, helps.get(name, "")
                yield from parsers(inner, f"{path} {name}".strip())


ALL = list(parsers(build_parser()))
IDS = [name for name, _, _ in ALL]
LEAVES = [(name, parser) for name, parser, _ in ALL if not any(other.startswith(f"{name} ") for other in IDS)]


NOT_COMMANDS = {"__init__", "__main__", "commands", "completion_scripts", "sdk_verbs", "service_units", "terminal"}


def test_every_module_of_the_command_line_is_a_command() -> None:
    """One command a file, and no file without its command."""
    files = {path.stem for path in (ROOT / "gradata" / "cli").glob("*.py")} - NOT_COMMANDS
    assert {command.__name__.rpartition(".")[2] for command in COMMANDS} == files
    assert [command.NAME for command in COMMANDS] == [name for name in IDS if " " not in name]


@pytest.mark.parametrize(("name", "parser", "listed"), ALL, ids=IDS)
def test_every_command_and_option_has_help(name: str, parser: argparse.ArgumentParser, listed: str) -> None:
    """The line that lists it, its description, and every option's help."""
    assert listed, name
    assert parser.description, name
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            assert action.help, f"{name}: {action.option_strings or action.dest}"


@pytest.mark.parametrize(("name", "parser"), LEAVES, ids=[name for name, _ in LEAVES])
def test_whatever_reports_has_json(name: str, parser: argparse.ArgumentParser) -> None:
    """`--json` wherever something is reported."""
    options = {option for action in parser._actions for option in action.option_strings}
    assert "--json" in options, name


@pytest.mark.parametrize(("name", "parser"), LEAVES, ids=[name for name, _ in LEAVES])
def test_no_option_takes_a_key(name: str, parser: argparse.ArgumentParser) -> None:
    """F55: what stands on a command line is in every process list, so keys come from a file or the environment."""
    for action in parser._actions:
        assert not {"--key", "--api-key", "--token"} & set(action.option_strings), name


@pytest.mark.parametrize("name", [name for name, _, _ in ALL if " " not in name])
def test_every_command_is_in_the_table(name: str) -> None:
    """A row `| gradata NAME …` stands in the README or in docs."""
    rows = [line for path in TABLES for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert any(re.match(rf"\| *`gradata {re.escape(name)}[ `]", row) for row in rows), f"no row for gradata {name}"
