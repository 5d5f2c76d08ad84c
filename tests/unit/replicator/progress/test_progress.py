"""progress: each row of the tables of decisions, by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replicator import actions as act
from replicator.model import (
    Anchor,
    Batch,
    Cursor,
    DeadLetter,
    Head,
    Hole,
    Limits,
    Policy,
    Refusal,
    Standing,
)
from replicator.pacing import Budget
from replicator.progress import (
    ENVELOPE_BYTES_MAX,
    RECORD_BYTES_LIMIT_MIN,
    Progress,
    ProgressTally,
    Trouble,
    next_action,
)
from replicator.progress.table import _assert_no_gap
from replicator.proof import leaf_hash
from replicator.testing.cloud import Replica, receive
from replicator.testing.log import cursor_at, read
from tests.support.fields import changed
from tests.support.progress import CLOUD, HERE, JUNK, LOG, POLICY, after, at, head, sending, standing_of

# ------------------------------------------------------------------------------ heads that are ahead


def test_f28_a_head_a_little_ahead_is_passed_by_sending_again() -> None:
    """Proven by the log and within a batch: sent again, so that no answer about refused records is jumped over."""
    p = after(at(1, heartbeat__due_at=0.0), act.Heard(CLOUD, head(3)))
    assert p.compare == (head(3),)
    p = after(p, act.Compared(cursor_at("log-1", LOG[:3])))
    assert (p.cursor.size, standing_of(p).resend, p.tally.jumps) == (1, head(3).tree_head, 0)


def test_f28_a_head_far_ahead_is_jumped_to() -> None:
    """Proven by the log and beyond a batch: nothing is resent."""
    p = at(1, compare=(head(3),), limits=Limits(records=1))
    p = after(p, act.Compared(cursor_at("log-1", LOG[:3])))
    assert (p.cursor.size, standing_of(p).resend, p.tally.jumps) == (3, None, 1)


def test_a_head_one_record_ahead_is_near_however_long_the_record_is() -> None:
    """The place of an over-long record is the one whose answer must not be lost."""
    p = at(1, compare=(head(2),), policy=Policy(read_bytes_max=1, record_bytes_max=0))
    p = after(p, act.Compared(cursor_at("log-1", LOG[:2])))
    assert p.cursor.size == 1


def test_f31_a_batch_whose_answer_was_lost_is_acknowledged_by_the_head_that_is_ahead() -> None:
    """While the cloud's head is passed, that head acknowledges a shorter batch, and stays to be passed."""
    p = changed(at(0), standing=replace(standing_of(at(0)), resend=head(3).tree_head), sizing__batch_bytes=4)
    p = changed(p, saving__durable=p.standing)
    p = after(sending(p), act.Acked(CLOUD, head(3), duplicates=1))
    assert (p.cursor.size, standing_of(p).resend) == (1, head(3).tree_head)


def test_f09_a_log_that_ends_before_what_the_cloud_has_of_it_begins_a_new_generation() -> None:
    """When the log has nothing more to send, but the cloud has, records were cut off: a new generation."""
    standing = replace(standing_of(at(2)), resend=head(4).tree_head)
    p = after(changed(at(2), standing=standing, saving__durable=standing), act.Nothing())
    assert p.generation_ended == "the log ends after 2 records, the cloud has 4 of it"
    assert next_action(p, 0.0) == act.Begin("log-1")


# ------------------------------------------------------------------------------ records that are refused


def refused_alone(p: Progress, *, log: tuple[bytes, ...] = LOG) -> Progress:
    """The same, after its next record was refused alone."""
    refused = after(sending(changed(p, sizing__batch_bytes=1), log=log), act.Refused(422, "no"))
    return changed(refused, sizing__batch_bytes=p.sizing.batch_bytes)


def test_f35_a_record_refused_alone_goes_as_a_hole_and_is_a_dead_letter() -> None:
    """Refused alone, and nothing behind it: its place is sent, and the ack of that makes the dead letter."""
    p = sending(refused_alone(at(1), log=LOG[:2]), log=LOG[:2])
    assert p.load == Hole(1, 4, 4, leaf_hash(LOG[1]), Anchor.of(LOG[1]))
    p = after(p, act.Acked(CLOUD, head(2)))
    assert p.saving.dead_letters == (DeadLetter("log-1", 1, 4, 4, "refused", "no"),)
    assert (p.cursor.size, p.isolation.refused_in_a_row) == (2, 1)


def test_f35_the_place_of_a_record_refused_alone_goes_with_the_records_behind_it() -> None:
    """One request for both: the ack makes the dead letter, and the records taken end the row of refusals."""
    p = sending(refused_alone(at(1, sizing__batch_records=1)))
    assert isinstance(p.load, Batch)
    assert (p.load.holes, p.load.count, list(map(bytes, p.load.sent()))) == ((1,), 3, list(LOG[2:]))
    p = after(p, act.Acked(CLOUD, head(4)))
    assert p.saving.dead_letters == (DeadLetter("log-1", 1, 4, 4, "refused", "no"),)
    assert (p.cursor.size, p.isolation.refused_in_a_row, p.isolation.refusal) == (4, 0, None)


def test_f35_if_that_is_refused_too_its_place_goes_by_itself() -> None:
    """A cloud that knows no places among records, or another bad record: back to one step at a time."""
    for record in (None, 1):
        p = after(sending(refused_alone(at(1))), act.Refused(422, "no", record))
        assert (p.isolation.suspect, p.isolation.refusal) == (1, Refusal(1, "refused", "no"))
        p = sending(p)
        assert isinstance(p.load, Hole)
        p = after(p, act.Acked(CLOUD, head(2)))
        assert (p.cursor.size, p.isolation.suspect, len(p.saving.dead_letters)) == (2, None, 1)


def test_a_record_that_took_the_place_of_the_refused_one_is_sent_with_its_bytes() -> None:
    """If the log was rewritten after the refusal, the record that stands there now is no dead letter."""
    p = sending(refused_alone(at(1)), log=(LOG[0], b"another\n"))
    assert p.isolation.refusal is None
    assert p.load == Batch(1, 4, b"another\n", (8,))


# ------------------------------------------------------------------------------ records that are named


def named(p: Progress, *records: int, log: tuple[bytes, ...] = LOG) -> Progress:
    """The same, after answers to its next batches named these records."""
    for record in records:
        p = after(sending(p, log=log), act.Refused(422, "no", record))
    return p


def left_out(p: Progress, *records: int) -> Progress:
    """The same, after the batch without their bytes was acknowledged, and this was saved."""
    p = after(sending(named(p, *records)), act.Acked(CLOUD, head(4)))
    return changed(p, saving__durable=p.standing)


def test_f35_the_bytes_of_a_record_that_was_named_are_left_out_and_go_alone() -> None:
    """The rest arrives with one request; the cursor waits at the record: a dead letter only if it is refused alone."""
    p = sending(named(at(0), 2))
    assert isinstance(p.load, Batch)
    assert (p.load.holes, p.load.count) == ((2,), 4)
    p = after(p, act.Acked(CLOUD, head(4)))
    assert (p.cursor, p.saving.dead_letters) == (cursor_at("log-1", LOG[:2]), ())
    assert standing_of(p).resend == head(4).tree_head
    p = sending(changed(p, saving__durable=p.standing))
    assert p.load == Batch(2, 8, LOG[2], (6,))
    p = after(p, act.Refused(422, "no", 2))
    assert p.saving.dead_letters == (DeadLetter("log-1", 2, 8, 6, "refused", "no"),)
    assert p.standing == Standing(cursor_at("log-1", LOG), CLOUD, HERE)
    assert (p.isolation.left_out, p.isolation.unsettled, p.isolation.refused_in_a_row) == ((), (), 1)


def test_f35_a_record_that_was_named_wrongly_is_taken_alone() -> None:
    """No dead letter: its bytes fill the place, and the cursor goes behind all that was acknowledged."""
    p = after(sending(left_out(at(0), 0)), act.Acked(CLOUD, head(4), duplicates=1))
    assert p.standing == Standing(cursor_at("log-1", LOG), CLOUD, HERE)
    assert (p.saving.dead_letters, p.isolation.left_out, p.isolation.unsettled) == ((), (), ())


def test_f35_two_records_that_were_named_go_alone_one_after_the_other() -> None:
    """Each is a dead letter by itself; between them the cursor stands at the second."""
    p = left_out(at(0), 3, 1)
    assert (p.cursor.size, p.isolation.left_out) == (1, (1, 3))
    p = after(sending(p), act.TooLarge())
    assert p.saving.dead_letters == (DeadLetter("log-1", 1, 4, 4, "too_large", "413 for this record alone"),)
    assert (p.cursor, p.isolation.left_out) == (cursor_at("log-1", LOG[:3]), (3,))
    p = changed(p, saving__durable=p.standing, saving__dead_letters=())
    p = after(sending(p), act.Acked(CLOUD, head(4), duplicates=1))
    assert (p.cursor.size, p.saving.dead_letters, standing_of(p).resend) == (4, (), None)


