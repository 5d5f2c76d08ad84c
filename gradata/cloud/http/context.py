"""Shared by the routes of one server: store, writing thread, keys, rate limits."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gradata.cloud.clock import now_us
from gradata.cloud.domain import requests
from gradata.cloud.domain.plan import Decision
from gradata.cloud.domain.principal import Principal, Unknown
from gradata.cloud.domain.rate_claim import RateClaim
from gradata.cloud.domain.rate_limit import Rate, RateLimiter, RateVerdict
from gradata.cloud.domain.thresholds import Alerting
from gradata.cloud.http.body import BODY_S, ENCODINGS, read_body
from gradata.cloud.http.raw_request import BODY_IS_THERE, AnyRequest
from gradata.cloud.http.shares import BRAINS_MAX, LOGS_MAX, BodyRoom, HeldBody, NewNames, ReadShares
from gradata.cloud.protocol import answers
from gradata.cloud.service.api_keys import Authenticator, credential_of
from gradata.cloud.service.group_commit import CommitOutcome, GroupWriter, Job, Spent
from gradata.cloud.service.readiness import Readiness
from gradata.cloud.store.port import Store
from gradata.cloud.store.values import StoreUnavailableError
from replicator.errors import WireError
from replicator.model import Limits

INLINE_BYTES = 32 * 1024
"""Bodies up to this are interpreted on the event loop: a change of threads costs more."""
POOL_THREADS = 4
"""Threads of the write side, for looking up keys and interpreting large bodies: no read keeps them busy."""
KEY_RATE = Rate(12_000, burst=2_000)
"""Requests of one key, whichever brains they are for."""
NEW_NAMES_RATE = Rate(120, burst=1_000)
"""New brains and logs of one key."""
GUESS_RATE = Rate(600, burst=100)
"""Rate of unknown keys from one address; beyond it they are not even told that they are wrong."""
HEARTBEAT_RATE = Rate(4, burst=4, slack=4)
NOTE_RATE = Rate(60, burst=200)
"""Rate of noted rejections per key."""
REFUSALS_NOTED_S = 10.0
REFUSALS_TRACKED_MAX = 10_000
BRAIN_HEADER = "gradata-brain"

LIMITS = Limits(encodings=ENCODINGS)

log = logging.getLogger("gradata.cloud")


@dataclass(frozen=True, slots=True)
class CloudOptions:
    """What the server announces and bounds. `limits.encodings` is what this build can read."""

    limits: Limits = LIMITS
    burst: int = 10
    burst_slack: int = 20
    body_s: float = BODY_S
    alerting: Alerting = Alerting()  # noqa: RUF009 - frozen
    key_rate: Rate = KEY_RATE
    brains_max: int = BRAINS_MAX
    logs_max: int = LOGS_MAX
    forwarded_allow_ips: str | None = None
    """Addresses of proxies whose X-Forwarded-For and -Proto are believed, separated by commas; None: nobody's."""

    @property
    def rate(self) -> Rate | None:
        """The request rate of a brain."""
        per_minute = self.limits.requests_per_minute
        return None if per_minute is None else Rate(per_minute, self.burst, self.burst_slack)


