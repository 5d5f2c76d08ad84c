"""Tasks of the server that go on for ever, whatever goes wrong in one of their steps.

A task of asyncio that dies does so in silence. So each step is run here: what goes wrong is recorded, and the next
step is made after a pause.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gradata.cloud.store.values import StoreUnavailableError

log = logging.getLogger("gradata.cloud")


async def forever(name: str, step: Callable[[], Awaitable[object]], *, pause_s: float) -> None:
    """Run `step`, rest for `pause_s` seconds, and again, until cancelled."""
    while True:
        try:
            await step()
        except StoreUnavailableError as error:
            log.warning("%s waits for the store: %s", name, error)
        except Exception:  # the last line of defence: a task that died would be missed by nobody
            log.exception("%s met an unexpected error and goes on", name)
        await asyncio.sleep(pause_s)