def test_f35b_no_more_records_are_left_out_than_may_be_refused_in_a_row() -> None:
    """The third that is named ends the batch before it: on one answer's word no more become dead letters."""
    p = sending(named(at(0), 0, 2, 3))
    assert isinstance(p.load, Batch)
    assert (p.isolation.suspect, p.load.holes, p.load.count) == (3, (0, 2), 3)


def test_f35_records_that_were_named_and_nothing_else_go_one_by_one() -> None:
    """A batch without any bytes would prove nothing of the cloud."""
    p = sending(named(at(0), 0, 1, 2))
    assert p.load == Batch(0, 0, LOG[0], (4,))
    p = after(p, act.Refused(422, "no"))
    p = sending(p)
    assert isinstance(p.load, Hole)


def test_f35_leaving_out_what_was_refused_alone_and_what_was_named() -> None:
    """The first is proven and becomes a dead letter by the ack, the other one still goes alone."""
    p = after(sending(refused_alone(at(0))), act.Refused(422, "no", 2))
    p = sending(p)
    assert isinstance(p.load, Batch)
    assert p.load.holes == (0, 2)
    p = after(p, act.Acked(CLOUD, head(4)))
    assert (p.cursor.size, [letter.record for letter in p.saving.dead_letters]) == (2, [0])
    assert [aside.behind.size for aside in p.isolation.unsettled] == [4]


def test_f35b_a_record_left_out_is_no_dead_letter_if_it_is_the_third_in_a_row() -> None:
    """As for any other: the cloud is not believed, and the record is kept."""
    p = changed(left_out(at(0), 1), isolation__refused_in_a_row=2)
    p = after(sending(p), act.Refused(422, "no"))
    assert (p.retry.trouble, p.saving.dead_letters, p.cursor.size) == (Trouble("refusing", "no", 422), (), 1)
    assert p.isolation.unsettled


def test_a_record_that_took_the_place_of_one_left_out_is_sent_like_any_other() -> None:
    """The log was edited meanwhile: what stands there now was not left out, and no cursor jumps over it."""
    p = sending(left_out(at(0), 1), log=(LOG[0], b"2wo\n", *LOG[2:]))
    assert (p.isolation.unsettled, p.cursor.size) == ((), 1)


def test_a_cloud_that_lost_what_was_left_out_gets_all_of_it_again() -> None:
    """The answer to the record alone shows a head right behind it: the places behind are gone."""
    p = after(sending(left_out(at(0), 1)), act.Acked(CLOUD, head(2)))
    assert (p.cursor, p.isolation.unsettled, standing_of(p).resend) == (cursor_at("log-1", LOG[:2]), (), None)


def test_a_cloud_made_anew_knows_of_nothing_that_was_left_out() -> None:
    """The places were acknowledged by the one before it."""
    p = after(changed(left_out(at(0), 0), heartbeat__due_at=0.0), act.Heard("cloud-2", head(0)))
    assert (p.isolation.unsettled, standing_of(p).resend) == ((), None)


def test_a_comparison_voids_what_was_left_out() -> None:
    """What the cloud has was found again by its head: the batch is sent again, and its answer says what is what."""
    p = after(replace(left_out(at(0), 1), compare=(head(3),)), act.Compared(cursor_at("log-1", LOG[:3])))
    assert (p.isolation.unsettled, p.cursor.size, standing_of(p).resend) == ((), 1, head(3).tree_head)


# ------------------------------------------------------------------------------ a person's orders


def test_a_confirmed_order_starts_a_client_that_was_stopped_before_it_had_a_cursor() -> None:
    """Stopped by a 410 to its very first question: a confirmed order begins a log, and counts as carried out."""
    p = after(Progress.start(None, policy=POLICY, endpoint=HERE), act.Gone("deleted"))
    assert next_action(p, 0.0) == act.Wait(2.0)
    p = after(p, act.Woken(reset=act.ResetOrder(Cursor("log-1"), confirmed=True, id=7)))
    assert next_action(p, 0.0) == act.Begin(None)
    p = after(p, act.Began("log-2"))
    assert next_action(p, 0.0) == act.Checkpoint(Standing(Cursor("log-2"), None, HERE), (), 7)


def test_an_order_without_a_cursor_to_move_waits_in_the_sidecar() -> None:
    """Without a cursor there is nothing to reset: the order is not taken up, so that it is not lost either."""
    p = changed(Progress.start(None, policy=POLICY, endpoint=HERE), retry__not_before=1.0)
    assert after(p, act.Woken(reset=act.ResetOrder(Cursor("log-1"), id=7))) == p


# ------------------------------------------------------------------------------ refused in a row


def test_f35b_the_third_record_refused_alone_in_a_row_pauses() -> None:
    """Two dead letters without a record accepted between, and one more refusal: a bad cloud, so all are kept."""
    p = changed(at(2), isolation__refused_in_a_row=2, sizing__batch_bytes=1)
    p = after(sending(p), act.Refused(422, "no"))
    assert p.retry.trouble == Trouble("refusing", "no", 422)
    assert (p.isolation.refusal, p.load, p.saving.dead_letters) == (None, None, ())


def test_f35b_a_pause_does_not_count_one_refused_record_twice() -> None:
    """A pause between the refusal and its hole forgets neither: the hole goes next, and counts once."""
    p = after(sending(refused_alone(at(1))), act.Denied(401, ""))
    assert p.isolation.refusal == Refusal(1, "refused", "no")
    p = changed(p, retry__not_before=0.0)
    p = after(sending(p), act.Acked(CLOUD, head(2)))
    assert (p.isolation.refused_in_a_row, len(p.saving.dead_letters)) == (1, 1)


def test_a_cursor_that_is_reset_begins_to_count_refused_records_anew() -> None:
    """What was refused before a reset is met again after it; it must not count twice."""
    p = changed(
        left_out(at(0), 1),
        caught_up=True,
        isolation__refused_in_a_row=2,
        isolation__suspect=3,
        isolation__left_out=(1,),
    )
    p = after(p, act.Woken(reset=act.ResetOrder(Cursor("-"))))
    assert (
        p.cursor.size,
        p.isolation.refused_in_a_row,
        p.isolation.suspect,
        p.isolation.left_out,
        p.isolation.unsettled,
    ) == (0, 0, None, (), ())


def test_f35b_an_order_to_stay_does_not_forget_what_was_refused() -> None:
    """The cursor meets nothing again, so the next refusal is still the third in a row."""
    p = changed(at(2), caught_up=True, isolation__refused_in_a_row=2)
    p = after(p, act.Woken(reset=act.ResetOrder(cursor_at("log-1", LOG[:3]), id=1)))
    assert (p.cursor.size, p.isolation.refused_in_a_row, p.saving.reset_id) == (2, 2, 1)


def test_a_heartbeat_that_is_over_greets_the_cloud_unless_its_answer_must_be_looked_into() -> None:
    """Who has nothing to send waits for it: until it failed, or until the head that it brought was compared."""
    fresh = Progress.start(standing_of(at(2)), policy=POLICY, endpoint=HERE)
    assert not fresh.greeted
    assert after(fresh, act.Unavailable("")).greeted
    assert after(fresh, act.Heard(CLOUD, head(2))).greeted
    back = after(fresh, act.Heard(CLOUD, head(1)))
    assert not back.greeted
    assert after(back, act.Compared(cursor_at("log-1", LOG[:1]))).greeted
    assert not after(back, act.Compared(None)).greeted


# ------------------------------------------------------------------------------ throttled


def test_f37_a_throttled_heartbeat_does_not_delay_records() -> None:
    """429 to a heartbeat: the next heartbeat waits as long as it says, the records go on."""
    p = after(changed(at(1), heartbeat__due_at=0.0), act.Throttled(100.0))
    assert (p.heartbeat.due_at, p.retry.not_before) == (100.5, 0.0)
    assert isinstance(next_action(p, 0.0), act.Read)


@pytest.mark.parametrize("moved", [False, True])
def test_f37_a_throttled_heartbeat_that_must_come_first_is_not_repeated_at_once(moved: bool) -> None:
    """Where only a heartbeat may go (paused with nothing to send; at a new address), its 429 is waited for too."""
    p = changed(at(4), caught_up=True, retry__trouble=None if moved else Trouble("denied", "", 401))
    p = replace(p, endpoint="https://there/api/v1") if moved else p
    assert isinstance(next_action(p, 0.0), act.Beat)
    p = after(p, act.Throttled(5.0))
    assert p.retry.not_before == 5.5
    assert next_action(p, 0.0) == act.Wait(2.0)


