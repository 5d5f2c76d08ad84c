"""progress: what real networks, hops and clouds did to it, each with a rule that ends it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from replicator import actions as act
from replicator.model import UNNAMED_CLOUD, Anchor, Batch, Hole, Limits, Policy, Refusal
from replicator.progress import Progress, Sizing, Trouble, next_action
from replicator.progress.line import broke_off, carried
from tests.support.fields import changed
from tests.support.progress import CLOUD, HERE, JUNK, LOG, after, at, head, sending

RECORD = b"x" * 1_023 + b"\n"
LONG = (RECORD,) * 2_000
KIB = 1_024
CUT = act.Unavailable("no answer in time", cut=True)
FOREIGN = [act.Refused(422, "a page", ours=False), act.TooLarge(ours=False)]


def bytes_wanted(p: Progress, *, now: float = 0.0) -> int:
    """How much the next read may take."""
    action = next_action(p, now)
    assert isinstance(action, act.Read), action
    return action.bytes_max


def calm(p: Progress) -> Progress:
    """The same, saved, with nothing to wait for and no heartbeat due."""
    p = changed(p, saving__durable=p.standing, retry__not_before=0.0, heartbeat__due_at=1e9)
    return changed(p, budget=replace(p.budget, requests_per_minute=None))  # type: ignore[no-any-return]


def acked(p: Progress, *, took_s: float = 0.0, log: tuple[bytes, ...] = LONG) -> Progress:
    """The same, with its next batch read and acknowledged within `took_s`."""
    p = sending(calm(p), log=log)
    assert p.load is not None
    size = p.load.first + p.load.count
    return calm(after(p, act.Acked(CLOUD, head(size, log=log)), took_s=took_s))


def failed(p: Progress, outcome: act.Outcome, *, log: tuple[bytes, ...] = LONG) -> Progress:
    """The same, after its next batch came to `outcome`; the wait is over."""
    return calm(after(sending(calm(p), log=log), outcome))


# ------------------------------------------------------------------------------ the line


def test_f61_a_batch_that_did_not_get_through_is_halved() -> None:
    """The same batch for ever is sent in vain: each that breaks off makes the next one half as large, to 16 KiB."""
    p = at(0, log=LONG)
    sizes = [bytes_wanted(p)]
    for _ in range(6):
        p = failed(p, CUT)
        sizes.append(bytes_wanted(p))
    assert sizes == [256 * KIB, 128 * KIB, 64 * KIB, 32 * KIB, 16 * KIB, 16 * KIB, 16 * KIB]


@pytest.mark.parametrize(
    "outcome", [act.Unavailable("refused"), act.Unavailable("503", 1.0), act.Throttled(1.0), act.Denied(401, "")]
)
def test_f61_a_request_that_was_answered_or_never_left_says_nothing_of_its_size(outcome: act.Outcome) -> None:
    """A cloud that is away comes back to batches as large as before."""
    p = at(0, log=LONG)
    loaded = sending(p, log=LONG)
    assert after(loaded, outcome).sizing == p.sizing


def test_f61_batches_are_as_large_as_the_line_carries_in_a_fraction_of_the_deadline() -> None:
    """100 kB/s: a batch that took 2.6 s may double, one that took longer than 5 s is cut back to what fits."""
    p = acked(at(0, log=LONG), took_s=2.56)
    assert bytes_wanted(p) == 512 * KIB
    p = acked(p, took_s=5.12)
    assert bytes_wanted(p) == pytest.approx(512 * KIB * 5.0 / 5.12, abs=1)
    p = acked(at(0, log=LONG), took_s=12.8)
    assert bytes_wanted(p) == pytest.approx(100 * KIB, abs=1)


def test_f61_a_line_that_becomes_faster_carries_larger_batches_at_once() -> None:
    """Nothing is remembered of a slow hour but the size, which doubles with each full batch."""
    p = at(0, sizing__line_bytes=16 * KIB, log=LONG)
    sizes = []
    for _ in range(4):
        p = acked(p, took_s=0.1)
        sizes.append(bytes_wanted(p))
    assert sizes == [32 * KIB, 64 * KIB, 128 * KIB, 256 * KIB]


def test_f61_a_small_batch_that_was_slow_is_the_clouds_fault() -> None:
    """A stall says nothing of the line: batches of a few records do not shrink what may be sent."""
    assert acked(at(0), took_s=9.0, log=LOG).sizing.line_bytes == at(0).sizing.line_bytes


def test_f62_behind_a_hop_that_swallows_large_bodies_everything_arrives_in_smaller_ones() -> None:
    """64 KiB pass, 128 do not: of 2 MB few requests fail, since what failed is tried again ever less often."""
    p, sent, lost = at(0, log=LONG), 0, 0
    while p.cursor.size < len(LONG):
        p = sending(calm(p), log=LONG)
        assert p.load is not None
        sent += 1
        if p.load.end - p.load.offset > 100 * KIB:
            lost += 1
            p = after(p, CUT)
        else:
            p = after(p, act.Acked(CLOUD, head(p.load.first + p.load.count, log=LONG)), took_s=0.1)
    assert (sent <= 40, lost <= 4) == (True, True), (sent, lost)


def test_f62_the_size_that_failed_is_tried_again_after_four_times_as_many_batches() -> None:
    """4 batches, then 16, 64, 256; where it passes, the next failure begins with 4 again."""
    policy = Policy(batch_bytes_min=KIB, batch_bytes_first=4 * KIB)
    log = (RECORD,) * 200
    p = at(0, log=log, policy=policy, sizing__batch_bytes=4 * KIB)
    waits, since = [], 0
    for _ in range(60):
        p = sending(calm(p), log=log)
        assert p.load is not None
        if p.load.end - p.load.offset > 2 * KIB:
            waits.append(since)
            since, p = 0, after(p, CUT)
        else:
            since += 1
            p = after(p, act.Acked(CLOUD, head(p.load.first + p.load.count, log=log)))
    assert waits == [0, 4, 16]


# ------------------------------------------------------------------------------ refusals of strangers


@pytest.mark.parametrize("outcome", FOREIGN)
def test_f66_one_refusal_that_is_not_the_protocols_condemns_no_record(outcome: act.Outcome) -> None:
    """A page of a proxy for one record alone: replication pauses, and the record is tried again with its bytes."""
    p = after(sending(at(3), log=LOG), outcome)
    assert (p.isolation.refusal, p.saving.dead_letters, p.cursor.size) == (None, (), 3)
    assert p.retry.trouble is not None
    assert (p.retry.trouble.code, p.retry.not_before) == ("refusing", 5.0)
    p = sending(calm(p))
    assert not isinstance(p.load, Hole)


@pytest.mark.parametrize("outcome", FOREIGN)
def test_f66_the_same_refusal_on_probes_apart_in_time_condemns_the_record(outcome: act.Outcome) -> None:
    """A filter that dislikes one record: alone, three times, 5 and 10 s apart; then its place goes, and all behind."""
    p, waits = at(3), []
    for _ in range(3):
        assert p.isolation.refusal is None
        p = after(sending(calm(p)), outcome)
        waits.append(p.retry.not_before)
    assert waits[:2] == [5.0, 10.0]
    assert p.isolation.refusal is not None
    assert isinstance(sending(calm(p)).load, Hole)


def test_f66_another_refusal_or_another_record_begins_the_count_anew() -> None:
    """413, then 422: no proof of anything. Nor is it one if the record was replaced, or taken meanwhile."""
    p = after(sending(at(3)), FOREIGN[0])
    assert p.isolation.foreign_refusals == 1
    assert after(sending(calm(p)), FOREIGN[1]).isolation.foreign_refusals == 1
    other = sending(calm(p), log=(*LOG[:3], b"4our\n"))
    assert after(other, FOREIGN[0]).isolation.foreign_refusals == 1
    assert after(sending(calm(p)), act.Acked(CLOUD, head(4))).isolation.foreign_refusals == 0


def test_f66_the_protocols_own_refusal_condemns_at_once() -> None:
    """problem+json with a code of ours: nobody between could have made it up."""
    p = after(sending(at(3)), act.Refused(422, "no", ours=True))
    assert p.isolation.refusal == Refusal(3, "refused", "no")
    assert p.retry.trouble is None


# ------------------------------------------------------------------------------ what was learned of a place


def test_f67_what_was_refused_at_one_place_makes_no_batch_smaller_elsewhere() -> None:
    """A 413 at the log's end, down to one record; the cloud goes back to an older copy: large batches from there."""
    p = at(1_990, log=LONG)
    for _ in range(4):
        p = failed(p, act.TooLarge())
    assert bytes_wanted(p) < 2 * KIB
    p = changed(p, compare=(head(10, log=LONG),), load=None)
    p = calm(after(p, act.Compared(at(10, log=LONG).cursor)))
    assert (p.cursor.size, bytes_wanted(p)) == (10, 256 * KIB)
    requests = 0
    while p.cursor.size < len(LONG):
        p, requests = acked(p), requests + 1
    assert requests <= 10


