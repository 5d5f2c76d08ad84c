"""Rows of an ack: the new cursor, new dead letters, and the size of the next batch."""

from __future__ import annotations

from dataclasses import replace

from replicator import actions as act
from replicator.framing import event_id_of
from replicator.model import Anchor, Batch, Cursor, DeadLetter, Hole, Limits, Refusal, TreeHead
from replicator.progress.line import carried
from replicator.progress.state import (
    ENVELOPE_BYTES_MAX,
    RECORD_BYTES_LIMIT_MIN,
    Isolation,
    Progress,
    ProgressTally,
    Sizing,
    Unsettled,
)
from replicator.progress.transitions import cursor_at, disagreement, flowing
from replicator.proof import CompactRange


def acked(p: Progress, action: act.Action, ack: act.Acked, took_s: float, now: float, jitter: float) -> Progress:
    """An ack is one only if size and root are exactly ours; a head further on is the cloud's word, to be compared."""
    assert isinstance(action, act.Send)
    assert p.standing is not None
    load, before, tree = action.load, action.cursor, action.after
    resend = p.standing.resend
    mine = TreeHead(tree.size, tree.root)
    if ack.head.log_id != before.log_id or ack.head.size < mine.size:
        return disagreement(p, "the answer's head is behind what it acknowledges", now, jitter)
    passing = resend is not None and resend.size > mine.size and resend == ack.head.tree_head
    if ack.head.tree_head != mine and not passing:
        if ack.head.size > mine.size or resend is not None:
            return replace(p, compare=(ack.head,), load=None)
        return disagreement(p, "the answer's root is not that of the records sent", now, jitter)
    end = _end(before, load, tree)
    if p.isolation.unsettled:  # sent alone, and taken after all
        first, *others = p.isolation.unsettled
        cursor, unsettled = (first.behind, tuple(others)) if passing else (end, ())
    else:
        cursor, unsettled = _beside(p, load, before, end)
    letters, sizing = _letters(p, load, ack), _sized(p, load, took_s, now)
    isolation = _without_refusal(p, load)
    p = cursor_at(replace(flowing(p), isolation=isolation, sizing=sizing), cursor, unsettled, ack.head.tree_head)
    assert p.standing is not None
    p = replace(
        p,
        standing=replace(p.standing, cloud_id=ack.cloud_id, endpoint=p.endpoint),
        saving=replace(p.saving, dead_letters=p.saving.dead_letters + letters),
        generations_in_a_row=0,
        tally=_tallied(p.tally, ack),
    )
    return limited(p, ack.limits)


def _end(before: Cursor, load: Batch | Hole, tree: CompactRange) -> Cursor:
    """The cursor behind all that was sent."""
    if isinstance(load, Hole):
        return Cursor(before.log_id, load.end, tree, None, load.anchor, before.parent)
    last = load.last
    return Cursor(before.log_id, load.end, tree, event_id_of(last), Anchor.of(last), before.parent)


def _beside(p: Progress, load: Batch | Hole, before: Cursor, end: Cursor) -> tuple[Cursor, tuple[Unsettled, ...]]:
    """Where the cursor goes by an ack of `load`: to the end, or to the first record that must still be sent alone."""
    refusal = p.isolation.refusal
    unsettled = () if isinstance(load, Hole) else load.holes if refusal is None else load.holes[1:]
    if not unsettled:
        return end, ()
    assert isinstance(load, Batch)
    assert load.hashed is not None
    stops = []
    for index in (number - load.first for number in unsettled):
        if index:
            tree, record = before.tree.extended(load.hashed[:index]), load.record(index - 1)
            offset = load.offset + load.ends[index - 1]
            stop = Cursor(before.log_id, offset, tree, event_id_of(record), Anchor.of(record), before.parent)
        else:
            stop = before
        stops.append(stop)
    behind = [*stops[1:], end]
    leaves = [load.hashed[stop.size - load.first] for stop in stops]
    return stops[0], tuple(map(Unsettled, leaves, behind))