def test_f37_a_throttled_batch_waits_and_is_read_afresh() -> None:
    """429 to a batch is no failure: a minimum wait, clamped, and no trouble."""
    p = after(sending(at(1)), act.Throttled(1e9))
    assert (p.retry.not_before, p.load, p.retry.trouble, p.retry.failures) == (300.5, None, None, 0)


# ------------------------------------------------------------------------------ sending again what is there


def resending(size: int, known: int) -> Progress:
    """Behind `size` records, while the cloud's first `known` are sent again."""
    p = at(size)
    standing = replace(standing_of(p), resend=head(known).tree_head)
    return changed(p, standing=standing, saving__durable=standing)


def test_f10_an_old_record_edited_and_the_log_sent_again_is_compared() -> None:
    """Sent again up to the cloud's head, but with another root: the log is asked whether it still has that head."""
    other = Head("log-1", 3, JUNK, head(3).offset)
    p = changed(resending(1, 3), sizing__batch_records=2)
    p = replace(p, standing=replace(standing_of(p), resend=other.tree_head))
    p = changed(p, saving__durable=p.standing)
    p = after(sending(p), act.Acked(CLOUD, other))
    assert (p.cursor.size, p.compare) == (1, (other,))


def test_a_cloud_that_rolls_back_while_records_are_sent_again_still_acknowledges_them() -> None:
    """A head that is exactly ours is an ack, even if another one was known before; then nothing is left to pass."""
    p = changed(resending(0, 4), sizing__batch_records=2)
    p = after(sending(p), act.Acked(CLOUD, head(2)))
    assert (p.cursor.size, standing_of(p).resend, p.retry.trouble) == (2, None, None)


def test_a_confirmed_order_is_carried_out_at_a_cloud_that_turns_out_to_have_the_log() -> None:
    """Ordered to send everything again: the head that was known is passed, not jumped to."""
    p = at(4, retry__trouble=Trouble("gone", "deleted", 410))
    p = after(p, act.Woken(reset=act.ResetOrder(Cursor("-"), confirmed=True)))
    p = after(changed(p, saving__durable=p.standing), act.Heard(CLOUD, head(4)))
    assert (p.cursor.size, p.compare, standing_of(p).resend) == (0, (), head(4).tree_head)


# ------------------------------------------------------------------------------ what a heartbeat's answer ends


def test_f29_a_heartbeat_that_is_answered_does_not_end_the_backoff_of_batches_that_are_not() -> None:
    """While records wait, only an ack shows that they flow: the backoff grows on, and nobody is told of recovery."""
    trouble = Trouble("unavailable", "503", 503)
    p = after(
        changed(at(1), retry__trouble=trouble, retry__failures=6, heartbeat__due_at=0.0), act.Heard(CLOUD, head(1))
    )
    assert (p.retry.trouble, p.retry.failures, p.retry.heartbeat_answered) == (trouble, 6, True)
    assert isinstance(next_action(p, 0.0), act.Read)


@pytest.mark.parametrize("code", ["unavailable", "denied"])
def test_f33_with_nothing_to_send_an_answered_heartbeat_ends_the_trouble(code: str) -> None:
    """Nothing waits: the heartbeat is the probe, whether the log was looked at before it or after it."""
    p = changed(at(4), retry__trouble=Trouble(code), retry__failures=3, heartbeat__due_at=0.0)  # type: ignore[arg-type]
    before = after(replace(p, caught_up=True), act.Heard(CLOUD, head(4)))
    behind = after(after(p, act.Heard(CLOUD, head(4))), act.Nothing())
    for p in (before, behind):
        assert (p.retry.trouble, p.retry.failures, p.retry.heartbeat_answered, p.caught_up) == (None, 0, False, True)


def test_a_failure_after_an_answered_heartbeat_goes_on_as_trouble() -> None:
    """A heartbeat's answer counts only until the next failure."""
    p = changed(at(1), retry__trouble=Trouble("unavailable"), retry__heartbeat_answered=True, retry__failures=1)
    assert not after(sending(p), act.Unavailable("")).retry.heartbeat_answered
    assert not after(sending(p), act.Denied(401, "")).retry.heartbeat_answered


def test_f32_one_garbled_answer_long_after_others_does_not_pause() -> None:
    """Answers that are none are counted in a row: flowing again forgets them."""
    p = changed(at(4), caught_up=True, heartbeat__due_at=0.0, retry__disagreements=2)
    p = after(p, act.Heard(CLOUD, head(4)))
    assert p.retry.disagreements == 0


# ------------------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    "limits",
    [
        Limits(record_bytes=RECORD_BYTES_LIMIT_MIN - 1),
        Limits(body_bytes=ENVELOPE_BYTES_MAX + RECORD_BYTES_LIMIT_MIN - 1),
    ],
)
def test_limits_that_would_make_dead_letters_of_whole_logs_are_not_believed(limits: Limits) -> None:
    """A limit on records, or on bodies, that leaves no room for an ordinary record is a mistake or an attack."""
    p = after(sending(at(1)), act.Acked(CLOUD, head(4), limits=limits))
    assert p.limits == Limits()


def test_limits_that_are_announced_hold_from_the_next_read_on() -> None:
    """Records, bytes and the request budget are what the cloud says, the envelope's room kept free."""
    limits = Limits(ENVELOPE_BYTES_MAX + 20_000, 18_000, 7, 60)
    p = after(sending(at(1)), act.Acked(CLOUD, head(4), limits=limits))
    assert (p.limits, p.budget.requests_per_minute) == (limits, 60)
    action = next_action(changed(p, saving__durable=p.standing), 10.0)
    assert isinstance(action, act.Read)
    assert (action.bytes_max, action.records_max, action.record_bytes_max) == (20_000, 7, 18_000)


# ------------------------------------------------------------------------------ the sidecar


def test_f19_a_checkpoint_that_fails_is_tried_again_a_little_later() -> None:
    """A full disk: replication goes on meanwhile, and the checkpoint has a backoff from its first failure on."""
    p = changed(at(1), saving__durable=None)
    p = after(p, act.SaveFailed("disk full"))
    assert (p.saving.trouble, p.saving.not_before) == ("disk full", 0.25)
    assert isinstance(next_action(p, 0.0), act.Read)
    assert isinstance(next_action(p, 0.25), act.Checkpoint)


def test_f19_a_failed_checkpoint_is_made_up_for_although_the_cursor_came_back() -> None:
    """Nothing is unsaved, but only a save shows that the sidecar is well: else it is called broken for ever."""
    p = changed(at(1), saving__trouble="disk full", saving__failures=1, saving__not_before=1.0)
    assert not p.unsaved
    assert isinstance(next_action(p, 0.5), act.Read)
    p = after(p, act.Saved(None), now=1.0)
    assert (p.saving.trouble, p.saving.not_before) == (None, 0.0)


# ------------------------------------------------------------------------------ what a refused record costs


@pytest.mark.parametrize(("named", "requests_max"), [(True, 1 + 2), (False, 1 + 13 + 2)])
@pytest.mark.parametrize("culprit", [0, 1, 2499, 2500, 3333, 4998, 4999])
def test_f35_one_refused_record_among_5000_costs_few_requests(named: bool, requests_max: int, culprit: int) -> None:
    """Named: at most 2 more than without it, the rest and the record alone. Not named: log2(n) halvings, and these."""
    log = tuple(b"%d\n" % number for number in range(5000))
    p = at(0)
    cloud: Replica = ()
    letters: list[int] = []
    requests = 0
    while p.cursor.size < 5000:
        action = next_action(p, 0.0)
        if isinstance(action, act.Checkpoint):
            letters += [letter.record for letter in action.dead_letters]
            p = after(p, act.Saved())
        elif isinstance(action, act.Read):
            p = sending(p, log=log)
        else:
            assert isinstance(action, act.Send)
            requests += 1
            load = action.load
            within = isinstance(load, Batch) and load.first <= culprit < load.first + load.count
            if within and culprit not in load.holes:
                p = after(p, act.Refused(422, "no", culprit if named else None))
            else:
                cloud, answer = receive(cloud, action, CLOUD)
                p = after(p, answer)
        p = replace(p, budget=Budget(None, 1))
    assert requests <= requests_max
    letters += [letter.record for letter in p.saving.dead_letters]
    assert letters == [culprit]


# ------------------------------------------------------------------------------ what to do next


def test_a_fresh_client_asks_the_cloud_for_its_logs_within_the_request_budget() -> None:
    """Without a cursor the first thing is to recall; that is a request like others, so the budget counts."""
    p = Progress.start(None, policy=POLICY, endpoint=HERE)
    assert next_action(p, 0.0) == act.Recall()
    assert p.budget == Budget(Limits().requests_per_minute, POLICY.request_burst)
    spent = replace(p, budget=Budget(60, 1).spent(0.0))
    assert next_action(spent, 0.0) == act.Wait(1.0)


