"""What every store promises of what is taken away on purpose: deleted brains, erased records, expired bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import pytest

from gradata.cloud.domain.plan import BrainForbidden, Deleted, Done
from gradata.cloud.domain.requests import HeartbeatWrite, HoleClaim, Loose, WriteRequest
from gradata.cloud.domain.tombstones import ERASED, EXPIRED, foreign_content
from gradata.cloud.protocol.interpret import read_lines
from gradata.cloud.protocol.log_bytes import Span, log_bytes
from gradata.cloud.service import deletion
from gradata.cloud.service.deletion import Target, UnknownError
from gradata.cloud.service.integrity import check
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import each_row, last_holes, living_brains, mark_of, recent
from gradata.cloud.store.values import Erasure, EventQuery, StoreError
from replicator.framing import split
from replicator.proof import leaf_hash
from tests.support.cloud_batches import LOG, OTHER_LOG, append, event, lines, tree

Open = Callable[[], Store]
NOW = 1_764_000_000_000_000
HOUR = 3_600_000_000


def ingest(store: Store, *requests: WriteRequest, now: int = NOW) -> list[tuple[int, int, list[str]]]:
    """Commit; accepted, duplicates and codes of what was flagged, of each."""
    found = []
    for decision in store.ingest(requests, now=now):
        assert isinstance(decision, Done), decision
        found.append((decision.accepted, decision.duplicates, [refusal.code for refusal in decision.flagged]))
    return found


def replica(store: Store, log_id: str = LOG) -> list[bytes]:
    """The log's lines as they are given back."""
    log = store.log("default", log_id)
    assert log is not None
    return b"".join(log_bytes(store, log, Span(0, log.offset))).splitlines(keepends=True)


def flags(store: Store, log_id: str = LOG) -> list[str | None]:
    """The flag of each row without bytes, None for a row with bytes."""
    log = store.log("default", log_id)
    assert log is not None
    return [row.flag if row.record is None else None for row in each_row(store, log, 0, log.tree.size)]


def names(store: Store) -> list[str]:
    """The projection."""
    return [item.event_id for item in store.events("default", EventQuery("brain", limit=1000))]


def erase(store: Store, target: Target, **said: bool) -> deletion.Erased:
    return deletion.erase(store, "default", "brain", target, now=NOW + 1, **said)


def everything(store: Store, log: Sequence[bytes], log_id: str = LOG) -> None:
    """The tree is the log's, whatever became of its bytes."""
    stored = store.log("default", log_id)
    assert stored is not None
    assert (stored.tree, stored.offset) == (tree(log), len(b"".join(log)))
    assert all(report.sound for report in check(store))


# ---------------------------------------------------------------- erasing


def test_an_erased_record_is_gone_and_its_place_stays(store: Store) -> None:
    """Bytes, projection, charts, counts; a filler line of its length; the tree verifies; neighbours are untouched."""
    log = [event("a"), event("secret", "my bank is …"), event("c")]
    ingest(store, append(log))
    done = erase(store, Target("secret"))
    assert (done.event_id, done.places, done.loose) == ("secret", ((LOG, 1),), 0)
    lines_now = replica(store)
    assert [lines_now[0], lines_now[2]] == [log[0], log[2]]
    assert lines_now[1].startswith(b'{"gradata_erased":{"record":1,"length":')
    assert len(lines_now[1]) == len(log[1])
    assert names(store) == ["a", "c"]
    assert [item.event_id for item in recent(store, "default", "brain")] == ["c", "a"]
    assert sum(count for _, _, count in store.days("default", "", "brain")) == 2
    assert [brain.events for brain in store.fleet("default")] == [2]
    assert flags(store) == [None, ERASED, None]
    everything(store, log)
    stored = store.log("default", LOG)
    assert stored is not None
    assert (stored.holes, last_holes(store, stored)) == (0, [])


