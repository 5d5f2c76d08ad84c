"""Brains made by 0.6.0 and 0.7.x: opened without loss or doubling, and left openable by those versions."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gradata import Brain
from gradata.brain.events import canonical, legacy_id
from replicator.framing import event_id_of

LOG = Path(__file__).parents[2] / "fixtures" / "brains" / "events-0.6.0.jsonl"
RECORDS = LOG.read_bytes().splitlines(keepends=True)

SCHEMA_0_6 = """CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, ts TEXT NOT NULL, session INTEGER,
    type TEXT NOT NULL, source TEXT, data_json TEXT, tags_json TEXT, valid_from TEXT, valid_until TEXT,
    scope TEXT DEFAULT 'local')"""
INSERT_0_6 = """INSERT INTO events (ts, session, type, source, data_json, tags_json, valid_from, valid_until)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
ADDED_0_7 = (
    "tenant_id TEXT", "schema_version INTEGER DEFAULT 1", "event_id TEXT", "device_id TEXT", "content_hash TEXT",
    "correction_chain_id TEXT", "origin_agent TEXT", "brain_id TEXT",
)  # fmt: skip
UNIQUE_0_7 = "CREATE UNIQUE INDEX some_name ON events(brain_id, event_id)"
INSERT_0_7 = """INSERT OR IGNORE INTO events (ts, session, type, source, data_json, tags_json, brain_id, event_id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""


def _columns(event: dict[str, Any]) -> tuple[object, ...]:
    said, tags = json.dumps(event["data"], ensure_ascii=False), json.dumps(event["tags"])
    return event["ts"], event["session"], event["type"], event["source"], said, tags


def _old_brain(path: Path, *, projected: int) -> None:
    """As 0.6.0 leaves it: the log, and the first `projected` records as rows without ids."""
    path.mkdir()
    (path / "events.jsonl").write_bytes(b"".join(RECORDS))
    connection = sqlite3.connect(path / "system.db", isolation_level=None)
    connection.execute(SCHEMA_0_6)
    for record in RECORDS[:projected]:
        event = json.loads(record)
        connection.execute(INSERT_0_6, (*_columns(event), event["valid_from"], event["valid_until"]))
    connection.close()


def _sql(path: Path, *statements: tuple[str, tuple[object, ...]] | str) -> list[Any]:
    connection = sqlite3.connect(path / "system.db", isolation_level=None)
    try:
        rows: list[Any] = []
        for each in statements:
            statement, values = (each, ()) if isinstance(each, str) else each
            rows = connection.execute(statement, values).fetchall()
        return rows
    finally:
        connection.close()


def _open(path: Path) -> Brain:
    return Brain(path, environ={"HOME": str(path.parent)})


@pytest.mark.parametrize("projected", [0, 60, len(RECORDS)])
def test_a_brain_of_0_6_0_opens_with_every_event_once(tmp_path: Path, projected: int) -> None:
    """Whatever part of the log the old version had projected: 139 events, known by their identity, in order."""
    _old_brain(tmp_path / "b", projected=projected)
    with _open(tmp_path / "b") as brain:
        found = brain.query_events(limit=1_000)
    assert [event["event_id"] for event in reversed(found)] == [event_id_of(record) for record in RECORDS]
    assert [event["data"] for event in reversed(found)] == [json.loads(record)["data"] for record in RECORDS]


def test_the_log_of_an_old_brain_is_not_touched_and_its_ids_are_made_once(tmp_path: Path) -> None:
    """Opening changes no byte of the log and creates the two ids; opening again keeps them."""
    _old_brain(tmp_path / "b", projected=139)
    with _open(tmp_path / "b") as brain:
        first = brain.identity
    with _open(tmp_path / "b") as brain:
        assert brain.identity == first
    assert (tmp_path / "b" / "events.jsonl").read_bytes() == LOG.read_bytes()
    assert (tmp_path / "b" / ".tenant_id").read_text() == first.brain_id
    assert first.device_id.startswith("dev_")
    assert len(first.device_id) == 36


def test_0_6_0_can_go_on_in_a_brain_that_was_opened_here(tmp_path: Path) -> None:
    """Its insert still works afterwards, and the event it logs and projects by itself is not doubled."""
    _old_brain(tmp_path / "b", projected=139)
    with _open(tmp_path / "b") as brain:
        brain.correct("alpha beta", "alpha gamma")
        event = json.loads(RECORDS[0]) | {"ts": "2026-11-24T00:00:00+00:00", "data": {"new": True}}
        with (tmp_path / "b" / "events.jsonl").open("ab") as log:
            log.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")
        _sql(tmp_path / "b", (INSERT_0_6, (*_columns(event), event["valid_from"], None)))
        assert len(brain.query_events(limit=1_000)) == 141
        assert brain.query_events(limit=1_000)[0]["data"] == {"new": True}


def test_a_brain_of_0_7_is_opened_without_doubling_and_its_index_is_kept(tmp_path: Path) -> None:
    """Rows projected under ids and legacy ids are recognised; the unique index under any name is not made twice."""
    _old_brain(tmp_path / "b", projected=0)
    (tmp_path / "b" / ".tenant_id").write_text("own-brain")
    _sql(tmp_path / "b", *(f"ALTER TABLE events ADD COLUMN {column}" for column in ADDED_0_7), UNIQUE_0_7)
    rows = [json.loads(record) for record in RECORDS]
    _sql(tmp_path / "b", *((INSERT_0_7, (*_columns(event), "own-brain", legacy_id(event))) for event in rows))
    with _open(tmp_path / "b") as brain:
        assert len(brain.query_events(limit=1_000)) == 139
    unique = [row[1] for row in _sql(tmp_path / "b", "PRAGMA index_list(events)") if row[2]]
    assert unique == ["some_name"]


def test_0_7_replaying_the_log_adds_nothing(tmp_path: Path) -> None:
    """0.7 offers the whole log again at each open, rows without id under their legacy id: none is new to it."""
    _old_brain(tmp_path / "b", projected=30)
    with _open(tmp_path / "b") as brain:
        brain.query_events()
        rows = [json.loads(record) for record in RECORDS]
        own = brain.identity.brain_id
        _sql(tmp_path / "b", *((INSERT_0_7, (*_columns(event), own, legacy_id(event))) for event in rows))
        assert len(brain.query_events(limit=1_000)) == 139


def test_duplicates_that_are_there_already_stop_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where old rows forbid the unique index they stay, a warning says so, and nothing of ours comes twice."""
    _old_brain(tmp_path / "b", projected=0)
    (tmp_path / "b" / ".tenant_id").write_text("own-brain")
    twice = (INSERT_0_7.replace(" OR IGNORE", ""), (*_columns(json.loads(RECORDS[0])), "own-brain", "X" * 26))
    _sql(tmp_path / "b", *(f"ALTER TABLE events ADD COLUMN {column}" for column in ADDED_0_7), twice, twice)
    with _open(tmp_path / "b") as brain:
        record = json.dumps(json.loads(RECORDS[0]) | {"event_id": "X" * 26, "brain_id": "own-brain"}).encode()
        with (tmp_path / "b" / "events.jsonl").open("ab") as log:
            log.write(record + b"\n" + record + b"\n")
        brain.correct("alpha beta", "alpha gamma")
        assert len(brain.query_events(limit=1_000)) == 139 + 2 + 1
    assert "events twice from before" in caplog.text