def test_f37_a_spent_request_budget_is_waited_for() -> None:
    """Records wait for the budget, so that they gather; a heartbeat has a budget of its own."""
    p = replace(at(1), budget=Budget(60, 1).spent(0.0))
    assert next_action(p, 0.0) == act.Wait(1.0)
    assert isinstance(next_action(changed(p, heartbeat__due_at=0.0), 0.0), act.Beat)


def test_f19_many_dead_letters_that_cannot_be_saved_hold_replication_up() -> None:
    """Memory is bounded: with so many unsaved ones no more are made."""
    letters = (DeadLetter("log-1", 0, 0, 4, "refused"),) * POLICY.dead_letters_unsaved_max
    p = changed(at(1), saving__dead_letters=letters, saving__not_before=1.5)
    assert next_action(p, 0.0) == act.Wait(1.5)


def test_a_record_that_was_named_is_approached_and_sent_alone() -> None:
    """If leaving its bytes out did not help, reads end before the record at fault; then it is read by itself."""
    p = named(at(0), 2, 2)
    assert (p.isolation.suspect, p.isolation.left_out) == (2, ())
    p = after(sending(p), act.Acked(CLOUD, head(2)))
    assert (p.cursor.size, p.isolation.suspect) == (2, 2)
    p = sending(changed(p, saving__durable=p.standing))
    assert isinstance(p.load, Batch)
    assert p.load.count == 1
    p = after(p, act.Acked(CLOUD, head(3)))
    assert p.isolation.suspect is None


def test_while_paused_one_record_is_the_probe() -> None:
    """A key that may be wrong is not tried with megabytes."""
    action = next_action(at(1, retry__trouble=Trouble("denied", "", 401)), 0.0)
    assert isinstance(action, act.Read)
    assert action.records_max == 1


# ------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("reason", ["the anchor does not hold"])
def test_f04_f13_broken_evidence_begins_a_generation_that_is_saved_first(reason: str) -> None:
    """A new name with the old one as parent, from record 0, and the first thing is to make that durable."""
    p = after(at(2), act.Broken(reason))
    assert p.generation_ended == reason
    assert next_action(p, 0.0) == act.Begin("log-1")
    p = after(p, act.Began("log-2"))
    expected = Standing(Cursor("log-2", parent="log-1"), CLOUD, HERE)
    assert next_action(p, 0.0) == act.Checkpoint(expected)
    assert p.tally.generations == 1


def test_f18_a_read_that_fails_is_no_reason_to_reset() -> None:
    """An error of the operating system: look again at the timer; the cursor stays."""
    failed = act.ReadFailed("EACCES", "no")
    p = after(at(2), failed)
    assert (p.standing, p.log_trouble, p.caught_up) == (at(2).standing, failed, True)
    assert next_action(p, 0.0) == act.Wait(2.0)
    assert after(p, act.Woken()).caught_up is False


def test_f18_a_comparison_that_fails_is_made_again() -> None:
    """The question stays until the log can be read."""
    failed = act.ReadFailed("EIO", "no")
    p = after(at(2, compare=(head(1),)), failed, now=5.0)
    assert (p.compare, p.log_trouble, p.retry.not_before) == ((head(1),), failed, 7.0)


# ------------------------------------------------------------------------------ the sidecar's answers


def test_a_checkpoint_takes_out_what_it_saved() -> None:
    """Standing, dead letters and the order that was carried out are durable together."""
    letter = DeadLetter("log-1", 0, 0, 4, "refused")
    p = changed(
        at(1),
        saving__durable=None,
        saving__dead_letters=(letter,),
        saving__reset_id=3,
        saving__trouble="disk full",
        saving__failures=2,
    )
    p = after(p, act.Saved())
    assert (p.saving.durable, p.saving.dead_letters, p.saving.reset_id) == (p.standing, (), 0)
    assert (p.saving.trouble, p.saving.failures) == (None, 0)
    assert not p.unsaved


def test_an_order_that_comes_with_a_checkpoint_is_carried_out_once() -> None:
    """The sidecar gives the order until it is saved as done; meanwhile it counts only the first time."""
    order = act.ResetOrder(Cursor("-"), id=3)
    p = after(changed(at(2), saving__durable=None), act.Saved(order))
    assert (p.cursor.size, p.saving.reset_id, standing_of(p).resend) == (0, 3, head(2).tree_head)
    again = after(changed(p, saving__not_before=9.0, caught_up=True), act.Woken(reset=order))
    assert replace(again, caught_up=True) == changed(p, saving__not_before=9.0, caught_up=True)


def test_an_order_never_moves_the_cursor_forward() -> None:
    """Only an ack or proof does that; a place ahead means here."""
    p = after(at(1, caught_up=True), act.Woken(reset=act.ResetOrder(cursor_at("-", LOG[:3]))))
    assert p.cursor == at(1).cursor
    assert standing_of(p).resend is None


def test_an_order_to_stay_keeps_the_evidence_of_what_was_acknowledged() -> None:
    """The place was located in a log that was replaced meanwhile: the next read must find that out."""
    p = after(at(1, caught_up=True), act.Woken(reset=act.ResetOrder(cursor_at("-", (b"other\n",)))))
    assert p.cursor == at(1).cursor


def test_an_order_that_is_not_confirmed_does_not_end_a_stop() -> None:
    """Stopped on purpose: only who has seen why may start it again."""
    p = at(2, retry__trouble=Trouble("gone", "deleted", 410))
    assert after(p, act.Woken(reset=act.ResetOrder(Cursor("-")))).retry.trouble == p.retry.trouble


def test_a_confirmed_order_makes_another_cloud_the_present_one() -> None:
    """Held before another cloud at another address: confirmed, its name is forgotten and the next one taken."""
    p = at(2, retry__trouble=Trouble("held"), endpoint="https://there/api/v1")
    p = after(p, act.Woken(reset=act.ResetOrder(Cursor("-"), confirmed=True)), now=3.0)
    assert p.standing == Standing(Cursor("log-1"), None, "https://there/api/v1", head(2).tree_head)
    assert (p.retry.trouble, p.heartbeat.due_at, p.endpoint_changed) == (None, 3.0, False)


def test_f33_a_changed_key_ends_the_wait_at_once() -> None:
    """The key file was written: probe now."""
    p = at(1, retry__trouble=Trouble("denied", "", 401), retry__not_before=50.0, retry__failures=4)
    p = after(p, act.Woken(key_changed=True), now=7.0)
    assert (p.retry.not_before, p.retry.failures) == (7.0, 0)


# ------------------------------------------------------------------------------ the cloud's word


def test_f27_a_head_behind_is_compared_and_followed() -> None:
    """The cloud was restored: the cursor goes back to where both agree, and this is counted."""
    p = after(at(3, heartbeat__due_at=0.0), act.Heard(CLOUD, head(1)))
    assert p.compare == (head(1),)
    p = after(p, act.Compared(cursor_at("log-1", LOG[:1])))
    assert (p.cursor.size, p.tally.rewinds, p.compare) == (1, 1, ())


def test_f39_a_head_that_the_log_does_not_have_is_a_fork() -> None:
    """Neither behind nor ahead: a new generation."""
    p = after(at(3, compare=(Head("log-1", 2, JUNK),)), act.Compared(None))
    assert p.generation_ended == "the cloud has other records under the name of this log"


def test_f39_a_conflict_is_compared() -> None:
    """409: the head that comes with it decides."""
    assert after(sending(at(2)), act.Mismatch(head(1))).compare == (head(1),)


def test_f39_a_conflict_at_the_head_that_both_have_is_a_disagreement() -> None:
    """The cloud names our own head and refuses to go on from it: wait, and in the end pause."""
    p = at(2, compare=(head(2),))
    p = after(p, act.Compared(cursor_at("log-1", LOG[:2])))
    assert (p.retry.disagreements, p.cursor.size) == (1, 2)
    assert p.retry.trouble is not None
    assert p.retry.trouble.code == "unavailable"


def test_a_head_far_ahead_does_not_cut_an_order_short() -> None:
    """Told to send again while the cloud has grown further: that head is what there is to pass."""
    p = replace(resending(0, 2), compare=(head(4),))
    p = after(p, act.Compared(cursor_at("log-1", LOG)))
    assert (p.cursor.size, standing_of(p).resend) == (0, head(4).tree_head)


@pytest.mark.parametrize("outcome", [act.Heard(CLOUD, Head("log-9", 0, JUNK)), act.Mismatch(Head("log-9", 0, JUNK))])
def test_an_answer_about_another_log_is_none(outcome: act.Heard | act.Mismatch) -> None:
    """It is as no answer: wait, try again."""
    p = after(at(2, heartbeat__due_at=0.0), outcome)
    assert (p.retry.disagreements, p.compare) == (1, ())


