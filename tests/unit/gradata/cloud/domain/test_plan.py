"""The ingest's decisions: what is appended, what was there, what is kept without meaning, what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradata.cloud.domain import plan as ingest
from gradata.cloud.domain.plan import (
    BrainForbidden,
    Decision,
    Diverged,
    Done,
    Gap,
    LogFacts,
    Malformed,
    StoredFacts,
    plan,
)
from gradata.cloud.domain.requests import Append, HeartbeatWrite, HoleClaim, Lines, Loose, WriteRequest
from gradata.cloud.domain.tiles import TileLostError, hashes_of, leaves_at, tree_at
from gradata.cloud.domain.tombstones import ERASED, NOTHING_BARRED, Barred
from gradata.cloud.domain.write_set import RecordRow, Run
from gradata.cloud.protocol.interpret import read_lines, with_holes
from replicator.framing import event_id_of, split
from replicator.proof import EMPTY_ROOT, CompactRange, leaf_hash, leaf_hashes

LOG = "11111111-1111-4111-8111-111111111111"
LIMIT = 1_000


def event(name: str, text: str = "") -> bytes:
    return (
        json.dumps({"event_id": name, "type": "CORRECTION", "data": {"category": "TONE", "text": text}}).encode()
        + b"\n"
    )


def lines(*records: bytes) -> Lines:
    data = b"".join(records)
    return read_lines(data, split(data))


def tree(records: Sequence[bytes]) -> CompactRange:
    return CompactRange.EMPTY.extended(leaf_hashes(records))


class Memory:
    """A store as simple as can be: does what the writes say, and gathers the facts of one request."""

    def __init__(self) -> None:
        self.brains: dict[str, str] = {}
        self.heads: dict[tuple[str, str], LogFacts] = {}
        self.rows: dict[int, RecordRow] = {}
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.events: dict[str, dict[str, bytes]] = {}
        self.event_numbers: list[int] = []

    def tile(self, level: int, index: int) -> bytes:
        return self.tiles.get((level, index), b"")

    def facts(self, request: WriteRequest) -> StoredFacts:
        logs: dict[tuple[str, str], LogFacts] = {}
        if not isinstance(request, Loose) and (request.brain_id, request.log_id) in self.heads:
            head = self.heads[request.brain_id, request.log_id]
            if isinstance(request, Append) and request.first < head.tree.size:
                end = min(head.tree.size, request.first + request.count)
                rows = {n: row.record for n, row in self.rows.items() if request.first <= n < end}
                below = tree_at(request.first, self.tile)
                head = replace(head, overlap=leaves_at(request.first, end, self.tile), rows=rows, below=below)
            logs[request.brain_id, request.log_id] = head
        return StoredFacts(self.brains, logs, self.events)

    def ingest(self, request: WriteRequest) -> Decision:
        (decision,) = plan([request], self.facts(request), record_bytes=LIMIT)
        if isinstance(decision, Done):
            self.write(request, decision)
        return decision

    def write(self, request: WriteRequest, done: Done) -> None:
        self.brains.setdefault(request.brain_id, request.workspace)
        new = done.writes.events
        self.events.setdefault(request.brain_id, {}).update(zip(new.event_ids, new.contents, strict=True))
        self.event_numbers += new.numbers
        if isinstance(request, Append):
            self.heads[request.brain_id, request.log_id] = LogFacts(done.tree, done.offset, done.event_id)
            self.rows |= {row.number: row for row in (*done.writes.rows.rows(), *done.writes.mended)}
            for part in done.writes.tiles:
                before = self.tile(part.level, part.number)
                assert len(before) == part.slot * 32, "a part begins where its tile ends"
                self.tiles[part.level, part.number] = before + part.hashes


def batch(log: Sequence[bytes], first: int = 0, end: int | None = None, **changes: object) -> Append:
    """The batch of records [first, end) of a log that holds `log`."""
    part = log[first:end]
    request = Append(
        workspace="w",
        brain_id="brain",
        device_id="device",
        log_id=LOG,
        parent=None,
        first=first,
        offset=sum(map(len, log[:first])),
        root=tree(log[:first]).root,
        load=lines(*part),
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def done(decision: Decision) -> Done:
    assert isinstance(decision, Done), decision
    return decision


def counts(decision: Decision) -> tuple[int, int, list[tuple[int, str]], list[tuple[int, str]]]:
    result = done(decision)
    flagged = [(item.record, item.code) for item in result.flagged]
    refused = [(item.record, item.code) for item in result.refused]
    return result.accepted, result.duplicates, flagged, refused


ONE = event("one")
LEAVES = [leaf_hash(b"%d" % number) for number in range(513)]


@given(
    st.sampled_from([0, 1, 2, 3, 7, 254, 255, 256, 511, 512]),
    st.sampled_from([ONE, event("two", "x" * LIMIT), b"\n", b"{}\n", ONE[:-1] + b"\r\n", ONE + event("two")]),
    st.sampled_from([{}, {}, {"first": 513}, {"offset": 7}, {"root": EMPTY_ROOT}, {"load": HoleClaim(9, LEAVES[0])},
                     {"load": with_holes(lines(ONE), [(1, 9, LEAVES[0])])},
                     {"load": with_holes(lines(), [(0, 9, LEAVES[0])])}]),
    st.sampled_from([{}, {"one": lines(ONE).contents[0]}, {"one": LEAVES[0][:16]}, {"other": b"content"}]),
    st.sampled_from([NOTHING_BARRED, Barred({"one": ERASED}), Barred({}, {lines(ONE).contents[0]})]),
)  # fmt: skip
def test_one_new_event_is_decided_as_any_batch(
    size: int, record: bytes, changes: dict[str, Any], known: dict[str, bytes], barred: Barred
) -> None:
    """The short way gives what the long one gives, and learns the same; or it leaves the request to that one."""
    head = LogFacts(CompactRange.EMPTY.extended(LEAVES[:size]), 10 * size, None)
    request = replace(batch([record]), first=size, offset=10 * size, root=head.tree.root, load=lines(*split_up(record)))
    request = replace(request, **changes)
    short, long = dict(known), dict(known)
    quick = ingest._next(request, head, short, barred, LIMIT)
    if quick is None:
        assert short == known
        assert changes or barred or record != ONE or "one" in known
    else:
        assert quick == (ingest._misfit(request, head) or ingest._append(request, head, long, barred, LIMIT))
        assert short == long


def split_up(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def test_a_new_log_begins_with_its_first_batch() -> None:
    """The first batch of an unknown log is appended: head, rows, tiles and events follow from its records."""
    log = [event("a"), event("b")]
    store = Memory()
    result = done(store.ingest(batch(log)))
    assert counts(result) == (2, 0, [], [])
    assert (tree(log), len(b"".join(log)), "b") == (result.tree, result.offset, result.event_id)
    assert [RecordRow(0, 0, len(log[0]), None, log[0]), RecordRow(1, len(log[0]), len(log[1]), None, log[1])] == (
        result.writes.rows.rows()
    )
    assert b"".join(leaf_hashes(log)) == store.tile(0, 0)
    assert list(result.writes.events.event_ids) == ["a", "b"]


def test_a_batch_at_the_head_is_appended() -> None:
    """`first` = size with equal roots goes on where the log ended."""
    log = [event("a"), event("b"), event("c")]
    store = Memory()
    store.ingest(batch(log, 0, 1))
    result = done(store.ingest(batch(log, 1)))
    assert (tree(log), b"".join(log)) == (result.tree, b"".join(row.record or b"" for row in store.rows.values()))


def test_f31_a_resend_counts_as_duplicates_and_changes_nothing() -> None:
    """The batch again, its answer was lost: all duplicates, the same head, nothing to write."""
    log = [event("a"), event("b")]
    store = Memory()
    first = done(store.ingest(batch(log)))
    again = done(store.ingest(batch(log)))
    assert counts(again) == (0, 2, [], [])
    assert (first.tree, first.offset, first.event_id) == (again.tree, again.offset, again.event_id)
    writes = again.writes
    assert (
        writes.rows.rows(),
        list(writes.mended),
        tuple(writes.events.event_ids),
        list(writes.tiles),
    ) == ([], [], (), [])


def test_f31_a_resend_inside_the_log_answers_with_the_servers_head() -> None:
    """A batch that lies wholly behind the head is answered with the head, not with the batch's own end."""
    log = [event("a"), event("b"), event("c")]
    store = Memory()
    store.ingest(batch(log))
    result = done(store.ingest(batch(log, 0, 2)))
    assert (3, tree(log).root, "c") == (result.tree.size, result.tree.root, result.event_id)


