"""What was taken away does not come back: the rules alone, without a store."""

from __future__ import annotations

from gradata.cloud.domain.plan import BrainForbidden, Deleted, Done, LogFacts, StoredFacts, plan
from gradata.cloud.domain.requests import Loose
from gradata.cloud.domain.tombstones import ERASED, EXPIRED, Barred, foreign_content, incomparable, withheld
from tests.support.cloud_batches import append, event, lines, tree

LIMIT = 10_000
LOG = [event("a"), event("b"), b"garbage\n"]


def facts(barred: Barred | None = None, **said: object) -> StoredFacts:
    """A brain that has, or had, a and b."""
    known = {name: lines(event(name)).contents[0] for name in ("a", "b")}
    return StoredFacts(
        {"brain": "default"}, {}, {"brain": known}, barred={} if barred is None else {"brain": barred}, **said
    )  # type: ignore[arg-type]


def decided(request: object, given: StoredFacts) -> Done:
    (decision,) = plan([request], given, record_bytes=LIMIT)  # type: ignore[list-item]
    assert isinstance(decision, Done)
    return decision


def test_a_deleted_brain_takes_nothing_and_tells_only_its_own() -> None:
    """Another workspace is told what it was told before."""
    given = facts(deleted={"brain"})
    own, foreign = plan([append(LOG), append(LOG, workspace="others")], given, record_bytes=LIMIT)
    assert (own, foreign) == (Deleted(), BrainForbidden())


def test_what_is_barred_keeps_its_place_without_bytes() -> None:
    """By id or by content; it counts as a duplicate, its neighbours as what they are; the tree is whole."""
    barred = Barred({"b": EXPIRED}, {lines(LOG[2]).contents[0]})
    done = decided(append(LOG), facts(barred))
    assert (done.accepted, done.duplicates, done.flagged) == (0, 3, ())
    assert [(row.flag, row.record) for row in done.writes.rows.rows()] == [
        (None, LOG[0]),
        (EXPIRED, None),
        (ERASED, None),
    ]
    assert done.tree == tree(LOG)
    loose = decided(Loose("default", "brain", lines(*LOG)), facts(barred))
    assert (loose.writes.mended, loose.duplicates) == ([], 3)


def test_other_bytes_under_an_erased_id_are_told_and_not_kept() -> None:
    """In an erased event's place nothing new is taken; under an expired one's id a conflict is a conflict."""
    other = [event("b", "other")]
    erased = decided(append(other), facts(Barred({"b": ERASED})))
    assert [(refusal.record, refusal.code) for refusal in erased.flagged] == [(0, "erased")]
    assert erased.writes.rows.rows()[0].record is None
    expired = decided(append(other), facts(Barred({"b": EXPIRED})))
    assert [(row.flag, row.record) for row in expired.writes.rows.rows()] == [("event_conflict", other[0])]


def test_a_place_whose_bytes_went_is_not_filled_again() -> None:
    """Though its leaf would prove the bytes; a hole beside it is."""
    stored = LogFacts(
        tree(LOG), len(b"".join(LOG)), None, overlap=lines(*LOG).leaves, rows={0: None, 1: LOG[1], 2: None}, gone={2}
    )
    request = append(LOG)
    given = StoredFacts({"brain": "default"}, {("brain", request.log_id): stored}, {"brain": {}})
    done = decided(request, given)
    assert [row.number for row in done.writes.mended] == [0]


def test_forms_are_compared_with_their_own_kind() -> None:
    """The same event in two forms is no conflict; in one form with other bytes it is."""
    leaf, other = bytes(range(32)), bytes(range(1, 33))
    assert incomparable(foreign_content(2, leaf), leaf[:16])
    assert incomparable(foreign_content(2, leaf), foreign_content(3, leaf))
    assert not incomparable(foreign_content(2, leaf), foreign_content(2, other))
    assert not incomparable(leaf[:16], other[:16])
    assert len(foreign_content(2, leaf)) == 16
    assert withheld(lines(*LOG), Barred(), {}) == {}
