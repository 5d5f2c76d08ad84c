"""What every store promises, whatever stands behind it."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable

import pytest

from gradata.cloud.domain.plan import BrainForbidden, Done, Gap
from gradata.cloud.domain.requests import Append, HeartbeatWrite, HoleClaim, Loose, WriteRequest
from gradata.cloud.protocol.interpret import with_holes
from gradata.cloud.protocol.log_bytes import Span, log_bytes
from gradata.cloud.routes.replica import older_page
from gradata.cloud.service import deletion
from gradata.cloud.service.api_keys import create_key, list_keys, revoke_key, rotate_key, works
from gradata.cloud.service.group_commit import CommitOutcome, GroupWriter
from gradata.cloud.service.integrity import check
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import key_of, last_holes, living_brains, owner_of, recent
from gradata.cloud.store.values import EventQuery, StoreError, StoreUnavailableError
from replicator.proof import leaf_hash, leaf_hashes
from tests.support.cloud_batches import LOG, OTHER_LOG, append, event, lines, tree
from tests.support.patience import PATIENCE_S

Open = Callable[[], Store]
NOW = 1_764_000_000_000_000
DAY = 86_400_000_000


def ingest(store: Store, *requests: WriteRequest, now: int = NOW) -> list[tuple[int, int, int, int]]:
    """Commit; accepted, duplicates, flagged and refused of each."""
    counts = []
    for decision in store.ingest(requests, now=now):
        assert isinstance(decision, Done), decision
        counts.append((decision.accepted, decision.duplicates, len(decision.flagged), len(decision.refused)))
    return counts


def read_back(store: Store, start: int = 0, end: int | None = None, log_id: str = LOG) -> bytes:
    log = store.log("default", log_id)
    assert log is not None
    return b"".join(log_bytes(store, log, Span(start, log.offset if end is None else end)))


def sound(store: Store) -> bool:
    return all(report.sound for report in check(store))


def test_what_was_committed_is_read_back_byte_for_byte(open_again: Open) -> None:
    """Through a second object, too: records, head, tiles and events are those of the log."""
    log = [event(str(number), "x" * (number % 50)) for number in range(600)] + [b"\n", b"\xff\0\r\n"]
    store = open_again()
    assert ingest(store, append(log, 0, 10), now=NOW) == [(10, 0, 0, 0)]
    assert ingest(store, append(log, 10), now=NOW + 5) == [(590, 0, 2, 0)]
    again = open_again()
    assert read_back(again) == b"".join(log)
    stored = again.log("default", LOG)
    assert stored is not None
    assert (stored.tree, stored.offset) == (tree(log), len(b"".join(log)))
    assert (stored.created_at, stored.stored_at) == (NOW, NOW + 5)
    assert again.tile(stored, 0, 1) == b"".join(leaf_hashes(log[256:512]))
    assert again.tile(stored, 7, 0) == b""
    assert again.cloud_id == store.cloud_id
    assert sound(again)


def test_any_range_of_bytes_is_found(store: Store) -> None:
    """Ranges that begin and end anywhere, across rows, are exact."""
    log = [event(str(number), "x" * (number * 7 % 90)) for number in range(150)]
    ingest(store, append(log))
    whole = b"".join(log)
    chance = random.Random(5)
    for _ in range(60):
        start, end = sorted(chance.sample(range(len(whole) + 1), 2))
        assert read_back(store, start, end) == whole[start:end]


def test_holes_keep_their_place_and_are_counted(store: Store) -> None:
    """A place without bytes is served as one JSON line of its length, a short one as blanks."""
    log = [event("a"), b"x" * 99 + b"\n", b"yy\n", event("d")]
    ingest(store, append(log, 0, 1))
    for place in (1, 2):
        ingest(store, append(log, place, place + 1, load=HoleClaim(len(log[place]), leaf_hash(log[place]))))
    ingest(store, append(log, 3))
    served = read_back(store).splitlines(keepends=True)
    assert list(map(len, served)) == list(map(len, log))
    assert served[0] == log[0]
    assert served[1].startswith(b'{"gradata_hole":{"record":1,"length":100}')
    assert served[2] == b"  \n"
    stored = store.log("default", LOG)
    assert stored is not None
    assert stored.holes == 2
    assert sound(store)


def test_events_are_paged_in_the_order_of_their_storing(store: Store) -> None:
    """Each once, filtered by type, behind a cursor, with their place and bytes."""
    log = [event(f"e{number}", kind="A" if number % 2 else "B") for number in range(9)]
    ingest(store, append(log))
    ingest(store, Loose("default", "brain", lines(event("loose"), b"garbage\n")), now=NOW + 9)
    found = store.events("default", EventQuery("brain", limit=4))
    assert [item.event_id for item in found] == ["e0", "e1", "e2", "e3"]
    rest = store.events("default", EventQuery("brain", after=found[-1].cursor))
    assert [item.event_id for item in rest] == ["e4", "e5", "e6", "e7", "e8", "loose"]
    assert [(rest[0].place, rest[0].record, rest[0].stored_at) for _ in (1,)] == [((LOG, 4), log[4], NOW)]
    assert (rest[-1].place, rest[-1].record, rest[-1].stored_at) == (None, event("loose"), NOW + 9)
    assert (rest[0].category, rest[0].severity, rest[0].session) == ("TONE", "minor", 3)
    short = store.events("default", EventQuery("brain", bytes_max=len(log[0]) + len(log[1])))
    assert [item.event_id for item in short] == ["e0", "e1"]
    assert len(store.events("default", EventQuery("brain", bytes_max=1))) == 1
    odd = store.events("default", EventQuery("brain", type="A"))
    assert [item.event_id for item in odd] == ["e1", "e3", "e5", "e7"]
    assert store.events("another", EventQuery("brain")) == []
    assert store.events("default", EventQuery("no such brain")) == []


def test_the_brains_that_have_events_are_found_by_their_ids(store: Store) -> None:
    """Of the workspace alone, each with how many it has; a deleted one has none."""
    for brain, names in (("one", "abc"), ("two", "bcd"), ("three", "x")):
        ingest(store, append([event(name) for name in names], brain_id=brain))
    ingest(store, append([event("a")], brain_id="other", workspace="another"))
    assert store.brains_with("default", ["a", "b", "c", "q"]) == {"one": 3, "two": 2}
    assert store.brains_with("another", ["a", "b"]) == {"other": 1}
    assert store.brains_with("default", []) == {}
    deletion.delete(store, "default", "one", now=NOW)
    assert store.brains_with("default", ["a", "b"]) == {"two": 1}


@pytest.mark.parametrize("order", ["sorted", "random"])
def test_f16_duplicates_are_found_however_ids_are_ordered(store: Store, order: str) -> None:
    """Ids that lie together are found by a range, scattered ones one by one: the counts are exact either way."""
    names = [f"{number:05d}" for number in range(1_500)]
    ingest(store, append([event(name) for name in names]))
    wanted = names[:700] if order == "sorted" else random.Random(3).sample(names, 700)
    mixed = [event(name) for name in wanted] + [event(f"new {number}") for number in range(5)] + [event("00003", "!")]
    assert ingest(store, append(mixed, log_id=OTHER_LOG)) == [(5, 700, 1, 0)]
    assert sound(store)


def test_the_time_of_first_storing_is_set_once(store: Store) -> None:
    """A resend, in the same or another log, leaves it as it was."""
    log = [event("a")]
    ingest(store, append(log), now=NOW)
    ingest(store, append(log), now=NOW + 1)
    ingest(store, append(log, log_id=OTHER_LOG), now=NOW + 2)
    assert [item.stored_at for item in store.events("default", EventQuery("brain"))] == [NOW]


def test_many_requests_of_one_transaction_count_exactly(store: Store) -> None:
    """27 logs of three brains with overlapping events in one group: each event accepted once, in all."""
    requests = []
    for agent in range(27):
        records = [event(f"{agent // 9}-{number}") for number in range(agent % 9, agent % 9 + 5)]
        log_id = f"{agent:08d}-1111-4111-8111-111111111111"
        requests.append(append(records, brain_id=f"brain {agent // 9}", log_id=log_id))
    counts = ingest(store, *requests)
    assert sum(accepted for accepted, *_ in counts) == 3 * 13
    assert all(accepted + duplicates == 5 for accepted, duplicates, *_ in counts)
    for brain in range(3):
        assert len(store.events("default", EventQuery(f"brain {brain}"))) == 13
    assert sound(store)


def test_a_group_is_decided_one_by_one(store: Store) -> None:
    """A gap and a foreign brain beside a good batch: only the good one is written."""
    log = [event("a"), event("b")]
    ingest(store, append(log, brain_id="foreign", workspace="others"))
    decisions = store.ingest(
        [
            append(log, 1, log_id=OTHER_LOG),
            append(log, brain_id="foreign"),
            HeartbeatWrite("default", "foreign", "device", LOG),
            append(log),
        ],
        now=NOW,
    )
    assert [type(decision) for decision in decisions] == [Gap, BrainForbidden, BrainForbidden, Done]
    assert [log.log_id for log in store.logs("default", "brain")] == [LOG]
    assert store.logs("default", "foreign") == []
    assert (owner_of(store, "foreign"), owner_of(store, "brain"), owner_of(store, "none")) == (
        "others",
        "default",
        None,
    )
    assert (living_brains(store, "default"), living_brains(store, "others")) == (["brain"], ["foreign"])


def test_f58_reads_are_bound_to_the_workspace(store: Store) -> None:
    """A log of another workspace is as unknown as one that does not exist."""
    ingest(store, append([event("a")]))
    assert store.log("others", LOG) is None
    assert store.log("default", OTHER_LOG) is None
    assert store.logs("others", "brain") == []


def test_a_heartbeat_is_remembered(store: Store) -> None:
    """Time and status are kept with the log, which a heartbeat may begin; nothing of its records changes."""
    beat = HeartbeatWrite("default", "brain", "device", LOG, b'{"state":"live"}')
    ingest(store, beat)
    ingest(store, append([event("a")]), now=NOW + 1)
    ingest(store, HeartbeatWrite("default", "brain", "device", LOG), now=NOW + 2)
    stored = store.log("default", LOG)
    assert stored is not None
    assert (stored.heard_at, stored.status, stored.stored_at) == (NOW + 2, b'{"state":"live"}', NOW + 1)
    assert stored.tree.size == 1


def test_logs_are_listed_newest_first(store: Store) -> None:
    """With device and parent."""
    ingest(store, append([event("a")]), now=NOW)
    ingest(store, append([event("a")], log_id=OTHER_LOG, parent=LOG, device_id="d2"), now=NOW + 1)
    assert [(log.log_id, log.parent) for log in store.logs("default", "brain")] == [(OTHER_LOG, LOG), (LOG, None)]
    assert [log.log_id for log in store.logs("default", "brain", "device")] == [LOG]


def test_f59_hostile_texts_are_only_texts(store: Store) -> None:
    """Quotes, NULs, lone surrogates, escapes and other alphabets in every field go in and come out."""
    texts = ["'; DROP TABLE events; --", "<script>", "\x1b[31m", "a\r\nb", "\u2028", "日本", "a\\u0000b", "\\ud800"]
    log = []
    for number, text in enumerate(texts):
        raw = text.replace("\\", "\\\\") if "\\u" not in text else text
        raw = raw.replace('"', '\\"').replace("\x1b", "\\u001b").replace("\r", "\\r").replace("\n", "\\n")
        log.append(f'{{"event_id": "{number}{raw}", "type": "{raw}", "ts": "{raw}", "session": "{raw}"}}\n'.encode())
    ingest(store, append(log, brain_id="brain' OR 1=1 --"))
    assert ingest(store, append(log, brain_id="brain' OR 1=1 --", log_id=OTHER_LOG)) == [(0, len(log), 0, 0)]
    found = store.events("default", EventQuery("brain' OR 1=1 --"))
    assert [item.record for item in found] == log
    assert [item.type for item in found[:6]] == texts[:6]
    assert sound(store)


def test_keys_are_kept_without_what_makes_them_usable(store: Store) -> None:
    """Made, listed, rotated with a grace period, revoked."""
    key = create_key(store, "agent", ["ingest", "read"], brains=["brain"], now=NOW)
    prefix = key[:16]
    (kept,) = list_keys(store)
    assert (kept.prefix, kept.name, kept.scopes, kept.brains) == (
        prefix,
        "agent",
        frozenset({"ingest", "read"}),
        frozenset({"brain"}),
    )
    assert key not in repr(kept)
    assert key.encode() not in kept.sha256
    rotated = rotate_key(store, prefix, grace_s=60.0, now=NOW)
    old, new = key_of(store, prefix), key_of(store, rotated[:16])
    assert old is not None
    assert new is not None
    assert (works(old, NOW + 59_000_000), works(old, NOW + 60_000_000)) == (True, False)
    assert (new.brains, new.scopes, works(new, NOW + 10**12)) == (kept.brains, kept.scopes, True)
    revoke_key(store, rotated[:16], now=NOW + 1)
    revoked = key_of(store, rotated[:16])
    assert revoked is not None
    assert not works(revoked, NOW + 1)
    for wrong in (lambda: revoke_key(store, "gk_live_nobody00"), lambda: rotate_key(store, rotated[:16], now=NOW + 2)):
        with pytest.raises(StoreError):
            wrong()
    with pytest.raises(StoreError, match="scopes"):
        create_key(store, "odd", ["everything"])


def test_refusals_are_counted_by_key_and_brain(store: Store) -> None:
    """Where silence is shown, a person sees that a key was refused, how often and when."""
    store.note_refusal("gk_live_a", "brain", "key_unknown", now=NOW)
    store.note_refusal("gk_live_a", "brain", "key_unknown", now=NOW + 1)
    store.note_refusal("gk_live_a", "other", "key_unknown", now=NOW)
    assert store.refusals() == [
        ("gk_live_a", "brain", "key_unknown", 2, NOW + 1),
        ("gk_live_a", "other", "key_unknown", 1, NOW),
    ]


def test_a_closed_store_says_so(store: Store) -> None:
    """And closing it twice does no harm."""
    store.close()
    store.close()
    with pytest.raises(StoreUnavailableError):
        store.ingest([append([event("a")])], now=NOW)


def test_f31_writers_at_once_lose_nothing_and_store_nothing_twice(store: Store) -> None:
    """27 threads, each with a log of its own, each batch sent twice through the group writer: exact in the end."""
    writer = GroupWriter(store, now=lambda: NOW)
    accepted: queue.SimpleQueue[int] = queue.SimpleQueue()

    def agent(number: int) -> None:
        log_id = f"{number:08d}-1111-4111-8111-111111111111"
        log = [event(f"{number}-{step}") for step in range(8)] + [event(f"shared {step}") for step in range(4)]
        answers: queue.SimpleQueue[CommitOutcome] = queue.SimpleQueue()
        for step in range(0, len(log), 3):
            for _ in range(2):
                writer.submit(append(log, step, step + 3, log_id=log_id), answers.put)
            for _ in range(2):
                outcome = answers.get()
                assert isinstance(outcome, Done)
                accepted.put(outcome.accepted)

    threads = [threading.Thread(target=agent, args=(number,)) for number in range(27)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert sum(accepted.get() for _ in range(accepted.qsize())) == 27 * 8 + 4
    assert len(store.events("default", EventQuery("brain", limit=1_000))) == 27 * 8 + 4
    assert len(check(store)) == 27
    assert sound(store)


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    """An error in the second request undoes the first."""

    class Poison(Append):
        @property
        def count(self) -> int:
            raise RuntimeError("poison")

    log = [event("a"), event("b")]
    ingest(store, append(log, log_id=OTHER_LOG))
    good = append(log)
    wrong = append(log, log_id=OTHER_LOG)
    poison = Poison(**{name: getattr(wrong, name) for name in Append.__slots__})
    with pytest.raises(RuntimeError):
        store.ingest([good, poison], now=NOW)
    assert store.log("default", LOG) is None
    assert ingest(store, good) == [(0, 2, 0, 0)]


def test_one_poisonous_request_does_not_fail_its_neighbours(store: Store) -> None:
    """The group writer commits the others one by one; the poisonous one gets no decision."""
    log = [event("a")]
    good, poison = append(log), append(log, log_id=OTHER_LOG, device_id=object())
    outcomes: list[CommitOutcome] = []
    finished = threading.Event()

    def done(outcome: CommitOutcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == 2:
            finished.set()

    writer = GroupWriter(store, now=lambda: NOW)
    writer.submit(poison, done)
    writer.submit(good, done)
    assert finished.wait(10)
    writer.close()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Done", "NoneType"]


def test_the_fleet_is_brains_with_their_logs(store: Store) -> None:
    """By name, logs newest first, with the newest event's storing time; another workspace sees nothing."""
    log = [event("a"), event("b")]
    ingest(store, append(log), append(log, log_id=OTHER_LOG, brain_id="other"), now=NOW)
    ingest(store, append(log, log_id=OTHER_LOG), now=NOW + 7)
    ingest(store, HeartbeatWrite("default", "asleep", "device", LOG, b'{"state":"live"}'), now=NOW + 9)
    first, *_ = found = store.fleet("default")
    assert [brain.brain_id for brain in found] == ["asleep", "brain", "other"]
    assert (first.events, first.event_stored_at, first.logs[0].status) == (0, None, b'{"state":"live"}')
    (one,) = store.fleet("default", "brain")
    assert ([each.log_id for each in one.logs], one.events, one.event_stored_at) == ([OTHER_LOG, LOG], 2, NOW)
    assert (store.workspaces(), store.fleet("elsewhere"), store.fleet("elsewhere", "brain")) == (["default"], [], [])