def test_f67_what_is_known_of_the_line_holds_wherever_the_cursor_goes() -> None:
    """A slow line is slow for all records."""
    p = failed(at(3, log=LONG), CUT)
    p = changed(p, compare=(head(1, log=LONG),), load=None)
    p = calm(after(p, act.Compared(at(1, log=LONG).cursor)))
    assert bytes_wanted(p) == 128 * KIB


# ------------------------------------------------------------------------------ generations


def test_f68_a_cloud_that_is_never_content_gets_three_generations_and_then_a_pause() -> None:
    """Each is further from the one before; after the third without an accepted record it is told, and probed slowly."""
    p, begun, now = at(2), [], 0.0
    for _ in range(5):
        p = changed(p, compare=(replace(head(1), log_id=p.cursor.log_id, root=JUNK),), load=None)
        p = after(p, act.Compared(None), now=now)
        if p.retry.not_before > now:
            assert isinstance(next_action(p, now), act.Wait)
        now = max(now, p.retry.not_before)
        assert isinstance(next_action(p, now), act.Begin)
        begun.append((now, p.retry.trouble and p.retry.trouble.code))
        p = after(p, act.Began(f"log-{len(begun) + 1}"), now=now)
        p = changed(p, saving__durable=p.standing, heartbeat__due_at=1e9)
    assert [code for _, code in begun] == [None, None, "disagreement", "disagreement", "disagreement"]
    assert [when for when, _ in begun] == [0.0, 0.25, 5.25, 15.25, 35.25]
    action = next_action(p, now)
    assert isinstance(action, act.Read)
    assert action.records_max == 1


