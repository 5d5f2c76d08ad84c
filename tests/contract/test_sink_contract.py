"""What every sink promises, whatever cloud stands behind it: one suite for each of them.

To add a cloud, write a fixture function that yields a `Cloud` and put its name into `CLOUDS`; into `KEYED` too, if it
checks keys. Here are the sink over HTTP before a server that speaks the protocol with `wire`, and the fake that the
product ships for tests.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

import pytest

from replicator import wire
from replicator.actions import Acked, Beat, Denied, Heard, Mismatch, Recalled, Send, TooLarge, Unavailable
from replicator.errors import WireError
from replicator.model import Anchor, Batch, Cursor, Head, Hole, Identity, Limits
from replicator.proof import EMPTY_ROOT, CompactRange, leaf_hash, leaf_hashes
from replicator.sink import HttpSink, Sink
from replicator.testing.cloud import MemoryCloud
from replicator.testing.sink import MemorySink
from tests.support.scripted import Scripted, Seen, answer

REPORT = wire.Report("live", 100, 0, None, 0, "1.0")
RECORDS = [b'{"type": "A", "event_id": "%d"}\n' % number for number in range(6)]


@dataclass(frozen=True)
class Cloud:
    """A cloud to hold the contract against. `open_sink` takes what reads the key; `stop` makes it unreachable."""

    open_sink: Callable[[Callable[[], str | None]], Sink]
    key: str = "gk_live_good"
    stop: Callable[[], None] = lambda: None


# ---------------------------------------------------------------- the clouds


class ProtocolScript:
    """The table of PROTOCOL.md in its shortest form, over the server's half of `wire`."""

    limits = Limits(body_bytes=100_000)

    def __init__(self, key: str) -> None:
        self.key = key
        self.logs: dict[str, list[tuple[bytes, int]]] = {}

    def __call__(self, seen: Seen) -> bytes | None:
        if seen.headers.get("authorization") != f"Bearer {self.key}":
            return self._problem(401, "key_unknown")
        try:
            if seen.path == "/api/v1/ingest":
                return self._ingest(wire.parse_batch(seen.body, self.limits))
            if seen.path == "/api/v1/heartbeat":
                head = self._head(wire.parse_heartbeat(seen.body).log_id)
                return answer(200, wire.heartbeat_body(Heard("cloud", head)))
        except WireError as error:
            return self._problem(error.status, error.code)
        assert seen.path.startswith("/api/v1/logs?")
        return answer(200, wire.logs_body([wire.LogEntry(self._head(log), "device") for log in self.logs]))

    def _problem(self, status: int, code: str) -> bytes:
        return answer(status, wire.problem_body(status, code, "no", limits=self.limits))

    def _head(self, log_id: str) -> Head:
        places = self.logs.get(log_id, [])
        tree = CompactRange.EMPTY.extended([leaf for leaf, _ in places])
        return Head(log_id, tree.size, tree.root, sum(length for _, length in places))

    def _ingest(self, request: wire.BatchRequest) -> bytes:
        envelope, load = request.envelope, request.load
        stored = self.logs.setdefault(envelope.log_id, [])
        if isinstance(load, Batch):
            sent = [(leaf_hash(record), len(record)) for record in load.records()]
            for hole in request.holes:
                sent.insert(hole.first - envelope.first, (hole.leaf, hole.length))
        else:
            sent = [(load.leaf, load.length)]
        head = self._head(envelope.log_id)
        overlap = stored[envelope.first :]
        if envelope.first > len(stored):
            return answer(409, wire.problem_body(409, "gap", "ahead", head=head, cloud_id="cloud"))
        if overlap[: len(sent)] != sent[: len(overlap)]:
            return answer(409, wire.problem_body(409, "diverged", "differs", head=head, cloud_id="cloud"))
        fresh = sent[len(overlap) :]
        stored += fresh
        return answer(
            200,
            wire.ack_body(
                Acked(
                    "cloud",
                    self._head(envelope.log_id),
                    accepted=len(fresh),
                    duplicates=len(sent) - len(fresh),
                    limits=self.limits,
                )
            ),
        )


@pytest.fixture
def http() -> Iterator[Cloud]:
    """HttpSink, real sockets, and a server of the test's own."""
    sinks: list[HttpSink] = []
    with Scripted(ProtocolScript("gk_live_good")) as server:

        def open_sink(key: Callable[[], str | None]) -> Sink:
            sinks.append(HttpSink(endpoint=server.url, key=key, identity=Identity("brain", "device")))
            return sinks[-1]

        yield Cloud(open_sink, stop=server.close)
        for sink in sinks:
            sink.close()


@pytest.fixture
def memory() -> Cloud:
    """The fake."""
    cloud = MemoryCloud()
    cloud.body_bytes_max = 100_000
    return Cloud(lambda _key: MemorySink(cloud))


