"""The monitoring routes: fleet, live feed, charts, metrics.

`service.fleet_state` decides what they show. They accept a key with the scope `read`, or a session of the pages.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from gradata.cloud.clock import now_us
from gradata.cloud.domain.daily_counts import DayKind
from gradata.cloud.domain.principal import Principal
from gradata.cloud.domain.severities import SEVERITIES
from gradata.cloud.domain.thresholds import Patience
from gradata.cloud.domain.timestamps import SECOND, iso, microseconds
from gradata.cloud.http.context import AppContext
from gradata.cloud.http.openapi import BASE, binary, problems
from gradata.cloud.http.responses import response, too_many, unavailable
from gradata.cloud.http.revocation import RevocableResponse
from gradata.cloud.http.sign_in import SignIn
from gradata.cloud.http.sse import FeedResponse, Rendered, brain_feed, fleet_feed
from gradata.cloud.protocol.answers import Answer
from gradata.cloud.routes.replica import BrainName, event_json
from gradata.cloud.service.fleet_reader import FleetReader
from gradata.cloud.service.fleet_state import STATES, BrainVerdict, Device, FleetBrain
from gradata.cloud.service.live_feed import CLIENTS_MAX, CLIENTS_OF_KEY_MAX
from gradata.cloud.store.reading import recent
from gradata.cloud.store.values import EventQuery, StoredEvent
from replicator.errors import WireError

CORRECTION = "CORRECTION"
CHART_DAYS = 30
CHART_KINDS_MAX = 6
LAG_POINTS_MAX = 300
CURSOR_MAX = 2**40
TYPE = Annotated[str | None, Query(alias="type", max_length=128)]


def add_fleet_views(
    app: FastAPI, context: AppContext, fleets: FleetReader, visitors: SignIn, rendered: Rendered
) -> None:
    """Add the monitoring routes. `rendered` converts an event into data for the pages' script."""
    _add_fleet(app, fleets, visitors)
    _add_metrics(app, context, fleets)
    _add_feed(app, fleets, visitors, rendered)
    _add_charts(app, fleets, visitors)


def _add_fleet(app: FastAPI, fleets: FleetReader, visitors: SignIn) -> None:
    @app.get(f"{BASE}/fleet", responses=problems(401, 403, 422, 503))
    async def fleet(
        request: Request, silent_for: Annotated[float | None, Query(gt=0, le=365 * 86_400)] = None
    ) -> Response:
        """Every brain and device with its state, worst first; `silent_for`: seconds, in place of the server's own."""
        principal = await visitors.reader(request)
        patience = fleets.alerting.patience
        if silent_for is not None:
            patience = Patience(silent_for, patience.quiet_s, patience.lagging_s, patience.forked_s)
        brains = await fleets.fleet(principal, patience)
        document = fleet_json(brains) | {
            "cloud_id": fleets.store.cloud_id,
            "at": iso(now_us()),
            "silent_for_s": patience.silent_s,
        }
        return response(Answer(200, orjson.dumps(document), headers={"Cache-Control": "no-store"}))


def _add_metrics(app: FastAPI, context: AppContext, fleets: FleetReader) -> None:
    metrics_document = binary("text/plain", "in the form of Prometheus") | problems(401, 403, 503)

    @app.get(f"{BASE}/metrics", response_class=Response, responses=metrics_document)
    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        """Prometheus: counters of all workers, states of the key's brains."""
        principal = await context.principal(request, "read")
        text = fleets.metrics.text(await fleets.fleet(principal))
        return Response(text, 200, {"Cache-Control": "no-store"}, CONTENT_TYPE_LATEST)


def _add_feed(app: FastAPI, fleets: FleetReader, visitors: SignIn, rendered: Rendered) -> None:
    feed_document = binary("text/event-stream", "server-sent events, for ever") | problems(401, 403, 410, 422, 429, 503)

    @app.get(f"{BASE}/feed", response_class=Response, responses=feed_document)
    async def feed(
        request: Request,
        brain: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        kind: TYPE = None,
        after: Annotated[int | None, Query(ge=0, lt=CURSOR_MAX)] = None,
        form: Annotated[str, Query(pattern="^(json|page)$")] = "json",
    ) -> Response:
        """Server-sent events: a brain's events after `Last-Event-ID` (or `after`; else new ones), or changes of the
        fleet.
        """
        principal = await visitors.reader(request)
        if fleets.hub.clients >= CLIENTS_MAX:
            return response(unavailable("too many feeds are open", 30))
        if fleets.hub.clients_of(principal.prefix) >= CLIENTS_OF_KEY_MAX:
            return response(too_many("too many feeds of this key are open", 30))
        if brain is None:
            content = fleet_feed(fleets.hub, principal.prefix, lambda: _summary(fleets, principal))
            return RevocableResponse(FeedResponse(content), lambda: visitors.reader(request))
        await fleets.brain(principal, brain)  # or 403
        start = _last_event_id(request, after)
        if start is None:
            newest = await asyncio.to_thread(recent, fleets.store, principal.workspace, brain, limit=1)
            start = newest[0].cursor if newest else 0
        query = EventQuery(brain, kind, start)
        content = brain_feed(fleets.hub, principal, query, rendered if form == "page" else _as_json)
        return RevocableResponse(FeedResponse(content), lambda: visitors.reader(request))