def test_a_cloud_made_anew_at_the_same_address_is_replicated_to_from_the_beginning() -> None:
    """Another cloud_id, the same URL: adopted, and its empty head leads back to 0."""
    p = after(at(2, heartbeat__due_at=0.0), act.Heard("cloud-2", Head("log-1", 0, Cursor("-").root)))
    assert standing_of(p).cloud_id == "cloud-2"
    p = after(changed(p, saving__durable=p.standing), act.Compared(Cursor("log-1")))
    assert p.cursor.size == 0


def test_another_cloud_at_another_address_is_held() -> None:
    """Private history is not uploaded to a new place by itself: a heartbeat first, then a person."""
    p = at(2, endpoint="https://there/api/v1")
    assert isinstance(next_action(p, 0.0), act.Beat)
    p = after(p, act.Heard("cloud-2", Head("log-1", 0, Cursor("-").root)))
    assert p.retry.trouble == Trouble("held", "another cloud at another address")
    assert next_action(p, 0.0) == act.Wait(2.0)


def test_the_same_cloud_at_another_address_goes_on() -> None:
    """The address changed, the cloud did not."""
    p = after(at(2, endpoint="https://there/api/v1"), act.Heard(CLOUD, head(2)))
    assert (p.retry.trouble, standing_of(p).endpoint, p.endpoint_changed) == (None, "https://there/api/v1", False)


def test_f24_a_lost_cursor_is_found_again_at_the_cloud() -> None:
    """Recalled: the heads are compared with the log, and the largest that it has is adopted."""
    p = Progress.start(None, policy=POLICY, endpoint=HERE)
    p = after(p, act.Recalled((head(2), Head("log-0", 0, JUNK))))
    assert next_action(p, 0.0) == act.Compare((head(2),))
    p = after(p, act.Compared(cursor_at("log-1", LOG[:2])))
    assert p.standing == Standing(cursor_at("log-1", LOG[:2]), None, HERE)


def test_a_log_that_the_cloud_does_not_know_begins() -> None:
    """Nothing of it is there: a first generation, without parent."""
    p = after(Progress.start(None, policy=POLICY, endpoint=HERE), act.Recalled((Head("log-0", 9, JUNK),)))
    p = after(p, act.Compared(None))
    assert next_action(p, 0.0) == act.Begin(None)
    p = after(p, act.Began("log-1"))
    assert (standing_of(p).cursor.parent, p.tally.generations) == (None, 0)


# ------------------------------------------------------------------------------ acks


@pytest.mark.parametrize(
    "answered",
    [head(2), Head("log-1", 4, JUNK), Head("log-9", 4, head(4).root)],
    ids=["behind", "another root", "another log"],
)
def test_f32_an_answer_with_another_head_is_no_ack(answered: Head) -> None:
    """Size and root exactly ours, or the cursor stays."""
    p = after(sending(at(2)), act.Acked(CLOUD, answered))
    assert (p.cursor.size, p.retry.disagreements, p.load) == (2, 1, None)


def test_an_answer_that_is_ahead_is_compared() -> None:
    """Somebody else replicated more of this log: the log itself says whether that is so."""
    p = after(sending(at(0, sizing__batch_bytes=4)), act.Acked(CLOUD, head(2)))
    assert (p.cursor.size, p.compare) == (0, (head(2),))


def test_records_that_the_cloud_does_not_keep_become_dead_letters() -> None:
    """Named in the ack with their numbers; numbers outside of the batch are nobody's."""
    refused = tuple(Refusal(number, "record_too_large") for number in (1, 2, 9))
    p = after(sending(at(1)), act.Acked(CLOUD, head(4), accepted=1, refused=refused, refused_count=2, flagged_count=1))
    assert p.saving.dead_letters == (
        DeadLetter("log-1", 1, 4, 4, "record_too_large"),
        DeadLetter("log-1", 2, 8, 6, "record_too_large"),
    )
    assert (p.tally.accepted, p.tally.refused, p.tally.flagged) == (1, 2, 1)


def test_f15_an_over_long_record_is_a_dead_letter_without_being_refused() -> None:
    """Longer than anyone takes: its place goes, its bytes stay."""
    p = replace(at(1), policy=Policy(record_bytes_max=3))
    p = after(sending(p), act.Acked(CLOUD, head(2)))
    assert p.saving.dead_letters == (
        DeadLetter("log-1", 1, 4, 4, "record_too_large", "longer than the cloud or this client takes"),
    )
    assert p.isolation.refused_in_a_row == 0


# ------------------------------------------------------------------------------ batches grow


def test_full_batches_grow_to_the_documented_size() -> None:
    """They double while they come back full, and not beyond, since the budget is not the bound."""
    p = changed(at(0), sizing__batch_bytes=10, policy=Policy(batch_bytes=16))
    p = after(sending(p), act.Acked(CLOUD, head(2)))
    assert p.sizing.batch_bytes == 16


def test_batches_grow_to_the_servers_limit_when_the_budget_is_the_bound() -> None:
    """A backfill: no request may be made now, so the next one carries more."""
    p = sending(changed(at(0), sizing__batch_bytes=10, policy=Policy(batch_bytes=10), budget=Budget(60, 1)))
    p = after(p, act.Acked(CLOUD, head(2)))
    assert p.sizing.batch_bytes == 20


def test_f36_after_a_413_batches_are_halved_and_grow_again_only_later() -> None:
    """The limit is remembered; past the refused range, after so many full batches, twice as much is tried."""
    p = changed(at(0), sizing__batch_bytes=20, policy=Policy(ceiling_successes=2))
    p = after(sending(p), act.TooLarge())
    assert (p.sizing.ceiling_bytes, p.sizing.regrow_at) == (9, LOG_BYTES)
    p = after(sending(p), act.Acked(CLOUD, head(2)))
    assert (p.cursor.size, p.sizing.ceiling_bytes, p.sizing.ceiling_successes) == (2, 9, 0)
    p = changed(p, saving__durable=p.standing, sizing__regrow_at=0)
    p = after(sending(p), act.Acked(CLOUD, head(3)))
    assert (p.sizing.ceiling_bytes, p.sizing.ceiling_successes) == (9, 1)
    p = after(sending(changed(p, saving__durable=p.standing)), act.Acked(CLOUD, head(4)))
    assert (p.sizing.ceiling_bytes, p.sizing.ceiling_successes) == (18, 0)


LOG_BYTES = sum(map(len, LOG))


# ------------------------------------------------------------------------------ refusals and failures


def test_f36_a_record_that_is_too_large_by_itself_is_refused_alone() -> None:
    """413 for one record: its place goes next."""
    p = after(sending(at(1, sizing__batch_bytes=1)), act.TooLarge(Limits(records=9)))
    assert p.isolation.refusal == Refusal(1, "too_large", "413 for this record alone")
    assert p.limits == Limits(records=9)


@pytest.mark.parametrize("outcome", [act.TooLarge(), act.Refused(422, "no")])
def test_a_refused_place_pauses(outcome: act.TooLarge | act.Refused) -> None:
    """A place without bytes is never too large and never malformed: that is a proxy or an old server."""
    p = after(sending(refused_alone(at(1), log=LOG[:2]), log=LOG[:2]), outcome)
    assert p.retry.trouble is not None
    assert p.retry.trouble.code == "malformed"


def test_f35b_a_400_for_one_record_pauses() -> None:
    """Our fault or a proxy's, not the record's: it is kept."""
    p = after(sending(at(1, sizing__batch_bytes=1)), act.Refused(400, "bad"))
    assert (p.retry.trouble, p.isolation.refusal) == (Trouble("malformed", "bad", 400), None)


def test_a_heartbeat_that_is_refused_pauses() -> None:
    """400 to a request without records cannot be a record's fault."""
    p = after(at(1, heartbeat__due_at=0.0), act.Refused(400, "bad"))
    assert p.retry.trouble == Trouble("malformed", "bad", 400)


def test_a_heartbeat_that_is_too_large_is_no_answer() -> None:
    """413 to a few hundred bytes is nonsense: try again."""
    assert after(at(1, heartbeat__due_at=0.0), act.TooLarge()).retry.disagreements == 1


def test_f35_records_refused_together_are_halved() -> None:
    """422 without a name, or with one from outside of the batch: half of them next."""
    for record in (None, 99):
        p = after(sending(at(0)), act.Refused(422, "no", record))
        assert (p.sizing.batch_records, p.sizing.regrow_at, p.load) == (2, LOG_BYTES, None)