CLOUDS = ["http", "memory"]
KEYED = ["http"]


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Each cloud in turn."""
    got = request.getfixturevalue(request.param)
    assert isinstance(got, Cloud)
    return got


@pytest.fixture(params=KEYED)
def keyed_cloud(request: pytest.FixtureRequest) -> Cloud:
    """Each cloud that checks keys, in turn."""
    got = request.getfixturevalue(request.param)
    assert isinstance(got, Cloud)
    return got


@pytest.fixture
def sink(cloud: Cloud) -> Sink:
    """A sink with a good key."""
    return cloud.open_sink(lambda: cloud.key)


@pytest.fixture
def log_id() -> str:
    """A log of its own for each test, since a real cloud may outlive it."""
    return str(uuid.uuid4())


# ---------------------------------------------------------------- what is sent


def cursor_at(log_id: str, size: int, records: list[bytes] = RECORDS) -> Cursor:
    """The cursor behind the first `size` records."""
    before = records[:size]
    tree = CompactRange.EMPTY.extended(leaf_hashes(before))
    return Cursor(log_id, sum(map(len, before)), tree, None, Anchor.of(before[-1]) if before else None)


def sending(log_id: str, first: int, end: int, records: list[bytes] = RECORDS) -> Send:
    """Records [first, end) of a log."""
    cursor = cursor_at(log_id, first, records)
    batch = records[first:end]
    load = Batch(first, cursor.offset, b"".join(batch), tuple(accumulate(map(len, batch))))
    return Send(cursor, load, cursor.tree.extended(leaf_hashes(batch)))


# ---------------------------------------------------------------- the contract


def test_an_ack_shows_the_tree_behind_the_batch(sink: Sink, log_id: str) -> None:
    """What was sent is acknowledged with size, root and offset exactly as the sender has them."""
    for first, end in ((0, 2), (2, 5)):
        action = sending(log_id, first, end)
        outcome = sink.send(action, REPORT)
        assert isinstance(outcome, Acked)
        assert (action.after.size, action.after.root) == (outcome.head.size, outcome.head.root)
        assert outcome.head.offset == action.load.end
        assert outcome.accepted + outcome.duplicates + outcome.flagged_count + outcome.refused_count == end - first


def test_f31_sending_again_is_acknowledged_as_duplicates(sink: Sink, log_id: str) -> None:
    """A batch whose answer was lost may be sent again: nothing is stored twice, and the head is the cloud's own."""
    sink.send(sending(log_id, 0, 3), REPORT)
    sink.send(sending(log_id, 3, 4), REPORT)
    outcome = sink.send(sending(log_id, 0, 3), REPORT)
    assert isinstance(outcome, Acked)
    assert (outcome.accepted, outcome.duplicates) == (0, 3)
    assert outcome.head.size == 4


def test_an_overlapping_batch_appends_what_is_new(sink: Sink, log_id: str) -> None:
    """A batch may begin below the head."""
    sink.send(sending(log_id, 0, 3), REPORT)
    outcome = sink.send(sending(log_id, 2, 5), REPORT)
    assert isinstance(outcome, Acked)
    assert (outcome.accepted, outcome.duplicates) == (2, 1)
    assert cursor_at(log_id, 5).root == outcome.head.root


def test_f39_a_batch_behind_the_head_meets_the_head(sink: Sink, log_id: str) -> None:
    """A gap is told with the head of the log: of size 0 where the log is unknown."""
    outcome = sink.send(sending(log_id, 2, 3), REPORT)
    assert isinstance(outcome, Mismatch)
    assert (log_id, 0, EMPTY_ROOT) == (outcome.head.log_id, outcome.head.size, outcome.head.root)


def test_f39_other_records_at_a_stored_place_are_a_mismatch(sink: Sink, log_id: str) -> None:
    """What is stored is never overwritten."""
    sink.send(sending(log_id, 0, 3), REPORT)
    other = [RECORDS[0], b'{"type": "edited"}\n', *RECORDS[2:]]
    outcome = sink.send(sending(log_id, 0, 3, other), REPORT)
    assert isinstance(outcome, Mismatch)
    assert cursor_at(log_id, 3).root == outcome.head.root


def test_f15_a_hole_carries_the_tree_across(sink: Sink, log_id: str) -> None:
    """A place without bytes is acknowledged with the root over the bytes that stayed behind."""
    sink.send(sending(log_id, 0, 2), REPORT)
    cursor = cursor_at(log_id, 2)
    record = RECORDS[2]
    hole = Hole(2, cursor.offset, len(record), leaf_hash(record), Anchor.of(record))
    outcome = sink.send(Send(cursor, hole, cursor.tree.extended([hole.leaf])), REPORT)
    assert isinstance(outcome, Acked)
    assert cursor_at(log_id, 3).root == outcome.head.root


def test_f35_places_without_bytes_among_records_carry_the_tree_across(sink: Sink, log_id: str) -> None:
    """A batch without the bytes of some of its records has the root over all; the bytes may come afterwards."""
    action = sending(log_id, 0, 5)
    assert isinstance(action.load, Batch)
    load = replace(action.load, holes=(0, 3), hashed=tuple(leaf_hashes(RECORDS[:5])))
    outcome = sink.send(replace(action, load=load), REPORT)
    assert isinstance(outcome, Acked)
    assert (outcome.accepted, cursor_at(log_id, 5).root) == (5, outcome.head.root)
    outcome = sink.send(sending(log_id, 3, 4), REPORT)
    assert isinstance(outcome, Acked)
    assert (outcome.accepted, outcome.duplicates, outcome.head.size) == (0, 1, 5)


