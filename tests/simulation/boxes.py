"""What may stand between client and cloud and answer in its place: proxies, portals, broken releases.

Each function makes a rule; a rule looks at a request and answers it, or lets it pass (None).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from replicator.wire import Request

from .cloud import Answered
from .records import POISON

if TYPE_CHECKING:
    from .network import Rule
    from .world import World


def problem(status: int, code: str, *, record: int | None = None, **headers: str) -> Answered:
    """An error as the cloud words it."""
    body = {"type": "about:blank", "title": "", "status": status, "detail": "", "code": code}
    if record is not None:
        body["record"] = record
    return Answered(status, {"Content-Type": "application/problem+json", **headers}, json.dumps(body).encode())


PAGE = b"<html><title>Sign in</title></html>"


def portal(world: World) -> Rule:
    return lambda request: Answered(200, {"Content-Type": "text/html"}, PAGE)


def small_proxy(world: World) -> Rule:
    """A proxy that takes no large bodies."""
    limit = world.rng.choice((1_500, 4_000, 20_000))
    return lambda request: Answered(413, {}, PAGE) if len(request.data) > limit else None


def fire_wall(world: World) -> Rule:
    """Refuses requests with a certain word in them, by 413, or by 422, which may name the record."""
    status, names = world.rng.choice(((413, False), (422, False), (422, True)))

    def rule(request: Request) -> Answered | None:
        data = bytes(request.data)
        if POISON not in data:
            return None
        return problem(status, "invalid_field", record=_number(request.head, data) if names else None)

    return rule


def _number(head: bytes, data: bytes) -> int:
    """The number of the record that holds the word; of the records before it, some may be places without bytes."""
    envelope = json.loads(head)
    number = int(envelope["first"]) + data[: data.index(POISON)].count(b"\n")
    for hole in envelope.get("holes", ()):
        number += hole["record"] <= number
    return number


def refuses_all(world: World) -> Rule:
    """Everything, or only what holds records."""
    status, all_of_it = world.rng.choice((400, 413, 422)), world.rng.random() < 0.5
    return lambda request: problem(status, "malformed") if request.data or all_of_it else None


def stranger(world: World) -> Rule:
    """A hop that answers with a page of its own: to all that holds records, or only to those with a certain word."""
    status, all_of_it = world.rng.choice((413, 422)), world.rng.random() < 0.3
    page = Answered(status, {"Content-Type": "text/html"}, PAGE)
    return lambda request: page if request.data and (all_of_it or POISON in bytes(request.data)) else None


def quarrels(world: World) -> Rule:
    """A cloud that never goes on from where it is: whatever is sent, it has other records under that name."""
    named: set[str] = set()

    def rule(request: Request) -> Answered | None:
        if request.path != "/ingest":
            return None
        log_id = json.loads(request.head)["log_id"]
        if log_id not in named:
            named.add(log_id)
            world.excuse("new_generation")
        head = {"log_id": log_id, "size": 1, "offset": 9, "root": "5a" * 32, "event_id": None}
        body = {"type": "about:blank", "title": "", "status": 409, "code": "diverged", "detail": "", "head": head}
        return Answered(409, {"Content-Type": "application/problem+json"}, json.dumps(body).encode())

    return rule


def throttles(world: World) -> Rule:
    after = world.rng.choice(("1", "30", "-5", "999999999", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"))
    return lambda request: problem(429, "rate_limited", **{"Retry-After": after})


def unavailable(world: World) -> Rule:
    status, after = world.rng.choice((500, 502, 503, 504, 408)), world.rng.choice(("", "2", "120", "99999"))
    return lambda request: Answered(status, {"Retry-After": after} if after else {}, PAGE)


def misconfigured(world: World) -> Rule:
    status = world.rng.choice((404, 405, 407, 302))
    return lambda request: Answered(status, {"Location": "https://elsewhere.example/"}, PAGE)


def answers(status: int, code: str) -> Callable[[World], Rule]:
    """Everything gets this answer."""
    return lambda world: lambda request: problem(status, code)


def deleted(world: World) -> Rule:
    """The brain was deleted on purpose; records, not heartbeats, tell."""

    def rule(request: Request) -> Answered | None:
        return problem(410, "brain_deleted") if request.path == "/ingest" else None

    return rule
