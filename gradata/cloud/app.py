"""The routes of the cloud that write: which bytes go where. No decision is made here.

Read the body (`reading`), make a request of it (`service`), have it committed with others (`writer`), answer.
The routes that read are in `views`, what all of them share is in `shared`, what holds for all answers is in `edge`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from gradata.cloud import service
from gradata.cloud.alerts import Alerts, poster
from gradata.cloud.auth import Principal
from gradata.cloud.dashboard.pages import Pages, add_pages
from gradata.cloud.direct import Asked, Direct
from gradata.cloud.documents import BASE, complete, heartbeat_document, ingest_document
from gradata.cloud.edge import Answered, Edge, add_error_answers, response
from gradata.cloud.express import Express
from gradata.cloud.eyes import Eyes
from gradata.cloud.journal import note_answer, route_of
from gradata.cloud.requests import Append, Loose
from gradata.cloud.service import Answer
from gradata.cloud.shared import INLINE_BYTES, Options, Shared
from gradata.cloud.store import Store
from gradata.cloud.sweeping import Sweeping
from gradata.cloud.views import add_views
from gradata.cloud.views_admin import add_admin_views
from gradata.cloud.views_compat import add_compat_views
from gradata.cloud.views_fleet import add_fleet_views
from replicator.errors import WireError
from replicator.wire import BATCH_TYPE, JSON_TYPE, LOOSE_TYPE

HEARTBEAT_BYTES_MAX = 64 * 1024


def create_app(store: Store, *, options: Options | None = None) -> FastAPI:
    """The application on a store, which it closes when it shuts down."""
    shared = Shared(store, options or Options())
    eyes = Eyes(shared)
    sweeping = Sweeping(store)
    shared.committed = eyes.metrics.committed

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        shared.open()
        eyes.open()
        watching = _watching(eyes)
        sweeping.open()
        yield
        await sweeping.close()
        if watching is not None:
            watching.cancel()
        eyes.close()
        await asyncio.to_thread(shared.close)

    app = Cloud(
        title="Gradata cloud",
        version="1",
        description="Keeps logs byte for byte and proves it.",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{BASE}/openapi.json",
        lifespan=lifespan,
    )
    add_error_answers(app, shared.limits)
    direct = _add_ingest(app, shared)
    add_compat_views(app, shared)
    add_views(app, shared)
    add_admin_views(app, shared, sweeping.soon)
    pages = Pages(eyes)
    add_fleet_views(app, eyes, pages.correction)
    add_pages(app, pages)
    complete(app)
    app.edge = Edge(
        app.framework,
        direct={f"{BASE}/{name}": route for name, route in direct.items()},
        limits=shared.limits,
        rate=shared.options.rate,
        answered=_answered(eyes),
    )
    app.express = Express(f"{BASE}/ingest", direct["ingest"], shared, app.edge)
    return app


class Cloud(FastAPI):
    """The framework's application, behind our edge."""

    edge: Edge
    express: Express

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request, or the server's life."""
        await self.edge(scope, receive, send)

    async def framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the edge does not answer itself."""
        await super().__call__(scope, receive, send)


def _watching(eyes: Eyes) -> asyncio.Task[None] | None:
    """The dead-man's switch, if there is somebody to tell."""
    webhook = eyes.alerting.webhook
    return None if webhook is None else asyncio.create_task(Alerts(eyes, poster(webhook)).run())


def _answered(eyes: Eyes) -> Answered:
    def answered(scope: Scope, status: int, seconds: float | None) -> None:
        eyes.metrics.answered(route_of(scope), scope["method"], status, seconds)
        note_answer(scope, status, seconds)

    return answered


async def _store(shared: Shared, asked: Asked, principal: Principal, media_type: str) -> Answer:
    """Read, interpret, commit and answer one request that brings records."""
    limits = shared.limits
    bytes_max = limits.record_bytes if media_type == JSON_TYPE else limits.body_bytes
    taken = shared.take_room(asked, bytes_max)
    try:
        body = await shared.body(asked, bytes_max)

        def read() -> Append | Loose:
            if media_type == BATCH_TYPE:
                return service.read_batch(principal, body, limits)
            if media_type == LOOSE_TYPE:
                return service.read_loose(principal, asked.query_params.get("brain"), body, limits)
            return service.read_correction(principal, body)

        work = read() if len(body) <= INLINE_BYTES else await asyncio.to_thread(read)
        shared.charge(asked, work.workspace, work.brain_id)
        decision = await shared.commit(asked, work)
    finally:
        shared.give_room(taken)
    cloud_id = shared.store.cloud_id
    if isinstance(work, Append):
        return service.answer_batch(work, decision, cloud_id, limits)
    answer = service.answer_loose if media_type == LOOSE_TYPE else service.answer_correction
    return answer(work, decision, cloud_id, limits)


def _add_ingest(app: FastAPI, shared: Shared) -> dict[str, Direct]:
    """The routes that `edge` calls itself. The framework knows them for its document only."""

    async def ingest(asked: Asked) -> Answer:
        principal = await shared.principal(asked, "ingest")
        media_type = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in (BATCH_TYPE, LOOSE_TYPE, JSON_TYPE):
            detail = f"Content-Type must be {BATCH_TYPE}, {LOOSE_TYPE} or {JSON_TYPE}"
            raise WireError(detail, status=415, code="media_type_unsupported")
        return await _store(shared, asked, principal, media_type)

    async def heartbeat(asked: Asked) -> Answer:
        principal = await shared.principal(asked, "ingest")
        beat = service.read_beat(principal, await shared.body(asked, HEARTBEAT_BYTES_MAX))
        shared.charge(asked, beat.workspace, f"{beat.brain_id}\n{beat.device_id}\n{beat.log_id}", beat=True)
        decision = await shared.commit(asked, beat)
        return service.answer_beat(beat, decision, shared.store.cloud_id)

    @app.post(f"{BASE}/ingest", openapi_extra=ingest_document(), name="ingest")
    async def document_of_ingest(request: Request) -> Response:
        """Store a batch of a log (schema 2), loose events, or one correction (schema 1)."""
        return response(await ingest(Asked(request.scope, request.receive)))

    @app.post(f"{BASE}/heartbeat", openapi_extra=heartbeat_document(), name="heartbeat")
    async def document_of_heartbeat(request: Request) -> Response:
        """Say that a log's replicator is alive, and learn the log's head."""
        return response(await heartbeat(Asked(request.scope, request.receive)))

    return {"ingest": ingest, "heartbeat": heartbeat}
