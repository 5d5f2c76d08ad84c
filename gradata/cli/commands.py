"""What all commands share: how they are parsed, which brain they mean, and what their exit codes are.

Nothing heavy is imported here. Partners: the command modules, which call these functions; `config.settings`, which
alone reads the environment.
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
    """argparse, whose errors end as all of ours do. No abbreviations: an option added later must not change them."""

    def __init__(self, **settings: object) -> None:
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Wrong usage."""
        from gradata.cli.terminal import Terminal

        Terminal().fail(message, f"{self.prog} --help")
        raise SystemExit(USAGE)


if TYPE_CHECKING:
    # argparse has no public name for it; in type expressions alone.
    Subparsers: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001
else:
    Subparsers = object


def exit_code(error: ReplicatorError) -> int:
    """2 where the request itself cannot be; 1 where the world was in the way."""
    from gradata.errors import BrainNotFoundError

    return USAGE if isinstance(error, ConfigurationError | CursorError | BrainNotFoundError) else PROBLEM


def add_brain(parser: argparse.ArgumentParser) -> None:
    """`--brain DIR`."""
    parser.add_argument(
        "--brain",
        metavar="DIR",
        help="the brain's directory (else BRAIN_DIR, GRADATA_BRAIN_DIR, GRADATA_BRAIN, ~/.gradata/brain)",
    )


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    """`--endpoint URL`. There is no option for the key: a process list shows what stands on a command line."""
    parser.add_argument(
        "--endpoint", metavar="URL", help="the cloud (else GRADATA_ENDPOINT, GRADATA_CLOUD_API_BASE, api.gradata.ai)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print the answer as one JSON object")


def add_order(parser: argparse.ArgumentParser) -> None:
    """`--dry-run` and `--yes`, for whatever cannot be taken back."""
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal")


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
    """The settings of a brain that exists; BrainNotFoundError if it does not, ConfigurationError if they are wrong.

    `only_recording`: a file that is wrong is no reason to lose a correction; the brain then sends nothing, and says so.
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
    """Around the imports of the cloud: a missing extra is a matter of one command, not a traceback."""
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
