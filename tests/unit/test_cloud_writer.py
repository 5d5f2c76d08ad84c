"""How requests are gathered into transactions."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from gradata.cloud.ingest import Decision, Done
from gradata.cloud.requests import Beat, Loose, Request
from gradata.cloud.sqlite import SqliteStore
from gradata.cloud.writer import GroupWriter, Job
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
    monkeypatch.setattr("gradata.cloud.writer.GROUP_REQUESTS_MAX", 16)
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
    """At once after the first, then only when it is due; what is owed is paid at the end, and by itself when idle."""
    monkeypatch.setattr("gradata.cloud.writer.REST_S", 3600.0)
    store = Resting()
    writer = GroupWriter(store, now=lambda: 1)
    for _ in range(5):
        done = threading.Event()
        writer.submit(append([event("a")]), lambda _, done=done: done.set())  # type: ignore[misc]
        assert done.wait(10)
    writer.close()
    assert store.did == ["commit", "rest", *["commit"] * 4, "rest"]
    monkeypatch.setattr("gradata.cloud.writer.REST_S", 0.02)
    writer = GroupWriter(store, now=lambda: 1)
    for _ in range(2):
        store.rested.clear()
        writer.submit(append([event("a")]), lambda _: None)
        assert store.rested.wait(10)
    writer.close()
    store.close()