@pytest.mark.parametrize(
    ("outcome", "trouble"),
    [
        (act.Denied(401, "key_unknown"), Trouble("denied", "key_unknown", 401)),
        (act.Denied(0, "no_key"), Trouble("no_key", "no_key", 0)),
        (act.Denied(0, "no_consent"), Trouble("no_consent", "no_consent", 0)),
        (act.Misconfigured(404, "a page"), Trouble("misconfigured", "a page", 404)),
        (act.TooOld("schema"), Trouble("too_old", "schema", 426)),
    ],
)
def test_f33_f34_a_pause_probes_after_5_s_and_then_less_often(outcome: act.Failure, trouble: Trouble) -> None:
    """Everything is kept; the wait grows from 5 s to at most 60 s."""
    p = after(sending(at(1)), outcome)
    assert (p.retry.trouble, p.retry.not_before, p.load) == (trouble, 5.0, None)
    for wait_s in (10.0, 20.0, 40.0, 60.0, 60.0):
        p = after(sending(changed(p, retry__not_before=0.0, heartbeat__due_at=60.0)), outcome)
        assert p.retry.not_before == wait_s


def test_f29_unavailable_is_tried_again_for_ever_at_most_60_s_apart() -> None:
    """Full jitter under a doubling ceiling; Retry-After is a minimum, clamped; what was read is let go."""
    p = after(sending(at(1)), act.Unavailable("down", 1e9))
    assert (p.retry.not_before, p.load, p.retry.trouble) == (300.0, None, Trouble("unavailable", "down"))
    p = after(
        sending(changed(p, retry__not_before=0.0, retry__failures=1_000, heartbeat__due_at=60.0)),
        act.Unavailable("down"),
        jitter=1.0,
    )
    assert p.retry.not_before == 60.0


def test_a_failure_while_paused_does_not_hide_why() -> None:
    """Denied, then no answer: people still read that the key is wrong."""
    denied = Trouble("denied", "", 401)
    assert after(sending(at(1, retry__trouble=denied)), act.Unavailable("down")).retry.trouble == denied


def test_f32_answers_that_are_none_pause_in_the_end() -> None:
    """A captive portal: tried again, and after three in a row said so."""
    p = at(1)
    for count in (1, 2, 3):
        p = after(sending(changed(p, retry__not_before=0.0, heartbeat__due_at=60.0)), act.Garbled("a page"))
        assert p.retry.disagreements == count
    assert p.retry.trouble == Trouble("disagreement", "a page")


def test_a_brain_deleted_on_purpose_stops() -> None:
    """410: never again by itself."""
    p = after(sending(at(1)), act.Gone("deleted"))
    assert p.retry.trouble == Trouble("gone", "deleted", 410)
    assert next_action(p, 1e6) == act.Wait(1e6 + 2.0)


def test_a_heartbeat_follows_a_failure_within_its_own_budget() -> None:
    """After a reconnection it comes first, at most 4 a minute."""
    p = after(sending(at(1, heartbeat__last_at=-3.0)), act.Unavailable("down"))
    assert p.heartbeat.due_at == 12.0


# ------------------------------------------------------------------------------ what small changes showed unproven
# Each of these tests objects to changes of `progress` that no other one noticed: `tests.campaigns mutation progress`.

EIO = act.ReadFailed("EIO", "no")


def following(size: int, **fields: object) -> Progress:
    """At `size` in a generation that follows another one."""
    p = at(size)
    standing = replace(standing_of(p), cursor=replace(p.cursor, parent="log-0"))
    return changed(p, standing=standing, saving__durable=standing, **fields)  # type: ignore[arg-type]


def test_an_ack_keeps_where_the_log_comes_from_and_names_its_last_event() -> None:
    """The cursor behind a batch is the one that the log itself would show there."""
    p = after(sending(following(1, isolation__refused_in_a_row=2)), act.Acked(CLOUD, head(4)))
    assert p.cursor == replace(cursor_at("log-1", LOG), parent="log-0")
    assert p.isolation.refused_in_a_row == 0


def test_the_ack_of_a_place_keeps_where_the_log_comes_from() -> None:
    """As that of a batch: the cursor behind it is still of the generation that followed another."""
    p = following(1, policy=Policy(record_bytes_max=3))
    p = after(sending(p, log=LOG[:2]), act.Acked(CLOUD, head(2)))
    assert (p.cursor.size, p.cursor.parent) == (2, "log-0")


def test_the_ack_of_a_place_ends_what_its_record_had_made_smaller() -> None:
    """Behind the culprit batches are full again, and the limits that came with the answer hold."""
    p = changed(sending(refused_alone(at(1), log=LOG[:2]), log=LOG[:2]), sizing__regrow_at=99, sizing__batch_records=1)
    p = after(p, act.Acked(CLOUD, head(2), limits=Limits(records=9)))
    assert (p.sizing.regrow_at, p.sizing.batch_records, p.limits) == (0, Limits().records, Limits(records=9))


def test_each_disagreement_is_told_in_its_own_words() -> None:
    """Who looks at night reads what was wrong with the answer."""
    beating = at(2, heartbeat__due_at=0.0)
    told = [
        (sending(at(2)), act.Acked(CLOUD, head(2)), "the answer's head is behind what it acknowledges"),
        (sending(at(2)), act.Acked(CLOUD, Head("log-1", 4, JUNK)), "the answer's root is not that of the records sent"),
        (beating, act.Heard(CLOUD, Head("log-9", 0, JUNK)), "the heartbeat's answer speaks of another log"),
        (beating, act.Mismatch(Head("log-9", 0, JUNK)), "the conflict speaks of another log"),
        (beating, act.TooLarge(), "an answer of 413 to a request without records"),
        (
            at(2, compare=(head(2),)),
            act.Compared(cursor_at("log-1", LOG[:2])),
            "the cloud refuses to go on from a head that it names itself",
        ),
    ]
    for p, outcome, detail in told:
        assert after(p, outcome).retry.trouble == Trouble("unavailable", detail)  # type: ignore[arg-type]


def test_a_place_that_is_too_large_is_told_in_its_own_words() -> None:
    """413 to a request without a record's bytes is nonsense of a proxy; the record is tried again with them."""
    p = after(sending(refused_alone(at(1), log=LOG[:2]), log=LOG[:2]), act.TooLarge())
    assert p.retry.trouble == Trouble("malformed", "the place of a record without its bytes was refused", 413)
    assert p.isolation.refusal is None
    assert (
        after(sending(refused_alone(at(1), log=LOG[:2]), log=LOG[:2]), act.Refused(422, "no")).isolation.refusal is None
    )


def test_f35b_the_third_413_for_a_record_alone_pauses_from_now_on() -> None:
    """As with 422: the status is told, the probe comes 5 s later."""
    p = after(sending(at(2, isolation__refused_in_a_row=2, sizing__batch_bytes=1)), act.TooLarge(), now=7.0)
    assert (p.retry.trouble, p.retry.not_before) == (Trouble("refusing", "413 for this record alone", 413), 12.0)


def test_what_was_read_is_let_go_before_the_cursor_may_move() -> None:
    """Evidence is checked afresh: no batch outlives an answer that casts doubt on its place."""
    loaded = sending(at(1))
    elsewhere = replace(loaded, endpoint="https://there/api/v1")
    for p in (
        after(changed(loaded, heartbeat__due_at=0.0), act.Heard(CLOUD, head(3))),
        after(loaded, act.Mismatch(head(3))),
        after(sending(at(0, sizing__batch_bytes=4)), act.Acked(CLOUD, head(2))),
        after(loaded, act.Gone("deleted")),
        after(elsewhere, act.Heard("cloud-2", head(0))),
        after(changed(loaded, saving__durable=None), act.Saved(act.ResetOrder(Cursor("-")))),
    ):
        assert p.load is None


def test_a_head_of_a_single_record_is_compared() -> None:
    """Recalled logs are left out only if nothing is in them."""
    p = after(Progress.start(None, policy=POLICY, endpoint=HERE), act.Recalled((head(1), head(0))))
    assert p.compare == (head(1),)


def test_a_log_that_can_be_read_again_is_no_trouble() -> None:
    """Whatever is read, or found out about it, ends what was told of an error."""
    p = at(1, log_trouble=EIO)
    assert sending(p).log_trouble is None
    assert after(p, act.Nothing()).log_trouble is None
    assert after(p, act.Broken("cut")).log_trouble is None
    assert after(replace(p, compare=(head(3),)), act.Compared(cursor_at("log-1", LOG[:3]))).log_trouble is None


def test_f19_checkpoints_that_fail_again_are_further_apart() -> None:
    """Failures are counted, so that the backoff grows."""
    p = after(changed(at(1), saving__durable=None), act.SaveFailed("disk full"))
    p = after(p, act.SaveFailed("disk full"), now=0.25)
    assert (p.saving.failures, p.saving.not_before) == (2, 0.75)


