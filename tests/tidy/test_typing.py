"""The packages are typed for their users: a program of the documented imports passes mypy in its strict mode."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import replicator
from tests.tidy.generated import API, ROOT

PROGRAM = """
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
"""


@pytest.mark.timeout(300)
def test_a_program_of_the_documented_imports_is_typed(tmp_path: Path) -> None:
    """What the package exports has types that a user's mypy sees, errors and dead letters included."""
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", API)
def test_documented_names_are_where_the_document_says(module: str) -> None:
    """Each heading of docs/api.md is an import that works."""
    for name in API[module][1]:
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_everything_exported_is_there_and_the_version_is_the_distributions() -> None:
    """Each name loads when asked for; py.typed lies beside them."""
    for name in replicator.__all__:
        assert getattr(replicator, name) is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert replicator.__version__ == project["version"]
    assert (ROOT / "replicator" / "py.typed").is_file()