def test_what_was_erased_does_not_come_back(store: Store) -> None:
    """A resend of the place, in another generation, loose, with other bytes under its id: acked, and not kept."""
    log = [event("a"), event("secret", "one"), event("c")]
    ingest(store, append(log))
    erase(store, Target("secret"))
    assert ingest(store, append(log)) == [(0, 3, [])]
    assert ingest(store, append([*log, event("d")], 1)) == [(1, 2, [])]
    assert ingest(store, append(log, log_id=OTHER_LOG)) == [(0, 3, [])]
    assert flags(store, OTHER_LOG) == [None, ERASED, None]
    assert ingest(store, Loose("default", "brain", lines(log[1]))) == [(0, 1, [])]
    other = [event("e"), event("secret", "two")]
    assert ingest(store, append(other, log_id="33333333-3333-4333-8333-333333333333")) == [(1, 0, ["erased"])]
    assert ingest(store, Loose("default", "brain", lines(event("secret", "three")))) == [(0, 0, ["erased"])]
    assert names(store) == ["a", "c", "d", "e"]
    assert store.holding("default", "brain", b"secret") == []
    for stored in store.logs("default", "brain"):
        assert store.holding("default", "brain", b"secret", stored.key) == []
    everything(store, [*log, event("d")])


def test_a_log_in_use_hears_at_once_that_a_record_was_erased(store: Store) -> None:
    """Between two batches of one log. What is no event has no id by which it would be known again."""
    log = [event("a"), b"no event\n", event("b"), b"no event\n", event("c")]
    assert ingest(store, append(log, 0, 2), append([event("x")], log_id=OTHER_LOG)) == [
        (1, 0, ["not_json"]),
        (1, 0, []),
    ]
    assert ingest(store, append(log, 2, 3)) == [(1, 0, [])]
    erase(store, Target(log_id=LOG, record=1))
    assert ingest(store, append(log, 3, 5)) == [(1, 1, [])]
    assert flags(store) == [None, "erased", None, "erased", None]


def test_a_log_in_use_hears_at_once_that_its_brain_was_deleted(store: Store) -> None:
    """Between two batches."""
    log = [event("a"), event("b")]
    assert ingest(store, append(log, 0, 1)) == [(1, 0, [])]
    store.delete_brain("default", "brain", now=NOW + 2)
    assert store.ingest([append(log, 1, 2)], now=NOW + 3) == [Deleted()]


def test_every_copy_of_an_erased_event_goes(store: Store) -> None:
    """Mined twice, in two generations, with CRLF, in conflict, and in an old client's form."""
    log = [event("secret", "one"), event("a"), event("secret", "one"), event("secret", "one")[:-1] + b"\r\n"]
    log += [event("secret", "other bytes"), b'{"note": "speaks of secret, is another event", "event_id": "x"}\n']
    ingest(store, append(log), append(log[:1], log_id=OTHER_LOG))
    data = event("secret", "in another form")
    old = read_lines(data, split(data))
    marked = [foreign_content(2, leaf) for leaf in old.leaves]
    ingest(store, Loose("default", "brain", lines(event("secret", "conflict, loose"))))
    ingest(store, Loose("default", "brain", type(old)(old.records, old.leaves, marked, old.event_ids, old.columns)))
    done = erase(store, Target("secret"))
    assert sorted(done.places) == [(LOG, 0), (LOG, 2), (LOG, 3), (LOG, 4), (OTHER_LOG, 0)]
    assert done.loose == 1
    assert flags(store) == [ERASED, None, ERASED, ERASED, ERASED, None]
    assert store.holding("default", "brain", b"secret") == []
    assert names(store) == ["a", "x"]
    everything(store, log)


