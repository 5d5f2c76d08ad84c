"""Rows of a rejection: 413, 400 and 422. They find the records at fault, so that all others are accepted.

A record becomes a dead letter only if it was rejected alone, and several of those in a row indicate a bad cloud or
proxy, not bad records.
"""

from __future__ import annotations

from dataclasses import replace

from replicator import actions as act
from replicator.model import Batch, Hole, Refusal
from replicator.progress.acks import dead_letter, limited
from replicator.progress.state import Progress
from replicator.progress.transitions import cursor_at, disagreement, pause
from replicator.progress.trouble import Trouble
from replicator.proof import leaf_hash


def too_large(p: Progress, action: act.Action, answer: act.TooLarge, now: float, jitter: float) -> Progress:
    """413. Half as many bytes next, remembered up to where the refused batch ended; of one record, its place."""
    if not isinstance(action, act.Send):
        return disagreement(p, "an answer of 413 to a request without records", now, jitter)
    load = action.load
    if isinstance(load, Hole):
        why = Trouble("malformed", "the place of a record without its bytes was refused", 413)
        return pause(_not_the_record(p), why, now)
    p = limited(replace(p, load=None), answer.limits)
    if load.count == 1:
        alone = Refusal(load.first, "too_large", "413 for this record alone")
        return _refused_alone(p, load, alone, 413, now) if answer.ours else _by_a_stranger(p, load, alone, 413, now)
    half = max(1, len(load.data) // 2)
    return replace(p, sizing=replace(p.sizing, ceiling_bytes=half, ceiling_successes=0, regrow_at=load.end))


def refused(p: Progress, action: act.Action, answer: act.Refused, now: float) -> Progress:
    """400 or 422. A request without records, or one record with 400, is not the record's fault."""
    why = Trouble("malformed", answer.detail, answer.status)
    if not isinstance(action, act.Send):
        return pause(p, why, now)
    load = action.load
    p = replace(p, load=None)
    if isinstance(load, Hole):
        return pause(_not_the_record(p), why, now)
    if load.count == 1 and answer.status == 400:
        return pause(p, why, now)
    if load.count == 1:
        alone = Refusal(load.first, "refused", answer.detail)
        condemn = _refused_alone if answer.ours else _by_a_stranger
        return condemn(p, load, alone, answer.status, now)
    record = answer.record
    if record is None or not load.first <= record < load.first + load.count:
        record = None
    return _refused_together(p, load, record)


def _not_the_record(p: Progress) -> Progress:
    """Not even its place is taken, so it was never about the record: that is tried again."""
    return replace(p, isolation=replace(p.isolation, refusal=None))


def _refused_together(p: Progress, load: Batch, record: int | None) -> Progress:
    """`record`: the one that the answer names. Leave its bytes out; if that does not help, get to it step by step."""
    isolation = p.isolation
    if load.holes and (record is None or record in load.holes):
        return replace(p, isolation=replace(isolation, left_out=(), suspect=load.holes[0]))
    if record is None:
        return replace(p, sizing=replace(p.sizing, batch_records=(load.count + 1) // 2, regrow_at=load.end))
    full = len(isolation.left_out) + 1 >= p.policy.refused_in_a_row_max
    if isolation.suspect is not None or record in isolation.left_out or full:
        return replace(p, isolation=replace(isolation, suspect=record))
    return replace(p, isolation=replace(isolation, left_out=tuple(sorted((*isolation.left_out, record)))))


def _by_a_stranger(p: Progress, load: Batch, why: Refusal, status: int, now: float) -> Progress:
    """One answer of a proxy condemns no record. The same one on probes apart in time, to the record alone, does."""
    isolation, leaf = p.isolation, leaf_hash(load.last)
    same = (isolation.refused_leaf, isolation.foreign_status) == (leaf, status)
    count = isolation.foreign_refusals + 1 if same else 1
    if count >= p.policy.foreign_refusals_max:
        return _refused_alone(p, load, why, status, now)
    isolation = replace(isolation, foreign_refusals=count, foreign_status=status, refused_leaf=leaf)
    return pause(replace(p, isolation=isolation), Trouble("refusing", why.detail, status), now)


def _refused_alone(p: Progress, load: Batch, why: Refusal, status: int, now: float) -> Progress:
    """Its place goes next, without its bytes, or is there already. Several in a row are no bad records: keep them all
    and pause."""
    isolation = p.isolation
    if isolation.refused_in_a_row + 1 >= p.policy.refused_in_a_row_max:
        return pause(p, Trouble("refusing", why.detail, status), now)
    if not isolation.unsettled:
        return replace(p, isolation=replace(isolation, refusal=why, refused_leaf=leaf_hash(load.last)))
    assert p.standing is not None
    letter = dead_letter(p.cursor.log_id, load, why)
    first, *others = isolation.unsettled
    known = p.standing.resend
    p = replace(
        p,
        isolation=replace(isolation, refused_in_a_row=isolation.refused_in_a_row + 1),
        saving=replace(p.saving, dead_letters=(*p.saving.dead_letters, letter)),
    )
    return cursor_at(p, first.behind, tuple(others), known)