def _without_refusal(p: Progress, load: Batch | Hole) -> Isolation:
    """The refused record at the cursor is settled. Records that were accepted end the row of refusals."""
    refused_in_a_row = p.isolation.refused_in_a_row + (p.isolation.refusal is not None)
    return replace(p.isolation, refusal=None, refused_in_a_row=0 if isinstance(load, Batch) else refused_in_a_row)


# ------------------------------------------------------------------------------------------- dead letters


def _letters(p: Progress, load: Batch | Hole, ack: act.Acked) -> tuple[DeadLetter, ...]:
    log_id, refusal = p.cursor.log_id, p.isolation.refusal
    if isinstance(load, Hole):
        why = refusal or Refusal(load.first, "record_too_large", "longer than the cloud or this client takes")
        return (DeadLetter(log_id, load.first, load.offset, load.length, why.code, why.detail),)
    whys = [why for why in ack.refused if 0 <= why.record - load.first < load.count]
    if load.holes and refusal is not None:
        whys.insert(0, refusal)
    return tuple(dead_letter(log_id, load, why) for why in whys)


def dead_letter(log_id: str, load: Batch, why: Refusal) -> DeadLetter:
    """The dead letter of one record of a batch."""
    offset = load.offset + load.start_of(why.record)
    return DeadLetter(log_id, why.record, offset, load.length_of(why.record), why.code, why.detail)


def _tallied(tally: ProgressTally, ack: act.Acked) -> ProgressTally:
    return replace(
        tally,
        accepted=tally.accepted + ack.accepted,
        duplicates=tally.duplicates + ack.duplicates,
        flagged=tally.flagged + ack.flagged_count,
        refused=tally.refused + ack.refused_count,
    )


# ------------------------------------------------------------------------------------------- limits and sizes


def limited(p: Progress, limits: Limits | None) -> Progress:
    """The limits that an answer announced hold from now on, unless they are absurd."""
    if limits is None or limits == p.limits:
        return p
    if min(limits.record_bytes, limits.body_bytes - ENVELOPE_BYTES_MAX) < RECORD_BYTES_LIMIT_MIN:
        return p
    return replace(p, limits=limits, budget=p.budget.with_rate(limits.requests_per_minute))


def _sized(p: Progress, load: Batch | Hole, took_s: float, now: float) -> Sizing:
    """How much the next batch may carry. A record that was at fault and is settled makes no batch smaller any more."""
    sizing = p.sizing if isinstance(load, Hole) else carried(_grown(p, load, now), load, took_s, p.policy)
    if isinstance(load, Hole) or p.isolation.refusal is not None:
        return replace(sizing, regrow_at=0, batch_records=p.limits.records)
    return sizing


def _grown(p: Progress, load: Batch, now: float) -> Sizing:
    """Batches double while they come back full: to `policy.batch_bytes`, beyond it only if the budget is the bound."""
    sizing = p.sizing
    if load.end < sizing.regrow_at:
        # The first half of what was refused is in, so the culprit is in the other: halving goes on there.
        halve = load.count == sizing.batch_records
        return replace(sizing, batch_records=(load.count + 1) // 2) if halve else sizing
    batch_records = min(max(sizing.batch_records * 2, 2), p.limits.records)
    bound = p.policy.batch_bytes
    if p.budget.ready_at(now) > now:
        bound = min(p.limits.body_bytes, p.policy.read_bytes_max)
    full = len(load.data) * 2 > min(sizing.batch_bytes, sizing.ceiling_bytes)
    batch_bytes = max(sizing.batch_bytes, min(sizing.batch_bytes * 2, bound)) if full else sizing.batch_bytes
    ceiling_bytes, successes = sizing.ceiling_bytes, sizing.ceiling_successes
    if full and batch_bytes > ceiling_bytes:
        successes += 1
        if successes >= p.policy.ceiling_successes:
            ceiling_bytes, successes = min(ceiling_bytes * 2, p.policy.read_bytes_max), 0
    return replace(
        sizing,
        batch_bytes=batch_bytes,
        batch_records=batch_records,
        ceiling_bytes=ceiling_bytes,
        ceiling_successes=successes,
    )
