"""Group commit: requests that arrive during a transaction share the next one.

One thread writes for the whole process. Everything queued when it becomes free forms one transaction (`Store.ingest`),
so all of them share one durable commit. More writers would be slower, because they wait for each other's locks. Rate
limits that several servers share are also checked per group (`Store.admit`).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gradata.cloud.domain.plan import Decision
from gradata.cloud.domain.rate_claim import RateClaim
from gradata.cloud.domain.rate_limit import RateVerdict
from gradata.cloud.domain.requests import Loose, WriteRequest
from gradata.cloud.store.port import Store
from gradata.cloud.store.values import StoreUnavailableError
from replicator.fast_dataclass import value

GROUP_REQUESTS_MAX = 512
GROUP_RECORDS_MAX = 40_000
REST_S = 0.02
"""Seconds between two calls of `Store.rest` under load: notifying other processes costs as much as a small commit."""
CLOSE_S = 8.0

log = logging.getLogger("gradata.cloud")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Spent:
    """The brain's rate limit, which all servers share, is exceeded. Nothing was written."""

    verdict: RateVerdict


@dataclass(frozen=True, slots=True)
class Failed:
    """An unexpected error; it has been logged."""


CommitOutcome = Decision | Spent | StoreUnavailableError | None
"""None: an unexpected error, recorded in the log."""


@value
class Job:
    """A request to commit, if its claim is granted. `done` must be fast and must not raise."""

    request: WriteRequest
    done: Callable[[CommitOutcome], None] = field(repr=False)
    claim: RateClaim | None = None

    @property
    def records(self) -> int:
        load = getattr(self.request, "load", None)
        return len(getattr(load, "records", ())) + 1


class GroupWriter:
    """The writing thread. `submit` may be called from any thread; `done` is called on the writer's thread, after the
    commit.
    """

    def __init__(self, store: Store, *, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now
        self._queue: queue.SimpleQueue[Sequence[Job] | None] = queue.SimpleQueue()
        self._checks: queue.SimpleQueue[Callable[[StoreUnavailableError | Failed | None], None]] = queue.SimpleQueue()
        self._put_off: list[Job] = []
        self._stopping = False
        self.failed_at: float | None = None
        """Monotonic time of the last commit, if it failed because of the store; None: it went well."""
        self._thread = threading.Thread(target=self._run, name="gradata-writer", daemon=True)
        self._thread.start()

    def submit(
        self, request: WriteRequest, done: Callable[[CommitOutcome], None], claim: RateClaim | None = None
    ) -> None:
        """Queue a request."""
        self.submit_all([Job(request, done, claim)])

    def submit_all(self, jobs: Sequence[Job]) -> None:
        """Queue several requests, in one group if they fit."""
        self._queue.put(jobs)

    def check(self, done: Callable[[StoreUnavailableError | Failed | None], None]) -> None:
        """Have the store write something of no consequence, behind what waits; `done` hears how that failed."""
        self._checks.put(done)
        self._queue.put(())

    def close(self) -> None:
        """Commit what is queued, then end the thread.

        Waits at most CLOSE_S seconds for a store that does not answer; the thread then ends with the process.
        """
        self._queue.put(None)
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.error("the store does not answer; the server ends without it")

    def _run(self) -> None:
        rest_due: float | None = None
        rested = -REST_S
        while not self._stopping or self._put_off:
            group = self._admitted(self._next_group(rest_due))
            if group:
                self._commit(group)
                rest_due = rest_due or rested + REST_S
            while not self._checks.empty():
                found = self._tried(lambda: self._store.ingest([], now=self._now()))
                self._checks.get()(found if isinstance(found, StoreUnavailableError | Failed) else None)
            if rest_due is not None and (time.monotonic() >= rest_due or self._stopping):
                self._tried(self._store.rest)  # what it could not do now, it does the next time
                rest_due, rested = None, time.monotonic()

    def _next_group(self, until: float | None) -> list[Job]:
        """The queued requests, up to the limits, in order; a log's second batch waits for the next group.

        Waits for the first one, at most until the given time.
        """
        waiting, self._put_off = self._put_off, []
        if not waiting and not self._stopping:
            waiting = self._taken(None if until is None else max(0.0, until - time.monotonic()))
        while len(waiting) < GROUP_REQUESTS_MAX and not self._stopping:
            if self._queue.empty():
                break
            waiting += self._taken(0.0)
        group: list[Job] = []
        logs: set[tuple[str, str]] = set()
        records = 0
        for place, job in enumerate(waiting):
            if group and (records + job.records > GROUP_RECORDS_MAX or len(group) == GROUP_REQUESTS_MAX):
                self._put_off += waiting[place:]
                break
            if not isinstance(job.request, Loose):
                name = (job.request.brain_id, job.request.log_id)
                if name in logs:
                    # `plan` sees the heads as they were before the group: it decides one batch for each log.
                    self._put_off.append(job)
                    continue
                logs.add(name)
            group.append(job)
            records += job.records
        return group

    def _taken(self, within_s: float | None) -> list[Job]:
        try:
            jobs = self._queue.get(block=within_s != 0.0, timeout=within_s)
        except queue.Empty:
            return []
        if jobs is None:
            self._stopping = True
            return []
        return list(jobs)

    def _admitted(self, group: list[Job]) -> list[Job]:
        """Those whose claim is good; the others are answered."""
        refused: set[int] = set()
        claimed = [(place, job.claim) for place, job in enumerate(group) if job.claim is not None]
        while claimed:
            rate = claimed[0][1].rate
            claims = [one for one in claimed if one[1].rate is rate]  # to compare them costs more than to ask twice
            claimed = [one for one in claimed if one[1].rate is not rate]
            names = [claim.name for _, claim in claims]
            verdicts = self._tried(lambda names=names, rate=rate: self._store.admit(names, rate))  # type: ignore[misc]
            if isinstance(verdicts, StoreUnavailableError | Failed):
                self.failed_at = time.monotonic()
                _answer([job for place, job in enumerate(group) if place not in refused], verdicts)
                return []
            for (place, claim), verdict in zip(claims, verdicts or (), strict=verdicts is not None):
                if claim.told is not None:
                    claim.told.verdict = verdict
                if not verdict.passed:
                    refused.add(place)
                    group[place].done(Spent(verdict))
        return [job for place, job in enumerate(group) if place not in refused]

    def _commit(self, group: list[Job]) -> None:
        """Commit the group and answer it; if it fails, one by one, so that one request does not fail the others."""
        requests = [job.request for job in group]
        decisions = self._tried(lambda: self._store.ingest(requests, now=self._now()))
        self.failed_at = time.monotonic() if isinstance(decisions, StoreUnavailableError) else None
        if isinstance(decisions, Failed) and len(group) > 1:
            for job in group:
                self._commit([job])
        elif isinstance(decisions, StoreUnavailableError | Failed):
            _answer(group, decisions)
        else:
            for job, decision in zip(group, decisions, strict=True):
                job.done(decision)

    def _tried(self, work: Callable[[], Result]) -> Result | StoreUnavailableError | Failed:
        """What `work` gives, or how it failed, which is recorded."""
        try:
            return work()
        except StoreUnavailableError as error:
            log.error("the store is unavailable: %s", error)
            return error
        except Exception:  # the last line of defence: without this thread nobody is answered any more
            log.exception("the writing thread met an unexpected error and goes on")
            return Failed()


def _answer(jobs: Sequence[Job], failure: StoreUnavailableError | Failed) -> None:
    for job in jobs:
        job.done(None if isinstance(failure, Failed) else failure)