def test_no_other_outcome_moves_the_cursor_forward() -> None:
    """The last line of defence says what did it; a new generation's cursor is none of its business."""
    with pytest.raises(AssertionError, match="the cursor went forward by Nothing"):
        _assert_no_gap(at(1), at(2), act.Nothing())
    other = replace(at(2), standing=Standing(cursor_at("log-2", LOG[:2])))
    _assert_no_gap(at(1), other, act.Nothing())


def test_a_new_generation_stays_with_its_cloud_and_forgets_what_was_refused() -> None:
    """The address at which the cloud is known stays; if none is, the present one is taken."""
    p = after(at(1, generation_ended="cut", sizing__regrow_at=50, endpoint="https://there/api/v1"), act.Began("log-2"))
    assert (standing_of(p).endpoint, p.sizing.regrow_at) == (HERE, 0)
    nameless = Standing(cursor_at("log-1", LOG[:1]), None, "https://there/api/v1")
    p = after(changed(at(1, generation_ended="cut"), standing=nameless, saving__durable=nameless), act.Began("log-2"))
    assert standing_of(p).endpoint == HERE


def test_the_log_is_read_after_each_move_of_the_cursor() -> None:
    """Back, forward, sent again, ordered or in a new generation: not caught up, and nothing left to compare."""
    order = act.ResetOrder(Cursor("-"))
    moved = [
        after(following(3, caught_up=True, compare=(head(1),)), act.Compared(cursor_at("log-1", LOG[:1]))),
        after(at(1, caught_up=True, compare=(head(3),)), act.Compared(cursor_at("log-1", LOG[:3]))),
        after(at(2, caught_up=True, saving__durable=None, compare=(head(1),)), act.Saved(order)),
        after(replace(resending(2, 4), caught_up=False), act.Nothing()),
        after(at(2), act.Broken("cut")),
    ]
    for p in moved:
        assert (p.caught_up, p.compare) == (False, ())
    assert moved[0].cursor.parent == "log-0"
    assert (moved[0].tally.rewinds, moved[0].tally.jumps) == (1, 0)
    assert after(following(3, caught_up=True), act.Woken(reset=order)).cursor.parent == "log-0"


def test_a_refusal_is_void_where_the_cursor_moved_or_the_cloud_spoke() -> None:
    """The next record at that place was refused by nobody."""
    why = Refusal(1, "refused")
    p = after(at(1, compare=(head(3),), isolation__refusal=why), act.Compared(cursor_at("log-1", LOG[:3])))
    assert p.isolation.refusal is None
    assert (
        after(
            at(2, caught_up=True, isolation__refusal=why), act.Woken(reset=act.ResetOrder(Cursor("-")))
        ).isolation.refusal
        is None
    )


def test_a_cloud_that_lost_more_while_records_are_sent_again_is_followed_back() -> None:
    """The head that was to be passed is gone, here and with a cloud made anew."""
    p = after(replace(resending(2, 4), compare=(head(1),)), act.Compared(cursor_at("log-1", LOG[:1])))
    assert (p.cursor.size, standing_of(p).resend) == (1, None)
    p = after(changed(resending(0, 2), heartbeat__due_at=0.0), act.Heard("cloud-2", head(0)))
    assert (standing_of(p).resend, p.compare) == (None, ())


def test_f24_a_cursor_found_again_counts_as_one_jump() -> None:
    """People see that the place was found, not begun."""
    p = after(replace(Progress.start(None, policy=POLICY, endpoint=HERE), recalled=True, compare=(head(2),)), EIO)
    p = after(changed(p, retry__not_before=0.0), act.Compared(cursor_at("log-1", LOG[:2])))
    assert p.tally.jumps == 1


def test_batches_grow_only_when_they_come_back_full() -> None:
    """Full is more than half; the number of records doubles from two on; a ceiling is tried only from above it."""
    policy = Policy(batch_bytes=100, ceiling_successes=1)
    for batch_bytes in (50, 2 * LOG_BYTES):
        p = after(sending(at(0, sizing__batch_bytes=batch_bytes, policy=policy)), act.Acked(CLOUD, head(4)))
        assert p.sizing.batch_bytes == batch_bytes
    p = after(
        sending(at(0, sizing__batch_bytes=50, sizing__ceiling_bytes=40, policy=policy)), act.Acked(CLOUD, head(4))
    )
    assert (p.sizing.ceiling_bytes, p.sizing.ceiling_successes) == (40, 0)
    small = Policy(batch_bytes=16, ceiling_successes=9)
    p = after(sending(at(0, sizing__batch_bytes=16, sizing__ceiling_bytes=16, policy=small)), act.Acked(CLOUD, head(3)))
    assert p.sizing.ceiling_successes == 0
    p = after(sending(at(0, sizing__batch_records=2, sizing__regrow_at=8)), act.Acked(CLOUD, head(2)))
    assert p.sizing.batch_records == 4
    p = after(sending(at(0, sizing__batch_records=1)), act.Acked(CLOUD, head(1)))
    assert p.sizing.batch_records == 2


def test_a_refused_number_just_behind_the_batch_is_nobodys() -> None:
    """Neither in an ack nor in a refusal; what is said of a record within comes with its reason."""
    refused = (Refusal(1, "record_too_large", "why"), Refusal(4, "record_too_large"))
    p = after(sending(at(1)), act.Acked(CLOUD, head(4), refused=refused))
    assert p.saving.dead_letters == (DeadLetter("log-1", 1, 4, 4, "record_too_large", "why"),)
    p = after(sending(at(0)), act.Refused(422, "no", 4))
    assert (p.isolation.suspect, p.sizing.batch_records) == (None, 2)


def test_the_smallest_limits_that_are_believed() -> None:
    """Just as much as an ordinary record needs."""
    least = Limits(body_bytes=ENVELOPE_BYTES_MAX + RECORD_BYTES_LIMIT_MIN, record_bytes=RECORD_BYTES_LIMIT_MIN)
    assert after(sending(at(1)), act.Acked(CLOUD, head(4), limits=least)).limits == least


def test_f28_a_head_just_a_batch_ahead_is_near() -> None:
    """As many records as a batch may have, as many bytes as a batch and a record: sent again, not jumped to."""
    there = act.Compared(cursor_at("log-1", LOG[:3]))
    for fields in ({"limits": Limits(records=2)}, {"policy": Policy(read_bytes_max=6, record_bytes_max=4)}):
        assert after(at(1, compare=(head(3),), **fields), there).cursor.size == 1
    for fields in ({"limits": Limits(records=1)}, {"policy": Policy(read_bytes_max=6, record_bytes_max=3)}):
        assert after(at(1, compare=(head(3),), **fields), there).cursor.size == 3


def test_a_failure_forgets_that_a_heartbeat_was_answered() -> None:
    """It counts only until then, for pauses and for retries."""
    assert after(sending(at(1, retry__heartbeat_answered=True)), act.Denied(401, "")).retry.heartbeat_answered is False
    assert (
        after(sending(at(1, retry__heartbeat_answered=True)), act.Unavailable("down")).retry.heartbeat_answered is False
    )


def test_a_read_takes_what_policy_and_limits_leave() -> None:
    """The smallest of all bounds holds, for the batch and for a record."""
    action = next_action(at(0, sizing__batch_bytes=100, policy=Policy(read_bytes_max=50)), 0.0)
    assert isinstance(action, act.Read)
    assert action.bytes_max == 50
    limits = Limits(body_bytes=ENVELOPE_BYTES_MAX + 20_000, record_bytes=30_000)
    action = next_action(at(0, limits=limits), 0.0)
    assert isinstance(action, act.Read)
    assert action.record_bytes_max == 20_000


def test_a_confirmed_order_lets_a_stopped_client_go_on_at_once() -> None:
    """Not later, whatever was waited for; what was about to begin or to be compared is dropped."""
    order = act.ResetOrder(Cursor("-"), confirmed=True, id=7)
    gone = Trouble("gone", "deleted", 410)
    for p in (
        after(
            at(2, retry__trouble=gone, retry__not_before=50.0, generation_ended="cut"), act.Woken(reset=order), now=3.0
        ),
        after(at(2, retry__trouble=gone, retry__not_before=50.0, saving__durable=None), act.Saved(order), now=3.0),
    ):
        assert (p.retry.trouble, p.retry.not_before, p.heartbeat.due_at, p.generation_ended) == (None, 3.0, 3.0, None)
    first = Progress.start(None, policy=POLICY, endpoint=HERE)
    first = changed(first, retry__trouble=gone, retry__not_before=50.0, compare=(head(1),))
    first = after(first, act.Woken(reset=order), now=3.0)
    assert (first.retry.not_before, first.compare) == (3.0, ())


def test_a_confirmed_order_to_a_client_that_is_not_stopped_is_an_order_like_others() -> None:
    """It knows its cloud still; and without a cursor it waits."""
    order = act.ResetOrder(Cursor("-"), confirmed=True, id=7)
    assert standing_of(after(at(2, caught_up=True), act.Woken(reset=order))).cloud_id == CLOUD
    waiting = changed(Progress.start(None, policy=POLICY, endpoint=HERE), retry__not_before=1.0)
    assert after(waiting, act.Woken(reset=order)) == waiting