def test_a_record_is_erased_by_its_place_event_or_not(store: Store) -> None:
    """What is no event has no id; its bytes are known again all the same. A blank line cannot be erased."""
    log = [event("a"), b"a password, pasted by accident\n", b"\n", event("b")]
    ingest(store, append(log))
    assert erase(store, Target(log_id=LOG, record=1)).places == ((LOG, 1),)
    assert erase(store, Target(log_id=LOG, record=3)).event_id == "b"
    assert ingest(store, append(log, log_id=OTHER_LOG)) == [(0, 3, ["blank"])]
    assert flags(store) == flags(store, OTHER_LOG) == [None, ERASED, None, ERASED]
    with pytest.raises(StoreError, match="blank"):
        erase(store, Target(log_id=LOG, record=2))
    assert erase(store, Target(log_id=LOG, record=1)).places == ()


def test_erasing_says_first_what_it_would_do(store: Store) -> None:
    """A dry run changes nothing; what is not there is an error; a second time finds nothing."""
    log = [event("a"), event("b")]
    ingest(store, append(log))
    assert erase(store, Target("b"), dry_run=True).places == ((LOG, 1),)
    assert (names(store), flags(store)) == (["a", "b"], [None, None])
    for target in (Target("c"), Target(log_id=LOG, record=9), Target(log_id=OTHER_LOG, record=0)):
        with pytest.raises(UnknownError):
            erase(store, target)
    with pytest.raises(UnknownError):
        deletion.erase(store, "another", "brain", Target("b"), now=NOW)
    assert erase(store, Target("b")).places == ((LOG, 1),)
    assert erase(store, Target("b")).places == ()
    assert [brain.events for brain in store.fleet("default")] == [1]


def test_an_interrupted_erasure_is_finished_by_another(store: Store) -> None:
    """The bar is there before the first byte goes: nothing of it is taken in between, and the second call finds all."""
    log = [event("a"), event("secret")]
    ingest(store, append(log))
    content = lines(log[1]).contents[0]
    assert store.erase("default", "brain", Erasure("secret", frozenset({content})), now=NOW) == 1
    assert ingest(store, append(log, log_id=OTHER_LOG)) == [(0, 2, [])]
    assert names(store) == ["a"]
    assert erase(store, Target("secret")).places == ((LOG, 1),)
    everything(store, log)


def test_holes_stay_holes_beside_what_was_erased(store: Store) -> None:
    """A hole has no flag and may be filled; an erased place has one and may not."""
    log = [event("a"), event("b"), event("c")]
    ingest(store, append(log[:1]))
    ingest(store, append(log, 1, 2, load=HoleClaim(len(log[1]), leaf_hash(log[1]))))
    ingest(store, append(log, 2))
    erase(store, Target("c"))
    assert flags(store) == [None, None, ERASED]
    stored = store.log("default", LOG)
    assert stored is not None
    assert stored.holes == 1
    assert ingest(store, append(log)) == [(0, 3, [])]
    assert (replica(store)[:2], flags(store)) == (log[:2], [None, None, ERASED])
    assert names(store) == ["a", "b"]


# ---------------------------------------------------------------- deleting


def test_a_deleted_brain_takes_and_gives_nothing(open_again: Open) -> None:
    """From the tombstone on, for every process; another workspace learns nothing of it; other brains go on."""
    store, other = open_again(), open_again()
    log = [event("a"), event("b")]
    ingest(store, append(log), append(log, brain_id="other", log_id=OTHER_LOG))
    ingest(store, Loose("default", "brain", lines(event("loose"))))
    before = deletion.delete(store, "default", "brain", now=NOW + 5)
    assert (before.events, before.logs, before.offset) == (3, 1, len(b"".join(log)))
    requests = (append(log), HeartbeatWrite("default", "brain", "d", LOG), Loose("default", "brain", lines(event("z"))))
    assert other.ingest(requests, now=NOW) == [Deleted()] * 3
    assert other.ingest([append(log, workspace="thief")], now=NOW) == [BrainForbidden()]
    assert names(other) == []
    assert (living_brains(other, "default"), other.logs("default", "brain"), other.log("default", LOG)) == (
        ["other"],
        [],
        None,
    )
    assert [brain.brain_id for brain in other.fleet("default")] == ["other"]
    assert (recent(other, "default", "brain"), other.days("default", "", "brain")) == ([], [])
    deleted = other.log("default", LOG, deleted=True)
    assert deleted is not None
    assert deleted.brain_id == "brain"
    assert other.log("default", OTHER_LOG, deleted=True) is None
    assert other.log("thief", LOG, deleted=True) is None
    assert [(at.brain_id, at.deleted_at) for at in other.standings("default")] == [("brain", NOW + 5), ("other", None)]
    assert ingest(other, append([*log, event("c")], 2, brain_id="other", log_id=OTHER_LOG)) == [(1, 0, [])]


