"""The terminal of a command: data apart from talk, nothing that a text could do to it."""

from __future__ import annotations

import io
import json

import pytest

from gradata.cli.terminal import Terminal, clean
from replicator.errors import ConfigurationError


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def streams() -> tuple[io.StringIO, io.StringIO]:
    """Two pipes."""
    return io.StringIO(), io.StringIO()


@pytest.mark.parametrize("text", ["\x1b[2J", "a\rb", "\x9b31m", "\x00", "\u202egnp.exe", "\u2028"])
def test_f59_control_characters_are_shown_not_obeyed(text: str) -> None:
    """ANSI escapes, carriage returns, C1 controls and text direction come out as their escapes."""
    assert text not in clean(f"before {text} after")
    assert "\\" in clean(text)


def test_plain_text_is_left_as_it_is() -> None:
    """Newlines, tabs and other languages are no danger."""
    assert clean("a\n\tüber ✓ 東京") == "a\n\tüber ✓ 東京"


def test_data_goes_to_stdout_and_talk_to_stderr() -> None:
    """A pipe gets the answer and nothing else."""
    out, err = streams()
    terminal = Terminal(out, err)
    terminal.out("answer")
    terminal.say("talk")
    terminal.fail("why", "what to do")
    assert out.getvalue() == "answer\n"
    assert err.getvalue() == "talk\nerror: why\nhint: what to do\n"


def test_quiet_silences_talk_but_no_error() -> None:
    """`--quiet` is about talk."""
    out, err = streams()
    terminal = Terminal(out, err)
    terminal.quiet = True
    terminal.say("talk")
    terminal.fail("why")
    assert err.getvalue() == "error: why\n"


def test_json_is_one_line_of_ascii() -> None:
    """Every console and pipe can carry it, and no reader splits it."""
    out, err = streams()
    Terminal(out, err).json({"text": "über\u2028\x1b"})
    assert out.getvalue().isascii()
    assert out.getvalue().count("\n") == 1
    assert json.loads(out.getvalue()) == {"text": "über\u2028\x1b"}


def test_progress_is_for_terminals_only() -> None:
    """A pipe stays quiet; a terminal gets one line, wiped before anything else is said."""
    pipe, screen = io.StringIO(), Screen()
    Terminal(pipe, pipe).progress("50 %")
    terminal = Terminal(screen, screen)
    terminal.progress("50 %")
    terminal.out("done")
    assert pipe.getvalue() == ""
    assert screen.getvalue().startswith("\r50 %")
    assert screen.getvalue().endswith("\r    \rdone\n")


@pytest.mark.parametrize(
    ("answer", "expected"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_person_is_asked(answer: str, expected: bool) -> None:
    """Only a plain yes is one."""
    assert Terminal(io.StringIO(), io.StringIO(), Screen(answer)).confirm("go", yes=False) is expected


def test_without_a_terminal_a_confirmation_must_be_given_beforehand() -> None:
    """No script destroys anything by having no terminal."""
    terminal = Terminal(io.StringIO(), io.StringIO(), io.StringIO("y\n"))
    with pytest.raises(ConfigurationError) as caught:
        terminal.confirm("go", yes=False)
    assert "--yes" in caught.value.hint
    assert terminal.confirm("go", yes=True)


def test_tables_and_facts_are_aligned() -> None:
    """Columns are as wide as their widest cell; nothing trails."""
    out, err = streams()
    terminal = Terminal(out, err)
    terminal.table(("id", "code"), [(1, "x"), (100, "y")])
    terminal.facts([("a", 1), ("long", None)])
    assert out.getvalue() == "id   code\n1    x\n100  y\na     1\nlong  -\n"


@pytest.mark.parametrize("encoding", ["cp437", "cp1252", "ascii", "utf-8"])
def test_a_console_of_another_encoding_shows_escapes_instead_of_failing(encoding: str) -> None:
    """Windows consoles know few characters: the rest comes as what it is called, on stdout and stderr alike."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict", newline="\n")
    terminal = Terminal(stream, stream)
    terminal.out("100 \u2192 200, \u00fcber, \U0001f9e0")
    terminal.warn("\u2026")
    stream.flush()
    shown = raw.getvalue().decode(encoding)
    assert shown.startswith("100 ")
    assert ("\u2192" in shown) == (encoding == "utf-8")
    assert "\\u2192" in shown or encoding == "utf-8"


@pytest.mark.parametrize("columns", ["1", "10", "30"])
def test_progress_never_fills_a_narrow_line(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line as wide as the terminal would go on below, where it could not be wiped any more."""
    monkeypatch.setenv("COLUMNS", columns)
    screen = Screen()
    Terminal(screen, screen).progress("1,234 of 9,999 records, 3.1 of 12.9 MB")
    assert len(screen.getvalue().removeprefix("\r")) < max(2, int(columns))


def test_facts_go_on_below_their_column_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values wrap behind their name; paths and commands are not torn apart; a pipe gets one line each."""
    rows = [("log", "/a/very/long/path/to/events.jsonl, 12 bytes, last written never"), ("state", "off")]
    monkeypatch.setenv("COLUMNS", "40")
    screen, pipe = Screen(), io.StringIO()
    Terminal(screen, screen).facts(rows)
    Terminal(pipe, pipe).facts(rows)
    assert screen.getvalue().splitlines() == [
        "log    /a/very/long/path/to/events.jsonl,",
        "       12 bytes, last written never",
        "state  off",
    ]
    assert len(pipe.getvalue().splitlines()) == 2