def test_a_batch_across_the_head_appends_what_is_new() -> None:
    """The overlap counts as duplicates, the rest is appended."""
    log = [event("a"), event("b"), event("c")]
    store = Memory()
    store.ingest(batch(log, 0, 2))
    result = store.ingest(batch(log, 1))
    assert counts(result) == (1, 1, [], [])
    assert tree(log) == done(result).tree
    assert [row.number for row in done(result).writes.rows.rows()] == [2]


def test_f39_a_batch_beyond_the_head_is_a_gap() -> None:
    """`first` > size: 409 with the head, size 0 for an unknown log; nothing is written, the brain is not claimed."""
    log = [event("a"), event("b"), event("c")]
    store = Memory()
    unknown = store.ingest(batch(log, 1))
    assert unknown == Gap(LogFacts())
    assert store.brains == {}
    store.ingest(batch(log, 0, 1))
    behind = store.ingest(batch(log, 2))
    assert isinstance(behind, Gap)
    assert tree(log[:1]) == behind.head.tree


def test_f39_an_overlap_with_another_leaf_has_diverged() -> None:
    """409 names the first record known to differ."""
    log = [event("a"), event("b"), event("c")]
    store = Memory()
    store.ingest(batch(log))
    other = [log[0], event("B"), event("C")]
    answer = store.ingest(batch(other))
    assert isinstance(answer, Diverged)
    assert (1, tree(log)) == (answer.record, answer.head.tree)


