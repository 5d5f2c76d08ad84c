"""What one key may take of a server that many share: room for bodies, reads at one time, new brains and logs.

Whatever a key does, the others find room. What is refused here says so in words, with the status that makes a client
wait (429) or a person look (403). Request rates are in `domain.rate_limit`; slots and connections, which are taken
before a key is known, in `middleware` and `connection`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from gradata.cloud.domain.principal import Principal
from gradata.cloud.domain.rate_limit import RateLimiter
from gradata.cloud.http.responses import too_many
from gradata.cloud.protocol.answers import AnswerError, DeniedError
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import living_brains, owner_of
from gradata.cloud.store.values import StoreUnavailableError
from replicator.model import MIB

BODIES_BYTES_MAX = 512 * MIB
"""Bodies held in memory at one time, by the bytes that have come."""
BODIES_BYTES_OF_KEY_MAX = 192 * MIB
READS_OF_KEY_MAX = 32
"""Reads of one key at one time. A feed is none: see `live_feed`."""
BRAINS_MAX = 10_000
LOGS_MAX = 1_000
KNOWN_MAX = 100_000
READING = "gradata.reading"
"""In a scope: the prefix of the key whose share of reads the request takes."""


class BodyRoom:
    """The memory for bodies. Nothing is taken for what was only announced."""

    def __init__(self, bytes_max: int = BODIES_BYTES_MAX, of_key_max: int = BODIES_BYTES_OF_KEY_MAX) -> None:
        self._bytes_max = bytes_max
        self._of_key_max = of_key_max
        self._held = 0
        self._of_key: Counter[str] = Counter()

    @contextmanager
    def held(self, prefix: str) -> Iterator[HeldBody]:
        """Around a request with a body, for as long as it is at work."""
        body = HeldBody(self, prefix)
        try:
            yield body
        finally:
            self.take(prefix, -body.taken)

    def take(self, prefix: str, more: int) -> None:
        """So many bytes more. Raises StoreUnavailableError without room, AnswerError 429 if the key has its share."""
        if more > 0 and self._held + more > self._bytes_max:
            raise StoreUnavailableError("too many large bodies at one time")
        if more > 0 and self._of_key[prefix] + more > self._of_key_max:
            raise AnswerError(too_many("this key sends too many large bodies at one time", 1))
        self._held += more
        self._of_key[prefix] += more
        if not self._of_key[prefix]:
            del self._of_key[prefix]


class HeldBody:
    """What one body has taken so far."""

    def __init__(self, room: BodyRoom, prefix: str) -> None:
        self._room = room
        self._prefix = prefix
        self.taken = 0

    def grow(self, more: int) -> None:
        """Bytes that have come. Raises as `BodyRoom.take`."""
        self._room.take(self._prefix, more)
        self.taken += more


class ReadShares:
    """How many reads of each key are at work."""

    def __init__(self, of_key_max: int = READS_OF_KEY_MAX) -> None:
        self._of_key_max = of_key_max
        self._of_key: Counter[str] = Counter()

    def enter(self, scope: Any, prefix: str) -> None:
        """One more read of this key, until `leave`; feeds are not counted. Raises AnswerError 429."""
        if READING in scope or scope["method"] not in ("GET", "HEAD") or scope["path"].endswith("/feed"):
            return
        if self._of_key[prefix] >= self._of_key_max:
            raise AnswerError(too_many("too many reads of this key are at work", 1))
        self._of_key[prefix] += 1
        scope[READING] = prefix

    def leave(self, scope: Any) -> None:
        """The request is over."""
        prefix = scope.pop(READING, None)
        if prefix is not None:
            self._of_key[prefix] -= 1
            if not self._of_key[prefix]:
                del self._of_key[prefix]


class NewNames:
    """Bounds the brains and logs that a key makes. What exists passes at once, from a cache of what was seen."""

    def __init__(self, store: Store, rate: RateLimiter, *, brains_max: int, logs_max: int, pool: Executor) -> None:
        """`brains_max`: of a workspace; `logs_max`: of a brain; `rate`: of new ones, by key."""
        self._store = store
        self._rate = rate
        self._brains_max = brains_max
        self._logs_max = logs_max
        self._pool = pool
        self._known: OrderedDict[tuple[str, str, str | None], None] = OrderedDict()

    async def admit(self, principal: Principal, brain_id: str, log_id: str | None) -> None:
        """Raises AnswerError 429 for too many new ones in a short time, DeniedError where there are enough."""
        name = (principal.workspace, brain_id, log_id)
        if name in self._known:
            return
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._look, principal, brain_id, log_id)
        self._known[name] = None
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def _look(self, principal: Principal, brain_id: str, log_id: str | None) -> None:
        owner = owner_of(self._store, brain_id)
        if owner is not None and owner != principal.workspace:
            return  # it is refused where it is decided, in the same words as one that does not exist
        if owner is not None and (log_id is None or self._store.log(owner, log_id, brain_id) is not None):
            return
        verdict = self._rate.admit(principal.prefix)
        if verdict is not None and not verdict.passed:
            wait_s = max(1, round(verdict.retry_after_s + 0.5))
            raise AnswerError(too_many("this key makes too many new brains and logs", wait_s))
        if owner is None and len(living_brains(self._store, principal.workspace)) >= self._brains_max:
            words = f"the workspace has {self._brains_max} brains, and may have no more: gradata serve --brains-max"
            raise DeniedError("too_many_brains", words)
        if log_id is not None and len(self._store.logs(principal.workspace, brain_id)) >= self._logs_max:
            words = f"the brain has {self._logs_max} logs, and may have no more: gradata serve --logs-max"
            raise DeniedError("too_many_logs", words)
