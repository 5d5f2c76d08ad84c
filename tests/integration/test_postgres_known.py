"""What a process of the PostgreSQL store remembers of its logs: it saves asking, and is never believed."""

from __future__ import annotations

import psycopg
import pytest

from gradata.cloud.domain.plan import Done, Gap
from gradata.cloud.domain.requests import WriteRequest
from gradata.cloud.service import deletion
from gradata.cloud.service.deletion import Target
from gradata.cloud.service.integrity import check
from gradata.cloud.store.port import Store
from gradata.cloud.store.values import StoreUnavailableError
from tests.support.cloud_batches import LOG, OTHER_LOG, append, counted, event, tree

NOW = 1_764_000_000_000_000
RECORDS = [event(f"{number:03d}") for number in range(40)]


def counts(store: Store, *requests: WriteRequest) -> list[tuple[int, int]]:
    """Accepted and duplicates of each."""
    return counted(store.ingest(requests, now=NOW))


def proven(store: Store, records: list[bytes], log_id: str = LOG) -> bool:
    """Whether this log holds these records, and all is sound."""
    stored = store.log("default", log_id, brain_id="brain")
    return stored is not None and stored.tree == tree(records) and all(report.sound for report in check(store))


def test_a_log_that_goes_on_is_not_asked_about(stores: list[Store], postgres_url: str) -> None:
    """Its next batches need no facts; those of a process that wrote nothing of it do."""
    assert counts(stores[0], append(RECORDS, 0, 1)) == [(1, 0)]
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("ALTER FUNCTION gradata.begin_group RENAME TO begin_hidden")
        assert counts(stores[0], append(RECORDS, 1, 2)) == [(1, 0)]
        assert counts(stores[0], append(RECORDS, 2, 9)) == [(7, 0)]
        with pytest.raises(psycopg.errors.UndefinedFunction):
            counts(stores[1], append(RECORDS, 9, 10))
        admin.execute("ALTER FUNCTION gradata.begin_hidden RENAME TO begin_group")
    assert proven(stores[0], RECORDS[:9])


def test_what_would_not_be_simple_is_asked_about_at_once(stores: list[Store], postgres_url: str) -> None:
    """A log that brings events again, as one that is sent anew does, and a brain in which something was erased."""
    counts(stores[0], append(RECORDS, 0, 3), append([event("a"), event("b")], 0, 1, brain_id="erased"))
    deletion.erase(stores[0], "default", "erased", Target("a"), now=NOW)
    assert counts(stores[0], append(RECORDS, 0, 1, log_id=OTHER_LOG)) == [(0, 1)]
    counts(stores[0], append([event("a"), event("b")], 1, brain_id="erased"))
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("ALTER FUNCTION gradata.hold_group RENAME TO hold_hidden")
        assert counts(stores[0], append(RECORDS, 1, 3, log_id=OTHER_LOG)) == [(0, 2)]
        log = [event("a"), event("b"), event("c")]
        assert counts(stores[0], append(log, 2, brain_id="erased")) == [(1, 0)]


def test_nothing_is_remembered_of_a_connection_that_broke(stores: list[Store], postgres_url: str) -> None:
    """Where it goes to now, the keys may be those of others: of another database, or one that was restored."""
    log = [*RECORDS[:3], b"no event\n"]
    counts(stores[0], append(log, 0, 3))
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("UPDATE gradata.brains SET brain_id = 'somebody else'")
        writer = stores[0]._writer  # type: ignore[attr-defined]
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", (writer.info.backend_pid,))
    (decision,) = stores[0].ingest([append(log, 3, 4)], now=NOW)
    assert isinstance(decision, Gap)


