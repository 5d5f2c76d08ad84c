"""Sweep now and then: let bytes expire, and finish what deletions left. Any number of servers of a store may do it."""

from __future__ import annotations

import asyncio
import logging
import threading

from gradata.cloud.clock import now_us
from gradata.cloud.service import deletion
from gradata.cloud.store.port import Store
from gradata.cloud.store.values import StoreUnavailableError

SWEEP_S = 600.0

log = logging.getLogger("gradata.cloud")


class Sweeping:
    """The sweeping task of one server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._soon = asyncio.Event()
        self._stopped = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin; the first sweep is at once."""
        self._task = asyncio.create_task(self._run())

    def soon(self) -> None:
        """Sweep as soon as possible. From the event loop."""
        self._soon.set()

    async def close(self) -> None:
        """End at the next step; returns when nothing of it runs any more."""
        self._stopped.set()
        self._soon.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._stopped.is_set():
            self._soon.clear()
            try:
                await asyncio.to_thread(deletion.sweep, self._store, now=now_us(), stopped=self._stopped.is_set)
            except StoreUnavailableError as error:
                log.warning("the store could not be swept: %s", error)
            try:
                await asyncio.wait_for(self._soon.wait(), SWEEP_S)
            except TimeoutError:
                continue
