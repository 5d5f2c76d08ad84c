"""The table of decisions: which action is next, which outcomes each has, and the row that each outcome leads to.

Read `next_action` from the top: the first line that holds is the answer. Read `OUTCOMES_OF` for what can come of an
action, and the `match` of `advance` for what follows. A pair that is not in `OUTCOMES_OF` is a programmer's mistake
(AssertionError). A row of one line stands here; the others are functions of the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from replicator import actions as act
from replicator.progress import acks, heads, log_side, refusals
from replicator.progress.line import broke_off
from replicator.progress.state import ENVELOPE_BYTES_MAX, Progress
from replicator.progress.transitions import clamped, disagreement, new_generation, pause, retry, throttled
from replicator.progress.trouble import Trouble, TroubleCode

FAILURES: tuple[type[act.Failure], ...] = (
    act.TooLarge,
    act.Refused,
    act.Unavailable,
    act.Garbled,
    act.Throttled,
    act.Denied,
    act.Misconfigured,
    act.TooOld,
    act.Gone,
)
"""The failures that any request may have."""
OUTCOMES_OF: Mapping[type[act.Action], tuple[type[act.Outcome], ...]] = {
    act.Recall: (act.Recalled, *FAILURES),
    act.Begin: (act.Began,),
    act.Compare: (act.Compared, act.ReadFailed),
    act.Read: (act.Found, act.Nothing, act.Broken, act.ReadFailed),
    act.Send: (act.Acked, act.Mismatch, *FAILURES),
    act.Beat: (act.Heard, act.Mismatch, *FAILURES),
    act.Checkpoint: (act.Saved, act.SaveFailed),
    act.Wait: (act.Woken,),
}
"""The legal pairs of action and outcome. Any other pair fails an assertion."""


# ------------------------------------------------------------------------------------------- what to do next


def next_action(p: Progress, now: float) -> act.Action:
    """The next action: the first line that holds."""
    timer = now + p.policy.timer_s
    if p.standing is not None and p.wants_saving and p.generation_ended is None and now >= p.saving.not_before:
        # First, so that after a crash at most one batch is sent twice.
        return act.Checkpoint(p.standing, p.saving.dead_letters, p.saving.reset_id)
    # Only a person's order ends this; `engine` looks for orders after each wait.
    if p.stopped:
        return act.Wait(timer)
    if now < p.retry.not_before:
        return act.Wait(min(p.retry.not_before, timer))
    if p.generation_ended is not None:
        return act.Begin(p.cursor.log_id)
    if p.compare:
        return act.Compare(p.compare)  # before anything is sent: the cursor may have to move
    ready_at = p.budget.ready_at(now)
    if p.standing is None:
        if p.recalled:
            return act.Begin(None)
        return act.Wait(min(ready_at, timer)) if ready_at > now else act.Recall()
    # A new endpoint gets no record before it has said which cloud it is. One that is paused and caught up has no
    # record to probe with, so the heartbeat is the probe.
    if now >= p.heartbeat.due_at or p.endpoint_changed or (p.paused and p.caught_up):
        return act.Beat(p.cursor, p.standing.cloud_id)
    if p.load is not None:
        return act.Send(p.cursor, p.load, p.load_tree, p.standing.cloud_id)
    if p.caught_up:
        return act.Wait(min(p.heartbeat.due_at, timer))
    if ready_at > now:
        return act.Wait(min(ready_at, timer))
    if len(p.saving.dead_letters) >= p.policy.dead_letters_unsaved_max:
        # The sidecar takes none: go on only when it does, or their number would have no bound.
        return act.Wait(min(p.saving.not_before, timer))
    return _read(p)


def _read(p: Progress) -> act.Read:
    """A read of exactly what the next request may carry."""
    sizing, isolation, policy = p.sizing, p.isolation, p.policy
    body_bytes = p.limits.body_bytes - ENVELOPE_BYTES_MAX
    records = p.limits.records if isolation.refusal is not None else min(sizing.batch_records, p.limits.records)
    if isolation.suspect is not None and isolation.suspect >= p.cursor.size:
        records = max(1, min(records, isolation.suspect - p.cursor.size))
    return act.Read(
        p.cursor,
        bytes_max=min(sizing.batch_bytes, sizing.ceiling_bytes, sizing.line_bytes, body_bytes, policy.read_bytes_max),
        records_max=1 if p.paused or isolation.unsettled else records,
        record_bytes_max=min(policy.record_bytes_max, p.limits.record_bytes, body_bytes),
    )


# ------------------------------------------------------------------------------------------- what follows


def advance(
    p: Progress, action: act.Action, outcome: act.Outcome, *, began: float, now: float, jitter: float
) -> Progress:
    """The state after `action` had `outcome`.

    `began` and `now` are monotonic seconds before and after it; `jitter` in [0, 1) spreads retries. AssertionError: the
    action cannot have this outcome, or an invariant of Progress would be violated.
    """
    legal = type(outcome) in OUTCOMES_OF[type(action)]
    assert legal, f"{type(outcome).__name__} is no outcome of {type(action).__name__}"
    if isinstance(action, act.Send | act.Recall):
        tally = replace(p.tally, requests=p.tally.requests + 1)
        p = replace(p, budget=p.budget.spent(began), tally=tally)
    if isinstance(action, act.Beat):
        p = replace(p, heartbeat=replace(p.heartbeat, last_at=began, due_at=began + p.policy.heartbeat_s))
    after = _row(p, action, outcome, now - began, now, jitter)
    _assert_no_gap(p, after, outcome)
    return after


def _row(p: Progress, action: act.Action, outcome: act.Outcome, took_s: float, now: float, jitter: float) -> Progress:
    match outcome:
        case act.Found(load):
            return log_side.found(p, load)
        case act.Nothing():
            return log_side.nothing(p, now, jitter)
        case act.Broken(reason):
            return new_generation(replace(p, log_trouble=None), reason, now, jitter)
        case act.ReadFailed():
            return log_side.read_failed(p, action, outcome, now)
        case act.Began(log_id):
            return log_side.begun(p, action, log_id)
        case act.Compared(cursor):
            return heads.compared(p, cursor, now, jitter)
        case act.Saved(reset):
            return log_side.saved(p, action, reset, now)
        case act.SaveFailed(detail):
            return log_side.save_failed(p, detail, now, jitter)
        case act.Woken():
            return log_side.woken(p, outcome, now)
        case act.Recalled(known):
            return heads.recalled(p, known)
        case act.Acked():
            return acks.acked(p, action, outcome, took_s, now, jitter)
        case act.Heard(cloud_id, head):
            return heads.heard(p, cloud_id, head, now, jitter)
        case act.Mismatch(head):
            return heads.mismatched(p, head, now, jitter)
        case act.TooLarge():
            return refusals.too_large(p, action, outcome, now, jitter)
        case act.Refused():
            return refusals.refused(p, action, outcome, now)
        case act.Unavailable(detail, retry_after_s, cut):
            p = broke_off(p, action) if cut else p
            return retry(p, Trouble("unavailable", detail), now, jitter, at_least_s=clamped(p, retry_after_s))
        case act.Garbled(detail):
            return disagreement(p, detail, now, jitter)
        case act.Throttled(retry_after_s):
            return throttled(p, action, now + max(clamped(p, retry_after_s), p.policy.backoff_s_first) + jitter)
        case act.Denied(status, code, detail):
            withheld: TroubleCode = "no_consent" if code == "no_consent" else "no_key"
            return pause(p, Trouble("denied" if status else withheld, detail or code, status), now)
        case act.Misconfigured(status, detail):
            return pause(p, Trouble("misconfigured", detail, status), now)
        case act.TooOld(detail):
            return pause(p, Trouble("too_old", detail, 426), now)
        case act.Gone(detail):
            return replace(p, load=None, retry=replace(p.retry, trouble=Trouble("gone", detail, 410)))
        case _:
            assert_never(outcome)


def _assert_no_gap(before: Progress, after: Progress, outcome: act.Outcome) -> None:
    """The cursor went forward by an ack or by proof alone, and what was read is directly behind it."""
    if before.standing is None or after.standing is None:
        return
    if after.cursor.log_id == before.cursor.log_id and after.cursor.size > before.cursor.size:
        unsettled = before.isolation.unsettled
        settled = unsettled and after.cursor == unsettled[0].behind
        by_word = isinstance(outcome, act.Acked | act.Compared)
        assert by_word or settled, f"the cursor went forward by {type(outcome).__name__}"
    if after.load is not None:
        assert after.load.first == after.cursor.size
        assert after.load.offset == after.cursor.offset
