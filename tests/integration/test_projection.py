"""system.db against real files: every event once, by a cursor of its own, whatever the log holds."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradata.brain.projection.projection import ANCHOR_BYTES_MAX, Projection, ProjectionPlace
from gradata.errors import ProjectionError
from replicator.framing import event_id_of

BRAIN = "7d4eb272-2bc6-4e0b-a79f-70eaa500325f"


class Folder:
    """A log and its projection in a directory of their own."""

    def __init__(self, path: Path) -> None:
        self.log = path / "events.jsonl"
        self.db = path / "system.db"
        self.projection = Projection(lambda: str(self.db), str(self.log), brain_id=BRAIN)

    def append(self, *records: bytes) -> None:
        with self.log.open("ab") as log:
            log.writelines(records)

    def ids(self) -> list[str]:
        """Of all events, oldest first, after catching up."""
        self.projection.catch_up()
        return [event["event_id"] for event in reversed(self.projection.query(None, None, None, 100_000))]

    def sql(self, statement: str, *values: object) -> list[Any]:
        connection = sqlite3.connect(self.db, isolation_level=None)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A folder whose projection is closed afterwards."""
    made = Folder(tmp_path)
    yield made
    made.projection.close()


def row(number: int, **fields: object) -> bytes:
    """A record of the 0.7.x form."""
    event: dict[str, object] = {
        "ts": f"2026-11-23T05:58:22.{number:06d}+00:00",
        "session": 1,
        "type": "T",
        "source": "s",
    }
    event |= {"data": {"n": number}, "tags": ["a"], "brain_id": BRAIN, "event_id": f"{number:026d}"} | fields
    return json.dumps(event, ensure_ascii=False).encode() + b"\n"


def test_events_come_once_in_order_with_their_fields(folder: Folder) -> None:
    """Three records are three events; catching up again brings nothing; fields read back as written."""
    folder.append(row(1), row(2), row(3, session=2, type="U", data={"a": [1, None]}))
    assert folder.projection.catch_up() == 3
    assert folder.projection.catch_up() == 0
    assert folder.ids() == [f"{n:026d}" for n in (1, 2, 3)]
    newest = folder.projection.query("U", 2, None, 10)[0]
    assert (newest["data"], newest["tags"], newest["session"]) == ({"a": [1, None]}, ["a"], 2)


def test_f01_a_torn_tail_waits_and_the_cursor_stays_before_it(folder: Folder) -> None:
    """What has no newline yet is not projected; it is once it has."""
    folder.append(row(1), row(2)[:20])
    assert len(folder.ids()) == 1
    assert folder.projection.place().offset == len(row(1))
    folder.append(row(2)[20:])
    assert len(folder.ids()) == 2


def test_f02_f03_a_log_that_is_missing_or_empty_is_no_error(folder: Folder) -> None:
    """No log, an empty one and one byte project nothing; the first record is projected when it comes."""
    assert folder.projection.catch_up() == 0
    folder.append(b"")
    assert folder.projection.catch_up() == 0
    folder.append(b"{")
    assert folder.projection.catch_up() == 0
    folder.log.unlink()
    folder.append(row(1))
    assert len(folder.ids()) == 1


def test_f14_what_is_no_event_is_counted_and_its_neighbours_come(folder: Folder) -> None:
    """Garbage between events is skipped and counted; oddities that are objects come, with exact numbers."""
    odd = [b"\n", b"\x00" * 50 + b"\n", b"\xff\xfe\n", b"[1]\n", b"not json\n", b'{"a":' * 2_000 + b"\n"]
    lone = b'{"type": "T", "ts": "t", "data": {"x": "\\ud800"}, "event_id": "lone"}\n'
    big = row(2, data={"n": 2**70 + 1})
    nan = b'{"type": "T", "ts": "t", "data": {"x": NaN}, "event_id": "nan"}\r\n'
    bom = b"\xef\xbb\xbf" + row(3)
    folder.append(
        row(1), *odd, lone, big, nan, bom, row(4, data="text", session="uuid", tags="t", ts=17.5, source=None)
    )
    assert len(folder.ids()) == 6
    assert (folder.projection.place().skipped, folder.projection.place().size) == (len(odd), len(odd) + 6)
    assert [event["data"] for event in folder.projection.query(None, None, None, 10)][3] == {"n": 2**70 + 1}
    last = folder.projection.query(None, None, None, 1)[0]
    assert (last["ts"], last["session"], last["data"], last["tags"]) == (
        "1970-01-01T00:00:17.500000+00:00",
        None,
        "text",
        "t",
    )


