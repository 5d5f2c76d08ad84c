"""A brain that the SDK encrypts: its database is never touched, and the projection is elsewhere."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gradata import Brain
from tests.support.cli_runner import CommandLine

ROOT = Path(__file__).parents[2]


def encrypted(directory: Path) -> bytes:
    """As the SDK leaves a brain that it closes: no system.db, and what was in it as bytes that only it can read."""
    content = b"gradata-encrypted\0" + os.urandom(4096)
    (directory / "system.db").unlink(missing_ok=True)
    (directory / "system.db.enc").write_bytes(content)
    return content


def plain(directory: Path) -> list[str]:
    """The SQLite databases in the directory, the replicator's own aside."""
    found = [path for path in directory.iterdir() if path.is_file() and not path.name.startswith(".replicator")]
    return sorted(path.name for path in found if path.read_bytes().startswith(b"SQLite format 3"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with an encrypted brain of one correction."""
    with Brain.init(tmp_path / "brain", environ={"HOME": str(tmp_path)}) as brain:
        brain.correct("a b", "a c")
    return tmp_path


def test_an_encrypted_brain_never_gets_a_plain_database(home: Path) -> None:
    """Opened, corrected, asked and closed: what the SDK encrypted keeps its bytes, and stands alone."""
    content = encrypted(home / "brain")
    with Brain(home / "brain", environ={"HOME": str(home)}) as brain:
        brain.correct("d e", "d f")
        assert [event["data"]["draft_text"] for event in brain.query_events("CORRECTION")] == ["d e", "a b"]
        assert brain.session == 1
        assert brain.db_path.parent == home / ".gradata" / "projections"
        assert stat.S_IMODE(brain.db_path.stat().st_mode) == 0o600
        assert stat.S_IMODE(brain.db_path.parent.stat().st_mode) == 0o700
    assert (home / "brain" / "system.db.enc").read_bytes() == content
    assert plain(home / "brain") == []
    assert not list((home / "brain").glob("system.db*-*"))
    with Brain(home / "brain", environ={"HOME": str(home)}) as brain:
        assert len(brain.query_events("CORRECTION")) == 2


def test_a_database_that_the_sdk_has_open_is_not_written_to(home: Path) -> None:
    """While an encrypted brain is open in the SDK both files are there: the plain one is the SDK's alone."""
    (home / "brain" / "system.db.enc").write_bytes(b"encrypted")
    before = (home / "brain" / "system.db").read_bytes()
    with Brain(home / "brain", environ={"HOME": str(home)}) as brain:
        brain.correct("d e", "d f")
        assert len(brain.query_events("CORRECTION")) == 2
    assert (home / "brain" / "system.db").read_bytes() == before


def test_a_brain_that_is_encrypted_while_it_is_open_is_left(home: Path) -> None:
    """The SDK closes, encrypts and removes the database under an open brain: the next use goes elsewhere."""
    with Brain(home / "brain", environ={"HOME": str(home)}) as brain:
        brain.correct("d e", "d f")
        encrypted(home / "brain")
        brain.correct("g h", "g i")
        assert len(brain.query_events("CORRECTION")) == 3
    assert plain(home / "brain") == []


def test_two_copies_of_a_brain_have_projections_of_their_own(home: Path) -> None:
    """The same brain id in two directories: each is what its own log says."""
    encrypted(home / "brain")
    subprocess.run(["cp", "-r", str(home / "brain"), str(home / "copy")], check=True)
    with Brain(home / "brain", environ={"HOME": str(home)}) as one:
        one.correct("d e", "d f")
        with Brain(home / "copy", environ={"HOME": str(home)}) as other:
            assert len(other.query_events("CORRECTION")) == 1
        assert len(one.query_events("CORRECTION")) == 2


def test_doctor_says_where_the_projection_is(cli: CommandLine) -> None:
    """Before it is made, and afterwards; the brain stays without a plain database."""
    encrypted(cli.brain)
    cli("correct", "--draft", "a", "--final", "b")
    for _ in range(2):
        checks = {check["name"]: check for check in cli("doctor", "--json", "--no-cloud").json["checks"]}
        assert "the SDK encrypts system.db" in checks["projection"]["detail"]
        assert "projections" in checks["projection"]["detail"]
    assert plain(cli.brain) == []


def test_the_sdk_s_tables_stay_when_it_closes_first(home: Path) -> None:
    """A program that holds the database open, as the SDK does, loses none of its rows to an open brain."""
    program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('CREATE TABLE lessons (text)');"
    program += "c.execute(\"INSERT INTO lessons VALUES ('be brief')\"); c.commit(); c.close()"
    with Brain(home / "brain", environ={"HOME": str(home)}) as brain:
        brain.correct("d e", "d f")
        subprocess.run([sys.executable, "-c", program, str(brain.db_path)], check=True)
        brain.correct("g h", "g i")
    connection = sqlite3.connect(home / "brain" / "system.db")
    assert connection.execute("SELECT text FROM lessons").fetchall() == [("be brief",)]
    connection.close()
    assert len((home / "brain" / "events.jsonl").read_bytes().splitlines()) == 3
    assert json.loads((home / "brain" / "events.jsonl").read_bytes().splitlines()[0])["type"] == "CORRECTION"
