"""The reading routes: logs, their bytes and tiles, events, health."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from fastapi import FastAPI, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from gradata.cloud.clock import now_us
from gradata.cloud.domain.timestamps import iso
from gradata.cloud.http.context import AppContext
from gradata.cloud.http.openapi import BASE, binary, problems
from gradata.cloud.http.responses import response, unavailable
from gradata.cloud.http.revocation import RevocableResponse
from gradata.cloud.protocol.answers import Answer, problem
from gradata.cloud.protocol.log_bytes import log_bytes, wanted_span
from gradata.cloud.service.guards import find_log, refuse_deleted_log, require_living
from gradata.cloud.service.scrub import scrub_deep, scrub_shallow
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import living_brains, recent
from gradata.cloud.store.values import (
    CURSOR_END,
    EVENTS_MAX,
    RECENT_SCANNED_MAX,
    EventQuery,
    StoredEvent,
    StoredLog,
)
from replicator.errors import WireError
from replicator.model import Head
from replicator.proof import HASH_BYTES, CompactRange
from replicator.wire import LOOSE_TYPE, LogEntry, logs_body
from replicator.wire.common import head_json
from replicator.wire.replica import scrub_json, tree_before

BrainName = Annotated[str, Query(alias="brain", min_length=1, max_length=128)]
OfBrain = Annotated[str | None, Query(alias="brain", min_length=1, max_length=128)]
LogName = Annotated[str, Path(min_length=1, max_length=64)]
TILE_INDEX_MAX = 2**40


def add_views(app: FastAPI, context: AppContext) -> None:
    """Add the reading routes."""
    _add_logs(app, context)
    _add_replica(app, context)
    _add_events(app, context)
    _add_health(app, context)


def _add_logs(app: FastAPI, context: AppContext) -> None:
    @app.get(f"{BASE}/logs", responses=problems(401, 403, 410, 422, 503))
    async def logs(
        request: Request, brain: BrainName, device: str | None = None, first_leaf: str | None = None
    ) -> Response:
        """The brain's logs, newest first; empty for a brain that the key cannot read."""
        principal = await context.principal(request, "ingest", "read")
        found: list[StoredLog] = []
        if principal.reaches(brain):
            await require_living(context.store, principal, brain)
            found = await asyncio.to_thread(context.store.logs, principal.workspace, brain, device)
        if first_leaf is not None:
            found = [log for log in found if await asyncio.to_thread(_first_leaf, context, log) == first_leaf]
        body = orjson.loads(logs_body([_entry(log) for log in found]))
        return response(Answer(200, orjson.dumps(body | {"cloud_id": context.store.cloud_id})))

    @app.get(f"{BASE}/logs/{{log_id}}", responses=problems(401, 403, 404, 410, 422, 503))
    async def log_head(
        request: Request,
        log_id: LogName,
        scrub: Literal["shallow", "deep"] | None = None,
        first: Annotated[int, Query(ge=0, lt=2**40)] = 0,
        end: Annotated[int | None, Query(ge=0, lt=2**40)] = None,
        nodes: Annotated[str | None, Query(max_length=64 * 64)] = None,
        *,
        brain: OfBrain = None,
    ) -> Response:
        """One log: its head and origin; with `scrub`, the result of a scrub from `first` on."""
        log = await _own_log(context, request, log_id, brain, "ingest", "read")
        entry = _entry(log)
        found: dict[str, Any] = {}
        if scrub is not None:
            if first > log.tree.size:
                raise WireError("the log ends before this record", status=422, code="malformed")
            stop = log.tree.size if end is None else end
            found = await _scrubbed(context, log, scrub, first, stop, tree_before(first, nodes))
        return response(
            Answer(
                200,
                orjson.dumps(
                    found
                    | head_json(entry.head)
                    | {
                        "brain_id": log.brain_id,
                        "device_id": entry.device_id,
                        "parent": entry.parent,
                        "created_at": entry.created_at,
                        "stored_at": entry.stored_at,
                        "holes": entry.holes,
                        "heard_at": iso(log.heard_at),
                        "client": None if log.status is None else orjson.Fragment(log.status),
                        "cloud_id": context.store.cloud_id,
                    }
                ),
            )
        )