@pytest.mark.parametrize("value", [None, "", 7, "x" * 65, {"a": 1}], ids=["null", "empty", "number", "long", "object"])
def test_f16_a_record_without_usable_id_is_known_by_its_bytes(folder: Folder, value: object) -> None:
    """Its event_id is DESIGN's identity, and the same bytes again are the same event; other bytes are another."""
    record = row(1, event_id=value)
    folder.append(record, record, row(2, event_id=value))
    assert folder.ids() == [event_id_of(record), event_id_of(row(2, event_id=value))]


def test_f16_the_same_event_again_comes_once_and_the_first_stays(folder: Folder) -> None:
    """Mined twice: once. The same id with other bytes: the first stays. Another brain's event of that id: its own."""
    folder.append(row(1), row(1), row(1, data={"n": "other"}), row(1, brain_id="another"))
    assert folder.ids() == [f"{1:026d}"] * 2
    said = [(event["brain_id"], event["data"]["n"]) for event in folder.projection.query(None, None, None, 10)]
    assert said == [("another", 1), (BRAIN, 1)]


def test_a_hook_written_record_shows_its_payload(folder: Folder) -> None:
    """A record with its payload at top level and a float timestamp is an event that can be read."""
    folder.append(b'{"type": "JIT_INJECTION", "ts": 1795416089.721617, "draft_len": 82}\r\n')
    folder.projection.catch_up()
    event = folder.projection.query("JIT_INJECTION", None, None, 1)[0]
    assert (event["data"], event["ts"][:10], event["brain_id"]) == ({"draft_len": 82}, "2026-11-23", BRAIN)


def test_demo_rows_that_share_a_legacy_id_are_all_there(folder: Folder) -> None:
    """200 records of only 30 distinct legacy ids are 200 events, also after a rebuild from 0."""
    for number in range(200):
        event = {"id": f"demo-{number}", "ts": f"2026-04-{number % 30 + 1:02d}", "type": "CORRECTION", "data": {}}
        folder.append(json.dumps(event, separators=(",", ":")).encode() + b"\n")
    assert len(set(folder.ids())) == 200
    folder.sql("DELETE FROM gradata_projection")
    assert len(folder.ids()) == 200


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "truncated and regrown"])
def test_f05_f07_a_broken_anchor_offers_everything_again_and_deletes_nothing(folder: Folder, replaced: bool) -> None:
    """Another log under the cursor is projected from 0; what was projected before stays, nothing comes twice."""
    folder.append(row(1), row(2), row(3))
    assert len(folder.ids()) == 3
    if replaced:
        os.replace(_written(folder.log.with_name("other"), row(2), row(8), row(9), row(10)), folder.log)
    else:
        _written(folder.log, row(2), row(8), row(9), row(10))
    assert folder.ids() == [f"{n:026d}" for n in (1, 2, 3, 8, 9, 10)]


def _written(path: Path, *records: bytes) -> Path:
    path.write_bytes(b"".join(records))
    return path


def test_f06_the_same_log_under_another_inode_goes_on(folder: Folder) -> None:
    """An editor's save of the same content changes nothing: the cursor stays."""
    folder.append(row(1), row(2))
    folder.projection.catch_up()
    before = folder.projection.place()
    os.replace(_written(folder.log.with_name("other"), row(1), row(2)), folder.log)
    assert folder.projection.catch_up() == 0
    assert folder.projection.place() == before
    folder.append(row(3))
    assert folder.projection.catch_up() == 1


def test_f12_a_cursor_beyond_the_end_does_not_wait(folder: Folder) -> None:
    """A log shorter than the cursor is projected from 0 at once."""
    folder.append(row(1), row(2), row(3))
    folder.projection.catch_up()
    _written(folder.log, row(9))
    assert folder.projection.catch_up() == 1
    assert folder.projection.place().offset == len(row(9))