def test_f39_another_root_at_the_head_has_diverged() -> None:
    """`first` = size with another root: the record that differs is unknown."""
    log = [event("a"), event("b")]
    store = Memory()
    store.ingest(batch(log, 0, 1))
    answer = store.ingest(batch([event("A"), event("b")], 1))
    assert isinstance(answer, Diverged)
    assert answer.record is None


def test_f39_nothing_is_appended_to_a_tree_that_is_not_the_clients() -> None:
    """The overlap agrees but what is before it does not: appending would prove what the client does not have."""
    log = [event("a"), event("b"), event("c")]
    store = Memory()
    store.ingest(batch(log, 0, 2))
    other = [event("A"), event("b"), event("c")]
    assert isinstance(store.ingest(batch(other, 1)), Diverged)


def test_a_repair_is_accepted_by_its_leaf_alone() -> None:
    """Inside the log only leaves count: an old record edited elsewhere does not hinder a repair."""
    log = [event("a"), event("b"), event("c")]
    store = Memory()
    store.ingest(batch(log))
    del store.rows[1]
    edited = [event("A"), event("b"), event("c")]
    result = done(store.ingest(batch(edited, 1, 2)))
    assert counts(result) == (0, 1, [], [])
    assert log[1] == store.rows[1].record


def test_an_envelope_with_a_wrong_offset_is_malformed() -> None:
    """Equal trees end at equal offsets; an envelope that says otherwise contradicts itself."""
    log = [event("a"), event("b")]
    store = Memory()
    store.ingest(batch(log, 0, 1))
    answer = store.ingest(batch(log, 1, offset=len(log[0]) + 1))
    assert isinstance(answer, Malformed)
    assert str(len(log[0])) in answer.detail


@pytest.mark.parametrize("stored", [None, "damaged", "a hole"])
def test_what_the_overlap_lost_is_filled_in(stored: str | None) -> None:
    """A row missing, damaged, or a hole gets the bytes that its leaf proves; a missing event comes back, too."""
    log = [event("a"), event("b")]
    store = Memory()
    store.ingest(batch(log))
    row = store.rows.pop(0)
    del store.events["brain"]["a"]
    if stored:
        store.rows[0] = row._replace(record=b"x\n" if stored == "damaged" else None)
    result = done(store.ingest(batch(log)))
    assert counts(result) == (0, 2, [], [])
    assert [row] == list(result.writes.mended)
    assert list(result.writes.events.event_ids) == ["a"]