def test_days_are_counted_once(store: Store) -> None:
    """By day, type, category and severity; a resend and a duplicate in another log change nothing."""
    log = [event("a"), event("b"), event("c", kind="NOTE")]
    ingest(store, append(log), now=NOW)
    ingest(store, append(log), now=NOW + DAY)
    ingest(store, append(log, log_id=OTHER_LOG), now=NOW + DAY)
    ingest(store, append([*log, event("d")], 3), now=NOW + DAY)
    counted = [(kind, count) for _, kind, count in store.days("default", "2025-01-01", "brain")]
    assert [(kind.day, kind.type, kind.category, kind.severity, count) for kind, count in counted] == [
        ("2025-11-24", "CORRECTION", "TONE", "minor", 2),
        ("2025-11-24", "NOTE", "TONE", "minor", 1),
        ("2025-11-25", "CORRECTION", "TONE", "minor", 1),
    ]
    assert {(name, kind.day) for name, kind, _ in store.days("default", "2025-11-25")} == {("brain", "2025-11-25")}
    assert (store.days("elsewhere", "", "brain"), store.days("elsewhere", "")) == ([], [])


def test_the_fresh_events_of_several_feeds_are_those_of_their_pages(store: Store) -> None:
    """Each feed has what is behind its own cursor; one with many or large ones is sent to its pages."""
    few = [event(f"few {number}", kind="NOTE" if number % 2 else "CORRECTION") for number in range(8)]
    ingest(store, append(few))
    ingest(store, append([event(f"many {number}") for number in range(9)], brain_id="many", log_id=OTHER_LOG))
    ingest(store, Loose("default", "large", lines(event("small"), event("large", "x" * 70_000))))
    queries = [
        *(EventQuery("brain", after=after) for after in (0, 3, 8)),
        EventQuery("brain", "NOTE", after=2),
        EventQuery("large", after=0),
        EventQuery("many"),
        EventQuery("many", after=1),
        EventQuery("nobody"),
    ]
    found = store.fresh([*(("default", query) for query in queries), ("others", EventQuery("brain"))])
    pages = [store.events("default", query) for query in queries]
    assert [page and page[-1].record for page in found[:3]] == [few[-1], few[-1], []]
    assert found == [*pages[:4], None, None, *pages[6:], []]