def test_f31_processes_that_take_turns_with_a_log_store_each_event_once(stores: list[Store]) -> None:
    """What one remembers is old when the other has written: it looks again, and counts as exactly as ever."""
    for number in range(0, 40, 2):
        store = stores[number // 2 % 3 % 2]
        assert counts(store, append(RECORDS, number, number + 2)) == [(2, 0)]
    assert counts(stores[1], append(RECORDS, 30, 40)) == [(0, 10)]
    assert proven(stores[0], RECORDS)


def test_f31_a_log_that_only_another_process_knows_further_is_a_duplicate(stores: list[Store]) -> None:
    """The same batch to both: the second would fit what its process remembers, and is none the less stored already."""
    for store in stores:
        counts(store, append(RECORDS, 0, 5))
    counts(stores[1], append(RECORDS, 0, 6))
    assert counts(stores[0], append(RECORDS, 6, 7), append([event("x")], log_id=OTHER_LOG)) == [(1, 0), (1, 0)]
    assert counts(stores[1], append(RECORDS, 6, 7)) == [(0, 1)]
    assert proven(stores[0], RECORDS[:7])


def test_an_event_that_is_stored_already_is_a_duplicate_within_a_log_that_goes_on(stores: list[Store]) -> None:
    """The index of the event ids says so; what was sent with it is stored as if nothing had happened."""
    counts(stores[0], append([event("old")], log_id=OTHER_LOG), append([event("z")], brain_id="another"))
    log = [event("one"), event("old"), event("two")]
    counts(stores[0], append(log, 0, 1))
    beside = append([event("z"), event("zz")], 1, brain_id="another")
    assert counts(stores[0], append(log, 1, 2), beside) == [(0, 1), (1, 0)]
    assert counts(stores[0], append(log, 2, 3)) == [(1, 0)]
    assert proven(stores[0], log)


@pytest.mark.parametrize("other", [RECORDS[:6], [event(f"other {number}") for number in range(8)]])
def test_a_head_that_somebody_changed_is_looked_at(stores: list[Store], postgres_url: str, other: list[bytes]) -> None:
    """The batch fits what the process remembers, and not what is stored: refused, and nothing of it is written."""
    counts(stores[0], append(RECORDS, 0, 8))
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("UPDATE gradata.logs SET size = %s, nodes = %s", (len(other), b"".join(tree(other).nodes)))
        (decision,) = stores[0].ingest([append(RECORDS, 8, 9)], now=NOW)
        assert not isinstance(decision, Done)
        assert admin.execute("SELECT count(*) FROM gradata.records").fetchone() == (8,)


def test_a_brain_whose_events_somebody_else_counted_is_looked_at(stores: list[Store], postgres_url: str) -> None:
    """An event goes behind all that the brain ever had, and none of their numbers is given out twice."""
    counts(stores[0], append(RECORDS, 0, 8))
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("UPDATE gradata.brains SET events = events + 5")
        assert counts(stores[0], append(RECORDS, 8, 9)) == [(1, 0)]
        assert admin.execute("SELECT max(cursor) FROM gradata.events").fetchone() == (14,)


def test_f31_two_logs_of_one_brain_count_its_events_together(stores: list[Store], postgres_url: str) -> None:
    """Each event of the group gets a place of its own behind all that were there."""
    other = [event(f"other {number}") for number in range(6)]
    for first in range(0, 6, 2):
        requests = append(RECORDS, first, first + 2), append(other, first, first + 2, log_id=OTHER_LOG)
        assert counts(stores[0], *requests) == [(2, 0)] * 2
    with psycopg.connect(postgres_url) as looker:
        rows = looker.execute("SELECT cursor FROM gradata.events ORDER BY cursor").fetchall()
        assert rows == [(number,) for number in range(1, 13)]
        assert looker.execute("SELECT events, logs FROM gradata.brains").fetchall() == [(12, 2)]


def test_f30_a_commit_that_fails_at_its_end_is_no_success(stores: list[Store], postgres_url: str) -> None:
    """Everything was written, then the database refuses the commit: 503, nothing is there, and it goes on later."""
    counts(stores[0], append(RECORDS, 0, 2))
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'disk_full'; END $$"
        )
        admin.execute(
            "CREATE CONSTRAINT TRIGGER refusing AFTER INSERT ON gradata.records DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        with pytest.raises(StoreUnavailableError):
            stores[0].ingest([append(RECORDS, 2, 4)], now=NOW)
        assert admin.execute("SELECT count(*) FROM gradata.records").fetchone() == (2,)
        admin.execute("DROP TRIGGER refusing ON gradata.records")
    assert counts(stores[0], append(RECORDS, 2, 4)) == [(2, 0)]
    assert proven(stores[1], RECORDS[:4])
