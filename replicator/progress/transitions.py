"""Transitions shared by several rows: start and end of waiting, end of a generation, moves of the cursor.

Each takes a progress and returns the next one. Called by the table and the modules of the rows.
"""

from __future__ import annotations

import math
from dataclasses import replace

from replicator import actions as act
from replicator.model import Cursor, TreeHead
from replicator.pacing import backoff_s
from replicator.progress.state import Isolation, Progress, ProgressTally, Retry, Unsettled
from replicator.progress.trouble import Trouble

# ------------------------------------------------------------------------------------------- the cursor


def new_generation(p: Progress, reason: str, now: float, jitter: float) -> Progress:
    """The log no longer continues what was acknowledged: the next thing is to name a new generation.

    Once is an accident. Again, with no record accepted in between, it waits; and then it is a quarrel: a cloud that is
    never content would get the log under ever new names, so it pauses and goes on at the pace of probes.
    """
    policy, count = p.policy, p.generations_in_a_row + 1
    p = replace(cursor_moved(p), generation_ended=reason, generations_in_a_row=count, compare=(), caught_up=False)
    if count >= policy.generations_max:
        return pause(p, Trouble("disagreement", f"{count} generations without an accepted record: {reason}"), now)
    delay_s = backoff_s(count - 1, jitter=jitter, first_s=policy.backoff_s_first, max_s=policy.backoff_s_max)
    return replace(p, retry=replace(p.retry, not_before=now + delay_s)) if delay_s else p


def cursor_moved(p: Progress) -> Progress:
    """The cursor goes, or went, elsewhere than behind an ack: what was known of the records at it is void."""
    elsewhere = replace(
        p.sizing,
        batch_records=p.limits.records,
        ceiling_bytes=p.policy.read_bytes_max,
        ceiling_successes=0,
        regrow_at=0,
    )
    return replace(p, load=None, isolation=Isolation(), sizing=elsewhere)


def cursor_at(p: Progress, cursor: Cursor, unsettled: tuple[Unsettled, ...], known: TreeHead | None) -> Progress:
    """The cursor stands there. `known`: the head that the cloud has; beyond the cursor it is a resend."""
    assert p.standing is not None
    isolation = p.isolation
    resend = known if known is not None and known.size > cursor.size else None
    left_out = tuple(number for number in isolation.left_out if number >= cursor.size)
    suspect = None if isolation.suspect is None or isolation.suspect < cursor.size else isolation.suspect
    return replace(
        p,
        standing=replace(p.standing, cursor=cursor, resend=resend),
        load=None,
        isolation=replace(isolation, unsettled=unsettled, left_out=left_out, suspect=suspect, foreign_refusals=0),
    )


def counted(tally: ProgressTally, *, rewinds: int = 0, jumps: int = 0) -> ProgressTally:
    """The tally after the cursor went back, or forward, by the cloud's word."""
    return replace(tally, rewinds=tally.rewinds + rewinds, jumps=tally.jumps + jumps)


# ------------------------------------------------------------------------------------------- waiting


def flowing(p: Progress) -> Progress:
    """An answer showed that nothing holds records up."""
    return replace(p, retry=Retry())


def disagreement(p: Progress, detail: str, now: float, jitter: float) -> Progress:
    """An answer that is none. As unavailable; again and again, it is no accident and pauses."""
    count = p.retry.disagreements + 1
    p = replace(p, retry=replace(p.retry, disagreements=count))
    if count >= p.policy.disagreements_max:
        return pause(p, Trouble("disagreement", detail), now)
    return retry(p, Trouble("unavailable", detail), now, jitter)


def retry(p: Progress, trouble: Trouble, now: float, jitter: float, *, at_least_s: float = 0.0) -> Progress:
    """As unavailable: what was read is let go, so that the evidence is checked afresh before it is sent again."""
    before, policy = p.retry, p.policy
    if before.trouble is not None and before.trouble.pauses:
        trouble = before.trouble
    failures = before.failures + 1
    delay_s = backoff_s(failures, jitter=jitter, first_s=policy.backoff_s_first, max_s=policy.backoff_s_max)
    soon_s = policy.append_retry_s * (0.9 + 0.1 * jitter)
    delay_s = min(delay_s, max(soon_s, (now - p.appended_at) / 2))  # who appended lately does not rest yet
    p = _failed(p, trouble, failures, now, delay_s=max(delay_s, at_least_s))
    if trouble.pauses:
        return p
    return replace(p, retry=replace(p.retry, append_not_before=now + max(at_least_s, min(delay_s, soon_s))))


def pause(p: Progress, trouble: Trouble, now: float) -> Progress:
    """Probe after 5 s, growing to 60 s; a changed key ends the wait at once (`Woken`)."""
    before, policy = p.retry, p.policy
    again = before.failures if before.trouble is not None and before.trouble.pauses else 0
    delay_s = min(policy.probe_s_max, policy.probe_s_first * 2 ** min(again, 16))
    return _failed(p, trouble, again + 1, now, delay_s=delay_s)


def _failed(p: Progress, trouble: Trouble, failures: int, now: float, *, delay_s: float) -> Progress:
    waiting = replace(
        p.retry,
        trouble=trouble,
        failures=failures,
        not_before=now + delay_s,
        append_not_before=math.inf,
        heartbeat_answered=False,
    )
    # After a reconnection a heartbeat comes first, within its own budget; who has nothing to send is in no hurry.
    every_s = p.policy.heartbeat_s if p.caught_up and not trouble.pauses else 60.0 / p.policy.heartbeats_per_minute
    due_at = max(now, p.heartbeat.last_at + every_s)
    return replace(p, load=None, retry=waiting, heartbeat=replace(p.heartbeat, due_at=due_at))


def throttled(p: Progress, action: act.Action, until: float) -> Progress:
    """No failure. A heartbeat's 429 does not hold records up, unless nothing goes before a heartbeat is answered."""
    waiting = replace(p.retry, not_before=until, append_not_before=math.inf)
    if isinstance(action, act.Beat):
        p = replace(p, heartbeat=replace(p.heartbeat, due_at=max(p.heartbeat.due_at, until)))
        return replace(p, retry=waiting) if p.endpoint_changed or p.paused else p
    return replace(p, load=None, retry=waiting)


def clamped(p: Progress, retry_after_s: float | None) -> float:
    """The seconds that a Retry-After is worth: a minimum for the wait, but no absurd one."""
    return min(max(retry_after_s or 0.0, 0.0), p.policy.retry_after_s_max)
