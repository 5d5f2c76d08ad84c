"""The periodic retention task: expires records and finishes deletions. Any number of servers of a store may run it."""

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

    def sweep(self, *, now: int) -> int:
        """One sweep; about how many rows. A brain that cannot be swept is recorded, and the others are."""
        return deletion.sweep(self._store, now=now, stopped=self._stopped.is_set, failed=_record)

    async def _run(self) -> None:
        while not self._stopped.is_set():
            self._soon.clear()
            try:
                await asyncio.to_thread(self.sweep, now=now_us())
            except StoreUnavailableError as error:
                log.warning("the store could not be swept: %s", error)
            except Exception:  # the last line of defence: without this task nothing expires any more
                log.exception("a sweep met an unexpected error; the next one is made")
            try:
                await asyncio.wait_for(self._soon.wait(), SWEEP_S)
            except TimeoutError:
                continue


def _record(error: Exception) -> None:
    log.error("a brain could not be swept; the others are", exc_info=error)
