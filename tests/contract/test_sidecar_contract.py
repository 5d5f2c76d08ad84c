"""What each sidecar promises, the real one and the one in memory alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replicator.actions import ResetOrder
from replicator.errors import SidecarError
from replicator.model import Anchor, Cursor, DeadLetter, Standing, TreeHead
from replicator.proof import CompactRange
from replicator.sidecar import KeptDeadLetter, PendingOrders, Sidecar, SidecarPort
from replicator.testing import MemorySidecar, SidecarRows

Open = Callable[[], SidecarPort]


def cursor(size: int, *, event_id: str | None = None) -> Cursor:
    leaves = [hashlib.sha256(str(number).encode()).digest() for number in range(size)]
    anchor = Anchor(10, hashlib.sha256(b"last").digest()) if size else None
    tree = CompactRange.EMPTY.extended(leaves)
    return Cursor("log-1", size * 10, tree, event_id, anchor, parent="log-0" if size else None)


def letter(record: int, detail: str = "") -> DeadLetter:
    return DeadLetter("log-1", record, record * 10, 10, "record_too_large", detail)


@pytest.fixture(params=["sqlite", "memory"])
def open_sidecar(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens one more handle on the same sidecar."""
    rows = SidecarRows()
    opened: list[SidecarPort] = []

    def open_one() -> SidecarPort:
        path = str(tmp_path / ".replicator.db")
        one: SidecarPort = Sidecar.open(path, wall=lambda: 0.0) if request.param == "sqlite" else MemorySidecar(rows)
        opened.append(one)
        return one

    yield open_one
    for one in opened:
        one.close()


STANDINGS = {
    "new": Standing(Cursor("log-1")),
    "one": Standing(cursor(1)),
    "full": Standing(cursor(255, event_id="01ABC"), "cloud", "https://x/api/v1", TreeHead(7, b"r" * 32)),
    "large": Standing(Cursor("l", 2**62, CompactRange(2**40, (b"n" * 32,)), "e", Anchor(2**40, b"a" * 32))),
    "odd texts": Standing(cursor(2, event_id="\ud800\x00'; DROP TABLE standing; --"), "\u2028", "\N{GRINNING FACE}"),
}


@pytest.mark.parametrize("name", STANDINGS)
def test_what_was_saved_is_loaded_by_the_next_process(open_sidecar: Open, name: str) -> None:
    """Every standing that can exist comes back equal, in another handle."""
    open_sidecar().save(STANDINGS[name])

    assert STANDINGS[name] == open_sidecar().load()


def test_a_new_sidecar_is_empty(open_sidecar: Open) -> None:
    """Nothing is made up before the first checkpoint."""
    sidecar = open_sidecar()

    found = (sidecar.load(), sidecar.status(), sidecar.dead_letters(), sidecar.dead_letter_count(), sidecar.asked())

    assert found == (None, None, [], 0, None)
    assert sidecar.set_aside is None


def test_a_later_standing_replaces_the_earlier_one(open_sidecar: Open) -> None:
    """A cursor may go back, and a value may become None again."""
    sidecar = open_sidecar()
    sidecar.save(STANDINGS["full"])
    sidecar.save(STANDINGS["new"])

    assert STANDINGS["new"] == sidecar.load()


def test_status_is_saved_with_the_standing_or_alone(open_sidecar: Open) -> None:
    """Status is opaque bytes; a save without one leaves the last."""
    sidecar = open_sidecar()
    sidecar.save(STANDINGS["one"], status=b'{"a": 1}\xff')
    sidecar.save(STANDINGS["one"])
    assert sidecar.status() == b'{"a": 1}\xff'

    sidecar.save_status(b"later")
    assert open_sidecar().status() == b"later"


def test_a_dead_letter_is_kept_once_for_each_record(open_sidecar: Open) -> None:
    """A record refused again keeps its id, takes the new reason, and is dead again although it was marked."""
    sidecar = open_sidecar()
    sidecar.save(STANDINGS["one"], [letter(3), letter(4)])
    sidecar.mark_retry([1])
    sidecar.save(STANDINGS["one"], [letter(3, "again \udfff")])

    kept = [(one.id, one.letter, one.state) for one in sidecar.dead_letters()]

    assert kept == [(1, letter(3, "again \udfff"), "dead"), (2, letter(4), "dead")]
    assert sidecar.dead_letter_count() == 2


