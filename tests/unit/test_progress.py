"""progress: each row of the tables of decisions, by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replicator import actions as act
from replicator.model import (
    Batch,
    Cursor,
    DeadLetter,
    Head,
    Hole,
    Limits,
    Policy,
    Refusal,
    Standing,
    TreeHead,
)
from replicator.pacing import Budget
from replicator.pacing import Budget
from replicator.progress import (
    ENVELOPE_BYTES_MAX,
    RECORD_BYTES_LIMIT_MIN,
    Progress,
    Trouble,
    advance,
    next_action,
)
from replicator.proof import leaf_hash
from replicator.testing.cloud import Replica, receive
from replicator.testing.log import cursor_at, read

LOG = (b"one\n", b"two\n", b"three\n", b"four\n")
CLOUD = "cloud-1"
HERE = "https://here/api/v1"
POLICY = Policy()
JUNK = b"\x07" * 32


def at(size: int, *, log: tuple[bytes, ...] = LOG, **fields: object) -> Progress:
    """A progress behind `size` records, in step with the cloud, saved, with a heartbeat just made."""
    standing = Standing(cursor_at("log-1", log[:size]), CLOUD, HERE)
    p = Progress.start(standing, policy=POLICY, endpoint=HERE)
    return replace(p, beat_at=60.0, last_beat=0.0, **fields)  # type: ignore[arg-type]


def after(p: Progress, outcome: act.Outcome, *, now: float = 0.0, jitter: float = 0.5) -> Progress:
    """What follows from `outcome` of the action that is next."""
    return advance(p, next_action(p, now), outcome, began=now, now=now, jitter=jitter)


def sending(p: Progress, *, log: tuple[bytes, ...] = LOG, now: float = 0.0) -> Progress:
    """The same, with what it wants to read found in the log."""
    action = next_action(p, now)
    assert isinstance(action, act.Read)
    found = read(log, action)
    assert isinstance(found, act.Found)
    return advance(p, action, found, began=now, now=now, jitter=0.5)


def head(size: int, *, log: tuple[bytes, ...] = LOG) -> Head:
    """The cloud's head behind `size` records of this log."""
    cursor = cursor_at("log-1", log[:size])
    return Head("log-1", size, cursor.root, cursor.offset, cursor.event_id)


def standing_of(p: Progress) -> Standing:
    """The standing, which must be there."""
    assert p.standing is not None
    return p.standing


# ------------------------------------------------------------------------------ heads that are ahead


def test_f28_a_head_a_little_ahead_is_passed_by_sending_again() -> None:
    """A head within a batch sets what to pass and sends: no answer about refused records is skipped by a jump."""
    p = after(replace(at(1), beat_at=0.0), act.Heard(CLOUD, head(3)))
    assert standing_of(p).resend == TreeHead(3, head(3).root)
    assert p.cursor.size == 1
    assert p.compare == ()


def test_f28_a_head_far_ahead_is_compared() -> None:
    """Beyond a batch the log's own root at that size decides whether the cursor goes forward."""
    p = after(replace(at(1), beat_at=0.0, limits=Limits(records=1)), act.Heard(CLOUD, head(3)))
    assert p.compare == (head(3),)
    forward = after(p, act.Compared(cursor_at("log-1", LOG[:3])))
    assert forward.cursor.size == 3
    assert forward.tally.jumps == 1


def test_f31_a_batch_whose_answer_was_lost_is_acknowledged_by_the_head_that_is_ahead() -> None:
    """While the cloud's head is passed, that head acknowledges a shorter batch, and stays to be passed."""
    p = replace(at(0), standing=replace(standing_of(at(0)), resend=head(3).tree_head), batch_bytes=4)
    p = replace(p, durable=p.standing)
    p = after(sending(p), act.Acked(CLOUD, head(3), duplicates=1))
    assert (p.cursor.size, standing_of(p).resend) == (1, head(3).tree_head)


def test_f09_a_log_that_ends_before_what_the_cloud_has_of_it_begins_a_new_generation() -> None:
    """When the log has nothing more to send, but the cloud has, records were cut off: a new generation."""
    standing = replace(standing_of(at(2)), resend=head(4).tree_head)
    p = after(replace(at(2), standing=standing, durable=standing), act.Nothing())
    assert p.renew == "the log ends after 2 records, the cloud has 4 of it"
    assert next_action(p, 0.0) == act.Begin("log-1")


# ------------------------------------------------------------------------------ records that are refused


def refused_alone(p: Progress, *, log: tuple[bytes, ...] = LOG) -> Progress:
    """The same, after its next record was refused alone."""
    return after(sending(replace(p, batch_bytes=1), log=log), act.Refused(422, "no"))


def test_f35_a_record_refused_alone_goes_as_a_hole_and_is_a_dead_letter() -> None:
    """Refused alone: its place is sent without its bytes, and the ack of that makes the dead letter."""
    p = refused_alone(at(1))
    action = next_action(p, 0.0)
    assert isinstance(action, act.Read)
    assert action.as_hole
    p = sending(p)
    assert isinstance(p.load, Hole)
    p = after(p, act.Acked(CLOUD, head(2)))
    assert p.dead_letters == (DeadLetter("log-1", 1, 4, 4, "refused", "no"),)
    assert p.cursor.size == 2