def test_f36_the_smallest_batch_is_halved_to_a_byte() -> None:
    """Two empty lines are two records; what was counted below the old ceiling is forgotten."""
    p = after(sending(at(0, sizing__ceiling_successes=1), log=(b"\n", b"\n")), act.TooLarge())
    assert (p.sizing.ceiling_bytes, p.sizing.ceiling_successes) == (1, 0)


def test_requests_say_which_cloud_they_mean() -> None:
    """So that another one at the same address notices."""
    assert next_action(at(1, heartbeat__due_at=0.0), 0.0) == act.Beat(at(1).cursor, CLOUD)
    action = next_action(sending(at(1)), 0.0)
    assert isinstance(action, act.Send)
    assert action.cloud_id == CLOUD


# ------------------------------------------------------------------------------ what even these did not notice


def test_the_first_ack_makes_the_cloud_and_its_address_the_known_ones() -> None:
    """From then on another cloud, or another address, is noticed; and each request is counted, answered or not."""
    nameless = Standing(cursor_at("log-1", LOG[:1]))
    p = changed(at(1), standing=nameless, saving__durable=nameless, tally=ProgressTally(requests=3, duplicates=5))
    p = after(sending(p), act.Acked(CLOUD, head(4), duplicates=2))
    assert p.standing == Standing(cursor_at("log-1", LOG), CLOUD, HERE)
    assert (p.tally.requests, p.tally.duplicates) == (4, 7)


def test_f35_the_ack_of_a_place_among_records_ends_what_its_record_had_made_smaller() -> None:
    """As that of a place by itself, and as that of one that nobody refused."""
    whole = Limits().records
    p = changed(sending(refused_alone(at(1))), sizing__regrow_at=99, sizing__batch_records=1)
    p = after(p, act.Acked(CLOUD, head(4)))
    assert (p.sizing.regrow_at, p.sizing.batch_records) == (0, whole)
    p = changed(sending(at(1, policy=Policy(record_bytes_max=3))), sizing__regrow_at=99, sizing__batch_records=1)
    p = after(p, act.Acked(CLOUD, head(2)))
    assert (p.sizing.regrow_at, p.sizing.batch_records) == (0, whole)


def test_f35_two_that_were_left_out_are_settled_one_by_one() -> None:
    """Taken or refused, the first says nothing of the second, and the cloud's head stays the one to be passed."""
    for outcome in (act.Acked(CLOUD, head(4), duplicates=1), act.Refused(422, "no")):
        p = after(sending(left_out(at(0), 1, 3)), outcome)
        assert (p.cursor.size, standing_of(p).resend) == (3, head(4).tree_head)
        assert [(aside.leaf, aside.behind.size) for aside in p.isolation.unsettled] == [(leaf_hash(LOG[3]), 4)]


def test_f35_a_place_left_out_in_the_middle_of_a_log_is_where_the_log_has_it() -> None:
    """Its number, offset and evidence are those of the whole log, which still follows the one before it."""
    p = after(sending(named(following(1), 3)), act.Acked(CLOUD, head(4)))
    assert p.cursor == replace(cursor_at("log-1", LOG[:3]), parent="log-0")
    assert [aside.leaf for aside in p.isolation.unsettled] == [leaf_hash(LOG[3])]


def test_f29_the_first_failure_waits_for_backoff_alone() -> None:
    """Where no Retry-After is given none is made up; failures are counted one by one."""
    p = at(1)
    for failures, not_before in ((1, 0.25), (2, 0.5)):
        p = after(sending(changed(p, retry__not_before=0.0, heartbeat__due_at=60.0)), act.Unavailable("down"))
        assert (p.retry.failures, p.retry.not_before) == (failures, not_before)
    assert after(sending(at(1)), act.Garbled("a page")).retry.not_before == 0.25
    assert after(sending(at(1)), act.Throttled()).retry.not_before == 1.0


def test_a_jump_is_no_rewind_and_a_rewind_begins_to_count_refusals_anew() -> None:
    """What is behind was refused in another time."""
    p = after(at(1, compare=(head(3),), limits=Limits(records=1)), act.Compared(cursor_at("log-1", LOG[:3])))
    assert p.tally == ProgressTally(jumps=1)
    p = after(at(3, compare=(head(1),), isolation__refused_in_a_row=2), act.Compared(cursor_at("log-1", LOG[:1])))
    assert (p.tally, p.isolation.refused_in_a_row) == (ProgressTally(rewinds=1), 0)


def test_f15_a_refused_record_that_turns_out_to_be_too_long_goes_as_a_hole() -> None:
    """Limits may shrink between the refusal and the next read; the dead letter says what the answer said."""
    p = sending(replace(refused_alone(at(1)), policy=Policy(record_bytes_max=3)))
    assert isinstance(p.load, Hole)
    p = after(p, act.Acked(CLOUD, head(2)))
    assert p.saving.dead_letters == (DeadLetter("log-1", 1, 4, 4, "refused", "no"),)


def test_f35_a_batch_cut_short_by_its_bytes_says_nothing_of_how_many_records_to_halve() -> None:
    """Halving goes on from batches that held as many as they might."""
    p = after(
        sending(at(0, sizing__batch_records=3, sizing__batch_bytes=4, sizing__regrow_at=LOG_BYTES)),
        act.Acked(CLOUD, head(1)),
    )
    assert p.sizing.batch_records == 3


def test_f35_dead_letters_stand_in_the_order_of_their_records() -> None:
    """The one that was refused before comes first, then those that the ack names."""
    refused = (Refusal(2, "record_too_large"),)
    p = after(sending(refused_alone(at(0))), act.Acked(CLOUD, head(4), refused=refused))
    assert [letter.record for letter in p.saving.dead_letters] == [0, 2]


def test_f29_nothing_to_send_does_not_end_a_trouble_by_itself() -> None:
    """Only an answer does."""
    trouble = Trouble("unavailable")
    p = after(at(4, retry__trouble=trouble, retry__failures=3), act.Nothing())
    assert (p.retry.trouble, p.retry.failures) == (trouble, 3)


def test_f33_a_pause_after_other_failures_is_the_first_one() -> None:
    """It probes after 5 s, and a heartbeat is due within its own budget, as after any failure."""
    p = at(1, retry__trouble=Trouble("unavailable"), retry__failures=3, heartbeat__last_at=-3.0)
    p = after(sending(p), act.Denied(401, ""))
    assert (p.retry.not_before, p.retry.failures, p.heartbeat.due_at) == (5.0, 1, 12.0)


def test_f35b_the_second_record_refused_alone_in_a_row_does_not_pause() -> None:
    """It goes as a place, like the first."""
    p = after(sending(at(1, isolation__refused_in_a_row=1, sizing__batch_bytes=1)), act.Refused(422, "no"))
    assert (p.retry.trouble, p.isolation.refusal) == (None, Refusal(1, "refused", "no"))


def test_f35_another_record_named_on_the_way_to_a_culprit_is_the_culprit() -> None:
    """Leaving bytes out did not help before: the nearest one is approached first."""
    p = after(sending(at(0, isolation__suspect=3)), act.Refused(422, "no", 1))
    assert (p.isolation.suspect, p.isolation.left_out) == (1, ())


def test_f35_only_what_was_named_within_a_batch_is_left_out_of_it() -> None:
    """What stands behind it waits for its own; a batch of which nothing is left out is taken as it was read."""
    p = at(0, isolation__left_out=(2,), sizing__batch_records=2)
    action = next_action(p, 0.0)
    assert isinstance(action, act.Read)
    found = read(LOG, action)
    assert isinstance(found, act.Found)
    assert after(p, found).load is found.load
    p = sending(named(at(0), 0, 1, 2))
    assert isinstance(p.load, Batch)
    assert p.load.hashed == (leaf_hash(LOG[0]),)
    p = sending(refused_alone(named(at(0), 0)))
    assert isinstance(p.load, Batch)
    assert p.load.holes == (0,)


def test_f33_a_changed_key_ends_no_other_wait_and_a_wake_no_pause() -> None:
    """A cloud that is away is not asked sooner for it; a key that was refused is not tried again for any wake."""
    p = at(1, retry__trouble=Trouble("unavailable"), retry__not_before=50.0, retry__failures=4)
    p = after(p, act.Woken(key_changed=True), now=7.0)
    assert (p.retry.not_before, p.retry.failures) == (50.0, 4)
    p = after(changed(p, retry__trouble=Trouble("denied")), act.Woken(), now=7.0)
    assert (p.retry.not_before, p.retry.failures) == (50.0, 4)