def _last_event_id(request: Request, after: int | None) -> int | None:
    given = request.headers.get("last-event-id", "")
    if not given:
        return after
    if not given.isdecimal() or len(given) > len(str(CURSOR_MAX)) or int(given) >= CURSOR_MAX:
        raise WireError("Last-Event-ID is not one of this feed", status=422, code="invalid_parameter")
    return int(given)


def _as_json(event: StoredEvent) -> bytes:
    return orjson.dumps(event_json(event))


async def _summary(fleets: FleetReader, principal: Principal) -> bytes:
    """The data of a fleet event: counts per state, and a mark that changes with anything shown."""
    document = fleet_json(await fleets.fleet(principal))
    mark = hashlib.sha256(orjson.dumps(document)).hexdigest()[:16]
    return orjson.dumps({"states": document["states"], "alerts": document["alerts"], "mark": mark})


def _add_charts(app: FastAPI, fleets: FleetReader, visitors: SignIn) -> None:
    @app.get(f"{BASE}/charts", responses=problems(401, 403, 410, 422, 503))
    async def charts(request: Request, brain: BrainName) -> Response:
        """Corrections a day, in all, by category and by severity; and the lags of the newest ones."""
        principal = await visitors.reader(request)
        await fleets.brain(principal, brain)  # or 403
        today = datetime.now(UTC).date()
        days = [(today - timedelta(days=back)).isoformat() for back in range(CHART_DAYS - 1, -1, -1)]
        counts = await asyncio.to_thread(fleets.store.days, principal.workspace, days[0], brain)
        newest = await asyncio.to_thread(
            recent, fleets.store, principal.workspace, brain, kind=CORRECTION, limit=LAG_POINTS_MAX
        )
        document = chart_json(days, [(kind, count) for _, kind, count in counts]) | {"lags": lag_json(newest)}
        return response(Answer(200, orjson.dumps(document), headers={"Cache-Control": "no-store"}))


def chart_json(days: Sequence[str], counts: Sequence[tuple[DayKind, int]]) -> dict[str, Any]:
    """Corrections of each day; the rarest categories beyond CHART_KINDS_MAX are one, "other"."""
    place = {day: index for index, day in enumerate(days)}
    mine = [(kind, count) for kind, count in counts if kind.type == CORRECTION and kind.day in place]
    total = [0] * len(days)
    for kind, count in mine:
        total[place[kind.day]] += count

    def series(names: Sequence[str], values: Sequence[str]) -> list[dict[str, Any]]:
        rows: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(days))
        for (kind, count), name in zip(mine, values, strict=True):
            rows[name][place[kind.day]] += count
        ranked = sorted(rows, key=lambda name: (-sum(rows[name]), name))
        shown = [name for name in names if name in rows] or ranked[:CHART_KINDS_MAX]
        rest = [rows[name] for name in ranked if name not in shown]
        found = [{"name": name or "none", "counts": rows[name], "total": sum(rows[name])} for name in shown]
        if rest:
            other = [sum(column) for column in zip(*rest, strict=True)]
            found.append({"name": "other", "counts": other, "total": sum(other)})
        return found

    return {
        "days": list(days),
        "total": total,
        "categories": series((), [kind.category for kind, _ in mine]),
        "severities": series(SEVERITIES, [kind.severity for kind, _ in mine]),
    }


def lag_json(newest: Sequence[StoredEvent]) -> list[tuple[float, float]]:
    """(time of storing, lag), in seconds, oldest first, of those events that name a time."""
    found = []
    for event in reversed(newest):
        at = microseconds(event.ts)
        if at is not None:
            found.append((event.stored_at / SECOND, max((event.stored_at - at) / SECOND, 0.0)))
    return found


def fleet_json(brains: Sequence[FleetBrain]) -> dict[str, Any]:
    """The fleet as JSON: a stable form."""
    states = [brain.verdict.state for brain in brains]
    return {
        "alerts": sum(brain.verdict.alert for brain in brains),
        "states": {state: states.count(state) for state in STATES},
        "brains": [
            {
                "brain_id": brain.brain_id,
                **_verdict_json(brain.verdict),
                "events": brain.events,
                "last_event_at": iso(brain.last_event_at),
                "last_ack_at": iso(brain.last_ack_at),
                "devices": [_device_json(device) for device in brain.devices],
            }
            for brain in brains
        ],
    }


def _device_json(device: Device) -> dict[str, Any]:
    log = device.log
    return {
        "device_id": device.device_id,
        **_verdict_json(device.verdict),
        "log_id": log.log_id,
        "size": log.tree.size,
        "root": log.tree.root.hex(),
        "last_event_at": iso(device.last_event_at),
        "last_ack_at": iso(log.stored_at),
        "heard_at": iso(log.heard_at),
        "lag_s": round(device.lag_s, 3),
        "backlog_bytes": device.backlog_bytes,
        "dead_letters": device.dead_letters,
        "holes": log.holes,
        "version": device.version,
        "unreadable": device.unreadable,
    }


def _verdict_json(verdict: BrainVerdict) -> dict[str, Any]:
    return {
        "state": verdict.state,
        "since": iso(verdict.since),
        "alert": verdict.alert,
        "words": verdict.words,
        "command": verdict.command,
    }