def test_a_record_that_took_the_place_of_the_refused_one_is_sent_with_its_bytes() -> None:
    """If the log was rewritten after the refusal, the record that stands there now is no dead letter."""
    p = sending(refused_alone(at(1)), log=(LOG[0], b"another\n"))
    assert (p.load, p.refusal) == (None, None)
    p = sending(p, log=(LOG[0], b"another\n"))
    assert isinstance(p.load, Batch)


# ------------------------------------------------------------------------------ a person's orders


def test_a_confirmed_order_starts_a_client_that_was_stopped_before_it_had_a_cursor() -> None:
    """Stopped by a 410 to its very first question: a confirmed order begins a log, and counts as carried out."""
    p = after(Progress.start(None, policy=POLICY, endpoint=HERE), act.Gone("deleted"))
    assert next_action(p, 0.0) == act.Wait(2.0)
    p = after(p, act.Woken(reset=act.Reset(Cursor("log-1"), confirmed=True, id=7)))
    assert next_action(p, 0.0) == act.Begin(None)
    p = after(p, act.Began("log-2"))
    assert next_action(p, 0.0) == act.Checkpoint(Standing(Cursor("log-2"), None, HERE), (), 7)


def test_an_order_without_a_cursor_to_move_waits_in_the_sidecar() -> None:
    """Without a cursor there is nothing to reset: the order is not taken up, so that it is not lost either."""
    p = replace(Progress.start(None, policy=POLICY, endpoint=HERE), not_before=1.0)
    assert after(p, act.Woken(reset=act.Reset(Cursor("log-1"), id=7))) == p


# ------------------------------------------------------------------------------ refused in a row


def test_f35b_the_third_record_refused_alone_in_a_row_pauses() -> None:
    """Two dead letters without a record accepted between, and one more refusal: a bad cloud, so all are kept."""
    p = replace(at(2), refused_in_a_row=2, batch_bytes=1)
    p = after(sending(p), act.Refused(422, "no"))
    assert p.trouble == Trouble("refusing", "no", 422)
    assert (p.refusal, p.load, p.dead_letters) == (None, None, ())


def test_f35b_a_pause_does_not_count_one_refused_record_twice() -> None:
    """A pause between the refusal and its hole forgets neither: the hole goes next, and counts once."""
    p = after(sending(refused_alone(at(1))), act.Denied(401, ""))
    assert p.refusal == Refusal(1, "refused", "no")
    p = replace(p, not_before=0.0)
    p = after(sending(p), act.Acked(CLOUD, head(2)))
    assert (p.refused_in_a_row, len(p.dead_letters)) == (1, 1)


def test_a_cursor_that_is_reset_begins_to_count_refused_records_anew() -> None:
    """What was refused before a reset is met again after it; it must not count twice."""
    p = replace(at(2), caught_up=True, refused_in_a_row=2, culprit=3)
    p = after(p, act.Woken(reset=act.Reset(Cursor("-"))))
    assert (p.cursor.size, p.refused_in_a_row, p.culprit) == (0, 0, None)


# ------------------------------------------------------------------------------ throttled


def test_f37_a_throttled_heartbeat_does_not_delay_records() -> None:
    """429 to a heartbeat: the next heartbeat waits as long as it says, the records go on."""
    p = after(replace(at(1), beat_at=0.0), act.Throttled(100.0))
    assert (p.beat_at, p.not_before) == (100.5, 0.0)
    assert isinstance(next_action(p, 0.0), act.Read)


@pytest.mark.parametrize("moved", [False, True])
def test_f37_a_throttled_heartbeat_that_must_come_first_is_not_repeated_at_once(moved: bool) -> None:
    """Where only a heartbeat may go (paused with nothing to send; at a new address), its 429 is waited for too."""
    p = replace(at(4), caught_up=True, trouble=None if moved else Trouble("denied", "", 401))
    p = replace(p, endpoint="https://there/api/v1") if moved else p
    assert isinstance(next_action(p, 0.0), act.Beat)
    p = after(p, act.Throttled(5.0))
    assert p.not_before == 5.5
    assert next_action(p, 0.0) == act.Wait(2.0)


def test_f37_a_throttled_batch_waits_and_is_read_afresh() -> None:
    """429 to a batch is no failure: a minimum wait, clamped, and no trouble."""
    p = after(sending(at(1)), act.Throttled(1e9))
    assert (p.not_before, p.load, p.trouble, p.failures) == (300.5, None, None, 0)


# ------------------------------------------------------------------------------ sending again what is there


def resending(size: int, known: int) -> Progress:
    """Behind `size` records, while the cloud's first `known` are sent again."""
    p = at(size)
    standing = replace(standing_of(p), resend=head(known).tree_head)
    return replace(p, standing=standing, durable=standing)


