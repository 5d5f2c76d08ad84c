"""A newer version brings the store on while older servers are at work on it: the rolling upgrade on PostgreSQL."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import resources

import psycopg
import pytest

from gradata.cloud.domain.rate_limit import Rate
from gradata.cloud.service.integrity import check
from gradata.cloud.store.open import open_store
from gradata.cloud.store.port import Store
from gradata.cloud.store.postgres.migrate import migrate_url, newest
from gradata.cloud.store.reading import living_brains
from gradata.cloud.store.values import EventQuery, StoreError
from tests.support.cloud_batches import append, event

NOW = 1_764_000_000_000_000
FROZEN = 2
"""The scripts up to here are older than the rule, and than the first release."""
ADDS = re.compile(
    r"CREATE (FUNCTION|TABLE|UNLOGGED TABLE|INDEX) |ALTER TABLE \S+ ADD COLUMN (?!.*NOT NULL(?!.*DEFAULT))|COMMENT ON "
)
NEWER = """
ALTER TABLE gradata.brains ADD COLUMN further text;
ALTER TABLE gradata.logs ADD COLUMN further text;
ALTER TABLE gradata.records ADD COLUMN further text;
ALTER TABLE gradata.events ADD COLUMN further text;
ALTER TABLE gradata.tiles ADD COLUMN further bigint NOT NULL DEFAULT 7;
CREATE FUNCTION gradata.further() RETURNS int LANGUAGE sql AS 'SELECT 1';
"""


@pytest.mark.parametrize("partitions", [0, 2])
def test_a_server_goes_on_while_a_newer_version_upgrades_its_store(postgres_url: str, partitions: int) -> None:
    """What comes meanwhile waits for the newer schema, and is stored once; afterwards the older code works on it."""
    migrate_url(postgres_url, partitions=partitions)
    store = open_store(postgres_url, serving=True)
    log = [event(f"e{number}") for number in range(600)]
    try:
        assert accepted(store, log, 0, 10) == 10
        looks(store, 10)
        with psycopg.connect(postgres_url) as newer, psycopg.connect(postgres_url, autocommit=True) as looker:
            newer.execute(NEWER)
            newer.execute("INSERT INTO gradata.migrations VALUES (%s, 'of the future')", (newest() + 1,))
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(accepted, store, log, 10, 20)
                asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                while looker.execute(asked).fetchone() != (1,):
                    assert not waiting.done()
                newer.commit()
                assert waiting.result() == 10
        assert accepted(store, log, 20, 600) == 580
        looks(store, 600)
        with pytest.raises(StoreError, match="schema") as refused:
            open_store(postgres_url, serving=True)
        assert "upgrade" in refused.value.hint
    finally:
        store.close()


def accepted(store: Store, log: list[bytes], first: int, end: int) -> int:
    """Send a part of the log; how many events of it were new."""
    (decision,) = store.ingest([append(log, first, end)], now=NOW)
    return decision.accepted  # type: ignore[union-attr]


def looks(store: Store, count: int) -> None:
    """What pages and limits ask of a store that holds so many events."""
    query = EventQuery("brain", limit=1_000)
    assert len(store.events("default", query)) == count
    (found,) = store.fresh([("default", replace(query, after=count - 1))])
    assert found is not None
    assert [item.event_id for item in found] == [f"e{count - 1}"]
    (log,) = store.logs("default", "brain")
    assert (log.tree.size, living_brains(store, "default")) == (count, ["brain"])
    (verdict,) = store.admit(["brain"], Rate(600, burst=10)) or ()
    assert verdict.passed
    assert all(report.sound for report in check(store))


def test_a_script_only_adds() -> None:
    """No script takes away or changes what an older server, still at work, reads, writes or calls."""
    scripts = resources.files("gradata.cloud.store").joinpath("schema/postgres").iterdir()
    for script in scripts:
        if int(script.name.partition("_")[0]) <= FROZEN:
            continue
        text = re.sub(r"\$\$.*?\$\$", "", re.sub(r"--.*", "", script.read_text(encoding="utf-8")), flags=re.DOTALL)
        for statement in filter(None, (part.strip() for part in text.split(";"))):
            assert ADDS.match(" ".join(statement.split())), f"{script.name}: {statement[:80]}"