def test_f68_an_accepted_record_begins_the_count_of_generations_anew() -> None:
    """A log that is cut each week is no quarrel with the cloud."""
    p = at(0, generations_in_a_row=2)
    assert after(sending(p), act.Acked(CLOUD, head(4))).generations_in_a_row == 0
    p = after(at(2, generations_in_a_row=2, caught_up=True), act.Woken(reset=act.ResetOrder(at(0).cursor)))
    assert p.generations_in_a_row == 0


# ------------------------------------------------------------------------------ an append while the cloud is away

AWAY = act.Unavailable("refused")


def away(failures: int, *, jitter: float = 1.0, outcome: act.Outcome = AWAY) -> Progress:
    """The cloud did not answer so often, the last time at 100 s."""
    p = at(1, retry__failures=failures - 1, retry__trouble=Trouble("unavailable", "refused"), heartbeat__due_at=1e9)
    return after(sending(p, now=100.0), outcome, now=100.0, jitter=jitter)


def test_f117_an_append_brings_the_next_try_to_5_s_behind_the_last_one() -> None:
    """The backoff had grown to a minute: a correction does not wait for it, once the cloud is back."""
    p = away(9)
    assert p.retry.not_before == 160.0
    assert after(p, act.Woken(), now=101.0).retry.not_before == 160.0
    p = after(p, act.Woken(appended=True), now=101.0)
    assert p.retry.not_before == 105.0
    assert away(9, jitter=0.0).retry.not_before == 100.0, "full jitter may be shorter"


def test_f117_a_retry_after_still_holds() -> None:
    """The cloud said when: an append does not know better. Nor does it end a pause, or the wait of a 429."""
    p = away(1, outcome=act.Unavailable("503", 30.0))
    assert after(p, act.Woken(appended=True), now=101.0).retry.not_before == 130.0
    for outcome in (act.Throttled(50.0), act.Misconfigured(404, "")):
        p = away(1, outcome=outcome)
        wait = p.retry.not_before
        assert after(p, act.Woken(appended=True), now=101.0).retry.not_before == wait > 104.0


def test_f117_who_appended_lately_waits_for_half_the_time_since_then_at_most() -> None:
    """After 30 s of absence everything is there within 15 s, also of who wrote only at its beginning."""
    p = away(9)
    p = after(p, act.Woken(appended=True), now=101.0)
    waits = []
    for _ in range(4):
        now = p.retry.not_before
        p = after(sending(changed(p, heartbeat__due_at=1e9), now=now), AWAY, now=now, jitter=1.0)
        waits.append(p.retry.not_before - now)
    assert waits[:2] == [5.0, 5.0]
    assert all(wait <= max(5.0, since / 2) for wait, since in zip(waits, (4.0, 9.0, 14.0, 21.0), strict=True))
    assert after(sending(at(1, retry__failures=8)), AWAY, jitter=1.0).retry.not_before == 60.0, "who rests"