def test_rows_without_id_that_are_in_no_log_stay(tmp_path: Path) -> None:
    """A row of an old version whose record is gone is neither taken over nor deleted."""
    _old_brain(tmp_path / "b", projected=1)
    _sql(tmp_path / "b", (INSERT_0_6, ("2020-01-01", 1, "GONE", "s", "{}", "[]", None, None)))
    with _open(tmp_path / "b") as brain:
        assert len(brain.query_events(limit=1_000)) == 140
        assert brain.query_events("GONE")[0]["event_id"] is None


def test_the_columns_are_those_of_the_latest_version(tmp_path: Path) -> None:
    """A new brain and an upgraded one have the same columns, by name; the old ten come first, in their order."""
    _old_brain(tmp_path / "old", projected=1)
    Brain.init(tmp_path / "new", environ={"HOME": str(tmp_path)}).close()
    _open(tmp_path / "old").close()
    names = [[row[1] for row in _sql(tmp_path / each, "PRAGMA table_info(events)")] for each in ("old", "new")]
    assert names[0] == names[1]
    assert " ".join(names[0]) == (
        "id ts session type source data_json tags_json valid_from valid_until scope tenant_id schema_version"
        " event_id device_id content_hash correction_chain_id origin_agent brain_id"
    )


def test_the_session_continues_behind_the_last_one_ended(tmp_path: Path) -> None:
    """The log ends session 5, so new events belong to session 6."""
    _old_brain(tmp_path / "b", projected=139)
    with _open(tmp_path / "b") as brain:
        brain.query_events(limit=1)  # a busy machine may not have projected everything while opening
        assert brain.correct("alpha beta", "alpha gamma")["session"] == 6


def test_encrypted_leftovers_and_unknown_files_are_left_alone(tmp_path: Path) -> None:
    """Files of other programs in the brain directory keep their bytes."""
    _old_brain(tmp_path / "b", projected=1)
    names = (".event_cursor.json", ".gradata-sync-state.json", ".brain.lock", ".last_close_ts", "system.db.enc")
    for name in names:
        (tmp_path / "b" / name).write_bytes(canonical(name))
    with _open(tmp_path / "b") as brain:
        brain.correct("alpha beta", "alpha gamma")
    assert all((tmp_path / "b" / name).read_bytes() == canonical(name) for name in names)
