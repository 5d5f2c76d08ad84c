"""Rows of local events: reads of the log, checkpoints, wakes and orders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from replicator import actions as act
from replicator.model import Anchor, Batch, Cursor, Hole, Standing, TreeHead
from replicator.pacing import backoff_s
from replicator.progress.state import Progress, Retry
from replicator.progress.transitions import cursor_moved, flowing, new_generation
from replicator.proof import leaf_hashes

# ------------------------------------------------------------------------------------------- reads


def found(p: Progress, load: Batch | Hole) -> Progress:
    """Records to send. Those that were refused or named go without their bytes, unless others stand there now."""
    p = replace(p, caught_up=False, log_trouble=None)
    isolation = p.isolation
    leaves = [load.leaf] if isinstance(load, Hole) else load.hashed or leaf_hashes(load.views())
    if isolation.refusal is not None and leaves[0] != isolation.refused_leaf:
        isolation = replace(isolation, refusal=None)  # another record stands there now, which nobody refused
    if isolation.unsettled and leaves[0] != isolation.unsettled[0].leaf:
        isolation = replace(isolation, unsettled=())
    p = replace(p, isolation=isolation)
    load = load if isinstance(load, Hole) else _without_refused(p, load, leaves)
    return replace(p, load=load, load_tree=p.cursor.tree.extended(leaves[: load.count]))


def _without_refused(p: Progress, load: Batch, leaves: Sequence[bytes]) -> Batch | Hole:
    """The batch, without the bytes of what was refused alone or named; its first record by itself if that is all."""
    refusal = p.isolation.refusal
    left_out = tuple(number for number in p.isolation.left_out if number < load.first + load.count)
    holes = left_out if refusal is None else (load.first, *(number for number in left_out if number > load.first))
    if len(holes) < load.count:
        return replace(load, holes=holes, hashed=tuple(leaves)) if holes else load
    record = load.record(0)
    if refusal is not None:
        return Hole(load.first, load.offset, len(record), leaves[0], Anchor.of(record))
    return Batch(load.first, load.offset, record, (len(record),), (leaves[0],))


def nothing(p: Progress, now: float, jitter: float) -> Progress:
    """Caught up: an answered heartbeat ends a trouble; a head still to be passed shows that records were cut off."""
    p = replace(flowing(p) if p.retry.heartbeat_answered else p, load=None, caught_up=True, log_trouble=None)
    resend = p.standing.resend if p.standing is not None else None
    if resend is not None:
        why = f"the log ends after {p.cursor.size} records, the cloud has {resend.size} of it"
        return new_generation(p, why, now, jitter)
    return p


def read_failed(p: Progress, action: act.Action, failed: act.ReadFailed, now: float) -> Progress:
    """Never a reset for an error of the operating system: wait for the timer, look again."""
    if isinstance(action, act.Compare):
        return replace(p, log_trouble=failed, retry=_until(p, now + p.policy.timer_s))
    return replace(p, log_trouble=failed, load=None, caught_up=True)


def begun(p: Progress, action: act.Action, log_id: str) -> Progress:
    """A generation has its name; it stays with the cloud that is known."""
    assert isinstance(action, act.Begin)
    cloud_id = p.standing.cloud_id if p.standing is not None else None
    endpoint = p.standing.endpoint if p.standing is not None and cloud_id else p.endpoint
    standing = Standing(Cursor(log_id, parent=action.parent), cloud_id, endpoint)
    tally = replace(p.tally, generations=p.tally.generations + (action.parent is not None))
    return replace(p, standing=standing, generation_ended=None, sizing=replace(p.sizing, regrow_at=0), tally=tally)


# ------------------------------------------------------------------------------------------- checkpoints


def saved(p: Progress, action: act.Action, reset: act.ResetOrder | None, now: float) -> Progress:
    """The checkpoint is durable; what came up meanwhile waits for the next one."""
    assert isinstance(action, act.Checkpoint)
    saving = replace(
        p.saving,
        durable=action.standing,
        dead_letters=p.saving.dead_letters[len(action.dead_letters) :],
        reset_id=0 if p.saving.reset_id == action.reset_id else p.saving.reset_id,
        failures=0,
        not_before=0.0,
        trouble=None,
    )
    return _reset(replace(p, saving=saving), reset, now)


def save_failed(p: Progress, detail: str, now: float, jitter: float) -> Progress:
    """Replication goes on; the checkpoint is tried again within the timer."""
    failures = p.saving.failures + 1
    delay_s = backoff_s(failures, jitter=jitter, first_s=p.policy.backoff_s_first, max_s=p.policy.timer_s)
    return replace(p, saving=replace(p.saving, failures=failures, not_before=now + delay_s, trouble=detail))


# ------------------------------------------------------------------------------------------- wakes and orders


def woken(p: Progress, woken: act.Woken, now: float) -> Progress:
    """Look at the log again. Another key ends the wait of a pause; an append shortens that of a backoff."""
    p = replace(p, caught_up=False)
    waiting = p.retry
    if woken.key_changed and waiting.trouble is not None and waiting.trouble.pauses:
        p = replace(p, retry=replace(waiting, not_before=min(waiting.not_before, now), failures=0))
    if woken.appended:
        sooner = replace(p.retry, not_before=min(p.retry.not_before, p.retry.append_not_before))
        p = replace(p, appended_at=now, retry=sooner)
    return _reset(p, woken.reset, now)


def _until(p: Progress, not_before: float) -> Retry:
    """Nothing is done before, whatever is appended."""
    return replace(p.retry, not_before=not_before, append_not_before=math.inf)


def _reset(p: Progress, reset: act.ResetOrder | None, now: float) -> Progress:
    """A person's order. Only ever backward: what lies between is the cloud's to call duplicates."""
    if reset is None or (reset.id and reset.id == p.saving.reset_id):
        return p
    carried_out = replace(p.saving, reset_id=reset.id)
    if p.standing is None:
        if not (reset.confirmed and p.stopped):
            return p  # it stays in the sidecar, and is carried out when there is a cursor
        resumed = replace(p.retry, trouble=None, not_before=now)
        return replace(p, recalled=True, compare=(), saving=carried_out, retry=resumed)
    there = replace(reset.cursor, log_id=p.cursor.log_id, parent=p.cursor.parent)
    if there.size >= p.cursor.size:
        there = p.cursor  # its evidence is that of what was acknowledged; a log that changed since is found by it
    known = p.standing.resend or TreeHead(p.cursor.size, p.cursor.root)
    standing = replace(p.standing, cursor=there, resend=known if there.size < known.size else None)
    refused = p.isolation.refused_in_a_row if there == p.cursor else 0  # who stays has met nothing again
    p = replace(
        cursor_moved(p),
        caught_up=False,
        compare=(),
        generation_ended=None,
        generations_in_a_row=0,
        saving=carried_out,
    )
    p = replace(p, isolation=replace(p.isolation, refused_in_a_row=refused))
    if reset.confirmed and (p.endpoint_changed or p.stopped):
        standing = replace(standing, cloud_id=None, endpoint=p.endpoint)
        resumed = replace(p.retry, trouble=None, not_before=now)
        p = replace(p, retry=resumed, heartbeat=replace(p.heartbeat, due_at=now))
    return replace(p, standing=standing)
