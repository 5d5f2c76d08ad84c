"""What every store's scrub finds: what is missing, what is not the record's bytes, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence

import psycopg
import pytest

from gradata.cloud.domain.requests import HoleClaim
from gradata.cloud.service import scrub
from gradata.cloud.store.port import Store
from gradata.cloud.store.postgres.store import PostgresStore
from gradata.cloud.store.reading import each_row
from gradata.cloud.store.sqlite.store import SqliteStore
from gradata.cloud.store.values import EventQuery, StoredLog
from replicator.proof import leaf_hash
from replicator.wire.common import ANSWER_BYTES_MAX, Fields
from replicator.wire.replica import Scrub, read_scrub, scrub_json
from tests.support.cloud_batches import LOG, append, event, tree

RECORDS = [event(str(number), "x" * (number % 50)) for number in range(1300)]
NOW = 1_764_000_000_000_000


def stored(store: Store) -> StoredLog:
    """The one log."""
    log = store.log("default", LOG)
    assert log is not None
    return log


def change(store: Store, statement: str, *arguments: object) -> None:
    """Behind the store's back. `{number}` is a record's number, `?` an argument."""
    if isinstance(store, SqliteStore):
        store._connection.execute(statement.format(number="(place & 1048575)"), arguments)
        return
    assert isinstance(store, PostgresStore)
    statement = statement.replace("records", "gradata.records").replace("tiles", "gradata.tiles").replace("?", "%s")
    with psycopg.connect(store._url) as connection:
        connection.execute(statement.format(number="number"), arguments)


def lose(store: Store, numbers: Sequence[int]) -> None:
    """Delete these rows."""
    change(store, f"DELETE FROM records WHERE {{number}} IN ({', '.join(map(str, numbers))})")


@pytest.fixture
def full(store: Store) -> Store:
    """A store with one log, in two batches, with a hole."""
    store.ingest([append(RECORDS, 0, 700)], now=NOW)
    store.ingest([append(RECORDS, 700, 701, load=HoleClaim(len(RECORDS[700]), leaf_hash(RECORDS[700])))], now=NOW)
    store.ingest([append(RECORDS, 701)], now=NOW)
    return store


def test_a_sound_log_has_the_root_of_its_stored_bytes(full: Store) -> None:
    """Nothing is named; the root computed from the rows, with the hole's kept leaf, is the head's."""
    log = stored(full)
    found = scrub.scrub_deep(full, log, 0, 2**40)
    assert (found.gaps, found.damaged, found.tiles_damaged, found.more) == ((), (), 0, False)
    assert (found.rows, found.holes, found.end) == (1300, 1, 1300)
    assert (found.root, found.tree) == (log.tree.root, tree(RECORDS))
    shallow = scrub.scrub_shallow(full, log, 0, 2**40)
    assert (shallow.rows, shallow.gaps, shallow.missing) == (1300, (), 0)
    part = scrub.scrub_deep(full, log, 300, 900)
    assert (part.rows, part.first, part.end, part.root, part.damaged) == (600, 300, 900, None, ())


def test_f41_lost_and_altered_rows_are_named(full: Store) -> None:
    """At the ends, at the tiles' ends and in runs; both scrubs name the gaps, the deep one what is altered."""
    lose(full, [0, 255, 256, 257, 900, 1299])
    for number in (1, 254, 258, 700, 1298):
        if number != 700:
            change(full, "UPDATE records SET record = ? WHERE {number} = ?", RECORDS[number].upper(), number)
    change(full, "UPDATE records SET record = ? WHERE {number} = ?", RECORDS[7][:-9] + b"\n", 7)
    log = stored(full)
    gaps = ((0, 1), (255, 258), (900, 901), (1299, 1300))
    found = scrub.scrub_deep(full, log, 0, 1300)
    assert (found.gaps, found.damaged, found.missing) == (gaps, (1, 7, 254, 258, 1298), 6)
    assert found.root != log.tree.root
    shallow = scrub.scrub_shallow(full, log, 0, 1300)
    assert (shallow.gaps, shallow.rows) == (gaps, 1294)


def test_a_row_that_says_a_wrong_place_or_length_is_damaged(full: Store) -> None:
    """Its bytes are right, but a download would put them elsewhere: it is named, its neighbours are not."""
    change(full, 'UPDATE records SET "offset" = "offset" + 1 WHERE {number} = ?', 400)
    change(full, "UPDATE records SET length = length + 1 WHERE {number} = ?", 1000)
    found = scrub.scrub_deep(full, stored(full), 0, 1300)
    assert set(found.damaged) == {400, 1000}


@pytest.mark.parametrize(
    "change_of_row",
    [
        "record = ?, length = length",
        'record = ?, length = length - 1 + 2 * ({number} - 400), "offset" = "offset" + 400 - {number}',
    ],
    ids=["the bytes", "all that the rows say of them too"],
)
def test_bytes_that_slipped_into_the_neighbouring_row_are_damage(full: Store, change_of_row: str) -> None:
    """Two rows read one behind the other are right, and each is wrong: what was joined to be read is no proof."""
    for number, record in ((400, RECORDS[400][:-1]), (401, b"\n" + RECORDS[401])):
        change(full, f"UPDATE records SET {change_of_row} WHERE {{number}} = ?", record, number)
    assert scrub.scrub_deep(full, stored(full), 0, 700).damaged == (400, 401)