def test_f10_an_old_record_edited_and_the_log_sent_again_is_compared() -> None:
    """Sent again up to the cloud's head, but with another root: the log is asked whether it still has that head."""
    other = Head("log-1", 3, JUNK, head(3).offset)
    p = replace(resending(1, 3), batch_records=2)
    p = replace(p, standing=replace(standing_of(p), resend=other.tree_head))
    p = replace(p, durable=p.standing)
    p = after(sending(p), act.Acked(CLOUD, other))
    assert (p.cursor.size, p.compare) == (1, (other,))


def test_a_cloud_that_rolls_back_while_records_are_sent_again_still_acknowledges_them() -> None:
    """A head that is exactly ours is an ack, even if another one was known before; then nothing is left to pass."""
    p = replace(resending(0, 4), batch_records=2)
    p = after(sending(p), act.Acked(CLOUD, head(2)))
    assert (p.cursor.size, standing_of(p).resend, p.trouble) == (2, None, None)


def test_a_confirmed_order_is_carried_out_at_a_cloud_that_turns_out_to_have_the_log() -> None:
    """Ordered to send everything again, the cloud's name being unknown: its head is passed, however far ahead."""
    standing = Standing(cursor_at("log-1", ()), None, HERE)
    p = replace(at(0), standing=standing, durable=standing, beat_at=0.0, limits=Limits(records=1))
    p = after(p, act.Heard(CLOUD, head(4)))
    assert (p.compare, standing_of(p).resend) == ((), head(4).tree_head)


# ------------------------------------------------------------------------------ what a heartbeat's answer ends


def test_f29_a_heartbeat_that_is_answered_does_not_end_the_backoff_of_batches_that_are_not() -> None:
    """While records wait, only an ack shows that they flow: the backoff grows on, and nobody is told of recovery."""
    trouble = Trouble("unavailable", "503", 503)
    p = after(replace(at(1), trouble=trouble, failures=6, beat_at=0.0), act.Heard(CLOUD, head(1)))
    assert (p.trouble, p.failures, p.heard) == (trouble, 6, True)
    assert isinstance(next_action(p, 0.0), act.Read)


@pytest.mark.parametrize("code", ["unavailable", "denied"])
def test_f33_with_nothing_to_send_an_answered_heartbeat_ends_the_trouble(code: str) -> None:
    """Nothing waits: the heartbeat is the probe, whether the log was looked at before it or after it."""
    p = replace(at(4), trouble=Trouble(code), failures=3, beat_at=0.0)  # type: ignore[arg-type]
    before = after(replace(p, caught_up=True), act.Heard(CLOUD, head(4)))
    behind = after(after(p, act.Heard(CLOUD, head(4))), act.Nothing())
    for p in (before, behind):
        assert (p.trouble, p.failures, p.heard, p.caught_up) == (None, 0, False, True)


def test_a_failure_after_an_answered_heartbeat_goes_on_as_trouble() -> None:
    """A heartbeat's answer counts only until the next failure."""
    p = replace(at(1), trouble=Trouble("unavailable"), heard=True, failures=1)
    assert not after(sending(p), act.Unavailable("")).heard
    assert not after(sending(p), act.Denied(401, "")).heard


def test_f32_one_garbled_answer_long_after_others_does_not_pause() -> None:
    """Answers that are none are counted in a row: flowing again forgets them."""
    p = replace(at(4), caught_up=True, beat_at=0.0, disagreements=2)
    p = after(p, act.Heard(CLOUD, head(4)))
    assert p.disagreements == 0


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
    action = next_action(replace(p, durable=p.standing), 10.0)
    assert isinstance(action, act.Read)
    assert (action.bytes_max, action.records_max, action.record_bytes_max) == (20_000, 7, 18_000)


# ------------------------------------------------------------------------------ the sidecar


def test_f19_a_checkpoint_that_fails_is_tried_again_a_little_later() -> None:
    """A full disk: replication goes on meanwhile, and the checkpoint has a backoff from its first failure on."""
    p = replace(at(1), durable=None)
    p = after(p, act.SaveFailed("disk full"))
    assert (p.save_trouble, p.save_not_before) == ("disk full", 0.25)
    assert isinstance(next_action(p, 0.0), act.Read)
    assert isinstance(next_action(p, 0.25), act.Checkpoint)


# ------------------------------------------------------------------------------ how many requests a refused record costs


@pytest.mark.parametrize(("named", "requests_max"), [(True, 5), (False, 2 + 13 + 2)])
@pytest.mark.parametrize("culprit", [0, 1, 2499, 2500, 3333, 4999])
def test_f35_one_refused_record_among_5000_costs_few_requests(named: bool, requests_max: int, culprit: int) -> None:
    """Named: the refusal, the records before, the record alone, its place, the rest. Not named: log2(n) more."""
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
            if isinstance(load, Batch) and load.first <= culprit < load.first + load.count:
                p = after(p, act.Refused(422, "no", culprit if named else None))
            else:
                cloud, answer = receive(cloud, action, CLOUD)
                p = after(p, answer)
        p = replace(p, budget=Budget(None, 1))
    assert requests <= requests_max
    letters += [letter.record for letter in p.dead_letters]
    assert letters == [culprit]