def test_rows_and_cursor_are_one_transaction(folder: Folder) -> None:
    """If the cursor cannot be moved, the rows are not there either; when it can, they come once."""
    folder.append(row(1))
    folder.projection.catch_up()
    folder.sql("CREATE TRIGGER no BEFORE INSERT ON gradata_projection BEGIN SELECT raise(ABORT, 'no'); END")
    folder.append(row(2))
    with pytest.raises(ProjectionError):
        folder.projection.catch_up()
    assert folder.sql("SELECT count(*) FROM events") == [(1,)]
    folder.sql("DROP TRIGGER no")
    assert len(folder.ids()) == 2


def test_a_deadline_bounds_one_call_and_repeated_calls_arrive(tmp_path: Path) -> None:
    """With no time left a call brings one batch of 64 KiB and no more; each call brings another."""
    folder = Folder(tmp_path)
    folder.append(*(row(n, data={"x": "y" * 1_000}) for n in range(500)))
    passed = [folder.projection.catch_up(limit_s=0.0) for _ in range(12)]
    assert 0 < passed[0] < 64
    assert sum(passed) == 500
    assert folder.projection.catch_up(limit_s=0.0) == 0
    assert folder.projection.caught_up
    folder.projection.close()


def test_f15_a_record_too_long_to_be_an_event_is_skipped(folder: Folder) -> None:
    """17 MB in one record are counted, not read into a row; what follows comes."""
    folder.append(row(1), row(2, data={"x": "y" * 17_000_000}), row(3))
    assert folder.ids() == [f"{1:026d}", f"{3:026d}"]
    assert folder.projection.place().skipped == 1


def test_f26_a_locked_database_is_an_error_that_changes_nothing(folder: Folder) -> None:
    """While another program holds the write lock it fails within its busy time-out; afterwards it catches up."""
    folder.append(row(1))
    folder.projection.catch_up()
    holder = sqlite3.connect(folder.db, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    folder.append(row(2))
    with pytest.raises(ProjectionError) as raised:
        folder.projection.catch_up()
    assert "by itself" in raised.value.hint
    assert len(folder.projection.query(None, None, None, 10)) == 1, "reading goes on"
    holder.close()
    assert len(folder.ids()) == 2


def test_f25_a_database_that_is_none_is_told_and_left_alone(folder: Folder) -> None:
    """Garbage in system.db raises with the remedy and stays as it was: it may be somebody's."""
    folder.db.write_bytes(b"garbage " * 1_000)
    folder.append(row(1))
    with pytest.raises(ProjectionError) as raised:
        folder.projection.catch_up()
    assert "rebuilt from the log" in raised.value.hint
    assert folder.db.read_bytes() == b"garbage " * 1_000
    folder.db.unlink()
    assert len(folder.ids()) == 1


def test_a_database_deleted_underneath_is_made_again(folder: Folder) -> None:
    """An encrypting SDK deletes system.db: the next call opens the file that is there now and rebuilds it."""
    folder.append(row(1), row(2))
    folder.projection.catch_up()
    for path in folder.db.parent.glob("system.db*"):
        path.unlink()
    assert len(folder.ids()) == 2
    assert folder.sql("SELECT count(*) FROM events") == [(2,)]


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_f56_the_database_is_private(folder: Folder) -> None:
    """system.db and its companions are 0600 from the start, whatever the umask."""
    before = os.umask(0)
    try:
        folder.append(row(1))
        folder.projection.catch_up()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.db.parent.glob("system.db*")} == {0o600}


def test_threads_and_a_second_projection_bring_each_event_once(folder: Folder) -> None:
    """Four threads and another process's projection of the same log, all catching up, do not double or lose any."""
    other = Projection(lambda: str(folder.db), str(folder.log), brain_id=BRAIN)
    folder.append(*(row(n, event_id=None if n % 3 else f"{n:026d}") for n in range(900)))
    workers = [threading.Thread(target=each.catch_up) for each in (folder.projection, other) * 2]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    other.close()
    assert len(folder.ids()) == 900


def test_the_place_names_its_anchor(folder: Folder) -> None:
    """The cursor in system.db holds offset, size and the hash of at most 4 KiB before it."""
    assert folder.projection.place() == ProjectionPlace()
    folder.append(row(1, data={"x": "y" * 10_000}))
    folder.projection.catch_up()
    place = folder.projection.place()
    assert (place.offset, place.size, place.anchor_length) == (folder.log.stat().st_size, 1, ANCHOR_BYTES_MAX)


