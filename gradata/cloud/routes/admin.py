"""The admin routes: deletion, erasure, retention; they need the scope `admin`. `service.deletion` does the work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query, Request, Response

from gradata.cloud.clock import now_us
from gradata.cloud.domain.principal import Principal
from gradata.cloud.http.context import AppContext
from gradata.cloud.http.openapi import BASE, problems
from gradata.cloud.http.responses import response
from gradata.cloud.protocol.answers import Answer, brain_forbidden, require_brain
from gradata.cloud.routes.brain_json import erased_json, standing_json
from gradata.cloud.routes.replica import BrainName
from gradata.cloud.service import deletion
from gradata.cloud.service.guards import require_living
from gradata.cloud.store.values import BrainStanding, StoreError, StoreUnavailableError
from replicator.errors import WireError

log = logging.getLogger("gradata.cloud")


def add_admin_views(app: FastAPI, context: AppContext, sweep_soon: Callable[[], None]) -> None:
    """Add the admin routes. `sweep_soon` triggers the removal of deleted rows."""
    _add_brains(app, context, sweep_soon)
    _add_bytes(app, context, sweep_soon)


def _add_brains(app: FastAPI, context: AppContext, sweep_soon: Callable[[], None]) -> None:
    @app.get(f"{BASE}/admin/brains", responses=problems(401, 403, 503))
    async def standings(request: Request) -> Response:
        """The brains that the key reaches, deleted ones included."""
        principal = await context.principal(request, "admin")
        found = await asyncio.to_thread(context.store.standings, principal.workspace)
        shown = [standing_json(brain) for brain in found if principal.reaches(brain.brain_id)]
        return _answer({"brains": shown, "cloud_id": context.store.cloud_id})

    @app.delete(f"{BASE}/admin/brains", responses=problems(401, 403, 410, 422, 503))
    async def delete_brain(request: Request, brain: BrainName) -> Response:
        """Delete a brain: from now on its requests are answered 410 `brain_deleted`."""
        principal = await context.principal(request, "admin")
        before = await _standing(context, principal, brain)
        await asyncio.to_thread(deletion.delete, context.store, principal.workspace, brain, now=now_us())
        log.warning("a brain was deleted by key %s", principal.prefix)
        sweep_soon()
        return _answer({"brain_id": brain, "deleted": True, "events": before.events, "bytes": before.offset})


def _add_bytes(app: FastAPI, context: AppContext, sweep_soon: Callable[[], None]) -> None:
    @app.post(f"{BASE}/admin/brains/erase", responses=problems(400, 401, 403, 404, 410, 422, 503))
    async def erase(
        request: Request,
        brain: BrainName,
        event: Annotated[str | None, Query(min_length=1, max_length=256)] = None,
        log_id: Annotated[str | None, Query(alias="log", min_length=1, max_length=64)] = None,
        record: Annotated[int | None, Query(ge=0, lt=2**40)] = None,
        dry_run: bool = False,
    ) -> Response:
        """Erase the bytes of an event, or of a log's record, wherever they are stored."""
        principal = await context.principal(request, "admin")
        await _standing(context, principal, brain)
        if (event is None) == (log_id is None) or (log_id is None) != (record is None):
            raise WireError("name an event, or a log and a record", status=422, code="invalid_parameter")
        target = deletion.Target(event, log_id, record)

        def work() -> deletion.Erased:
            return deletion.erase(context.store, principal.workspace, brain, target, now=now_us(), dry_run=dry_run)

        try:
            done = await asyncio.to_thread(work)
        except StoreUnavailableError:
            raise
        except deletion.UnknownError as error:
            raise WireError(str(error), status=404, code="not_found") from error
        except StoreError as error:
            raise WireError(str(error)) from error
        if not dry_run:
            log.warning("%d places were erased by key %s", len(done.places) + done.loose, principal.prefix)
        return _answer(erased_json(brain, done, dry_run=dry_run))

    @app.put(f"{BASE}/admin/brains/retention", responses=problems(401, 403, 410, 422, 503))
    async def retention(
        request: Request,
        brain: BrainName,
        days: Annotated[int | None, Query(ge=1, le=deletion.RETAIN_DAYS_MAX)] = None,
    ) -> Response:
        """Set the brain's retention period in days since first storing; without `days`, no limit."""
        principal = await context.principal(request, "admin")
        await _standing(context, principal, brain)
        await asyncio.to_thread(deletion.retain, context.store, principal.workspace, brain, days)
        sweep_soon()
        return _answer({"brain_id": brain, "days": days})


async def _standing(context: AppContext, principal: Principal, brain_id: str) -> BrainStanding:
    """The state of the brain. Raises DeniedError, WireError 410."""
    require_brain(principal, brain_id)
    found = await require_living(context.store, principal, brain_id)
    if found is None:
        raise brain_forbidden()
    return found


def _answer(document: dict[str, Any]) -> Response:
    return response(Answer(200, orjson.dumps(document), headers={"Cache-Control": "no-store"}))
