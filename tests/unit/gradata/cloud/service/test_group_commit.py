"""How requests are gathered into transactions."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Sequence

import pytest

from gradata.cloud.domain.plan import Decision, Done
from gradata.cloud.domain.requests import HeartbeatWrite, Loose, WriteRequest
from gradata.cloud.service.group_commit import CommitOutcome, GroupWriter, Job
from gradata.cloud.store.sqlite.store import SqliteStore
from replicator.proof import CompactRange
from tests.support.cloud_batches import LOG, OTHER_LOG, append, event, lines
from tests.support.patience import PATIENCE_S


class Recording(SqliteStore):
    """Notes the groups, and holds the first one until the test has queued the rest."""

    def __init__(self) -> None:
        super().__init__(None)
        self.groups: list[list[WriteRequest]] = []
        self.entered = threading.Event()
        self.gate = threading.Event()

    def ingest(self, requests: Sequence[WriteRequest], *, now: int) -> list[Decision]:
        self.groups.append(list(requests))
        self.entered.set()
        assert self.gate.wait(10)
        return [Done(CompactRange.EMPTY, 0, None)] * len(requests)


def test_what_waits_is_one_transaction_with_each_log_once() -> None:
    """Everything queued goes together, but a log's second request waits for the next group, in order."""
    store = Recording()
    writer = GroupWriter(store, now=lambda: 1)
    answered: list[WriteRequest] = []
    log = [event("a"), event("b"), event("c")]
    first = append(log, 0, 1, log_id=OTHER_LOG)
    waiting: list[WriteRequest] = [
        append(log, 0, 1),
        append(log, 1, 2),
        Loose("default", "brain", lines(event("x"))),
        HeartbeatWrite("default", "brain", "device", LOG),
        append(log, 0, 1, brain_id="another"),
        Loose("default", "brain", lines(event("y"))),
    ]
    writer.submit(first, lambda _: None)
    assert store.entered.wait(10)
    for request in waiting:
        writer.submit(request, lambda _, request=request: answered.append(request))  # type: ignore[misc]
    store.gate.set()
    writer.close()
    assert store.groups == [
        [first],
        [waiting[0], waiting[2], waiting[4], waiting[5]],
        [waiting[1]],
        [waiting[3]],
    ]
    assert len(answered) == len(waiting)
    store.close()


def test_a_group_has_a_bound_and_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed in together goes together up to the bound; what is put off goes before what comes later."""
    monkeypatch.setattr("gradata.cloud.service.group_commit.GROUP_REQUESTS_MAX", 16)
    store = Recording()
    writer = GroupWriter(store, now=lambda: 1)
    requests = [Loose("default", "brain", lines(event(f"e{number}"))) for number in range(42)]
    writer.submit(requests[0], lambda _: None)
    assert store.entered.wait(10)
    writer.submit_all([Job(request, lambda _: None) for request in requests[1:41]])
    writer.submit(requests[41], lambda _: None)
    store.gate.set()
    writer.close()
    assert [len(group) for group in store.groups] == [1, 16, 16, 9]
    assert [request for group in store.groups for request in group] == requests
    store.close()


class Resting(SqliteStore):
    """Notes what it does."""

    def __init__(self) -> None:
        super().__init__(None)
        self.did: list[str] = []
        self.rested = threading.Event()

    def ingest(self, requests: Sequence[WriteRequest], *, now: int) -> list[Decision]:
        self.did.append("commit")
        return [Done(CompactRange.EMPTY, 0, None)] * len(requests)

    def rest(self) -> None:
        self.did.append("rest")
        self.rested.set()


def test_the_store_rests_after_the_last_commit_and_not_after_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first answer, then only when it is due; what is owed is paid at the end, and by itself when idle."""
    monkeypatch.setattr("gradata.cloud.service.group_commit.REST_S", 3600.0)
    store = Resting()
    writer = GroupWriter(store, now=lambda: 1)
    for _ in range(5):
        done = threading.Event()

        def answer(_: CommitOutcome, done: threading.Event = done) -> None:
            store.did.append("answer")
            done.set()

        writer.submit(append([event("a")]), answer)
        assert done.wait(10)
    writer.close()
    assert store.did == ["commit", "answer", "rest", *["commit", "answer"] * 4, "rest"]
    monkeypatch.setattr("gradata.cloud.service.group_commit.REST_S", 0.02)
    writer = GroupWriter(store, now=lambda: 1)
    for _ in range(2):
        store.rested.clear()
        writer.submit(append([event("a")]), lambda _: None)
        assert store.rested.wait(10)
    writer.close()
    store.close()


class Failing(SqliteStore):
    """Fails in `rest`, and in `ingest` of what the test says."""

    def __init__(self) -> None:
        super().__init__(None)
        self.rested = threading.Event()
        self.poison = "b"

    def rest(self) -> None:
        self.rested.set()
        raise RuntimeError("a bug")

    def ingest(self, requests: Sequence[WriteRequest], *, now: int) -> list[Decision]:
        if any(request.brain_id == self.poison for request in requests):
            raise ValueError("a bug")
        return [Done(CompactRange.EMPTY, 0, None)] * len(requests)


def test_a_failed_group_is_tried_one_by_one() -> None:
    """The one at fault is found, its neighbours are stored."""
    store = Failing()
    writer = GroupWriter(store, now=lambda: 1)
    answered: queue.SimpleQueue[tuple[str, CommitOutcome]] = queue.SimpleQueue()
    requests = {name: append([event(name)], brain_id=name) for name in "abc"}
    writer.submit_all([Job(request, functools.partial(_note, answered, name)) for name, request in requests.items()])
    outcomes = dict(answered.get(timeout=PATIENCE_S) for _ in range(3))
    assert outcomes["b"] is None
    assert isinstance(outcomes["a"], Done)
    assert isinstance(outcomes["c"], Done)
    writer.close()
    store.close()


def test_f86_the_writing_thread_survives_whatever_the_store_does_at_rest() -> None:
    """What `rest` raises, known or not, is told in the log, and the next request is answered."""
    store = Failing()
    writer = GroupWriter(store, now=lambda: 1)
    for name in "ac":
        answered: queue.SimpleQueue[tuple[str, CommitOutcome]] = queue.SimpleQueue()
        store.rested.clear()
        writer.submit(append([event(name)], brain_id=name), functools.partial(_note, answered, name))
        assert isinstance(answered.get(timeout=PATIENCE_S)[1], Done)
        assert store.rested.wait(10)
    writer.close()
    store.close()


def _note(answered: queue.SimpleQueue[tuple[str, CommitOutcome]], name: str, outcome: CommitOutcome) -> None:
    answered.put((name, outcome))