def test_queries_filter_and_limit(folder: Folder) -> None:
    """Type, session, the last n sessions and the limit each narrow what comes, newest first."""
    folder.append(*(row(n, session=n // 10 + 1, type="AB"[n % 2]) for n in range(40)))
    folder.projection.catch_up()
    query = folder.projection.query
    assert len(query("A", None, None, 100)) == 20
    assert [event["data"]["n"] for event in query(None, 2, None, 3)] == [19, 18, 17]
    assert {event["session"] for event in query(None, None, 2, 100)} == {3, 4}
    assert folder.projection.count("A", 1) == 5


def test_text_with_sql_and_nul_in_it_is_only_text(folder: Folder) -> None:
    """F59: quotes, statements and NUL characters in any field come back as they were."""
    evil = "'; DROP TABLE events; --\x00\x1b[31m"
    folder.append(row(1, type=evil, source=evil, data={evil: evil}, tags=[evil]))
    folder.projection.catch_up()
    event = folder.projection.query(evil, None, None, 1)[0]
    assert (event["source"], event["data"], event["tags"]) == (evil, {evil: evil}, [evil])


def test_f14_odd_ids_and_times_are_kept_readable(folder: Folder) -> None:
    """An id with signs is an id; times that are none, and numbers beyond any calendar, become text."""
    odd = [row(1, event_id="a-b"), row(2, ts=1e300), row(3, ts=None), row(4, ts=[1]), row(5, session=2**70)]
    huge = b'{"type": "T", "ts": "t", "event_id": "huge", "data": {"n": ' + b"9" * 5_000 + b"}}\n"
    folder.append(*odd, huge, row(7, type=None))
    folder.projection.catch_up()
    found = folder.projection.query(None, None, None, 100)[::-1]
    assert found[0]["event_id"] == "a-b"
    assert float(found[1]["ts"]) == 1e300
    assert [event["ts"] for event in found[2:4]] == ["", "[1]"]
    assert (found[4]["session"], found[-1]["type"]) == (None, "")
    assert folder.projection.place().size == len(found) + folder.projection.place().skipped


def test_rows_of_others_that_hold_no_json_are_shown_as_they_are(folder: Folder) -> None:
    """Text in data_json that is no JSON, and none at all, break no query and no takeover."""
    folder.projection.catch_up()
    insert = "INSERT INTO events (ts, type, data_json, tags_json) VALUES ('t', 'T', ?, NULL)"
    folder.sql(insert, "not json")
    folder.sql(insert, None)
    folder.append(b'{"ts": "t", "type": "T", "source": null, "data": {}, "session": null}\n')
    folder.projection.catch_up()
    said = [event["data"] for event in folder.projection.query("T", None, None, 10)]
    assert said == [{}, "not json"], "the second row said what the record says, so it stands for it"


def test_an_upgrade_that_fails_changes_nothing(folder: Folder) -> None:
    """Where one table or index cannot be made there is an error with a remedy, and none of the others is made."""
    folder.sql("CREATE TABLE idx_events_session (something TEXT)")
    with pytest.raises(ProjectionError) as raised:
        folder.projection.catch_up()
    assert raised.value.hint
    assert folder.sql("SELECT name FROM sqlite_master") == [("idx_events_session",)]


def test_f10_another_log_of_the_same_length_is_noticed(folder: Folder) -> None:
    """The size alone proves nothing: a last record of equal length and other content is projected."""
    folder.append(row(1), row(2))
    folder.projection.catch_up()
    _written(folder.log, row(1), row(3))
    assert folder.ids() == [f"{n:026d}" for n in (1, 2, 3)]


def test_several_that_open_a_new_brain_at_once_all_succeed(tmp_path: Path) -> None:
    """Four projections of one fresh directory, 25 times over: none is refused because another makes the file."""
    refused: list[ProjectionError] = []

    def come(projection: Projection, barrier: threading.Barrier) -> None:
        barrier.wait()
        try:
            projection.catch_up()
        except ProjectionError as error:
            refused.append(error)

    for number in range(25):
        (tmp_path / str(number)).mkdir()
        folders = [Folder(tmp_path / str(number)) for _ in range(4)]
        folders[0].append(row(1))
        barrier = threading.Barrier(4)
        workers = [threading.Thread(target=come, args=(folder.projection, barrier)) for folder in folders]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(folders[0].ids()) == 1
        for folder in folders:
            folder.projection.close()
    assert refused == []
