"""Readiness: the answer of `/ready`.

A store that answers reads may still reject writes: its disk is full, it was demoted, or the writing connection hangs.
So the writing thread itself commits something, after what is queued. If the last commit of a client failed, a
successful write of a few bytes proves little, so that failure counts for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gradata.cloud.service.group_commit import Failed, GroupWriter
from gradata.cloud.store.values import StoreUnavailableError

CHECK_S = 5.0
"""A check that is not answered within this failed. More than a commit on a busy disk takes."""
FRESH_S = 1.0
"""So long the answer holds for others who ask: anybody may, and each check is a durable commit."""
FAILED_S = 5.0
"""So long a failed commit counts, unless one of a client went well since: clients try again within seconds."""


class Readiness:
    """One server's answer. To be used on the event loop."""

    def __init__(self, writer: Callable[[], GroupWriter]) -> None:
        self._writer = writer
        self._checking: asyncio.Task[str | None] | None = None
        self._checked_at = 0.0

    async def trouble(self) -> str | None:
        """Why the server cannot do its work, in words without a secret; None if it can."""
        old = time.monotonic() - self._checked_at > FRESH_S
        if self._checking is None or (self._checking.done() and old):
            self._checking = asyncio.create_task(self._check())
        trouble = await asyncio.shield(self._checking)
        failed_at = self._writer().failed_at
        if trouble is None and failed_at is not None and time.monotonic() - failed_at < FAILED_S:
            return "the last commit failed"
        return trouble

    async def _check(self) -> str | None:
        try:
            return await self._asked()
        finally:
            self._checked_at = time.monotonic()

    async def _asked(self) -> str | None:
        writer, loop = self._writer(), asyncio.get_running_loop()
        answered: asyncio.Future[StoreUnavailableError | Failed | None] = loop.create_future()

        def answer(failure: StoreUnavailableError | Failed | None) -> None:
            if not answered.done():
                answered.set_result(failure)

        writer.check(lambda failure: _on(loop, answer, failure))
        try:
            failure = await asyncio.wait_for(answered, CHECK_S)
        except TimeoutError:
            return "the store does not answer"
        return None if failure is None else "the store cannot be written now"


def _on(
    loop: asyncio.AbstractEventLoop,
    answer: Callable[[StoreUnavailableError | Failed | None], None],
    failure: StoreUnavailableError | Failed | None,
) -> None:
    try:
        loop.call_soon_threadsafe(answer, failure)
    except RuntimeError:
        return  # the loop has ended: nobody asks any more