def _add_replica(app: FastAPI, context: AppContext) -> None:
    document: dict[int | str, Any] = {
        "200": {"description": "the log, byte for byte", "content": {LOOSE_TYPE: {}}},
        "206": {"description": "the bytes asked for by Range", "content": {LOOSE_TYPE: {}}},
    }

    @app.head(f"{BASE}/logs/{{log_id}}/bytes", responses=document | problems(401, 403, 404, 410, 416, 422, 503))
    @app.get(f"{BASE}/logs/{{log_id}}/bytes", responses=document | problems(401, 403, 404, 410, 416, 422, 503))
    async def replica(request: Request, log_id: LogName, brain: OfBrain = None) -> Response:
        """The log, byte for byte; supports one Range. A record without bytes is a JSON line of its length."""
        log = await _own_log(context, request, log_id, brain, "read")
        etag = f'"{log.tree.root.hex()}"'
        headers = {"Accept-Ranges": "bytes", "ETag": etag, "Cache-Control": "no-store"}
        wanted = request.headers.get("range")
        if request.headers.get("if-range", etag) != etag:
            wanted = None
        span = wanted_span(wanted, log.offset)
        if span is None:
            beyond = headers | {"Content-Range": f"bytes */{log.offset}"}
            return response(problem(416, "range_not_satisfiable", "the log ends before this range", headers=beyond))
        status = 200
        if span.end - span.start < log.offset:
            status = 206
            headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{log.offset}"
        headers["Content-Length"] = str(span.end - span.start)
        if request.method == "HEAD":
            return Response(None, status, headers, LOOSE_TYPE)
        content = StreamingResponse(log_bytes(context.store, log, span), status, headers, LOOSE_TYPE)
        return RevocableResponse(content, lambda: context.principal(request, "read"))

    tile_document = binary("application/octet-stream", "the hashes") | problems(401, 403, 404, 410, 422, 503)

    @app.get(f"{BASE}/logs/{{log_id}}/tile/{{level}}/{{index}}", response_class=Response, responses=tile_document)
    async def tile(
        request: Request,
        log_id: LogName,
        level: Annotated[int, Path(ge=0, le=7)],
        index: Annotated[int, Path(ge=0, le=TILE_INDEX_MAX)],
        brain: OfBrain = None,
    ) -> Response:
        """Up to 256 hashes of tree level 8 * `level`, 32 bytes each."""
        log = await _own_log(context, request, log_id, brain, "read")
        hashes = await asyncio.to_thread(context.store.tile, log, level, index)
        if not hashes:
            raise WireError("there is no such tile", status=404, code="not_found")
        full = len(hashes) == 256 * HASH_BYTES
        headers = {"Cache-Control": "private, max-age=31536000, immutable" if full else "no-store"}
        return Response(hashes, 200, headers, "application/octet-stream")


def _add_events(app: FastAPI, context: AppContext) -> None:
    @app.get(f"{BASE}/events", responses=problems(401, 403, 410, 422, 503))
    async def events(
        request: Request,
        brain: BrainName,
        type: Annotated[str | None, Query(max_length=128)] = None,  # noqa: A002 - the parameter's name in the protocol
        after: Annotated[int, Query(ge=0, lt=CURSOR_END)] = 0,
        before: Annotated[int | None, Query(ge=1, le=CURSOR_END)] = None,
        limit: Annotated[int, Query(ge=1, le=EVENTS_MAX)] = 100,
    ) -> Response:
        """The brain's events, each once, in the order of first storing; `next` is the `after` of the next page.

        With `before` newest first, from below it; `next` is then the `before` of the next page, or null.
        """
        principal = await context.principal(request, "read")
        await require_living(context.store, principal, brain)
        if before is not None:
            older = await asyncio.to_thread(
                older_page, context.store, principal.workspace, brain, kind=type, before=before, limit=limit
            )
            document = {"events": [event_json(event) for event in older.events], "next": older.before}
            return response(Answer(200, orjson.dumps(document)))
        query = EventQuery(brain, type, after, limit)
        found = await asyncio.to_thread(context.store.events, principal.workspace, query)
        page = {"events": [event_json(event) for event in found], "next": found[-1].cursor if found else None}
        return response(Answer(200, orjson.dumps(page)))

    @app.get(f"{BASE}/brains", responses=problems(401, 403, 503))
    async def brains(request: Request) -> Response:
        """The brains that the key can read."""
        principal = await context.principal(request, "read")
        found = await asyncio.to_thread(living_brains, context.store, principal.workspace)
        names = [{"brain_id": name} for name in found if principal.reaches(name)]
        return response(Answer(200, orjson.dumps({"brains": names, "cloud_id": context.store.cloud_id})))