def test_f117_who_has_nothing_to_send_asks_once_a_minute() -> None:
    """A resting agent needs no sooner word from the cloud than its next heartbeat."""
    p = at(4, caught_up=True, heartbeat__due_at=100.0, heartbeat__last_at=40.0)
    p = after(p, AWAY, now=100.0)
    assert p.heartbeat.due_at == 160.0
    assert math.isinf(at(1).retry.append_not_before)
    assert after(sending(at(1)), act.TooLarge(Limits(records=9))).limits == Limits(records=9)


# ------------------------------------------------------------------------------ destinations without a name


def test_f73_a_destination_that_cannot_say_who_it_is_is_known_by_its_address() -> None:
    """Every function of a library user calls itself the same: under another endpoint it is another one."""
    p = changed(at(2, endpoint="https://there/api/v1"), standing__cloud_id=UNNAMED_CLOUD)
    held = after(calm(p), act.Heard(UNNAMED_CLOUD, head(2)))
    assert held.retry.trouble == Trouble("held", "another cloud at another address")
    p = calm(changed(p, endpoint=HERE, heartbeat__due_at=0.0))
    assert after(changed(p, heartbeat__due_at=0.0), act.Heard(UNNAMED_CLOUD, head(2))).retry.trouble is None


# ------------------------------------------------------------------------------ what small changes showed unproven

SMALL = Policy(batch_bytes_min=4, batch_s_max=2.0, line_successes=2, read_bytes_max=64)


def line(**fields: object) -> Sizing:
    """A sizing of which the line's part matters."""
    return replace(Sizing(64, 100, 64), **fields)  # type: ignore[arg-type]


def batch(size: int) -> Batch:
    """One record of so many bytes."""
    return Batch(0, 0, b"x" * (size - 1) + b"\n", (size,))


@pytest.mark.parametrize(
    ("before", "size", "took_s", "after_it"),
    [
        pytest.param(line(), 32, 0.5, line(), id="nothing is known against any size"),
        pytest.param(line(line_bytes=16), 8, 0.5, line(line_bytes=16), id="half full says nothing"),
        pytest.param(line(line_bytes=16), 9, 0.5, line(line_bytes=32), id="more than half full, and quick"),
        pytest.param(line(line_bytes=16), 16, 2.0, line(line_bytes=16), id="just in time"),
        pytest.param(line(line_bytes=16), 16, 1.5, line(line_bytes=21), id="what it carries bounds the growth"),
        pytest.param(line(line_bytes=16), 16, 4.0, line(line_bytes=8), id="too slow"),
        pytest.param(line(line_bytes=16), 8, 8.0, line(line_bytes=4), id="never below the least"),
        pytest.param(line(line_bytes=16), 4, 8.0, line(line_bytes=16), id="a stall of a small one"),
        pytest.param(line(line_bytes=16), 5, 4.0, line(line_bytes=4), id="one byte more than the least"),
        pytest.param(line(line_bytes=16), 16, 0.0, line(line_bytes=32), id="in no time"),
        pytest.param(
            line(line_bytes=16, line_patience=2), 16, 0.5,
            line(line_bytes=16, line_patience=2, line_successes=1), id="patience",
        ),
        pytest.param(
            line(line_bytes=16, line_patience=2, line_successes=1), 16, 0.5,
            line(line_bytes=32, line_patience=2), id="the end of patience",
        ),
        pytest.param(
            line(line_bytes=32, line_patience=8, line_successes=7), 32, 0.5, line(), id="as large as a read may be",
        ),
        pytest.param(line(line_bytes=31), 31, 0.5, line(line_bytes=62), id="almost as large"),
    ],
)  # fmt: skip
def test_f61_what_a_batch_that_got_through_says_of_the_line(
    before: Sizing, size: int, took_s: float, after_it: Sizing
) -> None:
    """Each bound by itself: the time, the least, half full, patience, and the end of all of it."""
    assert carried(before, batch(size), took_s, SMALL) == after_it


@pytest.mark.parametrize(
    ("before", "size", "failures", "after_it"),
    [
        pytest.param(line(), 32, 0, line(line_bytes=16, line_patience=2), id="the first"),
        pytest.param(line(line_bytes=16, line_patience=2), 15, 1, line(line_bytes=7, line_patience=2), id="in a row"),
        pytest.param(
            line(line_bytes=32, line_patience=2, line_successes=1), 32, 0,
            line(line_bytes=16, line_patience=8), id="after smaller ones got through",
        ),
        pytest.param(line(line_bytes=8), 32, 0, line(line_bytes=8, line_patience=2), id="never larger than before"),
        pytest.param(line(), 5, 0, line(line_bytes=4, line_patience=2), id="to the least"),
        pytest.param(line(), 4, 0, line(), id="the least itself says nothing"),
    ],
)  # fmt: skip
def test_f61_what_a_batch_that_broke_off_says_of_the_line(
    before: Sizing, size: int, failures: int, after_it: Sizing
) -> None:
    """Half of it, to the least; patience grows only where smaller ones got through in between."""
    p = at(0, policy=SMALL, sizing=before, retry__failures=failures)
    p = broke_off(p, act.Send(p.cursor, batch(size), p.cursor.tree))
    assert p.sizing == after_it
    assert isinstance(p.sizing.line_bytes, int)


