"""How requests are gathered into transactions."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from gradata.cloud.ingest import Decision, Done
from gradata.cloud.requests import Beat, Loose, Request
from gradata.cloud.sqlite import SqliteStore
from gradata.cloud.writer import GroupWriter
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
