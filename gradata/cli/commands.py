"""Shared by all commands: parser, brain and endpoint options, exit codes.

Imports nothing heavy. Only `config.settings` reads the environment.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from replicator.errors import ConfigurationError, CursorError, ReplicatorError

if TYPE_CHECKING:
    from gradata.config.settings import Settings

FINE, PROBLEM, USAGE, INTERRUPTED = 0, 1, 2, 130


class Parser(argparse.ArgumentParser):
    """argparse with our error format. No abbreviations: a new option must not change the meaning of an old command
    line.
    """

    def __init__(self, **settings: object) -> None:
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Print the error with a hint and exit 2."""
        from gradata.cli.terminal import Terminal

        Terminal().fail(message, f"{self.prog} --help")
        raise SystemExit(USAGE)


if TYPE_CHECKING:
    # argparse has no public name for it; in type expressions alone.
    Subparsers: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001
else:
    Subparsers = object


def exit_code(error: ReplicatorError) -> int:
    """2 if the request itself is invalid, 1 if something external failed."""
    from gradata.errors import BrainNotFoundError

    return USAGE if isinstance(error, ConfigurationError | CursorError | BrainNotFoundError) else PROBLEM


def add_brain(parser: argparse.ArgumentParser) -> None:
    """`--brain DIR`."""
    parser.add_argument(
        "--brain",
        metavar="DIR",
        help="brain directory (default: BRAIN_DIR, GRADATA_BRAIN_DIR, GRADATA_BRAIN, ~/.gradata/brain)",
    )


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    """`--endpoint URL`. There is no option for the key: command lines are visible in process lists."""
    parser.add_argument(
        "--endpoint",
        metavar="URL",
        help="cloud URL (default: GRADATA_ENDPOINT, GRADATA_CLOUD_API_BASE, api.gradata.ai)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`: one object on one line of stdout, in the form that docs/commands.md shows."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def add_order(parser: argparse.ArgumentParser) -> None:
    """`--dry-run` and `--yes`, for destructive commands."""
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, without doing it")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation; required without a terminal")


def add_duration(parser: argparse.ArgumentParser, name: str, default: str, what: str) -> None:
    """An option that takes a duration: 90s, 10m, 2h, 3d."""
    parser.add_argument(name, type=_seconds, default=_seconds(default), metavar="T", help=f"{what} ({default})")


def _seconds(text: str) -> float:
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}.get(text[-1:])
    number = text[:-1] if unit is not None else text
    if not number.replace(".", "", 1).isdecimal() or float(number) <= 0:
        raise argparse.ArgumentTypeError(f"{text} is no duration; write 90s, 10m, 2h or 3d")
    return float(number) * (unit or 1.0)


def settled(brain: str | None, endpoint: str | None = None, *, only_recording: bool = False) -> Settings:
    """The settings of an existing brain.

    BrainNotFoundError if it does not exist; ConfigurationError if the settings are invalid. With `only_recording` an
    invalid configuration file is no error, because a correction must not be lost: the brain then sends nothing, and
    says so.
    """
    from gradata.config.settings import Settings, checked
    from gradata.errors import BrainNotFoundError

    settings = Settings.resolve(brain, endpoint)
    if not only_recording:
        checked(settings)
    if not os.path.isdir(settings.brain_dir):
        raise BrainNotFoundError(
            f"there is no brain at {settings.brain_dir}", hint=f"make one with: gradata init {settings.brain_dir}"
        )
    return settings


@contextmanager
def needs_server() -> Iterator[None]:
    """Wraps imports of the cloud: a missing extra is a ConfigurationError, not a traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the cloud is not installed here: {error.name} is missing", hint="pip install 'gradata[server]'"
        ) from error


def version() -> str:
    """The installed version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("gradata")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"
