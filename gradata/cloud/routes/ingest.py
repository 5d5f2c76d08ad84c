"""The ingest routes: a batch, loose events, one correction, a heartbeat.

They read the body (`http.body`), parse it (`protocol.parse`), have it committed (`service.group_commit`) and answer.
"""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request, Response

from gradata.cloud.domain.principal import Principal
from gradata.cloud.domain.requests import Append, Loose
from gradata.cloud.http.context import INLINE_BYTES, AppContext
from gradata.cloud.http.openapi import BASE, heartbeat_document, ingest_document
from gradata.cloud.http.raw_request import PlainRoute, RawRequest
from gradata.cloud.http.responses import response
from gradata.cloud.protocol import answers, parse
from gradata.cloud.protocol.answers import Answer
from replicator.errors import WireError
from replicator.wire import BATCH_TYPE, JSON_TYPE, LOOSE_TYPE

HEARTBEAT_BYTES_MAX = 64 * 1024


async def _store(context: AppContext, asked: RawRequest, principal: Principal, media_type: str) -> Answer:
    """Read, interpret, commit and answer one request that brings records."""
    limits = context.limits
    bytes_max = limits.record_bytes if media_type == JSON_TYPE else limits.body_bytes
    with context.bodies.held(principal.prefix) as held:
        body = await context.body(asked, bytes_max, held)

        def read() -> Append | Loose:
            if media_type == BATCH_TYPE:
                return parse.read_batch(principal, body, limits)
            if media_type == LOOSE_TYPE:
                return parse.read_loose(principal, asked.query_params.get("brain"), body, limits)
            return parse.read_correction(principal, body)

        inline = len(body) <= INLINE_BYTES
        work = read() if inline else await asyncio.get_running_loop().run_in_executor(context.pool, read)
        log_id = work.log_id if isinstance(work, Append) else None
        await context.admit(asked, principal, work.brain_id, log_id)
        decision = await context.commit(asked, work)
    cloud_id = context.store.cloud_id
    if isinstance(work, Append):
        return answers.answer_batch(work, decision, cloud_id, limits)
    answer = answers.answer_loose if media_type == LOOSE_TYPE else answers.answer_correction
    return answer(work, decision, cloud_id, limits)


def add_ingest(app: FastAPI, context: AppContext) -> dict[str, PlainRoute]:
    """The routes that `http.middleware` calls itself. The framework knows them for its document only."""

    async def ingest(asked: RawRequest) -> Answer:
        principal = await context.principal(asked, "ingest")
        media_type = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in (BATCH_TYPE, LOOSE_TYPE, JSON_TYPE):
            detail = f"Content-Type must be {BATCH_TYPE}, {LOOSE_TYPE} or {JSON_TYPE}"
            raise WireError(detail, status=415, code="media_type_unsupported")
        return await _store(context, asked, principal, media_type)

    async def heartbeat(asked: RawRequest) -> Answer:
        principal = await context.principal(asked, "ingest")
        beat = parse.read_beat(principal, await context.body(asked, HEARTBEAT_BYTES_MAX))
        await context.admit(asked, principal, beat.brain_id, beat.log_id, beat_of=beat.device_id)
        decision = await context.commit(asked, beat)
        return answers.answer_beat(beat, decision, context.store.cloud_id)

    @app.post(f"{BASE}/ingest", openapi_extra=ingest_document(), name="ingest")
    async def document_of_ingest(request: Request) -> Response:
        """Store a batch of a log (schema 2), loose events, or one correction (schema 1)."""
        return response(await ingest(RawRequest(request.scope, request.receive)))

    @app.post(f"{BASE}/heartbeat", openapi_extra=heartbeat_document(), name="heartbeat")
    async def document_of_heartbeat(request: Request) -> Response:
        """Say that a log's replicator is alive, and learn the log's head."""
        return response(await heartbeat(RawRequest(request.scope, request.receive)))

    return {"ingest": ingest, "heartbeat": heartbeat}