def test_a_record_that_cannot_travel_keeps_its_place() -> None:
    """A place without bytes: length and leaf run on; the same place again is a duplicate."""
    big = event("big", "x" * 500)
    log = [event("a"), big, event("c")]
    store = Memory()
    store.ingest(batch(log, 0, 1))
    hole = batch(log, 1, 2, load=HoleClaim(len(big), leaf_hash(big)))
    result = done(store.ingest(hole))
    assert counts(result) == (1, 0, [], [])
    assert (RecordRow(1, len(log[0]), len(big), None, None), None) == (store.rows[1], result.event_id)
    assert counts(store.ingest(hole)) == (0, 1, [], [])
    assert tree(log) == done(store.ingest(batch(log, 2))).tree


def test_a_hole_is_filled_by_a_resend() -> None:
    """The bytes of a hole may come later; their leaf must be the one that was claimed."""
    log = [event("a"), event("b")]
    store = Memory()
    store.ingest(batch(log, 0, 1, load=HoleClaim(len(log[0]), leaf_hash(log[0]))))
    assert isinstance(store.ingest(batch([event("x"), log[1]])), Diverged)
    result = done(store.ingest(batch(log)))
    assert counts(result) == (1, 1, [], [])
    assert log[0] == store.rows[0].record
    assert {"a", "b"} == set(store.events["brain"])


def test_f35_places_without_bytes_among_records_are_counted_and_filled_later() -> None:
    """The neighbours are stored and interpreted, flags stay with their records; the bytes may come by a resend."""
    log = [event("a"), event("b"), b"no json\n", event("d")]
    holes = [(1, len(log[1]), leaf_hash(log[1])), (3, len(log[3]), leaf_hash(log[3]))]
    store = Memory()
    left_out = batch(log, load=with_holes(lines(log[0], log[2]), holes))
    result = done(store.ingest(left_out))
    assert counts(result) == (3, 0, [(2, "not_json")], [])
    assert (tree(log), sum(map(len, log)), None) == (result.tree, result.offset, result.event_id)
    assert [store.rows[number].record for number in range(4)] == [log[0], None, log[2], None]
    assert [store.rows[number].flag for number in range(4)] == [None, None, "not_json", None]
    assert {"a"} == set(store.events["brain"])
    assert counts(store.ingest(left_out)) == (0, 4, [], [])
    assert counts(store.ingest(batch(log, 1, 2))) == (0, 1, [], [])
    assert log[1] == store.rows[1].record
    assert {"a", "b"} == set(store.events["brain"])
    store.ingest(left_out)
    assert log[1] == store.rows[1].record


def test_f35_a_flag_moves_with_its_record_behind_a_hole() -> None:
    """Places are counted with the holes among them."""
    woven = with_holes(lines(b"no json\n", event("b")), [(0, 7, b"\x01" * 32)])
    assert (woven.flags, woven.event_ids, woven.lengths()[0]) == ({1: "not_json"}, [None, None, "b"], 7)


def test_a_claim_does_not_take_bytes_away() -> None:
    """A hole claimed where the bytes are leaves them there."""
    log = [event("a")]
    store = Memory()
    store.ingest(batch(log))
    result = done(store.ingest(batch(log, load=HoleClaim(len(log[0]), leaf_hash(log[0])))))
    assert list(result.writes.mended) == []
    assert log[0] == store.rows[0].record


def test_f15_a_record_beyond_the_limit_is_refused_and_its_neighbours_stay() -> None:
    """One record too large among others: place, length and leaf are kept, its bytes are not."""
    log = [event("a"), event("b", "x" * LIMIT), event("c")]
    store = Memory()
    result = done(store.ingest(batch(log)))
    assert counts(result) == (2, 0, [], [(1, "record_too_large")])
    assert (tree(log), None) == (result.tree, store.rows[1].record)
    assert {"a", "c"} == set(store.events["brain"])


def test_f31_a_refusal_is_said_again_on_a_resend() -> None:
    """The client that lost the answer needs it for its dead letter."""
    log = [event("a"), event("b", "x" * LIMIT)]
    store = Memory()
    store.ingest(batch(log))
    assert counts(store.ingest(batch(log))) == (0, 1, [], [(1, "record_too_large")])


