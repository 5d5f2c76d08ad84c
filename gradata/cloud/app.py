"""Assembles the application: store, services, routes, pages and middleware."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from gradata.cloud.dashboard.pages import Pages, add_pages
from gradata.cloud.http.context import AppContext, CloudOptions
from gradata.cloud.http.middleware import RequestMiddleware, add_error_answers
from gradata.cloud.http.openapi import BASE, complete
from gradata.cloud.http.request_log import note_answer, route_of
from gradata.cloud.http.responses import Answered
from gradata.cloud.http.sign_in import SignIn
from gradata.cloud.routes.admin import add_admin_views
from gradata.cloud.routes.ingest import add_ingest
from gradata.cloud.routes.legacy import add_compat_views
from gradata.cloud.routes.monitoring import add_fleet_views
from gradata.cloud.routes.replica import add_views
from gradata.cloud.service.alerts import Alerts, poster
from gradata.cloud.service.fleet_reader import FleetReader
from gradata.cloud.service.retention_task import Sweeping
from gradata.cloud.store.port import Store


def create_app(store: Store, *, options: CloudOptions | None = None) -> FastAPI:
    """The application for a store, which it closes when it shuts down."""
    context = AppContext(store, options or CloudOptions())
    fleets = FleetReader(store, context.options.alerting)
    visitors = SignIn(context)
    sweeping = Sweeping(store)
    context.committed = fleets.metrics.committed
    context.interrupted = fleets.interrupted

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        context.open()
        fleets.open()
        watching = _watching(fleets)
        sweeping.open()
        yield
        await sweeping.close()
        if watching is not None:
            watching.cancel()
        fleets.close()
        await asyncio.to_thread(context.close)

    app = Cloud(
        title="Gradata cloud",
        version="1",
        description="Keeps logs byte for byte and proves it.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name the Host that the client sent, over plain HTTP
        openapi_url=f"{BASE}/openapi.json",
        lifespan=lifespan,
    )
    add_error_answers(app, context.limits)
    plain_routes = add_ingest(app, context)
    add_compat_views(app, context)
    add_views(app, context)
    add_admin_views(app, context, sweeping.soon)
    pages = Pages(context, fleets, visitors)
    add_fleet_views(app, context, fleets, visitors, pages.correction)
    add_pages(app, pages)
    complete(app)
    app.outermost = RequestMiddleware(
        app.framework,
        plain_routes={f"{BASE}/{name}": route for name, route in plain_routes.items()},
        limits=context.limits,
        rate=context.options.rate,
        answered=_answered(fleets),
        over=context.reads.leave,
    )
    return app


class Cloud(FastAPI):
    """The framework's application behind the outermost middleware."""

    outermost: RequestMiddleware

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request, or the server's life."""
        await self.outermost(scope, receive, send)

    async def framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Requests that the outermost layer does not answer itself."""
        await super().__call__(scope, receive, send)


def _watching(fleets: FleetReader) -> asyncio.Task[None] | None:
    """The alert task, if there is a webhook."""
    webhook = fleets.alerting.webhook
    return None if webhook is None else asyncio.create_task(Alerts(fleets, poster(webhook)).run())


def _answered(fleets: FleetReader) -> Answered:
    def answered(scope: Scope, status: int, seconds: float | None) -> None:
        fleets.metrics.answered(route_of(scope), scope["method"], status, seconds)
        note_answer(scope, status, seconds)

    return answered