def test_f61_a_heartbeat_or_a_place_that_broke_off_says_nothing_of_batches() -> None:
    """They are as small as can be."""
    p = at(1)
    assert broke_off(p, act.Beat(p.cursor)) is p
    assert broke_off(p, act.Send(p.cursor, Hole(1, 4, 99_999, JUNK, Anchor(4, JUNK)), p.cursor.tree)) is p


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (act.Refused(422, "a page", ours=False), Trouble("refusing", "a page", 422)),
        (act.TooLarge(ours=False), Trouble("refusing", "413 for this record alone", 413)),
    ],
)
def test_f66_a_strangers_refusal_is_told_with_its_status(outcome: act.Outcome, told: Trouble) -> None:
    """Also where it is the third record in a row, and the cloud is suspected for it."""
    assert after(sending(at(3)), outcome).retry.trouble == told
    p = at(3, isolation__refused_in_a_row=2, retry__failures=0)
    for _ in range(3):
        p = calm(after(sending(calm(p)), outcome, now=7.0))
    assert (p.retry.trouble, p.isolation.refusal) == (told, None)


def test_f67_everything_that_was_learned_of_a_place_is_forgotten() -> None:
    """Size, count, successes and where the refused range ended."""
    p = at(3, sizing__batch_records=1, sizing__ceiling_bytes=7, sizing__ceiling_successes=5, sizing__regrow_at=99)
    p = after(changed(p, compare=(head(1),)), act.Compared(at(1).cursor))
    assert p.sizing == at(1).sizing


def test_f68_a_rewind_is_no_accepted_record_and_a_jump_is_one() -> None:
    """Back: the cloud lost what it had. Forward: it has records of this very log."""
    back = after(at(3, compare=(head(1),), generations_in_a_row=1), act.Compared(at(1).cursor))
    forward = at(1, compare=(head(3),), generations_in_a_row=1, limits=Limits(records=1))
    assert back.generations_in_a_row == 1
    assert after(forward, act.Compared(at(3).cursor)).generations_in_a_row == 0


@pytest.mark.parametrize("outcome", [act.Broken("cut"), act.Nothing()])
def test_f68_whatever_ends_a_generation_the_second_waits_and_the_third_pauses(outcome: act.Outcome) -> None:
    """From now on, in words that say why; the first begins at once."""
    resend = head(4).tree_head
    first = changed(at(2), standing__resend=resend, saving__durable=changed(at(2).standing, resend=resend))
    assert after(first, outcome, now=7.0).retry.not_before == 0.0
    second = after(changed(first, generations_in_a_row=1), outcome, now=7.0)
    assert (second.retry.not_before, second.retry.trouble) == (7.25, None)
    third = after(changed(first, generations_in_a_row=2), outcome, now=7.0)
    why = third.generation_ended
    told = Trouble("disagreement", f"3 generations without an accepted record: {why}")
    assert (third.retry.not_before, third.retry.trouble) == (12.0, told)


def test_f117_no_other_wait_is_shortened_by_what_an_earlier_failure_allowed() -> None:
    """A pause, a 429 and a log that cannot be compared begin waits of their own."""
    p = at(1, retry__append_not_before=1.0)
    for waiting in (
        after(sending(p), act.Denied(401, "")),
        after(sending(p), act.Throttled(9.0)),
        after(changed(p, compare=(head(3),)), act.ReadFailed("EIO", "no")),
    ):
        assert math.isinf(waiting.retry.append_not_before)


def test_f117_who_appended_some_time_ago_waits_for_half_of_that_time() -> None:
    """Not for a third, and not for the whole backoff; the wait after an append is jittered a little."""
    p = at(1, appended_at=60.0, retry__failures=9, heartbeat__due_at=1e9)
    assert after(sending(p, now=100.0), AWAY, now=100.0, jitter=1.0).retry.not_before == 120.0
    p = after(sending(p, now=100.0), AWAY, now=100.0, jitter=0.5)
    assert p.retry.append_not_before == pytest.approx(104.75)