def test_f14_what_is_no_event_is_kept_and_flagged() -> None:
    """Garbage does not block its neighbours; on a resend it is a duplicate like any place that was there."""
    log = [event("a"), b"\n", b"[]\n", b"{\n", b'{"a": "\xff"}\n', b"\0\0\n", event("z")]
    store = Memory()
    expected = [(1, "blank"), (2, "not_object"), (3, "not_json"), (4, "not_utf8"), (5, "not_json")]
    assert (2, 0, expected, []) == counts(store.ingest(batch(log)))
    assert log == [row.record for row in store.rows.values()]
    assert [row.flag for row in store.rows.values() if row.number == 1] == ["blank"]
    assert counts(store.ingest(batch(log))) == (0, 7, [], [])


def test_a_log_that_ends_in_garbage_is_named_by_its_bytes() -> None:
    """The head's event_id is the identity of the last record, whatever stands on it."""
    log = [event("a"), b"garbage\n"]
    assert event_id_of(log[1]) == done(Memory().ingest(batch(log))).event_id


def test_f16_the_same_event_twice_is_stored_once() -> None:
    """In one batch, in the next, with another line end, or without event_id: the event once, each record kept."""
    bare = b'{"type": "X"}\n'
    log = [event("a"), event("a"), event("a")[:-1] + b"\r\n", bare, bare]
    store = Memory()
    assert counts(store.ingest(batch(log))) == (2, 3, [], [])
    assert counts(store.ingest(batch([*log, event("a")], 5))) == (0, 1, [], [])
    assert {0, 3} == set(store.event_numbers)
    assert [*log, event("a")] == [row.record for row in store.rows.values()]


def test_f16_the_same_event_id_with_other_bytes_is_a_conflict() -> None:
    """The first stays the event, the second is kept as a record and reported; in one batch as across two."""
    log = [event("a"), event("a", "other"), event("a", "third")]
    store = Memory()
    assert counts(store.ingest(batch(log, 0, 2))) == (1, 0, [(1, "event_conflict")], [])
    assert counts(store.ingest(batch(log, 2))) == (0, 0, [(2, "event_conflict")], [])
    assert log == [row.record for row in store.rows.values()]
    assert store.rows[1].flag == "event_conflict"
    assert counts(store.ingest(batch(log))) == (0, 3, [], [])


def test_f16_two_brains_may_have_the_same_event_ids() -> None:
    """Identity is within a brain."""
    facts = StoredFacts({"brain": "w"}, {}, {"brain": {"a": b"content"}})
    (decision,) = plan([batch([event("a")], brain_id="brain 2")], facts, record_bytes=LIMIT)
    assert counts(decision) == (1, 0, [], [])


def test_requests_of_one_group_see_each_other() -> None:
    """The same event in two logs of one group is accepted once, and the brain belongs to the first who wrote."""
    other_log = "22222222-2222-4222-8222-222222222222"
    requests: list[WriteRequest] = [
        batch([event("a")]),
        batch([event("a"), event("b")], log_id=other_log),
        batch([event("c")], workspace="thief"),
    ]
    decisions = plan(requests, StoredFacts({}, {}, {}), record_bytes=LIMIT)
    assert [counts(decision) for decision in decisions[:2]] == [(1, 0, [], []), (1, 1, [], [])]
    assert decisions[2] == BrainForbidden()


def test_f58_a_brain_of_another_workspace_is_forbidden() -> None:
    """Whatever the request is: records, heartbeat or loose events."""
    facts = StoredFacts({"brain": "owner"}, {}, {})
    requests: list[WriteRequest] = [
        batch([event("a")]),
        HeartbeatWrite("w", "brain", "device", LOG),
        Loose("w", "brain", lines(event("a"))),
    ]
    assert [BrainForbidden()] * 3 == plan(requests, facts, record_bytes=LIMIT)


def test_a_heartbeat_answers_with_the_head() -> None:
    """That of the log, or of an empty one."""
    log = [event("a")]
    store = Memory()
    beat = HeartbeatWrite("w", "brain", "device", LOG)
    assert done(store.ingest(beat)).tree == CompactRange.EMPTY
    store.ingest(batch(log))
    result = done(store.ingest(beat))
    assert (tree(log), len(log[0]), "a") == (result.tree, result.offset, result.event_id)


