"""Gather the requests that arrive while a transaction runs into the next one.

One thread writes for the whole process: whatever is queued when it is free becomes one transaction (`Store.begin`),
so a durable commit is shared by all who wait for it. More writers are slower: they wait for each other's locks. But
where the store works elsewhere, as PostgreSQL does, one group may be decided and sent while it writes another.
Budgets that several servers share are asked for by the group, too (`Store.admit`).
"""

from __future__ import annotations

import contextlib
import logging
import queue
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gradata.cloud.domain.plan import Decision
from gradata.cloud.domain.rate_claim import Claim
from gradata.cloud.domain.rate_limit import Verdict
from gradata.cloud.domain.requests import Loose, Request
from gradata.cloud.store.port import Begun, Store
from gradata.cloud.store.values import StoreUnavailableError
from replicator.fast_dataclass import value

GROUP_REQUESTS_MAX = 512
GROUP_RECORDS_MAX = 40_000
BEGUN_MAX = 2
"""Groups at one time, where the store lets one be begun behind another: while it writes, the next is decided."""
REST_S = 0.02
"""Between two rests of the store, while there is work: telling other processes costs as much as a small commit."""

_RINGS_MAX = 4_096
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.DefaultSelector)

log = logging.getLogger("gradata.cloud")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Spent:
    """The brain's request budget, which all servers share, is spent. Nothing was written."""

    verdict: Verdict


Outcome = Decision | Spent | StoreUnavailableError | None
"""None: an unexpected error, recorded in the log."""


@value
class Job:
    """A request to be committed, if its claim is good. `done` must be quick and must not raise."""

    request: Request
    done: Callable[[Outcome], None] = field(repr=False)
    claim: Claim | None = None

    @property
    def records(self) -> int:
        load = getattr(self.request, "load", None)
        return len(getattr(load, "records", ())) + 1


class Bell:
    """Wakes the writing thread while it waits for its store."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        for end in (self._near, self._far):
            end.setblocking(False)
        self._heard = False

    def ring(self) -> None:
        """From any thread, behind what is to be seen."""
        if self._heard:
            self._heard = False
            with contextlib.suppress(BlockingIOError):  # it rings already
                self._far.send(b"\0")

    def wait(self, descriptor: int, seen: Callable[[], bool]) -> bool:
        """Wait until something is to be seen, True, or until there is news on the descriptor, False."""
        self._heard = True
        try:
            with _Selector() as selector:
                selector.register(self._near, selectors.EVENT_READ)
                selector.register(descriptor, selectors.EVENT_READ)
                while not seen():
                    ready = [key.fd for key, _ in selector.select()]
                    if descriptor in ready:
                        return False
                    self._near.recv(_RINGS_MAX)
                    self._heard = True
                return True
        finally:
            self._heard = False

    def close(self) -> None:
        """Nobody waits any more."""
        self._near.close()
        self._far.close()


class GroupWriter:
    """The writing thread. `submit` from any thread; `done` is called on the writer's thread, after the commit."""

    def __init__(self, store: Store, *, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now
        self._queue: queue.SimpleQueue[Sequence[Job] | None] = queue.SimpleQueue()
        self._put_off: list[Job] = []
        self._begun: deque[tuple[list[Job], Begun]] = deque()
        self._stopping = False
        self._bell = Bell()
        self._thread = threading.Thread(target=self._run, name="gradata-writer", daemon=True)
        self._thread.start()

    def submit(self, request: Request, done: Callable[[Outcome], None], claim: Claim | None = None) -> None:
        """Have a request committed."""
        self.submit_all([Job(request, done, claim)])

    def submit_all(self, jobs: Sequence[Job]) -> None:
        """Have several committed, together if they are not too many."""
        self._queue.put(jobs)
        self._bell.ring()

    def close(self) -> None:
        """Commit what is queued, then end the thread."""
        self._queue.put(None)
        self._bell.ring()
        self._thread.join()
        self._bell.close()

    def _run(self) -> None:
        rest_due: float | None = None
        rested = -REST_S
        while not self._stopping or self._put_off or self._begun:
            if self._begun and not self._may_begin():
                self._end()
                continue
            group = self._admitted(self._next_group(rest_due))
            if group:
                self._begin(group)
                rest_due = rest_due or rested + REST_S
            if rest_due is not None and (time.monotonic() >= rest_due or self._stopping):
                self._store.rest()
                rest_due, rested = None, time.monotonic()

    def _next_group(self, until: float | None) -> list[Job]:
        """What is queued, up to the limits, in order; a log's second batch waits for the next group.

        Waits for the first one, at most until then.
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
            try:
                verdicts = self._store.admit([claim.name for _, claim in claims], rate)
            except StoreUnavailableError as error:
                log.error("store unavailable, %d requests are answered 503: %s", len(group), error)
                for place, job in enumerate(group):
                    if place not in refused:
                        job.done(error)
                return []
            for (place, claim), verdict in zip(claims, verdicts or (), strict=verdicts is not None):
                if claim.told is not None:
                    claim.told.verdict = verdict
                if not verdict.passed:
                    refused.add(place)
                    group[place].done(Spent(verdict))
        return [job for place, job in enumerate(group) if place not in refused]

    def _may_begin(self) -> bool:
        """While a group is begun: whether another one is there before that is over."""
        if len(self._begun) >= BEGUN_MAX:
            return False
        if self._put_off:
            return True
        descriptor = self._begun[0][1].descriptor()
        return descriptor is not None and self._bell.wait(descriptor, lambda: not self._queue.empty())

    def _begin(self, group: list[Job]) -> None:
        """Have the group committed, or begin that. What was begun before is over if this one is."""
        requests = [job.request for job in group]
        begun = self._tried(group, lambda: self._store.begin(requests, now=self._now()))
        if begun is not None:
            self._begun.append((group, begun))
            if begun.descriptor() is None:
                while self._begun:
                    self._end()

    def _end(self) -> None:
        """Wait for the oldest group, and answer it."""
        group, begun = self._begun.popleft()
        decisions = self._tried(group, begun.end)
        if decisions is not None:
            for job, decision in zip(group, decisions, strict=True):
                job.done(decision)

    def _tried(self, group: list[Job], work: Callable[[], Result]) -> Result | None:
        """What `work` gives; None if it failed: then the group is answered."""
        try:
            return work()
        except StoreUnavailableError as error:
            log.error("store unavailable, %d requests are answered 503: %s", len(group), error)
            for job in group:
                job.done(error)
        except Exception:  # the last line of defence: this thread must live, and the neighbours must pass
            log.exception("a transaction of %d requests failed", len(group))
            if len(group) == 1:
                group[0].done(None)
                return None
            for job in group:
                self._begin([job])
        return None
