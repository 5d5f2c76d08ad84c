"""The ingest's decisions to the last word: what was taken away and stays away, what is said of each odd record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gradata.cloud.domain.plan import FLAG_WORDS, Decision, Deleted, Diverged, Done, LogFacts, StoredFacts, plan
from gradata.cloud.domain.requests import Loose, WriteRequest
from gradata.cloud.domain.tombstones import ERASED, EXPIRED, Barred
from gradata.cloud.domain.write_set import RecordRow
from gradata.cloud.protocol.interpret import with_holes
from replicator.model import Refusal
from replicator.proof import CompactRange, leaf_hashes
from tests.support.cloud_batches import append, event, lines, tree

KEPT, GONE, OTHER, OLD, NEW = event("kept"), event("gone"), event("gone", "other"), event("old"), event("new")
CONTENT = {name: lines(event(name)).contents[0] for name in ("kept", "gone", "old")}
BARRED = Barred({"gone": ERASED, "old": EXPIRED}, frozenset({CONTENT["gone"]}))
KNOWN = {"brain": {"old": CONTENT["old"], "gone": b"erased"}}


def decided(request: WriteRequest, facts: StoredFacts, *, record_bytes: int = 1_000) -> Done:
    (decision,) = plan([request], facts, record_bytes=record_bytes)
    assert isinstance(decision, Done)
    return decision


def counted(decision: Decision) -> tuple[int, int, list[int], list[int]]:
    assert isinstance(decision, Done)
    numbers = [[one.record for one in some] for some in (decision.flagged, decision.refused)]
    return decision.accepted, decision.duplicates, numbers[0], numbers[1]


def stored(*records: bytes, gone: tuple[int, ...] = ()) -> LogFacts:
    """The facts of a log with these records, all of which a request sends again."""
    rows = {number: None if number in gone else record for number, record in enumerate(records)}
    return LogFacts(
        tree(records), sum(map(len, records)), None, leaf_hashes(records), rows, CompactRange.EMPTY, set(gone)
    )


# ------------------------------------------------------------------------------ what stays away


def test_what_was_erased_or_has_expired_keeps_its_place_alone() -> None:
    """A duplicate of which no byte is kept, and whose row says why; other bytes under an erased id are told."""
    log = [KEPT, GONE, OLD, OTHER]
    done = decided(append(log), StoredFacts({}, {}, KNOWN, barred={"brain": BARRED}))
    assert counted(done) == (1, 2, [3], [])
    assert done.flagged == (Refusal(3, ERASED, FLAG_WORDS[ERASED]),)
    rows = done.writes.rows.rows()
    assert [(row.record, row.flag) for row in rows] == [(KEPT, None), (None, ERASED), (None, EXPIRED), (None, ERASED)]
    assert (done.tree, done.offset) == (tree(log), sum(map(len, log)))
    assert list(done.writes.events.event_ids) == ["kept"]
    unknown = decided(append([GONE]), StoredFacts({}, {}, {}, barred={"brain": replace(BARRED, events={})}))
    assert (counted(unknown), unknown.writes.rows.rows()[0].record) == ((0, 1, [], []), None)


def test_other_bytes_under_an_erased_id_are_told_behind_the_head_alone() -> None:
    """The number is that of the place; a place that was there is a duplicate whatever stands on it."""
    log = [KEPT, OTHER, NEW, OTHER]
    facts = StoredFacts({}, {("brain", append(log).log_id): stored(*log[:2])}, KNOWN, barred={"brain": BARRED})
    done = decided(append(log), facts)
    assert counted(done) == (1, 2, [3], [])
    behind = replace(stored(*log[:3]), overlap=(), rows={})
    facts = StoredFacts({}, {("brain", append(log).log_id): behind}, KNOWN, barred={"brain": BARRED})
    done = decided(append([*log, OTHER], 3), facts)
    assert done.flagged == (Refusal(3, ERASED, FLAG_WORDS[ERASED]), Refusal(4, ERASED, FLAG_WORDS[ERASED]))


def test_other_bytes_under_an_expired_id_are_a_conflict_and_kept() -> None:
    """They are another record; the event stays what it was."""
    log = [event("old", "other")]
    done = decided(append(log), StoredFacts({}, {}, KNOWN, barred={"brain": BARRED}))
    assert [(one.record, one.code) for one in done.flagged] == [(0, "event_conflict")]
    assert done.writes.rows.rows() == [RecordRow(0, 0, len(log[0]), "event_conflict", log[0])]


def test_loose_events_that_were_taken_away_are_not_kept() -> None:
    """Neither as events nor as lines; those of another brain are as new as ever."""
    facts = StoredFacts({}, {}, KNOWN, barred={"brain": BARRED})
    done = decided(Loose("default", "brain", lines(KEPT, GONE, OLD, OTHER)), facts)
    assert counted(done) == (1, 2, [3], [])
    assert [row.number for row in done.writes.mended] == [0]
    elsewhere = decided(Loose("default", "other", lines(KEPT, GONE, OLD)), facts)
    assert counted(elsewhere) == (3, 0, [], [])


def test_bytes_that_are_gone_on_purpose_are_not_mended() -> None:
    """A resend of the whole log brings back the row that storage lost, not the one that a person erased."""
    facts = stored(KEPT, GONE, NEW, gone=(1,))
    lost = replace(facts, rows={number: record for number, record in facts.rows.items() if number != 2})
    log = append([KEPT, GONE, NEW])
    done = decided(log, StoredFacts({}, {("brain", log.log_id): lost}, {}))
    assert [row.number for row in done.writes.mended] == [2]


def test_a_brain_that_was_deleted_takes_nothing_and_others_do() -> None:
    """In one group: the answer to each request is that of its own brain."""
    requests: list[WriteRequest] = [append([KEPT]), append([KEPT], brain_id="other")]
    one, other = plan(requests, StoredFacts({}, {}, {}, {"brain"}), record_bytes=1_000)
    assert one == Deleted()
    assert counted(other) == (1, 0, [], [])


# ------------------------------------------------------------------------------ words and limits


def test_each_odd_record_is_told_in_words() -> None:
    """Number, code and what became of it."""
    log = [event("a"), b"\n", b"[]\n", b"{\n", b'{"a": "\xff"}\n', event("a", "other"), event("b", "x" * 1_000)]
    done = decided(append(log), StoredFacts({}, {}, {}))
    assert done.flagged == (
        Refusal(1, "blank", "nothing but white space"),
        Refusal(2, "not_object", "kept byte for byte, but it is JSON that is no object"),
        Refusal(3, "not_json", "kept byte for byte, but it is not JSON"),
        Refusal(4, "not_utf8", "kept byte for byte, but it is not UTF-8"),
        Refusal(5, "event_conflict", "an event with this event_id and other bytes was stored before; both are kept"),
    )
    words = f"{len(log[6])} bytes; at most 1000 are kept"
    assert done.refused == (Refusal(6, "record_too_large", words),)


@pytest.mark.parametrize("beside", [(), (event("larger", "x" * 200),), (b"no json\n",)])
def test_f15_a_record_at_the_limit_is_kept(beside: tuple[bytes, ...]) -> None:
    """Whatever stands beside it: the limit is what may be, not what may not."""
    log = [event("a"), *beside]
    done = decided(append(log), StoredFacts({}, {}, {}), record_bytes=len(log[0]))
    assert done.accepted == 1
    assert done.writes.rows.rows()[0].record == log[0]


def test_f15_a_blank_line_beside_a_record_beyond_the_limit_is_kept() -> None:
    """One byte is a record; a place without bytes has none."""
    done = decided(append([b"\n", event("b", "x" * 1_000)]), StoredFacts({}, {}, {}))
    assert [row.record for row in done.writes.rows.rows()] == [b"\n", None]


def test_f35_a_hole_right_behind_the_head_is_new() -> None:
    """The first place that is not there yet counts as accepted, with its bytes or without."""
    log = [event("a"), event("b"), event("c")]
    request = append(log)
    holes = [(1, len(log[1]), leaf_hashes(log)[1])]
    request = replace(request, load=with_holes(lines(log[0], log[2]), holes))
    done = decided(
        request,
        StoredFacts({}, {("brain", request.log_id): stored(log[0])}, {"brain": {"a": lines(log[0]).contents[0]}}),
    )
    assert counted(done) == (2, 1, [], [])


def test_what_is_interpreted_goes_into_columns() -> None:
    """Of all records where all are new events, else of those that are."""
    log = [event("a", kind="A"), event("b", kind="B"), event("c", kind="C")]
    assert decided(append(log), StoredFacts({}, {}, {})).writes.events.columns.types == ["A", "B", "C"]
    known = {"brain": {"b": lines(log[1]).contents[0]}}
    events = decided(append(log), StoredFacts({}, {}, known)).writes.events
    assert (list(events.event_ids), list(events.numbers), events.columns.types) == (["a", "c"], [0, 2], ["A", "C"])


def test_loose_lines_are_kept_whole_and_belong_to_no_log() -> None:
    """With what is needed to store them: number, length, flag and bytes; no tree, no offset."""
    load = lines(event("a"), event("a"), b"garbage\n")
    done = decided(Loose("default", "brain", load), StoredFacts({}, {}, {}))
    first = RecordRow(0, 0, len(load.records[0]), None, load.records[0])
    assert list(done.writes.mended) == [first, RecordRow(2, 0, 8, "not_json", b"garbage\n")]
    assert (done.tree, done.offset, done.event_id) == (CompactRange.EMPTY, 0, None)
    assert list(done.writes.events.event_ids) == ["a"]
    assert counted(decided(Loose("default", "brain", lines()), StoredFacts({}, {}, {}))) == (0, 0, [], [])


def test_a_batch_across_the_head_mends_nothing_that_is_there() -> None:
    """New rows are new rows, at the head itself too."""
    log = [event("a"), event("b")]
    request = append(log)
    done = decided(request, StoredFacts({}, {("brain", request.log_id): stored(log[0])}, {}))
    assert ([row.number for row in done.writes.rows.rows()], list(done.writes.mended)) == ([1], [])


def test_f39_another_root_is_answered_with_the_head() -> None:
    """The client learns where the cloud stands."""
    log = [event("a"), event("b")]
    head = LogFacts(tree([event("A")]), len(log[0]))
    request = append(log, 1)
    (decision,) = plan([request], StoredFacts({}, {("brain", request.log_id): head}, {}), record_bytes=1_000)
    assert decision == Diverged(head, None)
