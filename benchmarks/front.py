"""What the way of a single event costs beside the store: from its bytes to the writer, and back to the answer's bytes.

Run: python -m benchmarks.front [--rounds 600] [--clients 27] [--limited]

No socket and no database: connections are handed their bytes, a store in memory decides at once, the answers are
thrown away. So the figures are CPU time and hardly depend on what else the machine does. The baseline is an
application that does nothing, on uvicorn's own protocol, with the same bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from benchmarks.ingest import PLENTY_A_MINUTE, records, requests
from gradata.cloud.app import create_app
from gradata.cloud.domain.plan import UNKNOWN_LOG, Decision, Done, LogFacts, StoredFacts, plan
from gradata.cloud.domain.rate_limit import Rate, RateVerdict
from gradata.cloud.domain.requests import Append, WriteRequest
from gradata.cloud.http.connection import BoundedHttp
from gradata.cloud.http.context import LIMITS, CloudOptions
from gradata.cloud.server import GC_OBJECTS, SWITCH_S
from gradata.cloud.service.api_keys import create_key
from gradata.cloud.store.sqlite.store import SqliteStore
from replicator.model import MIB

ROUNDS_A_SAMPLE = 50
IN_NS = 1e-3
"""Nanoseconds to microseconds."""


class AtOnce(SqliteStore):
    """Decides as any store, and keeps nothing but heads. `spent_ns`: what that took of its thread's time."""

    def __init__(self) -> None:
        super().__init__(None)
        self.spent_ns = 0
        self._heads: dict[tuple[str, str], LogFacts] = {}

    def admit(self, names: Sequence[str], rate: Rate) -> list[RateVerdict]:
        """As a store that several servers share."""
        return [rate.judge(0.0, 1e6)] * len(names)

    def ingest(self, requests: Sequence[WriteRequest], *, now: int) -> list[Decision]:
        """See `store.Store`."""
        assert now
        begun = time.thread_time_ns()
        asked = [request for request in requests if isinstance(request, Append)]
        logs = {
            (each.brain_id, each.log_id): self._heads.get((each.brain_id, each.log_id), UNKNOWN_LOG) for each in asked
        }
        decisions = plan(requests, StoredFacts({}, logs, {}), record_bytes=MIB)
        for each, decision in zip(asked, decisions, strict=True):
            assert isinstance(decision, Done), decision
            self._heads[each.brain_id, each.log_id] = LogFacts(decision.tree, decision.offset, decision.event_id)
        self.spent_ns += time.thread_time_ns() - begun
        return decisions


class Round:
    """Counts the answers of a round."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._awaited = 0
        self.over: asyncio.Future[None] = loop.create_future()

    def begin(self, answers: int) -> None:
        """So many are awaited."""
        self._awaited = answers
        self.over = self._loop.create_future()

    def answered(self) -> None:
        """One came."""
        self._awaited -= 1
        if not self._awaited:
            self.over.set_result(None)


class Nowhere(asyncio.Transport):
    """Takes answers, and counts those that are whole: their heads and bodies come together or one after the other."""

    def __init__(self, round_: Round) -> None:
        super().__init__()
        self._round = round_

    def write(self, part: Any) -> None:
        """One answer, or its head alone."""
        if part.startswith(b"HTTP/1.1 200") and not part.endswith(b"\r\n\r\n"):
            self._round.answered()
        elif not part.startswith(b"HTTP/1.1 200"):
            assert part.startswith(b"{"), part
            self._round.answered()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of no socket."""
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def is_closing(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Nothing to close."""

    def set_protocol(self, protocol: Any) -> None:
        """Nobody speaks otherwise here."""


async def bare(_: Any, receive: Any, send: Any) -> None:
    """An application that does nothing."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"447")]})
    await send({"type": "http.response.body", "body": b'{"accepted":1,'.ljust(447)})


async def cost(app: Any, protocol: Any, made: Sequence[Sequence[bytes]], store: AtOnce | None) -> list[list[float]]:
    """Microseconds of a request on this thread, on others, and in the store, sample by sample."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(app, ws="none", interface="asgi3", log_config=None, proxy_headers=False)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Thu, 26 Nov 2026 22:00:00 GMT")]
    round_ = Round(loop)
    lines = [protocol(config, state, {}, loop) for _ in made]
    for line in lines:
        line.connection_made(Nowhere(round_))
    samples = []
    rounds = list(zip(*made, strict=True))
    for first in range(0, len(rounds), ROUNDS_A_SAMPLE):
        begun = time.thread_time_ns(), time.process_time_ns(), 0 if store is None else store.spent_ns
        taken = rounds[first : first + ROUNDS_A_SAMPLE]
        for each in taken:
            round_.begin(len(lines))
            for line, request in zip(lines, each, strict=True):
                line.data_received(request)
            await round_.over
        own, every = time.thread_time_ns() - begun[0], time.process_time_ns() - begun[1]
        spent = 0 if store is None else store.spent_ns - begun[2]
        samples.append([value * IN_NS / (len(taken) * len(lines)) for value in (own, every - own - spent, spent)])
    for line in lines:
        line.connection_lost(None)
    return samples[1:]  # the first request of each connection goes the general way, and everything is new


async def measured(wanted: argparse.Namespace) -> None:
    """Print the figures."""
    store = AtOnce()
    limits = replace(LIMITS, requests_per_minute=PLENTY_A_MINUTE if wanted.limited else None)
    app = create_app(store, options=CloudOptions(limits))
    key = create_key(store, "bench", ("ingest",))
    made = [
        requests(key, f"brain-{number}", records(wanted.rounds, start=number * wanted.rounds), 1)
        for number in range(wanted.clients)
    ]
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, 20, 50)
    async with app.router.lifespan_context(app):
        ours = await cost(app, BoundedHttp, made, store)
    idle = await cost(bare, HttpToolsProtocol, made, None)
    loop, writer, deciding = (statistics.median(column) for column in zip(*ours, strict=True))
    print(f"a single event, {wanted.clients} clients: {loop:.1f} µs on the loop's thread (least {min(ours)[0]:.1f})")
    print(f"  the writer's thread: {writer:.1f} µs beside the store, and {deciding:.1f} µs to decide")
    print(f"  baseline, an application that does nothing: {statistics.median(row[0] for row in idle):.1f} µs")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--clients", type=int, default=27)
    parser.add_argument("--limited", action="store_true")
    sys.setswitchinterval(SWITCH_S)  # as the server does
    uvloop.run(measured(cast("argparse.Namespace", parser.parse_args())))


if __name__ == "__main__":
    main()
