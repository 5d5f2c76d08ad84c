"""Reading events in the order of their storing: the same for every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gradata.cloud.domain.requests import Loose
from gradata.cloud.service import deletion, legacy_pages
from gradata.cloud.service.deletion import Target
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import mark_of
from gradata.cloud.store.values import EventQuery
from tests.support.cloud_batches import LOG, OTHER_LOG, append, event, lines

Open = Callable[[], Store]
NOW = 1_764_000_000_000_000


def pulled(store: Store, limit: int, after: str | None = None) -> list[str]:
    """All ids behind `after`, by pages of `limit`, each page behind the last id of the one before."""
    found: list[str] = []
    while True:
        place = None if after is None else mark_of(store, "default", "brain", after)
        page = legacy_pages.page(store, "default", "brain", place, limit)
        found += [item.event_id for item in page.events]
        assert len(page.events) <= limit
        if page.ended:
            return found
        assert page.events
        after = page.events[-1].event_id


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_events_are_pulled_by_time_of_storing_then_id(store: Store, limit: int) -> None:
    """Whatever the pages; ids within one commit, commits in theirs; from logs and loose alike; each once."""
    store.ingest([append([event(name) for name in "cab"])], now=NOW)
    store.ingest([Loose("default", "brain", lines(event("z"), event("y"), event("a")))], now=NOW + 1)
    store.ingest([append([event(name) for name in "cabd"], 3)], now=NOW + 2)
    store.ingest([append([event("0")], brain_id="other", log_id=OTHER_LOG)], now=NOW + 2)
    assert pulled(store, limit) == ["a", "b", "c", "y", "z", "d"]
    assert pulled(store, limit, "b") == ["c", "y", "z", "d"]
    assert pulled(store, limit, "d") == []


def test_a_clock_that_goes_back_hides_nothing(store: Store) -> None:
    """Commits come in their own order: what is stored behind a reader's place is given to it."""
    for number, now in enumerate((NOW, NOW - 50, NOW - 50, NOW + 1)):
        store.ingest([Loose("default", "brain", lines(event(f"{9 - number}")))], now=now)
    assert pulled(store, 1) == ["9", "7", "8", "6"]
    assert pulled(store, 2, "9") == ["7", "8", "6"]


def test_what_is_gone_keeps_its_place_and_is_left_out(store: Store) -> None:
    """An erased event's id is a place as before; expired ones are not given."""
    for number in range(6):
        store.ingest([append([event(f"e{i}") for i in range(number + 1)], number)], now=NOW + number)
    deletion.erase(store, "default", "brain", Target("e3"), now=NOW + 9)
    assert pulled(store, 2) == ["e0", "e1", "e2", "e4", "e5"]
    assert pulled(store, 2, "e3") == ["e4", "e5"]
    deletion.expire(store, "default", "brain", NOW + 2)
    assert pulled(store, 2) == ["e2", "e4", "e5"]
    assert store.standings("default", "brain")[0].expired == 2
    assert legacy_pages.before_time(store, "default", "brain", NOW) is None
    before = legacy_pages.before_time(store, "default", "brain", NOW + 5)
    assert before is not None
    assert before.event_id == "e4"


def test_a_large_commit_and_large_events_are_pulled_whole(store: Store) -> None:
    """2,500 events of one commit in pages; 8 events of 1 MB each come in several answers."""
    log = [event(f"{number * 7919 % 2503:04}") for number in range(2_500)]
    store.ingest([append(log)], now=NOW)
    assert pulled(store, 1000) == sorted(item.event_id for item in _all(store))
    large = [event(f"large{number}", "x" * 1_000_000) for number in range(8)]
    store.ingest([append(large, log_id=OTHER_LOG)], now=NOW + 1)
    place = mark_of(store, "default", "brain", pulled(store, 1000)[2_499])
    page = legacy_pages.page(store, "default", "brain", place, 1000)
    assert 1 <= len(page.events) < 8
    assert not page.ended
    assert pulled(store, 1000)[2_500:] == [f"large{number}" for number in range(8)]
    assert store.log("default", LOG) is not None


def _all(store: Store) -> list:  # type: ignore[type-arg]
    found = []
    after = 0
    while part := store.events("default", EventQuery("brain", after=after, limit=1000)):
        found += part
        after = part[-1].cursor
    return found
