"""The routes of published clients: `/sync`, `/events/push`, `/events/pull`, and the requests of 0.4 to 0.6.

`protocol.legacy` has their formats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query, Request, Response
from starlette.requests import ClientDisconnect

from gradata.cloud.domain.plan import Decision
from gradata.cloud.domain.principal import Principal
from gradata.cloud.domain.timestamps import iso
from gradata.cloud.http.context import AppContext
from gradata.cloud.http.openapi import BASE, json_body, problems
from gradata.cloud.http.responses import response
from gradata.cloud.protocol import legacy
from gradata.cloud.protocol.answers import Answer, brain_forbidden, require_brain
from gradata.cloud.service import legacy_pages
from gradata.cloud.service.guards import require_living
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import living_brains, mark_of, owner_of
from gradata.cloud.store.values import EVENTS_MAX, BrainStanding, EventMark
from replicator.errors import WireError
from replicator.model import Limits
from replicator.wire import JSON_TYPE, is_name

PULL_LIMIT = 500
NAME_CHARACTERS_MAX = 128
OldAnswer = Callable[[legacy.OldBatch, Decision, Limits], Answer]


def add_compat_views(app: FastAPI, context: AppContext) -> None:
    """Add `/sync`, `/events/push`, `/events/pull` and `/brains/connect`."""
    _add_sync(app, context)
    _add_connect(app, context)
    _add_pull(app, context)


async def _store_old(context: AppContext, request: Request, form: int, answer: OldAnswer) -> Response:
    principal = await context.principal(request, "ingest")
    _require_json(request)
    limits = context.limits
    with context.bodies.held(principal.prefix) as held:
        body = await context.body(request, limits.body_bytes, held)
        now = datetime.now(UTC)
        batch = await asyncio.to_thread(legacy.read_old, principal, body, limits, form=form, now=now)
        if form == legacy.SYNC:
            batch = await asyncio.to_thread(_of_its_brain, context.store, principal, batch)
        await context.admit(request, principal, batch.work.brain_id, None)
        decision = await context.commit(request, batch.work)
    return response(answer(batch, decision, limits))


def _of_its_brain(store: Store, principal: Principal, batch: legacy.OldBatch) -> legacy.OldBatch:
    """The batch, of the brain that it is of. Raises WireError 409, DeniedError."""
    workspace, name = principal.workspace, batch.work.brain_id
    owner = owner_of(store, name)
    if owner not in (None, workspace):
        raise brain_forbidden()
    own = [name] if owner == workspace else []  # a deleted one answers for itself
    brains = [*living_brains(store, workspace), *own]
    holding = store.brains_with(workspace, legacy.naming_ids(batch))
    brain_id = legacy.brain_of_sync(principal, name, brains, holding)
    return replace(batch, work=replace(batch.work, brain_id=brain_id))


def _require_json(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE:
        raise WireError(f"Content-Type must be {JSON_TYPE}", status=415, code="media_type_unsupported")


def _add_sync(app: FastAPI, context: AppContext) -> None:
    events = {"type": "array", "items": {"type": "object"}}
    name = {"type": "string", "minLength": 1, "maxLength": NAME_CHARACTERS_MAX}
    statuses = (400, 401, 403, 408, 409, 410, 413, 415, 422, 429, 503)

    @app.post(f"{BASE}/sync", openapi_extra=json_body({"brain_name": name, "events": events}, *statuses))
    async def sync(request: Request) -> Response:
        """Events of a 0.7 client, under the brain that has them, whatever name it gives; idempotent by event_id."""
        return await _store_old(context, request, legacy.SYNC, legacy.answer_sync)

    @app.post(f"{BASE}/events/push", openapi_extra=json_body({"brain_id": name, "events": events}, *statuses))
    async def push(request: Request) -> Response:
        """Events of a 0.7 client; idempotent by event_id. `accepted` counts everything that is durable now."""
        return await _store_old(context, request, legacy.PUSH, legacy.answer_push)


def _add_connect(app: FastAPI, context: AppContext) -> None:
    """What clients of 0.4 to 0.6 ask and say, which send no events."""
    name = {"type": "string", "minLength": 1, "maxLength": NAME_CHARACTERS_MAX}
    statuses = (400, 401, 403, 408, 410, 413, 415, 422, 503)

    async def asked(request: Request) -> tuple[Principal, bytes]:
        principal = await context.principal(request, "ingest")
        _require_json(request)
        try:
            return principal, await context.body(request, context.limits.record_bytes)
        except ClientDisconnect:
            raise WireError("the client went away") from None

    async def brain_in(request: Request, field: str) -> str:
        """The brain that is named, which need not exist; beyond the key or the workspace it is refused."""
        principal, body = await asked(request)
        brain_id = legacy.named_brain(body, field)
        await require_living(context.store, principal, brain_id)
        owner = await asyncio.to_thread(owner_of, context.store, brain_id)
        if owner not in (None, principal.workspace):
            raise brain_forbidden()
        return brain_id

    @app.post(f"{BASE}/brains/connect", openapi_extra=json_body({"brain_name": name}, *statuses))
    async def connect(request: Request) -> Response:
        """What such a client asks before it syncs: its brain's id here, which is its name. Nothing is made."""
        brain_id = await brain_in(request, "brain_name")
        return response(Answer(200, orjson.dumps({"brain_id": brain_id})))

    @app.post(f"{BASE}/brains/sync", openapi_extra=json_body({"brain_id": name}, *statuses))
    async def sync_manifest(request: Request) -> Response:
        """The manifest of such a client's brain, without events. Nothing is kept."""
        return response(legacy.nothing_taken(brain_id=await brain_in(request, "brain_id")))

    async def metrics(request: Request) -> Response:
        """Counts of such a client's learning. Nothing is kept."""
        await asked(request)
        return response(legacy.nothing_taken())

    # That client appends /v1/… to whatever address it was given: with and without our own path.
    app.post(f"{BASE}/telemetry/metrics", openapi_extra=json_body({}, *statuses))(metrics)
    for path in ("/v1/telemetry/metrics", f"{BASE}/v1/telemetry/metrics"):
        app.post(path, include_in_schema=False)(metrics)