def _add_health(app: FastAPI, context: AppContext) -> None:
    @app.get("/health", include_in_schema=False)
    @app.get(f"{BASE}/health")
    async def health() -> Response:
        """The process is alive. Needs no key."""
        return response(Answer(200, b'{"status":"ok"}'))

    @app.get("/ready", include_in_schema=False)
    @app.get(f"{BASE}/ready", responses=problems(503))
    async def ready() -> Response:
        """Readiness: the store accepts writes, checked by a durable commit at most once a second. Needs no key."""
        trouble = await context.readiness.trouble()
        if trouble is not None:
            return response(unavailable(trouble))
        return response(Answer(200, b'{"status":"ready"}'))


async def _own_log(context: AppContext, request: Request, log_id: str, brain: str | None, *scopes: str) -> StoredLog:
    principal = await context.principal(request, *scopes)
    log = await asyncio.to_thread(find_log, context.store, principal, log_id, brain)
    if log is None:
        await refuse_deleted_log(context.store, principal, log_id, brain)
        raise WireError("there is no such log", status=404, code="not_found")
    return log


async def _scrubbed(
    context: AppContext, log: StoredLog, kind: str, first: int, end: int, before: CompactRange | None
) -> dict[str, Any]:
    """Run one scrub at a time: it occupies a thread for seconds, and writers must not wait for several."""
    if kind == "shallow":
        return scrub_json(await asyncio.to_thread(scrub_shallow, context.store, log, first, end))
    async with context.scrubbing:
        return scrub_json(await asyncio.to_thread(scrub_deep, context.store, log, first, end, before=before))


def _first_leaf(context: AppContext, log: StoredLog) -> str:
    return context.store.tile(log, 0, 0)[:HASH_BYTES].hex()


def _entry(log: StoredLog) -> LogEntry:
    head = Head(log.log_id, log.tree.size, log.tree.root, log.offset, log.event_id)
    heard_at = log.heard_at if log.heard_at is not None else log.created_at
    silent_s = max(0, (now_us() - heard_at) // 1_000_000)
    return LogEntry(head, log.device_id, log.parent, iso(log.created_at), iso(log.stored_at), log.holes, silent_s)


@dataclass(frozen=True, slots=True)
class Older:
    """A page of events, newest first; `before`: where the next one begins, None if there is nothing older."""

    events: list[StoredEvent]
    before: int | None


def older_page(store: Store, workspace: str, brain_id: str, *, kind: str | None, before: int, limit: int) -> Older:
    """The events below `before`, as far as one read looks: a page may be empty and not the last."""
    newest = recent(store, workspace, brain_id, limit=1, before=before)
    if not newest:
        return Older([], None)
    top = newest[0].cursor + 1
    found = recent(store, workspace, brain_id, kind=kind, limit=limit, before=top)
    scanned_to = max(top - RECENT_SCANNED_MAX, 1)
    reached = found[-1].cursor if len(found) == min(limit, EVENTS_MAX) else scanned_to
    return Older(found, reached if reached > 1 else None)


def event_json(event: StoredEvent) -> dict[str, Any]:
    """An event as programs get it."""
    log_id, record = event.place or (None, None)
    return {
        "event_id": event.event_id,
        "type": event.type,
        "category": event.category,
        "severity": event.severity,
        "session": event.session,
        "ts": event.ts,
        "stored_at": iso(event.stored_at),
        "log_id": log_id,
        "record": record,
        "cursor": event.cursor,
        "line": None if event.record is None else event.record.decode("utf-8", "replace"),
    }