def test_recent_events_are_the_newest_first(store: Store) -> None:
    """Of one type if asked for, with their bytes; none for another workspace."""
    log = [event(str(number), kind="NOTE" if number % 2 else "CORRECTION") for number in range(6)]
    ingest(store, append(log))
    assert [found.event_id for found in recent(store, "default", "brain", limit=2)] == ["5", "4"]
    newest, *_ = found = recent(store, "default", "brain", kind="CORRECTION")
    assert ([each.event_id for each in found], newest.record, newest.cursor) == (["4", "2", "0"], log[4], 5)
    assert recent(store, "elsewhere", "brain") == recent(store, "default", "nobody") == []
    assert [each.cursor for each in recent(store, "default", "brain", before=4, limit=2)] == [3, 2]
    assert [each.cursor for each in recent(store, "default", "brain", kind="CORRECTION", before=5)] == [3, 1]
    assert recent(store, "default", "brain", before=1) == []


def test_older_pages_reach_every_event_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their type and however few there are among others: no page is the last before the beginning."""
    for module in ("store.sqlite.reads", "store.postgres.reads", "routes.replica"):
        monkeypatch.setattr(f"gradata.cloud.{module}.RECENT_SCANNED_MAX", 7)
    log = [event(str(number), kind="NOTE" if number % 10 else "CORRECTION") for number in range(40)]
    ingest(store, append(log))
    for kind, wanted in ((None, 40), ("CORRECTION", 4), ("NOTE", 36), ("NONE", 0)):
        before: int | None = 2**40
        seen: list[int] = []
        pages = 0
        while before is not None:
            page = older_page(store, "default", "brain", kind=kind, before=before, limit=3)
            assert page.before is None or page.before < before
            seen += [each.cursor for each in page.events]
            before, pages = page.before, pages + 1
            assert pages < 40
        assert (len(seen), seen) == (wanted, sorted(set(seen), reverse=True))


def test_f35_holes_among_records_are_filled_one_by_one(store: Store) -> None:
    """A batch that leaves out the bytes of two records; then each alone, below the head, and the replica is whole."""
    log = [event("a"), event("b"), b"no json\n", event("d")]
    holes = [(place, len(log[place]), leaf_hash(log[place])) for place in (1, 3)]
    assert ingest(store, append(log, load=with_holes(lines(log[0], log[2]), holes))) == [(3, 0, 1, 0)]
    stored = store.log("default", LOG)
    assert stored is not None
    assert (stored.holes, stored.tree) == (2, tree(log))
    for place in (1, 3):
        assert ingest(store, append(log, place, place + 1)) == [(0, 1, 0, 0)]
    assert read_back(store) == b"".join(log)
    assert sound(store)


def test_holes_are_listed_last_first(store: Store) -> None:
    """With place and length."""
    records = [event("a"), b"x" * 99 + b"\n", event("b"), b"y" * 49 + b"\n"]
    for number, record in enumerate(records):
        load = lines(record) if number % 2 == 0 else HoleClaim(len(record), leaf_hash(record))
        ingest(store, append(records, number, number + 1, load=load))
    log = store.log("default", LOG)
    assert log is not None
    assert [(row.number, row.length, row.record) for row in last_holes(store, log)] == [(3, 50, None), (1, 100, None)]
    assert [row.number for row in last_holes(store, log, 1)] == [3]


def test_a_secret_is_made_once(open_again: Open) -> None:
    """The same for every process, another for every name."""
    store = open_again()
    made = store.secret("session")
    assert (len(made), open_again().secret("session"), store.secret("other") == made) == (32, made, False)


def test_listeners_hear_of_commits(store: Store) -> None:
    """After the commit, naming the brain or nothing; not any more once they ended."""
    heard: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
    end = store.listen(lambda brains: heard.put(sorted(brains)))
    ingest(store, append([event("a")]))
    while "brain" not in heard.get(timeout=PATIENCE_S):
        pass
    end()
    ingest(store, append([event("a"), event("b")], 1))
    end()


def test_an_alert_is_raised_and_cleared_by_exactly_one(open_again: Open) -> None:
    """Of two processes one gets True, again when the state changes; each leaves one notice."""
    one, two = open_again(), open_again()
    said = {"subject": b"{}", "now": NOW}
    states = ["silent", "silent", "paused", "paused"]
    places = [one, two, one, two]
    raised = [at.set_alert("n", to, body=to.encode(), **said) for at, to in zip(places, states, strict=True)]
    assert raised == [True, False, True, False]
    assert [(alert.name, alert.state, alert.opened_at) for alert in two.alerts()] == [("n", "paused", NOW)]
    assert [one.set_alert("n", None, body=b"clear", now=NOW), two.set_alert("n", None, body=b"clear", now=NOW)] == [
        True,
        False,
    ]
    assert one.alerts() == []
    bodies = []
    for _ in range(4):
        for notice in two.take_notices(now=NOW, until=NOW + 10):
            bodies.append(notice.body)
            two.settle_notice(notice.number, retry_at=None)
    assert bodies == [b"silent", b"paused", b"clear"]


def test_a_notice_is_taken_by_one_and_comes_again(open_again: Open) -> None:
    """Nobody else gets it before its time; a later one of the same alert waits behind it, others do not."""
    one, two = open_again(), open_again()
    for name, state in (("a", "silent"), ("a", "paused"), ("b", "silent")):
        one.set_alert(name, state, subject=b"{}", body=f"{name} {state}".encode(), now=NOW)
    first, other = one.take_notices(now=NOW, until=NOW + 10)
    assert (first.body, other.body, first.attempts, first.created_at) == (b"a silent", b"b silent", 1, NOW)
    assert two.take_notices(now=NOW + 9, until=NOW + 19) == []
    one.settle_notice(first.number, retry_at=NOW + 5)
    (again,) = two.take_notices(now=NOW + 9, until=NOW + 19)
    assert (again.number, again.attempts) == (first.number, 2)