def test_a_row_at_the_place_of_the_next_record_is_a_gap_and_damage(full: Store) -> None:
    """Its bytes follow those before it without a gap; its place does not."""
    lose(full, [699])
    place = "place" if isinstance(full, SqliteStore) else "number"
    change(full, f"UPDATE records SET {place} = {place} + 1 WHERE {{number}} = ?", 698)
    found = scrub.scrub_deep(full, stored(full), 0, 700)
    assert (found.gaps, found.damaged) == (((698, 699),), (699,))


@pytest.mark.parametrize(
    "alone", ["record = ?", 'record = ?, "offset" = "offset" + 1', "record = ?, length = length + 1"]
)
def test_f41_one_damaged_row_in_a_sound_log_is_named(full: Store, alone: str) -> None:
    """One byte, or what its row says of it; nothing else draws attention to it."""
    record = RECORDS[500] if "," in alone else RECORDS[500].replace(b"TONE", b"TUNE")
    change(full, f"UPDATE records SET {alone} WHERE {{number}} = ?", record, 500)
    assert scrub.scrub_deep(full, stored(full), 0, 700).damaged == (500,)


def test_long_records_between_short_ones_are_read_in_runs_of_bounded_size(store: Store) -> None:
    """None is left out, and a run does not grow with the length of its records where the store can see that."""
    records = [event(str(number), "x" * (600_000 if 300 <= number < 310 else 20)) for number in range(700)]
    store.ingest([append(records)], now=NOW)
    log = stored(store)
    runs = [[row[4] or b"" for row in run] for run in store.rows(log, 0, 700)]
    assert [record for run in runs for record in run] == records
    if isinstance(store, SqliteStore):
        assert max(sum(map(len, run)) for run in runs) < 2 << 20
    assert scrub.scrub_deep(store, log, 0, 700).root == log.tree.root


def test_tiles_that_do_not_follow_from_the_leaves_are_counted(full: Store) -> None:
    """An upper tile is spoilt, or one of the leaves: never silent; the rows' own root shows that the rows are right."""
    change(full, "UPDATE tiles SET hashes = ? WHERE level = 1", b"\1" * 32 * 5)
    log = stored(full)
    found = scrub.scrub_deep(full, log, 0, 1300)
    assert (found.damaged, found.root) == ((), log.tree.root)
    assert found.tiles_damaged > 0
    change(full, 'UPDATE tiles SET hashes = ? WHERE level = 0 AND "index" = 3', b"\1" * 32 * 256)
    found = scrub.scrub_deep(full, log, 0, 1300)
    assert (found.damaged, found.root) == (tuple(n for n in range(768, 1024)), log.tree.root)


@pytest.mark.parametrize("kind", ["shallow", "deep"])
def test_an_answer_that_is_much_is_cut_and_goes_on(full: Store, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second row is lost: many answers, each below 64 KiB on the wire, add up to all gaps and the root."""
    lost = list(range(1, 1300, 2))
    lose(full, lost)
    monkeypatch.setattr(scrub, "NAMED_MAX", 100)
    log = stored(full)
    parts: list[Scrub] = []
    first, before = 0, None
    while not parts or parts[-1].more:
        if kind == "shallow":
            part = scrub.scrub_shallow(full, log, first, 1300)
        else:
            part = scrub.scrub_deep(full, log, first, 1300, before=before)
        body = json.dumps(scrub_json(part)).encode()
        assert len(body) < ANSWER_BYTES_MAX
        read = read_scrub(Fields.of(body))
        assert (read.gaps, read.damaged, read.rows, read.end) == (part.gaps, part.damaged, part.rows, part.end)
        parts.append(read)
        first, before = read.end, read.tree
    assert len(parts) > 5
    assert [gap for part in parts for gap in part.gaps] == [(number, number + 1) for number in lost]
    assert sum(part.rows for part in parts) == 650
    if kind == "deep":
        assert parts[-1].root == log.tree.root


def test_a_scrub_ends_in_time(full: Store) -> None:
    """When the time is up it says where to go on, and always gets on."""
    ticks = iter(range(0, 10_000, 1000))
    log = stored(full)
    found = scrub.scrub_deep(full, log, 0, 1300, clock=lambda: next(ticks))
    assert 0 < found.end < 1300
    assert found.more


@pytest.mark.parametrize(
    ("text", "read"), [("ff41", b"\xffA"), ("410042", b"A\0B"), ("7b7d0a", b"{}\n")], ids=["no UTF-8", "NUL", "fine"]
)
def test_f14_a_row_of_another_type_is_damaged_and_mended(text: str, read: bytes) -> None:
    """Someone's tool wrote text instead of bytes (SQLite has a type a value): named, and mended by the ordinary way;
    its bytes are read as they are meanwhile, and its neighbours are not in the way of that."""
    store = SqliteStore(None)
    store.ingest([append(RECORDS, 0, 10)], now=NOW)
    store._connection.execute(f"UPDATE records SET record = CAST(x'{text}' AS TEXT) WHERE (place & 1048575) = 4")
    assert store._connection.execute("SELECT count(*) FROM records WHERE typeof(record) = 'text'").fetchone() == (1,)
    assert scrub.scrub_deep(store, stored(store), 0, 10).damaged == (4,)
    seen = [RECORDS[number] if number != 4 else read for number in range(10)]
    assert [row.record for row in each_row(store, stored(store), 0, 10)] == seen
    assert [found.record for found in store.events("default", EventQuery("brain"))] == seen
    store.ingest([append(RECORDS, 4, 5)], now=NOW)
    assert scrub.scrub_deep(store, stored(store), 0, 10).damaged == ()
    assert [found.record for found in store.events("default", EventQuery("brain"))] == RECORDS[:10]
    store.close()
