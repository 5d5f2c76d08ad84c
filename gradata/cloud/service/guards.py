"""Whether a brain that is asked for was deleted on purpose: 410 to all who may know of it, on every route."""

from __future__ import annotations

import asyncio

from gradata.cloud.domain.principal import Principal
from gradata.cloud.protocol.answers import BRAIN_DELETED, require_brain
from gradata.cloud.store.port import Store
from gradata.cloud.store.values import Standing
from replicator.errors import WireError


def brain_deleted() -> WireError:
    """The error."""
    return WireError(BRAIN_DELETED, status=410, code="brain_deleted")


async def require_living(store: Store, principal: Principal, brain_id: str) -> Standing | None:
    """How the brain stands; None if there is none. Raises DeniedError beyond the key, WireError 410 if deleted."""
    require_brain(principal, brain_id)
    found = await asyncio.to_thread(store.standings, principal.workspace, brain_id)
    if found and found[0].deleted_at is not None:
        raise brain_deleted()
    return found[0] if found else None


async def refuse_deleted_log(store: Store, principal: Principal, log_id: str) -> None:
    """Raises WireError 410 if this was a log of a deleted brain that the key reaches."""
    brain_id = await asyncio.to_thread(store.deleted_log, principal.workspace, log_id)
    if brain_id is not None and principal.reaches(brain_id):
        raise brain_deleted()