def test_dead_letters_come_in_pages(open_sidecar: Open) -> None:
    """`after` and `limit` page through any number of them in order."""
    sidecar = open_sidecar()
    sidecar.save(STANDINGS["one"], [letter(number) for number in range(5)])

    assert [one.id for one in sidecar.dead_letters(limit=2)] == [1, 2]
    assert [one.id for one in sidecar.dead_letters(after=2, limit=2)] == [3, 4]


def test_ids_of_dropped_dead_letters_are_not_used_again(open_sidecar: Open) -> None:
    """A person's `drop 2` never hits another record than the one that was listed as 2."""
    sidecar = open_sidecar()
    sidecar.save(STANDINGS["one"], [letter(1), letter(2)])

    assert sidecar.drop_dead_letters([2, 77]) == 1
    assert sidecar.drop_dead_letters([]) == 0
    sidecar.save(STANDINGS["one"], [letter(2)])

    assert [one.id for one in sidecar.dead_letters()] == [1, 3]


def test_the_leader_sees_a_retry_until_the_dead_letter_is_dropped(open_sidecar: Open) -> None:
    """An order is a level, not an edge: it is answered until it is carried out, and then no more."""
    leader, person = open_sidecar(), open_sidecar()
    leader.save(STANDINGS["one"], [letter(1), letter(2)])
    assert leader.asked() is None

    assert person.mark_retry([2, 99]) == 1
    asked = [leader.asked(), leader.asked()]
    leader.drop_dead_letters([2])

    assert [[one.letter for one in seen.retries] if seen else [] for seen in asked] == [[letter(2)]] * 2
    assert leader.asked() is None


def test_a_reset_is_seen_until_the_save_that_carries_it_out(open_sidecar: Open) -> None:
    """Each save before answers the order; the one with its id removes it; the person sees that it was done."""
    leader, person = open_sidecar(), open_sidecar()
    leader.save(STANDINGS["full"])
    assert leader.asked() is None

    number = person.ask_reset(ResetOrder(cursor(3), confirmed=True))
    wanted = ResetOrder(cursor(3), confirmed=True, id=number)

    assert leader.asked() == PendingOrders(wanted)
    assert leader.save(STANDINGS["full"]) == wanted
    assert not person.reset_done(number)
    assert leader.save(Standing(cursor(3)), done_reset=number) is None
    assert person.reset_done(number)
    assert leader.asked() is None


def test_the_newest_reset_counts_and_older_ones_end_with_it(open_sidecar: Open) -> None:
    """Two orders in a row: the second is carried out; both are done."""
    leader, person = open_sidecar(), open_sidecar()
    first, second = person.ask_reset(ResetOrder(cursor(1))), person.ask_reset(ResetOrder(Cursor("log-1")))

    pending = leader.save(STANDINGS["full"])
    assert pending == ResetOrder(Cursor("log-1"), id=second)
    leader.save(Standing(Cursor("log-1")), done_reset=second)

    assert person.reset_done(first)
    assert person.reset_done(second)


def test_an_order_given_while_an_older_one_is_carried_out_stays(open_sidecar: Open) -> None:
    """Finishing order 1 does not swallow order 2."""
    leader, person = open_sidecar(), open_sidecar()
    first, second = person.ask_reset(ResetOrder(cursor(1))), person.ask_reset(ResetOrder(cursor(2)))

    assert leader.save(Standing(cursor(1)), done_reset=first) == ResetOrder(cursor(2), id=second)
    assert not person.reset_done(second)


def test_the_leader_sees_an_order_given_through_its_own_handle(open_sidecar: Open) -> None:
    """The change counter tells of other connections only; orders of this process count all the same."""
    sidecar = open_sidecar()
    sidecar.save(STANDINGS["one"], [letter(1)])
    assert sidecar.asked() is None

    sidecar.mark_retry([1])
    asked = sidecar.asked()

    assert asked is not None
    assert isinstance(asked.retries[0], KeptDeadLetter)


def test_an_order_that_nobody_knows_is_an_error(open_sidecar: Open) -> None:
    """An id beyond all that were given means that the sidecar was rebuilt: not done, lost."""
    with pytest.raises(SidecarError, match="lost"):
        open_sidecar().reset_done(1)


def test_a_closed_sidecar_raises(open_sidecar: Open) -> None:
    """Use after close is said, not ignored; closing twice is fine."""
    sidecar = open_sidecar()
    sidecar.close()
    sidecar.close()

    with pytest.raises(SidecarError, match="closed"):
        sidecar.save(STANDINGS["one"])
