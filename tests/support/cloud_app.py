"""The cloud's application in the test's own process: every route, no socket. For what needs no real server.

`open_app(store)` serves for a block; requests go through the whole of it, the outermost layer included.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
from fastapi import FastAPI

from gradata.cloud.app import create_app
from gradata.cloud.http.context import LIMITS, CloudOptions
from gradata.cloud.service.api_keys import create_key
from gradata.cloud.store.port import Store

BASE = "/api/v1"
ANSWER_S = 60.0


class App:
    """A running application with its store."""

    def __init__(self, app: FastAPI, store: Store, loop: asyncio.AbstractEventLoop, client: httpx.AsyncClient) -> None:
        self.app = app
        self.store = store
        self._loop = loop
        self._client = client
        self.key = self.make_key("ingest", "read")
        self.admin_key = self.make_key("admin")

    def make_key(self, *scopes: str, **said: Any) -> str:
        """A further key."""
        return create_key(self.store, "test", scopes, **said)

    def ask(self, method: str, path: str, content: Any = None, **said: Any) -> httpx.Response:
        """One request below the base; `key`: another than the usual one, None for none; `kind`: the content type."""
        key = said.pop("key", self.key)
        kind = said.pop("kind", "application/json")
        headers = dict(said.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        if content is not None:
            headers["Content-Type"] = kind
        return self.send(method, BASE + path, content=content, headers=headers, **said)

    def send(self, method: str, path: str, **said: Any) -> httpx.Response:
        """One request as it stands."""
        asking = asyncio.run_coroutine_threadsafe(self._client.request(method, path, **said), self._loop)
        return asking.result(ANSWER_S)


@contextmanager
def open_app(store: Store, **limits: Any) -> Iterator[App]:
    """Serve `store`, which is closed at the end. Without a request budget, unless one is given."""
    burst = limits.pop("burst", 10)
    bounds = {name: limits.pop(name) for name in ("brains_max", "logs_max", "key_rate") if name in limits}
    wanted = replace(LIMITS, **{"requests_per_minute": None, **limits})
    app = create_app(store, options=CloudOptions(limits=wanted, burst=burst, burst_slack=0, **bounds))
    loop = asyncio.new_event_loop()
    opened, ending = threading.Event(), asyncio.Event()
    found: list[App] = []

    async def serve() -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        try:
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://cloud", verify=False) as client,
            ):
                found.append(App(app, store, loop, client))
                opened.set()
                await ending.wait()
        finally:
            opened.set()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="cloud-app")
    thread.start()
    try:
        opened.wait(ANSWER_S)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(ANSWER_S)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