def test_what_a_deletion_leaves_is_removed_in_steps(store: Store) -> None:
    """Everything but the tombstone, also after an interruption; deleting again changes nothing; none is unknown."""
    log = [event(f"e{number}") for number in range(700)]
    ingest(store, append(log), append(log[:300], log_id=OTHER_LOG))
    deletion.delete(store, "default", "brain", now=NOW)
    assert store.purge("default", "brain", 100) > 0
    assert deletion.sweep(store, now=NOW) > 0
    assert store.purge("default", "brain", 100) == 0
    (left,) = store.standings("default", "brain")
    assert (left.events, left.offset, left.deleted_at) == (0, 0, NOW)
    deletion.delete(store, "default", "brain", now=NOW + 9)
    assert store.standings("default", "brain") == [left]
    assert store.ingest([append(log)], now=NOW) == [Deleted()]
    with pytest.raises(UnknownError):
        deletion.delete(store, "default", "nobody", now=NOW)
    with pytest.raises(UnknownError):
        deletion.delete(store, "thief", "brain", now=NOW)
    assert store.purge("default", "nobody", 100) == 0


def test_a_brain_that_is_being_removed_says_so(store: Store) -> None:
    """Between two steps its head is still there and its tiles are not: no reason to call the store damaged."""
    log = [event(f"e{number}") for number in range(30)]
    ingest(store, append(log))
    deletion.delete(store, "default", "brain", now=NOW)
    assert store.purge("default", "brain", 100) > 0
    assert store.ingest([append(log, 0, 1)], now=NOW) == [Deleted()]


def test_a_deleted_brain_may_be_readmitted(store: Store) -> None:
    """Then it is new: nothing of before is known, and everything is taken. One that was not deleted is left alone."""
    log = [event("a"), event("b")]
    ingest(store, append(log), append(log, brain_id="other", log_id=OTHER_LOG))
    erase(store, Target("a"))
    deletion.delete(store, "default", "brain", now=NOW)
    deletion.readmit(store, "default", "brain")
    assert store.standings("default", "brain") == []
    assert ingest(store, append(log), now=NOW + 7) == [(2, 0, [])]
    assert names(store) == ["a", "b"]
    store.purge("default", "brain", 10, readmit=True)
    assert names(store) == ["a", "b"]
    everything(store, log)


# ---------------------------------------------------------------- expiring


def grown(store: Store, hours: int = 4) -> list[bytes]:
    """A log to which two events, a blank line and garbage were added each hour; in the second also loose ones."""
    log: list[bytes] = []
    for hour in range(hours):
        first = len(log)
        log += [event(f"{hour}a"), b"\n", f"garbage {hour}\n".encode(), event(f"{hour}b")]
        ingest(store, append(log, first), now=NOW + hour * HOUR)
        if hour == 1:
            ingest(store, Loose("default", "brain", lines(event("old"), b"old garbage\n")), now=NOW + HOUR)
    return log


