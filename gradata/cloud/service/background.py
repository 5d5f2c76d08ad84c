"""Background tasks that survive errors in a step.

An asyncio task that dies does so silently. So each step runs here: an error is logged, and the next step follows after
a pause.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gradata.cloud.store.values import StoreUnavailableError

log = logging.getLogger("gradata.cloud")


async def forever(name: str, step: Callable[[], Awaitable[object]], *, pause_s: float) -> None:
    """Run `step` every `pause_s` seconds until cancelled."""
    while True:
        try:
            await step()
        except StoreUnavailableError as error:
            log.warning("%s waits for the store: %s", name, error)
        except Exception:  # the last line of defence: a task that died would be missed by nobody
            log.exception("%s met an unexpected error and goes on", name)
        await asyncio.sleep(pause_s)