class AppContext:
    """The shared state of the routes."""

    def __init__(self, store: Store, options: CloudOptions) -> None:
        self.store = store
        self.options = options
        self.limits = options.limits
        self.keys = Authenticator(store, clock=time.monotonic)
        self._writer: GroupWriter | None = None
        self._requests = RateLimiter(options.rate, clock=time.monotonic)
        self._beats = RateLimiter(None if options.rate is None else HEARTBEAT_RATE, clock=time.monotonic)
        self._guesses = RateLimiter(GUESS_RATE, clock=time.monotonic)
        self._notes = RateLimiter(NOTE_RATE, clock=time.monotonic)
        self._noted: dict[tuple[str, str], float] = {}
        self.pool = ThreadPoolExecutor(POOL_THREADS, "gradata-write-side")
        self.bodies = BodyRoom()
        self.reads = ReadShares()
        limited = options.rate is not None
        self._of_keys = RateLimiter(options.key_rate if limited else None, clock=time.monotonic)
        names = RateLimiter(NEW_NAMES_RATE if limited else None, clock=time.monotonic)
        self.names = NewNames(store, names, brains_max=options.brains_max, logs_max=options.logs_max, pool=self.pool)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settled: deque[tuple[asyncio.Future[CommitOutcome], CommitOutcome]] = deque()
        self._submitted: list[Job] = []
        self._waking = False
        self.scrubbing = asyncio.Semaphore(1)
        self.readiness = Readiness(self._the_writer)
        self.interrupted: Callable[[], None] = lambda: None
        self.committed: Callable[[Decision, float, int], None] = lambda _decision, _seconds, _now: None

    def open(self) -> None:
        """Start the writing thread."""
        self._writer = GroupWriter(self.store, now=now_us)

    def _the_writer(self) -> GroupWriter:
        assert self._writer is not None
        return self._writer

    def close(self) -> None:
        """Commit what is queued and close the store."""
        if self._writer is not None:
            self._writer.submit_all(self._submitted)
            self._writer.close()
        self.pool.shutdown()
        self.store.close()

    async def principal(self, request: AnyRequest, *scopes: str) -> Principal:
        """The sender, who must have one of the scopes. Raises WireError 401, SpentError for too many guesses,
        DeniedError.
        """
        authorization = request.headers.get("authorization")
        found: Principal | Unknown | None = self.keys.remembered(credential_of(authorization))
        if found is None:  # the store is asked, which may take its time
            found = await asyncio.get_running_loop().run_in_executor(self.pool, self.keys.principal, authorization)
        if isinstance(found, Unknown):
            self._count_guess(request, found)
            await self._note(found, request.headers.get(BRAIN_HEADER, ""), "key_unknown")
            raise WireError("the API key is unknown or was revoked", status=401, code="key_unknown")
        if not any(found.may(scope) for scope in scopes):
            raise answers.DeniedError("scope_missing", f"the key needs the scope {' or '.join(scopes)}")
        self.reads.enter(request.scope, found.prefix)
        return found

    def _count_guess(self, request: AnyRequest, unknown: Unknown) -> None:
        """A working key passes whatever others do from its address; one that was revoked is told so."""
        verdict = None
        if not unknown.prefix:
            address = request.scope.get("client") or ("",)
            verdict = self._guesses.admit(str(address[0]))
        if verdict is not None and not verdict.passed:
            raise SpentError(verdict, "too many keys that do not work came from here")

    async def _note(self, unknown: Unknown, brain_id: str, code: str) -> None:
        """Note the rejection of a formerly valid key, rate-limited per pair of key and brain and per key."""
        now = time.monotonic()
        pair = (unknown.prefix, brain_id[:128])
        if not unknown.prefix or not unknown.reached(pair[1]):
            return
        if now - self._noted.get(pair, -REFUSALS_NOTED_S) < REFUSALS_NOTED_S:
            return
        verdict = self._notes.admit(unknown.prefix)
        if verdict is not None and not verdict.passed:
            return
        self._noted.pop(pair, None)
        if len(self._noted) >= REFUSALS_TRACKED_MAX:
            del self._noted[next(iter(self._noted))]
        self._noted[pair] = now
        noting = functools.partial(self.store.note_refusal, *pair, code, now=now_us())
        try:
            await asyncio.to_thread(noting)
        except StoreUnavailableError as error:
            log.warning("a refusal could not be noted: %s", error)

    async def body(self, request: AnyRequest, bytes_max: int, held: HeldBody | None = None) -> bytes:
        """The request's body; `held` is told of its bytes as they come. Raises WireError, and as `BodyRoom.take`."""
        headers = request.headers
        return await read_body(
            request.receive,
            encoding=headers.get("content-encoding"),
            declared=headers.get("content-length"),
            bytes_max=bytes_max,
            seconds=None if BODY_IS_THERE in request.scope else self.options.body_s,
            grown=None if held is None else held.grow,
        )

    async def admit(
        self,
        request: AnyRequest,
        principal: Principal,
        brain_id: str,
        log_id: str | None,
        *,
        beat_of: str | None = None,
    ) -> None:
        """Count a request against the budgets of its brain and its key, and bound what the key makes.

        `beat_of`: the device of a heartbeat, which has a budget of its own. `commit` counts the request once more where
        several servers share the budget. Raises SpentError, DeniedError.
        """
        limiter = self._requests if beat_of is None else self._beats
        if limiter.rate is not None:
            of_key = self._of_keys.admit(principal.prefix)
            if of_key is not None and not of_key.passed:
                raise SpentError(of_key, "the key's request budget is spent")
            name = f"{principal.workspace}\n{brain_id}"
            name = name if beat_of is None else f"{name}\n{beat_of}\n{log_id}"
            verdict = limiter.admit(name)
            assert verdict is not None
            if beat_of is None:
                request.state.verdict = verdict
            if not verdict.passed:
                raise SpentError(verdict)
            told = request.state if beat_of is None else None
            request.state.claim = RateClaim(name if beat_of is None else f"beat\n{name}", limiter.rate, told)
        await self.names.admit(principal, brain_id, log_id)

    async def commit(self, asked: AnyRequest, request: requests.WriteRequest) -> Decision:
        """Commit the request; returns when it is durable.

        Raises StoreUnavailableError; SpentError if the brain's rate limit is exceeded at the other servers.
        """
        assert self._writer is not None
        self._loop = self._loop or asyncio.get_running_loop()
        waiting: asyncio.Future[CommitOutcome] = self._loop.create_future()
        begun = time.monotonic()
        if not self._submitted:  # handed over one by one, the first would have a commit of its own
            self._loop.call_soon(self._hand_in)
        claim: RateClaim | None = getattr(asked.state, "claim", None)
        self._submitted.append(Job(request, functools.partial(self._settle, waiting), claim))
        outcome = await waiting
        if isinstance(outcome, StoreUnavailableError):
            self.interrupted()
            raise outcome
        if isinstance(outcome, Spent):
            raise SpentError(outcome.verdict)
        if outcome is None:
            raise RuntimeError("the transaction failed; the writer has recorded why")
        self.committed(outcome, time.monotonic() - begun, now_us())
        return outcome

    def _hand_in(self) -> None:
        assert self._writer is not None
        submitted, self._submitted = self._submitted, []
        self._writer.submit_all(submitted)

    def _settle(self, waiting: asyncio.Future[CommitOutcome], outcome: CommitOutcome) -> None:
        """On the writer's thread. The loop is woken once for all that were settled before it came to look."""
        self._settled.append((waiting, outcome))
        if self._waking:
            return
        self._waking = True
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._hand_over)
        except RuntimeError:
            log.warning("an answer came after the server had stopped")

    def _hand_over(self) -> None:
        self._waking = False  # first: what is settled from here on wakes the loop again
        while self._settled:
            waiting, outcome = self._settled.popleft()
            if not waiting.done():
                waiting.set_result(outcome)


class SpentError(answers.AnswerError):
    """429 from this process or from the store."""

    def __init__(self, verdict: RateVerdict, words: str = "the brain's request budget is spent") -> None:
        super().__init__(_spent(verdict, words))


def _spent(verdict: RateVerdict, words: str = "the brain's request budget is spent") -> answers.Answer:
    headers = {"Retry-After": str(max(1, round(verdict.retry_after_s + 0.5)))}
    return answers.problem(429, "rate_limited", words, headers=headers)