def test_loose_events_are_stored_once_and_are_part_of_no_log() -> None:
    """New and flagged lines are kept, duplicates and lines too large are not."""
    store = Memory()
    load = lines(event("a"), event("a"), b"garbage\n", event("a", "other"), event("big", "x" * LIMIT))
    result = done(store.ingest(Loose("w", "brain", load)))
    expected = [(2, "not_json"), (3, "event_conflict")]
    assert (1, 1, expected, [(4, "record_too_large")]) == counts(result)
    assert [(row.number, row.flag) for row in result.writes.mended] == [
        (0, None),
        (2, "not_json"),
        (3, "event_conflict"),
    ]
    assert store.heads == {}


def test_a_lost_tile_is_an_error_and_no_answer() -> None:
    """Where the tree cannot be read nothing can be proven, so nothing is made up."""
    store = Memory()
    store.ingest(batch([event(str(number)) for number in range(300)]))
    store.tiles[0, 0] = store.tiles[0, 0][:-32]
    with pytest.raises(TileLostError):
        leaves_at(0, 300, store.tile)
    with pytest.raises(TileLostError):
        tree_at(255, lambda *_: b"")


ANY = st.sampled_from([event("a"), event("a", "other"), event("b"), event("c"), b"no json\n", event("d", "x" * LIMIT)])


@settings(max_examples=150, deadline=None)
@given(st.lists(ANY, max_size=6), st.lists(ANY, min_size=1, max_size=6))
def test_f16_a_batch_is_decided_as_its_records_one_by_one(before: list[bytes], after: list[bytes]) -> None:
    """New or known, once or twice, conflicting, odd or too long: the same counts, rows and events."""
    log = before + after
    cut, single = Memory(), Memory()
    whole = [
        done(cut.ingest(batch(log, *span))) for span in ((0, len(before)), (len(before), None)) if log[slice(*span)]
    ]
    each = [done(single.ingest(batch(log, number, number + 1))) for number in range(len(log))]
    for some in (whole, each):
        assert sum(result.accepted for result in some) == len(cut.events["brain"])
    assert sum(result.duplicates for result in whole) == sum(result.duplicates for result in each)
    assert [flag for result in whole for flag in result.flagged] == [flag for result in each for flag in result.flagged]
    assert [item for result in whole for item in result.refused] == [item for result in each for item in result.refused]
    assert (cut.rows, cut.events, cut.event_numbers) == (single.rows, single.events, single.event_numbers)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 900), st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), max_size=12))
def test_batches_in_any_cut_build_the_same_tree(size: int, cuts: list[tuple[int, int]]) -> None:
    """However a log is cut and resent, the rows are its bytes, and head and tiles are those of RFC 9162 over them."""
    log = [b"%d\n" % number for number in range(size)]
    store = Memory()
    reached = 0
    for first, count in [*cuts, (0, size)]:
        begin = min(first, reached)
        if log[begin : begin + count]:
            result = done(store.ingest(batch(log, begin, begin + count)))
            reached = result.tree.size
            assert len(log[begin : begin + count]) == result.accepted + result.duplicates + len(result.flagged)
    assert tree(log) == store.heads["brain", LOG].tree
    assert log == [store.rows[number].record for number in range(size)]
    assert [sum(map(len, log[:n])) for n in range(size)] == [store.rows[n].offset for n in range(size)]
    assert leaf_hashes(log) == leaves_at(0, size, store.tile)
    for at in {0, 1, size // 2, size - 1, size}:
        assert tree(log[:at]) == tree_at(at, store.tile)
    assert tree_at(0, store.tile).root == EMPTY_ROOT
    assert all(len(hashes_of(tile)) <= 256 for tile in store.tiles.values())


def test_a_run_names_its_rows() -> None:
    """Columns and rows are two views of the same places."""
    run = Run(5, [10, 12], [2, 3], [None, "blank"], [b"a\n", None])
    assert [RecordRow(5, 10, 2, None, b"a\n"), RecordRow(6, 12, 3, "blank", None)] == run.rows()
    assert run.rows()[1:] == run.behind(1).rows()
    assert run is run.behind(0)
