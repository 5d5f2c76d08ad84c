"""How requests are gathered into transactions."""

from __future__ import annotations

import functools
import queue
import socket
import threading
from collections.abc import Sequence

import pytest

from gradata.cloud.domain.plan import Decision, Done
from gradata.cloud.domain.requests import Beat, Loose, Request
from gradata.cloud.service.group_commit import GroupWriter, Job, Outcome
from gradata.cloud.store.port import Begun
from gradata.cloud.store.sqlite.store import SqliteStore
from gradata.cloud.store.values import StoreUnavailableError
from replicator.proof import CompactRange
from tests.cloud_batches import LOG, OTHER_LOG, append, event, lines


class Recording(SqliteStore):
    """Notes the groups, and holds the first one until the test has queued the rest."""

    def __init__(self) -> None:
        super().__init__(None)
        self.groups: list[list[Request]] = []
        self.entered = threading.Event()
        self.gate = threading.Event()

    def ingest(self, requests: Sequence[Request], *, now: int) -> list[Decision]:
        self.groups.append(list(requests))
        self.entered.set()
        assert self.gate.wait(10)
        return [Done(CompactRange.EMPTY, 0, None)] * len(requests)


def test_what_waits_is_one_transaction_with_each_log_once() -> None:
    """Everything queued goes together, but a log's second request waits for the next group, in order."""
    store = Recording()
    writer = GroupWriter(store, now=lambda: 1)
    answered: list[Request] = []
    log = [event("a"), event("b"), event("c")]
    first = append(log, 0, 1, log_id=OTHER_LOG)
    waiting: list[Request] = [
        append(log, 0, 1),
        append(log, 1, 2),
        Loose("default", "brain", lines(event("x"))),
        Beat("default", "brain", "device", LOG),
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

    def ingest(self, requests: Sequence[Request], *, now: int) -> list[Decision]:
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

        def answer(_: Outcome, done: threading.Event = done) -> None:
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


class Working:
    """A group at a store that works elsewhere: over when the test says so."""

    def __init__(self, store: Elsewhere, requests: Sequence[Request]) -> None:
        self.requests = requests
        self.near, self.far = socket.socketpair()
        self.error: Exception | None = None
        self._store = store

    def descriptor(self) -> int:
        return self.near.fileno()

    def end(self) -> list[Decision]:
        assert self.near.recv(1) == b"!", "ended before it was over"
        self._store.did.put(("ended", self.requests))
        for end in (self.near, self.far):
            end.close()
        if self.error is not None:
            raise self.error
        return [Done(CompactRange.EMPTY, 0, None, accepted=1)] * len(self.requests)


class Elsewhere(SqliteStore):
    """Begins every group, and notes it."""

    def __init__(self) -> None:
        super().__init__(None)
        self.did: queue.SimpleQueue[tuple[str, Sequence[Request]]] = queue.SimpleQueue()
        self.working: list[Working] = []

    def begin(self, requests: Sequence[Request], *, now: int) -> Begun:
        assert now == 1
        self.working.append(Working(self, requests))
        self.did.put(("begun", requests))
        return self.working[-1]

    def over(self, place: int, error: Exception | None = None) -> None:
        """The group `place` is over."""
        self.working[place].error = error
        self.working[place].far.send(b"!")


def test_a_group_is_begun_while_the_one_before_is_at_work_and_not_a_third() -> None:
    """What comes meanwhile is begun at once, what comes behind waits; answered in order, each as it went."""
    store = Elsewhere()
    writer = GroupWriter(store, now=lambda: 1)
    answered: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
    log = [event(str(number)) for number in range(6)]
    requests = [append(log, number, number + 1) for number in range(6)]

    def submit(number: int) -> None:
        writer.submit(requests[number], lambda outcome: answered.put((number, outcome)))

    submit(0)
    assert store.did.get(timeout=10) == ("begun", requests[:1])
    submit(1)
    assert store.did.get(timeout=10) == ("begun", requests[1:2])
    submit(2)
    submit(3)
    store.over(1)
    store.over(0, StoreUnavailableError("away"))
    assert store.did.get(timeout=10) == ("ended", requests[:1])
    number, outcome = answered.get(timeout=10)
    assert number == 0
    assert isinstance(outcome, StoreUnavailableError)
    steps = [store.did.get(timeout=10) for _ in range(2)]
    assert sorted(step for step, _ in steps) == ["begun", "ended"]
    assert answered.get(timeout=10)[0] == 1
    assert store.did.get(timeout=10) == ("begun", requests[3:4])  # a log once in a group, though both waited
    store.over(2)
    store.over(3)
    assert [answered.get(timeout=10)[0] for _ in range(2)] == [2, 3]
    submit(4)
    assert [store.did.get(timeout=10)[0] for _ in range(3)] == ["ended", "ended", "begun"]
    store.over(4)
    writer.close()
    assert answered.get(timeout=10)[0] == 4
    store.close()


def test_a_failed_group_is_tried_one_by_one_while_another_is_at_work() -> None:
    """The one at fault is found, its neighbours and what was begun behind are stored."""
    store = Elsewhere()
    writer = GroupWriter(store, now=lambda: 1)
    answered: queue.SimpleQueue[tuple[str, Outcome]] = queue.SimpleQueue()
    requests = {name: append([event(name)], brain_id=name) for name in "abc"}
    jobs = {name: Job(request, functools.partial(_note, answered, name)) for name, request in requests.items()}
    writer.submit_all([jobs["a"], jobs["b"]])
    assert len(store.did.get(timeout=10)[1]) == 2
    writer.submit_all([jobs["c"]])
    assert store.did.get(timeout=10) == ("begun", [requests["c"]])
    store.over(0, ValueError("a bug"))
    assert [store.did.get(timeout=10)[0] for _ in range(3)] == ["ended", "begun", "begun"]
    store.over(1)
    store.over(2, ValueError("a bug"))
    store.over(3)
    outcomes = dict(answered.get(timeout=10) for _ in range(3))
    assert outcomes["a"] is None
    assert isinstance(outcomes["b"], Done)
    assert isinstance(outcomes["c"], Done)
    writer.close()
    store.close()


def _note(answered: queue.SimpleQueue[tuple[str, Outcome]], name: str, outcome: Outcome) -> None:
    answered.put((name, outcome))
