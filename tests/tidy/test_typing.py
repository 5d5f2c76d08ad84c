"""The packages are typed for their users: a program of the documented imports passes mypy in its strict mode."""

from __future__ import annotations

import importlib
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import gradata
import replicator
from tests.tidy.generated import API, ROOT

PROGRAM = """
from gradata import AppendError as RefusedByTheLog
from gradata import Brain, BrainNotFoundError, EventError, GradataError, ProjectionError, __version__
from replicator import (
    AppendError, Appended, Delivery, DeliverySink, Drained, LogError, LogWriter, NotDurableError, Notice,
    RecordRefusedError, Replicator, State, Status, dead_letters, drop_dead_letters, order_reset, plan_reset,
    retry_dead_letter,
)


def deliver(batch: Delivery) -> None:
    for index, record in enumerate(batch.records):
        if not record.startswith(b"{"):
            raise RecordRefusedError(index, "no object")


def told(notice: Notice) -> None:
    print(notice.code, notice.hint)


def run(path: str) -> tuple[Appended, Drained, State | None]:
    writer = LogWriter(path)
    try:
        appended = writer.append(b"{}\\n")
    except (AppendError, NotDurableError, LogError) as error:
        raise SystemExit(error.hint) from error
    sink = DeliverySink(deliver)
    with Replicator(path, endpoint="here", open_sink=lambda: sink, on_notice=told) as one:
        drained = one.drain(10.0)
        status: Status | None = one.status()
    for kept in dead_letters(path):
        retry_dead_letter(path, kept, sink)
        drop_dead_letters(path, [kept.id])
    order_reset(path, plan_reset(path, size=0), confirmed=True)
    return appended, drained, None if status is None else status.state


def correct(directory: str) -> list[dict[str, object]]:
    try:
        with Brain(directory) as brain:
            event = brain.correct("We are pleased.", "We shipped it.")
            brain.emit("NOTE", "program", {"version": __version__, "of": event["event_id"]})
            found: list[dict[str, object]] = brain.query_events(limit=10)
            return found
    except (RefusedByTheLog, BrainNotFoundError, EventError, ProjectionError) as error:
        raise SystemExit(error.hint) from error
    except GradataError:
        return []
"""


WHERE = """
import os, gradata, replicator
for package in (gradata, replicator):
    print(package.__name__, os.path.dirname(package.__file__))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel in it; everything else is found in this environment."""
    place = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    venv.create(place / "venv", symlinks=True)
    python = place / "venv" / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip())
    (wheel,) = place.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return python


@pytest.mark.timeout(300)
def test_a_program_of_the_documented_imports_is_typed(installed: Path, tmp_path: Path) -> None:
    """What the installed packages export has types that a user's mypy sees, errors and dead letters included."""
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file="]
    command += ["--python-executable", str(installed), "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_has_what_an_installation_needs(installed: Path) -> None:
    """Both packages with their markers of types, their schemas, templates and static files."""
    found = subprocess.run([installed, "-c", WHERE], cwd="/", capture_output=True, text=True, check=True).stdout
    for package, place in (line.split() for line in found.splitlines()):
        tracked = subprocess.run(["git", "ls-files", package], cwd=ROOT, capture_output=True, text=True, check=True)
        missing = [name for name in tracked.stdout.split() if not (Path(place).parent / name).is_file()]
        assert missing == []
        assert Path(place) != ROOT / package


@pytest.mark.parametrize("module", API)
def test_documented_names_are_where_the_document_says(module: str) -> None:
    """Each heading of docs/api.md is an import that works."""
    for name in API[module][1]:
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


@pytest.mark.parametrize("package", [replicator, gradata], ids=lambda package: package.__name__)
def test_everything_exported_is_there_and_the_version_is_the_distributions(package: ModuleType) -> None:
    """Each name loads when asked for; py.typed lies beside them."""
    for name in package.__all__:
        assert getattr(package, name) is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert package.__version__ == project["version"]
    assert (ROOT / package.__name__ / "py.typed").is_file()
