"""Output of a command: data on stdout, messages on stderr, control characters escaped.

The only module that checks whether there is a terminal. Colours and progress need rich and a terminal (rich honours
NO_COLOR and TERM=dumb); a pipe gets plain text without progress. Texts come from logs and servers, so control
characters are shown as escapes.
"""

from __future__ import annotations

import atexit
import json
import re
import sys
import time
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, cast

from gradata.log_output import DroppingStream
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
PROGRESS_S = 0.1
"""Minimum interval between two updates of a progress line, in seconds."""
_STYLES = {"ok": "green", "skip": "dim", "warn": "yellow", "missing": "yellow", "fail": "bold red", "error": "bold red"}


def clean(text: str) -> str:
    """The text with each control character except newline and tab replaced by its escape sequence."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _wrapped(text: str, indent: int, columns: int) -> str:
    """The text wrapped to lines that fit after `indent` characters; paths and commands are not split."""
    import textwrap

    room = max(20, columns - indent - 1)
    return f"\n{' ' * indent}".join(textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""])


class Terminal:
    """The three streams of one command. `quiet`: no talk but errors."""

    def __init__(
        self, stdout: IO[str] | None = None, stderr: IO[str] | None = None, stdin: IO[str] | None = None
    ) -> None:
        self._stdout = stdout if stdout is not None else sys.stdout
        self._stderr = stderr if stderr is not None else sys.stderr
        self._stdin = stdin if stdin is not None else sys.stdin
        self.quiet = False
        self._line_width = 0
        self._line_at = float("-inf")
        for stream in (self._stdout, self._stderr):
            if hasattr(stream, "reconfigure"):  # a console of another encoding shows an escape instead of failing
                stream.reconfigure(errors="backslashreplace")

    def never_wait(self) -> None:
        """From now on messages are dropped where nobody reads them: for commands that run for days."""
        try:
            stream = DroppingStream(self._stderr.fileno())
        except (OSError, ValueError):  # no descriptor: a test's own stream
            return
        atexit.register(stream.close)
        self._stderr = cast("IO[str]", stream)

    # ------------------------------------------------------------------------------ data

    def out(self, text: str) -> None:
        """One line, or several, of the answer."""
        self.end_progress()
        print(clean(text), file=self._stdout, flush=True)

    def json(self, answer: object) -> None:
        """The answer as one line of JSON; ASCII, so that every console and pipe carries it."""
        self.end_progress()
        print(json.dumps(answer), file=self._stdout, flush=True)

    def marked(self, status: str, text: str, *, mark: str = "") -> None:
        """A line of the answer behind its mark, in the colour of its status where there are colours; on a terminal
        that is narrower, its text goes on below itself."""
        if self._stdout.isatty():
            text = _wrapped(clean(text), len(mark), self._columns())
        console = self._console(self._stdout)
        if console is None:
            self.out(mark + text)
        else:
            style = None if console.no_color else _STYLES.get(status)  # rich would keep bold and dim
            console.print(clean(mark + text), style=style, markup=False, highlight=False, soft_wrap=True)

    def clear(self) -> bool:
        """Begin the terminal's page anew, for what is shown again and again; False where there is none."""
        console = self._console(self._stdout)
        if console is None or not console.is_terminal or console.is_dumb_terminal:
            return False
        console.clear()
        return True

    def facts(self, rows: Iterable[tuple[str, object]]) -> None:
        """Names and values, one pair a line, the values in one column."""
        shown = [(name, "-" if value is None else str(value)) for name, value in rows]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            text = _wrapped(clean(value), width + 2, self._columns()) if self._stdout.isatty() else value
            self.out(f"{name:<{width}}  {text}")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows under their heads, columns as wide as their widest cell."""
        cells = [[str(cell) for cell in row] for row in (head, *rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
        for row in cells:
            self.out("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    # ------------------------------------------------------------------------------ talk

    def say(self, text: str) -> None:
        """Talk: what is going on. Silent when quiet."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """What must be read even when quiet."""
        self.end_progress()
        print(clean(text), file=self._stderr, flush=True)

    def fail(self, message: str, hint: str = "") -> None:
        """How every error ends."""
        self.warn(f"error: {message}")
        if hint:
            self.warn(f"hint: {hint}")

    def confirm(self, what: str, *, yes: bool) -> bool:
        """Whether a person agrees to `what` (a question without its mark).

        ConfigurationError if nobody is there to be asked and `--yes` was not given.
        """
        if yes:
            return True
        if not self._stdin.isatty():
            raise ConfigurationError(
                "this wants a confirmation, and there is no terminal to ask at",
                hint="look at it with --dry-run, then add --yes",
            )
        self.end_progress()
        print(f"{clean(what)}? [y/N] ", end="", file=self._stderr, flush=True)
        return self._stdin.readline().strip().lower() in ("y", "yes")

    # ------------------------------------------------------------------------------ progress

    @property
    def watched(self) -> bool:
        """Whether somebody sees progress."""
        return not self.quiet and self._stderr.isatty()

    def progress(self, text: str) -> None:
        """Replace the line of progress; on a terminal only, at most every PROGRESS_S seconds."""
        now = time.monotonic()
        if not self.watched or now - self._line_at < PROGRESS_S:
            return
        self._line_at = now
        shown = clean(text)[: self._columns() - 1]
        self._stderr.write("\r" + shown.ljust(self._line_width))
        self._stderr.flush()
        self._line_width = len(shown)

    def end_progress(self) -> None:
        """Wipe the line of progress, before anything else is printed."""
        if self._line_width:
            self._stderr.write("\r" + " " * self._line_width + "\r")
            self._stderr.flush()
            self._line_width = 0

    def read(self) -> str:
        """All of stdin."""
        return self._stdin.read()

    def _columns(self) -> int:
        import shutil  # here: only where somebody looks

        return max(2, shutil.get_terminal_size().columns)

    def _console(self, stream: IO[Any]) -> Console | None:
        if not stream.isatty():
            return None
        try:
            from rich.console import Console  # here: an extra, and 100 ms that a pipe need not pay
        except ImportError:
            return None
        return Console(file=stream)