def test_bytes_expire_by_the_time_of_their_storing(store: Store) -> None:
    """Older ones go, events and others; younger stay; the tree verifies; nothing is a hole."""
    log = grown(store)
    assert deletion.expire(store, "default", "brain", NOW + 2 * HOUR) > 0
    assert deletion.expire(store, "default", "brain", NOW + 2 * HOUR) == 0
    assert names(store) == ["2a", "2b", "3a", "3b"]
    assert flags(store) == [EXPIRED] * 8 + [None] * 8
    assert replica(store)[8:] == log[8:]
    assert replica(store)[0].startswith(b'{"gradata_expired":')
    assert store.holding("default", "brain", b"old") == []
    everything(store, log)
    stored = store.log("default", LOG)
    assert stored is not None
    assert stored.holes == 0
    assert [brain.events for brain in store.fleet("default")] == [4]


def test_what_expired_stays_known(store: Store) -> None:
    """A resend, also in another generation, is a duplicate of which nothing is kept; its storing time is the first."""
    log = grown(store, 2)
    deletion.expire(store, "default", "brain", NOW + HOUR)
    mark = mark_of(store, "default", "brain", "0a")
    assert mark is not None
    assert (mark.stored_at, mark.gone) == (NOW, EXPIRED)
    assert ingest(store, append(log), now=NOW + 5 * HOUR) == [(0, 8, [])]
    again = append(log, log_id=OTHER_LOG)
    assert ingest(store, again, now=NOW + 5 * HOUR) == [(0, 4, ["blank", "not_json", "blank", "not_json"])]
    assert flags(store) == [EXPIRED] * 4 + [None] * 4
    assert flags(store, OTHER_LOG) == [EXPIRED, None, None, EXPIRED, None, None, None, None]
    assert names(store) == ["1a", "1b", "old"]
    assert mark_of(store, "default", "brain", "0a") == mark
    everything(store, log)


def test_the_end_of_a_quiet_log_expires_too(store: Store) -> None:
    """Records behind its last event, and a log of duplicates alone; a log to which something came is spared."""
    log = [event("a"), b"garbage\n", b"more\n"]
    ingest(store, append(log), append(log, log_id=OTHER_LOG))
    deletion.expire(store, "default", "brain", NOW)
    assert flags(store) == flags(store, OTHER_LOG) == [None] * 3
    deletion.expire(store, "default", "brain", NOW + 1)
    assert flags(store) == flags(store, OTHER_LOG) == [EXPIRED] * 3
    ingest(store, append([*log, event("b")], 3), now=NOW + HOUR)
    deletion.expire(store, "default", "brain", NOW + HOUR)
    assert flags(store) == [EXPIRED] * 3 + [None]


def test_a_brain_keeps_its_bytes_for_as_long_as_it_was_told(store: Store) -> None:
    """The sweep applies each brain's own time; without one bytes are kept for ever."""
    days = count()
    for _ in range(3):
        number = next(days)
        now = NOW + number * deletion.DAY_US
        ingest(store, Loose("default", "brain", lines(event(f"e{number}"))), now=now)
        ingest(store, Loose("default", "other", lines(event(f"e{number}"))), now=now)
    deletion.retain(store, "default", "brain", 2)
    assert deletion.sweep(store, now=NOW + 2 * deletion.DAY_US) == 0
    assert deletion.sweep(store, now=NOW + 2 * deletion.DAY_US + 1) > 0
    assert names(store) == ["e1", "e2"]
    assert [brain.retain_us for brain in store.standings("default")] == [2 * deletion.DAY_US, None]
    deletion.retain(store, "default", "brain", None)
    assert deletion.sweep(store, now=NOW + 99 * deletion.DAY_US) == 0
    assert len(store.events("default", EventQuery("other"))) == 3
    with pytest.raises(UnknownError):
        deletion.retain(store, "default", "nobody", 2)


def test_erased_among_expired_is_counted_once(store: Store) -> None:
    """Whichever comes first: the brain's number of events is that of its projection."""
    ingest(store, append([event(name) for name in "abcd"]))
    erase(store, Target("b"))
    deletion.expire(store, "default", "brain", NOW + 1)
    erase(store, Target("c"))
    assert [brain.events for brain in store.fleet("default")] == [0]
    assert flags(store) == [EXPIRED, ERASED, EXPIRED, EXPIRED]
