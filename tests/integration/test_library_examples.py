"""The examples of docs/library.md do what the document says, in processes of their own."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.cloud_fixture import LiveCloud
from tests.tidy.examples import ROOT, examples

DOCUMENT = "docs/library.md"
LINES = [b'{"event_id": "%d"}\n' % number for number in range(50)]


def run(name: str, directory: Path, **environ: str) -> str:
    """What the example prints, run in `directory`."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", examples(DOCUMENT)[name]],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_example_has_a_test() -> None:
    """An example that no test runs is one that may be wrong."""
    tested = {name.removeprefix("test_example_") for name in globals() if name.startswith("test_example_")}
    assert tested == set(examples(DOCUMENT))


def test_example_delivery(tmp_path: Path) -> None:
    """Ten lines replicate a log into a table; run again, they deliver nothing twice and what is new."""
    (tmp_path / "app.jsonl").write_bytes(b"".join(LINES))
    assert run("delivery", tmp_path) == "caught_up"
    with open(tmp_path / "app.jsonl", "ab") as log:
        log.write(b'{"event_id": "new"}\n')
    assert run("delivery", tmp_path) == "caught_up"
    db = sqlite3.connect(tmp_path / "copy.db")
    rows = db.execute("SELECT number, line FROM copy ORDER BY number").fetchall()
    assert rows == list(enumerate([*LINES, b'{"event_id": "new"}\n']))
    assert db.execute("SELECT count(DISTINCT log) FROM copy").fetchone() == (1,)
    db.close()


REFUSING = """
from replicator import DeliverySink, RecordRefusedError, Replicator

def deliver(batch):
    for index, record in enumerate(batch.records):
        if b"bad" in record:
            raise RecordRefusedError(index, "no price")

with Replicator("app.jsonl", endpoint="shop", open_sink=lambda: DeliverySink(deliver)) as replicator:
    print(replicator.drain(timeout_s=30).reason)
"""


def test_example_dead_letters(tmp_path: Path) -> None:
    """A record that the function refused is listed with its words, sent again, or given up; its bytes stay."""
    lines = b'{"order": 1}\n{"order": "bad"}\n{"order": 3}\n'
    for giving_up in (True, False):
        place = tmp_path / str(giving_up)
        place.mkdir()
        (place / "app.jsonl").write_bytes(lines)
        done = subprocess.run([sys.executable, "-c", REFUSING], cwd=place, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "caught_up"
        listed, *delivered, left = run("dead_letters", place, **({"GIVE_UP": "1"} if giving_up else {})).splitlines()
        assert listed == "1 1 refused no price"
        assert delivered == ([] if giving_up else ['delivered 1 (b\'{"order": "bad"}\\n\',)'])
        assert left == "0 left"
        assert (place / "app.jsonl").read_bytes() == lines


def test_example_writer(tmp_path: Path) -> None:
    """The line is in the log."""
    run("writer", tmp_path)
    assert (tmp_path / "app.jsonl").read_bytes() == b'{"event_id": "42", "type": "NOTE"}\n'


def test_example_asyncio(tmp_path: Path) -> None:
    """Draining and closing can be awaited."""
    (tmp_path / "app.jsonl").write_bytes(b"".join(LINES))
    assert run("asyncio", tmp_path) == "caught_up"


def test_example_old_brain(tmp_path: Path, live_cloud: LiveCloud) -> None:
    """A brain of 0.6.0 arrives byte for byte, with `replicator` alone."""
    brain = tmp_path / "brain"
    brain.mkdir()
    shutil.copy(ROOT / "fixtures" / "brains" / "events-0.6.0.jsonl", brain / "events.jsonl")
    (brain / ".tenant_id").write_text("old-brain\n")
    (brain / ".device_id").write_text("dev_0123456789abcdef0123456789abcdef\n")
    assert "gradata" not in examples(DOCUMENT)["old_brain"].replace("GRADATA", "")
    environ = {"BRAIN_DIR": str(brain), "GRADATA_ENDPOINT": live_cloud.url, "GRADATA_API_KEY": live_cloud.key}
    assert run("old_brain", tmp_path, **environ) == "caught_up"
    with httpx.Client(headers={"Authorization": f"Bearer {live_cloud.key}"}, trust_env=False) as http:
        (log,) = http.get(f"{live_cloud.url}/logs", params={"brain": "old-brain"}).json()["logs"]
        stored = http.get(f"{live_cloud.url}/logs/{log['log_id']}/bytes").content
    assert stored == (brain / "events.jsonl").read_bytes()
