"""Guards for deleted brains: 410 on every route, for every key that may know of the brain."""

from __future__ import annotations

import asyncio

from gradata.cloud.domain.principal import Principal
from gradata.cloud.protocol.answers import BRAIN_DELETED, require_brain
from gradata.cloud.store.port import Store
from gradata.cloud.store.values import BrainStanding, StoredLog
from replicator.errors import WireError


def brain_deleted() -> WireError:
    """410 `brain_deleted`: the client stops, and does not send the brain again by itself."""
    return WireError(BRAIN_DELETED, status=410, code="brain_deleted")


async def require_living(store: Store, principal: Principal, brain_id: str) -> BrainStanding | None:
    """The state of a brain, or None if there is none.

    Raises DeniedError if the key may not use it, WireError 410 if it was deleted.
    """
    require_brain(principal, brain_id)
    found = await asyncio.to_thread(store.standings, principal.workspace, brain_id)
    if found and found[0].deleted_at is not None:
        raise brain_deleted()
    return found[0] if found else None


async def refuse_deleted_log(store: Store, principal: Principal, log_id: str, brain_id: str | None) -> None:
    """Raises WireError 410 if this was a log of a deleted brain that the key reaches, of this one if it is named."""
    log = await asyncio.to_thread(store.log, principal.workspace, log_id, brain_id, deleted=True)
    if log is not None and principal.reaches(log.brain_id):
        raise brain_deleted()


def find_log(store: Store, principal: Principal, log_id: str, brain_id: str | None) -> StoredLog | None:
    """The log of this name that the key reaches: of the brain, if one is named. Blocks."""
    if brain_id is not None:
        return store.log(principal.workspace, log_id, brain_id) if principal.reaches(brain_id) else None
    if not principal.brains:
        return store.log(principal.workspace, log_id)
    found = (store.log(principal.workspace, log_id, name) for name in sorted(principal.brains))
    return next((log for log in found if log is not None), None)