def test_f14_odd_bytes_cross_unchanged(sink: Sink, log_id: str) -> None:
    """NULs, blank lines, invalid UTF-8 and carriage returns have the same root on both sides."""
    odd = [b"\x00" * 50 + b"\n", b"\n", b"\xff\xfe\r\n", "\ufeff{}\u2028\n".encode(), b"{\n"]
    outcome = sink.send(sending(log_id, 0, 5, odd), REPORT)
    assert isinstance(outcome, Acked)
    assert cursor_at(log_id, 5, odd).root == outcome.head.root


def test_f36_a_batch_over_the_limit_is_too_large(sink: Sink, log_id: str) -> None:
    """A body that the cloud does not take is told so, and nothing of it is stored."""
    large = [b"x" * 50_000 + b"\n"] * 3
    assert isinstance(sink.send(sending(log_id, 0, 3, large), REPORT), TooLarge)
    heard = sink.beat(Beat(Cursor(log_id)), REPORT)
    assert isinstance(heard, Heard)
    assert heard.head.size == 0


def test_a_heartbeat_hears_the_head(sink: Sink, log_id: str) -> None:
    """A heartbeat is answered with the cloud's name and its head."""
    acked = sink.send(sending(log_id, 0, 3), REPORT)
    heard = sink.beat(Beat(cursor_at(log_id, 3)), REPORT)
    assert isinstance(acked, Acked)
    assert isinstance(heard, Heard)
    assert (acked.cloud_id, acked.head.tree_head) == (heard.cloud_id, heard.head.tree_head)


def test_f24_a_recall_finds_the_logs_again(sink: Sink, log_id: str) -> None:
    """What was acknowledged is listed with the head that the sender can compare."""
    sink.send(sending(log_id, 0, 3), REPORT)
    outcome = sink.recall()
    assert isinstance(outcome, Recalled)
    assert cursor_at(log_id, 3).root in {head.root for head in outcome.heads if head.log_id == log_id}


def test_a_key_that_was_not_denied_has_not_changed(sink: Sink, log_id: str) -> None:
    """Without a denial nobody waits for a key."""
    sink.send(sending(log_id, 0, 1), REPORT)
    assert not sink.key_changed()


def test_f33_a_denied_key_is_told_and_its_successor_noticed(keyed_cloud: Cloud, log_id: str) -> None:
    """A rotated key is denied; the new one is noticed before any request, used by the next, and then no change."""
    keys = ["gk_live_rotated"]
    sink = keyed_cloud.open_sink(lambda: keys[0])
    denied = sink.send(sending(log_id, 0, 1), REPORT)
    assert isinstance(denied, Denied)
    assert (denied.status, denied.code) == (401, "key_unknown")
    assert not sink.key_changed()
    keys[0] = keyed_cloud.key
    assert sink.key_changed()
    assert isinstance(sink.send(sending(log_id, 0, 1), REPORT), Acked)
    assert not sink.key_changed()


def test_f33_a_key_that_changes_without_a_denial_is_no_matter(keyed_cloud: Cloud, log_id: str) -> None:
    """Only a denial waits for a key: a rotation in good order is nothing to wake up for."""
    keys = [keyed_cloud.key]
    sink = keyed_cloud.open_sink(lambda: keys[0])
    assert isinstance(sink.send(sending(log_id, 0, 1), REPORT), Acked)
    keys[0] = "gk_live_next"
    assert not sink.key_changed()


@pytest.mark.parametrize("missing", [None, ""])
def test_f51_without_a_key_nothing_is_sent(keyed_cloud: Cloud, log_id: str, missing: str | None) -> None:
    """No key is a denial of its own, and a key that appears is a change."""
    keys: list[str | None] = [missing]
    sink = keyed_cloud.open_sink(lambda: keys[0])
    assert Denied(0, "no_key", "no API key is set") == sink.send(sending(log_id, 0, 1), REPORT)
    assert not sink.key_changed()
    keys[0] = keyed_cloud.key
    assert sink.key_changed()


def test_f29_an_unreachable_cloud_is_an_outcome(keyed_cloud: Cloud, log_id: str) -> None:
    """A cloud that went away, with the connection standing, is no exception."""
    sink = keyed_cloud.open_sink(lambda: keyed_cloud.key)
    assert isinstance(sink.send(sending(log_id, 0, 1), REPORT), Acked)
    keyed_cloud.stop()
    for _ in range(2):
        assert isinstance(sink.send(sending(log_id, 1, 2), REPORT), Unavailable)
        assert isinstance(sink.beat(Beat(Cursor(log_id)), REPORT), Unavailable)
        assert isinstance(sink.recall(), Unavailable)


def test_closing_twice_is_closing_once(sink: Sink, log_id: str) -> None:
    """A closed sink may be closed again."""
    sink.send(sending(log_id, 0, 1), REPORT)
    sink.close()
    sink.close()
