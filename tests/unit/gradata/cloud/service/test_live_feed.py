"""The live feed's own parts: what is computed once for many, and the pages of one client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import cast

from gradata.cloud.domain.principal import Principal
from gradata.cloud.http.sse import brain_feed
from gradata.cloud.service.live_feed import PAGE_BYTES, Hub, Single
from gradata.cloud.store.port import Store
from gradata.cloud.store.values import EventQuery, StoredEvent

READER = Principal("gk_live_reader00", "default", frozenset({"read"}))


def test_one_computation_serves_all_who_ask_while_it_is_fresh() -> None:
    """Together and afterwards; one that failed serves nobody after those who waited for it."""
    made: list[int] = []

    async def compute() -> int:
        made.append(len(made))
        await asyncio.sleep(0)
        if len(made) == 1:
            raise OSError
        return made[-1]

    async def ask() -> list[object]:
        single = Single(fresh_s=1e9)
        first = await asyncio.gather(*(single.get("a", compute) for _ in range(3)), return_exceptions=True)
        return [*map(type, first), *await asyncio.gather(*(single.get("a", compute) for _ in range(3)))]

    assert asyncio.run(ask()) == [OSError] * 3 + [1] * 3


def test_f60_what_was_computed_is_kept_while_it_is_fresh_and_no_more_than_so_much() -> None:
    """The oldest goes first, what is old goes with the next that is asked for, and what is renewed is new."""

    async def compute(name: str) -> None:
        if name.isupper():
            raise OSError

    async def kept(fresh_s: float, names: str) -> str:
        single = Single(fresh_s=fresh_s, kept_max=3)
        for name in names:
            with suppress(OSError):
                await single.get(name.lower(), partial(compute, name))
        return "".join(map(str, single._tasks))

    assert asyncio.run(kept(1e9, "abcab")) == "abc"
    assert asyncio.run(kept(1e9, "abcde")) == "cde"
    assert asyncio.run(kept(1e9, "Abacd")) == "acd"  # upper case: it failed, so that it is computed again
    assert asyncio.run(kept(-1.0, "abca")) == "a"


class Stored:
    """A brain with events behind each other, too many for the short way; only what a feed asks of a store."""

    def __init__(self, events: Sequence[StoredEvent]) -> None:
        self._events = events
        self.asked: list[EventQuery] = []

    def fresh(self, wanted: Sequence[tuple[str, EventQuery]]) -> list[list[StoredEvent] | None]:
        return [None if any(item.cursor > query.after for item in self._events) else [] for _, query in wanted]

    def events(self, _workspace: str, query: EventQuery) -> list[StoredEvent]:
        self.asked.append(query)
        return [item for item in self._events if item.cursor > query.after][:2]


def test_a_feed_tells_page_after_page_before_it_rests() -> None:
    """Also when bytes end a page and not the number of events: nothing waits for the next hint."""
    store = Stored([StoredEvent(number, f"e{number}", 0, None, b"{}\n", "NOTE", None, None, None, None)
                    for number in range(1, 6)])  # fmt: skip

    async def told() -> list[tuple[str | None, str | None]]:
        hub = Hub(cast("Store", store))
        found = []
        query = EventQuery("brain")
        async with aclosing(brain_feed(hub, READER, query, lambda event: json.dumps(event.event_id).encode())) as feed:
            async for said in feed:
                found.append((said.event, said.id))
                if said.event == "state":
                    return found
        return found

    assert asyncio.run(told()) == [
        ("ready", None), *(("event", str(number)) for number in range(1, 6)), ("state", None)
    ]  # fmt: skip
    assert [(query.after, query.bytes_max) for query in store.asked] == [
        (0, PAGE_BYTES),
        (2, PAGE_BYTES),
        (4, PAGE_BYTES),
    ]
