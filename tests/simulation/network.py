"""The way between client and cloud: what becomes of each request is drawn here.

A fate is a word. `weather` holds their chances, `rules` the middle-boxes that answer instead of the cloud. The line may
be slow (`bytes_per_s`: the server ends a body that takes too long) or let no large request pass (`hole_bytes`). Late
and doubled requests reach the cloud long after the client gave up, behind newer ones; a slow answer comes just before.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import partial

from replicator.wire import Request

from .clock import Clock
from .cloud import Answered, CloudProcess

TIMEOUT_S = 30.0
SILENCE_S = 10.0
"""After it a client gives up on a request that was swallowed."""
CUT = Answered(0, {}, b"")
"""What a client gets of a request that broke off on its way; None: it never left."""
LATE_S_MAX = 900.0

Done = Callable[[Answered | None], None]
Rule = Callable[[Request], Answered | None]


class Network:
    """Carries requests. `latest_s` is when the last straggler arrives."""

    def __init__(self, clock: Clock, rng: random.Random, *, latency_s: float) -> None:
        self.weather: dict[str, float] = {}
        self.rules: list[Rule] = []
        self.counts: Counter[str] = Counter()
        self.latest_s = 0.0
        self.bytes_per_s: float | None = None
        self.deadline_s = TIMEOUT_S
        """After it whoever receives a body ends it."""
        self.hole_bytes: int | None = None
        self._clock = clock
        self._rng = rng
        self._latency_s = latency_s

    def carry(self, request: Request, key: str, cloud: CloudProcess, done: Done) -> None:
        """`done` is called exactly once, later: with what the client gets."""
        after = self._clock.after
        for rule in self.rules:
            answer = rule(request)
            if answer is not None:
                self.counts[f"answered instead of the cloud: {answer.status}"] += 1
                after(self._delay_s(), partial(done, answer))
                return
        size = len(request.head) + len(request.data)
        travels_s = 0.0 if self.bytes_per_s is None else size / self.bytes_per_s
        fate = self._fate()
        if fate == "refused":
            after(self._delay_s(), lambda: done(None))
        elif self.hole_bytes is not None and size > self.hole_bytes:
            self.counts["swallowed"] += 1
            after(SILENCE_S, lambda: done(CUT))
        elif travels_s > self.deadline_s:
            self.counts["too slow"] += 1
            after(self.deadline_s, lambda: done(Answered(408, {"Content-Type": "text/html"}, b"too slow")))
        elif fate == "lost":
            after(TIMEOUT_S, lambda: done(CUT))
        elif fate == "late":
            after(TIMEOUT_S, lambda: done(CUT))
            self._straggle(request, key, cloud)
        else:
            if fate == "doubled":
                self._straggle(request, key, cloud)
            after(
                self._delay_s() + travels_s,
                lambda: cloud.receive(request, key, lambda answer: self._back(fate, answer, done)),
            )

    def _back(self, fate: str | None, answer: Answered | None, done: Done) -> None:
        if fate == "answer lost":
            self._clock.after(TIMEOUT_S - self._delay_s(), lambda: done(CUT))
            return
        if fate == "slow":
            self._clock.after(self._rng.uniform(1.0, TIMEOUT_S - 1.0), lambda: done(answer))
            return
        if fate == "garbled" and answer is not None:
            answer = self._garbled(answer)
        self._clock.after(self._delay_s(), lambda: done(answer))

    def _straggle(self, request: Request, key: str, cloud: CloudProcess) -> None:
        delay_s = self._rng.choice((1.0, 35.0, LATE_S_MAX)) * self._rng.random()
        self.latest_s = max(self.latest_s, self._clock.now_s + delay_s)
        self._clock.after(delay_s, lambda: cloud.receive(request, key, lambda answer: None))

    def _fate(self) -> str | None:
        if not self.weather:
            return None
        drawn = self._rng.random()
        for fate, chance in self.weather.items():
            drawn -= chance
            if drawn < 0:
                self.counts[fate] += 1
                return fate
        return None

    def _delay_s(self) -> float:
        return self._latency_s * self._rng.uniform(0.5, 1.5)

    def _garbled(self, answer: Answered) -> Answered:
        """Of the right status, but cut, wrong-typed, packed, or nothing at all."""
        body = answer.body
        kind = self._rng.randrange(6)
        if kind == 0:
            body = body[: self._rng.randrange(len(body))]
        elif kind == 1:
            body = body.replace(b'"size":', b'"size":"x","was":')
        elif kind == 2:
            body = b""
        elif kind == 3:
            body = body.replace(b'"root":"', b'"root":"x')
        elif kind == 4:
            return Answered(answer.status, {**answer.headers, "Content-Encoding": "gzip"}, body)
        else:
            body = b"<html><title>Welcome to our wireless network</title></html>"
        return Answered(answer.status, answer.headers, body)
