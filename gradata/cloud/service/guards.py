"""Guards for deleted brains: 410 on every route, for every key that may know of the brain."""

from __future__ import annotations

import asyncio

from gradata.cloud.domain.principal import Principal
from gradata.cloud.protocol.answers import BRAIN_DELETED, require_brain
from gradata.cloud.store.port import Store
from gradata.cloud.store.values import Standing
from replicator.errors import WireError


def brain_deleted() -> WireError:
    """410 `brain_deleted`: the client stops, and does not send the brain again by itself."""
    return WireError(BRAIN_DELETED, status=410, code="brain_deleted")


async def require_living(store: Store, principal: Principal, brain_id: str) -> Standing | None:
    """The state of a brain, or None if there is none.

    Raises DeniedError if the key may not use it, WireError 410 if it was deleted.
    """
    require_brain(principal, brain_id)
    found = await asyncio.to_thread(store.standings, principal.workspace, brain_id)
    if found and found[0].deleted_at is not None:
        raise brain_deleted()
    return found[0] if found else None


async def refuse_deleted_log(store: Store, principal: Principal, log_id: str) -> None:
    """Raises WireError 410 if the log belongs to a deleted brain that the key may use."""
    brain_id = await asyncio.to_thread(store.deleted_log, principal.workspace, log_id)
    if brain_id is not None and principal.reaches(brain_id):
        raise brain_deleted()
