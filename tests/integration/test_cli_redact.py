"""`gradata redact --check`: kinds and places, and never the secret."""

from __future__ import annotations

import pytest

from tests.support.cli_runner import CommandLine, last_lines

SECRET = "gh" + "p_" + "a1B2" * 9


def test_kinds_and_places_are_shown_and_no_secret(cli: CommandLine) -> None:
    """Of a file, line and column from 1; exit 1, as for every problem that is found."""
    file = cli.home / "notes.md"
    file.write_text(f"token:\n  é {SECRET} and\nbob@example.com\n", encoding="utf-8")
    done = cli("redact", "--check", str(file))
    assert (done.code, done.err) == (1, "")
    assert done.out == f"{file}:2:5: GITHUB_TOKEN, 40 characters\n{file}:3:1: EMAIL, 15 characters\n"
    answer = cli("redact", "--check", str(file), "--json")
    assert answer.json["found"][0] == {"kind": "GITHUB_TOKEN", "line": 2, "column": 5, "characters": 40}
    assert SECRET not in answer.out + done.out


def test_a_text_without_secrets_is_fine(cli: CommandLine) -> None:
    """From stdin, too; bytes that are no UTF-8 are no error."""
    done = cli("redact", "--check", "-", stdin="nothing here\n")
    assert (done.code, done.out) == (0, "")
    file = cli.home / "binary"
    file.write_bytes(b"\xff\xfe\0 " + SECRET.encode())
    assert cli("redact", "--check", str(file)).out.count("GITHUB_TOKEN") == 1


@pytest.mark.parametrize("arguments", [["--check", "/nowhere/at/all"], ["--check", "/"], ["file"], []])
def test_wrong_usage_ends_with_2(cli: CommandLine, arguments: list[str]) -> None:
    """No file, a directory, without --check, without anything."""
    done = cli("redact", *arguments)
    assert done.code == 2
    assert last_lines(done)[0].startswith("error: ")
