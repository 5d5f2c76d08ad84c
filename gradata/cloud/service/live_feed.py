"""The live feed for any number of open pages, which never block the writers.

Nothing is queued for a client: it has a cursor into the store, and notifications only wake it. A slow reader falls
behind. A client that does not read is stopped by its connection's small buffer and disconnected after SEND_S, so memory
is bounded, including the kernel's. Clients at the same position share one read, and reads of several brains are
combined. A notification may be lost: each client checks again after LOOK_S.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TypeVar, cast

from gradata.cloud.store.port import Store
from gradata.cloud.store.values import EventQuery, StoredEvent

CLIENTS_MAX = 1_000
CLIENTS_OF_KEY_MAX = 400
"""Feeds of one key: a key that opens all it can leaves room for others."""
PAGE_EVENTS = 100
PAGE_BYTES = 128 * 1024
"""Bytes of a page. A client that does not read holds one page, or one longer event."""
LOOK_AGAIN_S = 5.0
FLEET_LOOK_AGAIN_S = 2.0
GATHER_S = 0.05
"""Seconds after a wake-up during which events are combined into one page."""
"""Kernel send buffer per client in bytes; the default would be 4 MiB."""
SHARED_MAX = 256
GATHERED_MAX = 64

T = TypeVar("T")
FeedRequest = tuple[str, EventQuery]
"""A workspace, and what of it."""


class Single:
    """Shares one computation among all callers within `fresh_s` seconds. For one event loop."""

    def __init__(self, *, fresh_s: float, kept_max: int = SHARED_MAX) -> None:
        self._fresh_s = fresh_s
        self._kept_max = kept_max
        self._tasks: dict[object, tuple[float, asyncio.Task[object]]] = {}

    async def get(self, name: object, compute: Callable[[], Awaitable[T]]) -> T:
        """The result under this name, computed now or a moment ago."""
        now = time.monotonic()
        begun, task = self._tasks.get(name, (0.0, None))
        failed = task is not None and task.done() and (task.cancelled() or task.exception() is not None)
        if task is None or now - begun > self._fresh_s or failed:
            self._forget(name, now)
            task = asyncio.ensure_future(_awaited(compute))
            self._tasks[name] = (now, task)
        return cast(T, await asyncio.shield(task))

    def _forget(self, name: object, now: float) -> None:
        """Drop `name` and what is old, so that the rest is in the order of time; then the oldest, if it is too much."""
        self._tasks.pop(name, None)
        while self._tasks:
            oldest = next(iter(self._tasks))
            if now - self._tasks[oldest][0] <= self._fresh_s and len(self._tasks) < self._kept_max:
                return
            del self._tasks[oldest]


async def _awaited(compute: Callable[[], Awaitable[T]]) -> object:
    return await compute()


class Gathered:
    """Combines many small reads into few large ones: requests during a read form the next one. For one event loop."""

    def __init__(self, read: Callable[[Sequence[FeedRequest]], Sequence[list[StoredEvent] | None]]) -> None:
        self._read = read
        self._waiting: list[tuple[FeedRequest, asyncio.Future[list[StoredEvent] | None]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def get(self, asked: FeedRequest) -> list[StoredEvent] | None:
        """The answer to it."""
        answer: asyncio.Future[list[StoredEvent] | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                part, self._waiting = self._waiting[:GATHERED_MAX], self._waiting[GATHERED_MAX:]
                found = await asyncio.gather(
                    asyncio.to_thread(self._read, [asked for asked, _ in part]), return_exceptions=True
                )
                for place, (_, answer) in enumerate(part):
                    if answer.done():
                        continue  # who asked has gone
                    if isinstance(found[0], BaseException):
                        answer.set_exception(found[0])
                    else:
                        answer.set_result(found[0][place])
        finally:
            self._reading = None


class Hub:
    """Wakes the clients of this process. Lives on its event loop; only `_told` is called by other threads."""

    def __init__(self, store: Store, *, clients_told: Callable[[int], None] = lambda _: None) -> None:
        """`clients_told` is called with their number whenever it changes."""
        self._store = store
        self._clients_told = clients_told
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: Callable[[], None] | None = None
        self._watched: dict[str, tuple[int, asyncio.Event]] = {}
        self._versions: dict[str, int] = {}
        self._numbers = count(1)
        self._pages = Single(fresh_s=LOOK_AGAIN_S)
        self._fresh = Gathered(store.fresh)
        self.clients = 0
        self._of_key: Counter[str] = Counter()

    def open(self) -> None:
        """Begin to listen to the store."""
        self._loop = asyncio.get_running_loop()
        self._end = self._store.listen(self._told)

    def close(self) -> None:
        """End it."""
        if self._end is not None:
            self._end()

    def _told(self, brains: Collection[str]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._wake, brains)
        except RuntimeError:
            return  # the loop has ended, and every client with it

    def _wake(self, brains: Collection[str]) -> None:
        for name in [*brains, ""] if brains else list(self._watched):
            if name in self._watched:
                self._versions[name] = next(self._numbers)
                self._watched[name][1].set()

    @contextmanager
    def watching(self, name: str, prefix: str = "") -> Iterator[None]:
        """Around a client of a brain's feed, or of the fleet's (""), who came with the key of this prefix."""
        clients, event = self._watched.get(name, (0, asyncio.Event()))
        self._watched[name] = (clients + 1, event)
        self._versions.setdefault(name, next(self._numbers))  # never an old one: pages are kept under it
        self._count(prefix, 1)
        try:
            yield
        finally:
            self._count(prefix, -1)
            clients, event = self._watched[name]
            self._watched[name] = (clients - 1, event)
            if clients == 1:
                del self._watched[name]
                self._versions.pop(name, None)

    def clients_of(self, prefix: str) -> int:
        """How many clients came with the key of this prefix."""
        return self._of_key[prefix]

    def _count(self, prefix: str, more: int) -> None:
        self.clients += more
        self._of_key[prefix] += more
        if not self._of_key[prefix]:
            del self._of_key[prefix]
        self._clients_told(self.clients)

    async def changed(self, name: str, seen: int, seconds: float) -> int:
        """Wait until the version of `name` is not `seen`, or for so long; the version."""
        deadline = time.monotonic() + seconds
        while self._versions.get(name, 0) == seen and (left := deadline - time.monotonic()) > 0:
            clients, event = self._watched[name]
            if event.is_set():
                event = asyncio.Event()
                self._watched[name] = (clients, event)
            try:
                await asyncio.wait_for(event.wait(), left)
            except TimeoutError:
                break
        return self._versions.get(name, 0)

    def version(self, name: str) -> int:
        """Changes with every hint about it."""
        return self._versions.get(name, 0)

    async def page(self, workspace: str, query: EventQuery) -> tuple[list[StoredEvent], bool]:
        """One page of events, shared by all who stand at the same place; and whether it is all that there was."""
        name = (workspace, query, self.version(query.brain_id))
        return await self._pages.get(name, lambda: self._read(workspace, query))

    async def _read(self, workspace: str, query: EventQuery) -> tuple[list[StoredEvent], bool]:
        found = await self._fresh.get((workspace, query))
        if found is not None:
            return found, True
        return await asyncio.to_thread(self._store.events, workspace, query), False