def _add_pull(app: FastAPI, context: AppContext) -> None:
    document: dict[int | str, Any] = {
        "200": {"description": "a page, oldest first", "content": {JSON_TYPE: {"schema": {"type": "object"}}}}
    }

    @app.get(f"{BASE}/events/pull", responses=document | problems(401, 403, 410, 422, 503))
    async def pull_events(
        request: Request,
        brain_id: Annotated[str, Query(min_length=1, max_length=NAME_CHARACTERS_MAX)],
        device_id: Annotated[str | None, Query(max_length=NAME_CHARACTERS_MAX)] = None,
        rebuild_from: Annotated[str | None, Query(max_length=NAME_CHARACTERS_MAX)] = None,
        limit: Annotated[int, Query(ge=1, le=EVENTS_MAX)] = PULL_LIMIT,
        cursor: Annotated[str | None, Query(max_length=NAME_CHARACTERS_MAX)] = None,
    ) -> Response:
        """Events of a brain by time of storing, then event_id, each once, behind `cursor`: an event_id of a page.

        `rebuild_from` is an event_id or a time (ISO 8601) of storing, and goes before `cursor`. Where events behind it
        have expired: 410 `rewind_beyond_retention`.
        """
        del device_id  # every device of the brain gets the same
        principal = await context.principal(request, "read")
        require_brain(principal, brain_id)
        brain = await require_living(context.store, principal, brain_id)
        if brain is None or not is_name(brain_id):
            raise brain_forbidden()
        wanted = rebuild_from or cursor or None

        def read() -> tuple[legacy_pages.Page, EventMark | None]:
            place = None if wanted is None else _place(context, principal.workspace, brain, wanted)
            return legacy_pages.page(context.store, principal.workspace, brain_id, place, limit), place

        page, place = await asyncio.to_thread(read)
        body = legacy.pull_body(
            page.events,
            brain_id=brain_id,
            asked=None if place is None else place.event_id,
            ended=page.ended,
            stored=[iso(event.stored_at) or "" for event in page.events],
        )
        return response(Answer(200, body, headers={"Cache-Control": "no-store"}))


def _place(context: AppContext, workspace: str, brain: BrainStanding, wanted: str) -> EventMark | None:
    """Where the page begins. Raises WireError 410 if events behind it have expired.

    An id that was never here says nothing of what its client has: everything is given, each event's id tells it.
    """
    place = mark_of(context.store, workspace, brain.brain_id, wanted)
    if place is None:
        try:
            at = datetime.fromisoformat(wanted)
        except ValueError:
            place = None
        else:
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            place = legacy_pages.before_time(context.store, workspace, brain.brain_id, int(at.timestamp() * 1e6))
    if brain.expired > (0 if place is None else place.cursor):
        raise WireError("events behind this place have expired", status=410, code="rewind_beyond_retention")
    return place
