"""What must hold in each state of the small world, and after each step.

Each rule returns what is wrong in words, or None. Excuses are spelled out: after a sidecar was lost or could not be
written, dead letters may be lost with it, and so may they when the cursor is proven to be more than a batch behind
and jumps (the cloud still names their places).
"""

from __future__ import annotations

from itertools import islice

from replicator import actions as act
from replicator.model import Batch, Hole, Standing
from replicator.progress import Progress
from replicator.proof import leaf_hash
from replicator.testing.cloud import head_of, tree_of
from replicator.testing.log import compare

from .world import (
    CLOUD_LOST,
    EDITED,
    JUMPED_FAR,
    ORDERED,
    POLICY,
    SAVE_FAILED,
    SIDECAR_LOST,
    TAMPERED,
    Move,
    World,
)

LETTERS_EXCUSED = SIDECAR_LOST | SAVE_FAILED | JUMPED_FAR
FAILED = (
    act.SaveFailed,
    act.Unavailable,
    act.Denied,
    act.Misconfigured,
    act.Garbled,
    act.TooOld,
    act.Throttled,
)


def broken_state(p: Progress, w: World) -> str | None:
    """What is wrong with a state."""
    for name, standing, letters in (
        ("the cursor", p.standing, w.letters | {(letter.log_id, letter.record) for letter in p.saving.dead_letters}),
        ("the durable cursor", w.durable, w.letters),
    ):
        wrong = _gap(w, standing, letters)
        if wrong is not None:
            return f"{name}: {wrong}"
    if p.load is not None and (p.load.first, p.load.offset) != (p.cursor.size, p.cursor.offset):
        return "what was read is not at the cursor"
    return None


def _gap(w: World, standing: Standing | None, letters: frozenset[tuple[str, int]]) -> str | None:
    """Each record before a cursor was stored by the cloud, or is a dead letter."""
    if standing is None:
        return None
    cursor = standing.cursor
    if standing.resend is not None and w.happened & (EDITED | TAMPERED) and w.happened & ORDERED:
        return None  # the place of a person's order is computed from the file, and the cloud will object to it
    known = [replica[: cursor.size] for log_id, replica in w.ever if log_id == cursor.log_id]
    ever = next((places for places in known if tree_of(tuple(place.leaf for place in places)) == cursor.tree), None)
    if ever is None:
        if not cursor.size:
            return None
        return f"{cursor.size} records are said to be acknowledged, which the cloud never had"
    if w.happened & LETTERS_EXCUSED:
        return None
    for number, place in enumerate(ever):
        if place.record is None and (cursor.log_id, number) not in letters:
            return f"record {number} is neither stored nor a dead letter"
    return None


def broken_step(p: Progress, action: act.Action, move: Move, after: Progress, again: act.Action) -> str | None:
    """What is wrong with a step; `again` is what would be done next."""
    w = move.world
    if isinstance(action, act.Send) and w.foreign:
        return "records were sent to another cloud at another address, which nobody confirmed"
    if isinstance(action, act.Send | act.Beat | act.Recall | act.Read) and p.stopped:
        return f"something was done although replication is stopped: {action}"
    if after.tally.generations > p.tally.generations and not w.happened & (TAMPERED | CLOUD_LOST | EDITED):
        return "a new generation without a cause"
    if after.tally.rewinds > p.tally.rewinds and not w.happened & CLOUD_LOST:
        return "the cursor went back without a cause"
    if isinstance(action, act.Begin) and action.parent is None and _known(w):
        return "a log was begun anew, although the cloud has it and nobody asked for that"
    order = move.outcome.reset if isinstance(move.outcome, act.Woken | act.Saved) else None
    if order is not None and order.id == p.saving.reset_id and after.standing != p.standing:
        return "one order was carried out twice"
    ended = after.generation_ended is not None and p.generation_ended is None
    if ended and after.generations_in_a_row >= POLICY.generations_max and not after.paused:
        return "generations follow each other without an accepted record, and nobody is told"
    if _stranger(move.outcome) and after.isolation.refusal is None and isinstance(again, act.Read):
        one = isinstance(action, act.Send) and action.load.count == 1
        if one:
            return "a record that something on the way refused alone is tried again at once"
    return _letter_without_cause(p, w, move, after) or _repeated(action, move, again)


def _stranger(outcome: act.Outcome | None) -> bool:
    return isinstance(outcome, act.Refused | act.TooLarge) and not outcome.ours


def _known(w: World) -> bool:
    """Whether the cloud has a beginning of this log, and always had: a lost cursor is found again there."""
    heads = [head_of(log_id, replica) for log_id, replica in w.logs if replica]
    return not w.happened & (CLOUD_LOST | ORDERED | TAMPERED) and compare(w.log, tuple(heads)).cursor is not None


def _letter_without_cause(p: Progress, w: World, move: Move, after: Progress) -> str | None:
    if isinstance(move.outcome, act.Saved):
        return None
    for letter in after.saving.dead_letters[len(p.saving.dead_letters) :]:
        place = p.load
        assert place is not None
        leaf = place.leaf if isinstance(place, Hole) else leaf_hash(_record(place, letter.record))
        if leaf not in w.alone and letter.length <= POLICY.record_bytes_max:
            return f"record {letter.record} became a dead letter, but was never refused alone"
    return None


def _record(load: Batch, number: int) -> bytes:
    return next(islice(load.records(), number - load.first, None))


def _repeated(action: act.Action, move: Move, again: act.Action) -> str | None:
    """What failed is not tried again at the same moment, and a wait ends later than it begins."""
    if isinstance(again, act.Wait) and again.until is not None and again.until <= move.took_s:
        return "a wait for what has come already"
    if isinstance(move.outcome, FAILED) and type(again) is type(action):
        return f"{type(action).__name__} failed and is repeated at once"
    return None


def jumped_far(p: Progress, after: Progress) -> int:
    """The mark of a cursor that went forward over more than a batch and a record, by proof."""
    if not after.tally.jumps or p.standing is None:
        return 0
    far = after.cursor.offset - p.cursor.offset > POLICY.read_bytes_max + POLICY.record_bytes_max
    return JUMPED_FAR if far else 0


def delivered(p: Progress, w: World) -> bool:
    """Everything in the log is at the cloud or a dead letter, this is durable, and nothing troubles."""
    if p.standing is None or p.unsaved or p.retry.trouble is not None or p.generation_ended is not None or p.compare:
        return False
    if w.asked is not None or p.standing.resend is not None:
        return False
    cursor = p.standing.cursor
    replica = w.replica(cursor.log_id)
    if len(replica) != cursor.size or cursor.offset != sum(map(len, w.log)):
        return False
    excused = w.happened & LETTERS_EXCUSED
    for number, (record, place) in enumerate(zip(w.log, replica, strict=False)):
        if place.leaf != leaf_hash(record) and not (number == 0 and w.happened & EDITED):
            return False
        if place.record is None and (cursor.log_id, number) not in w.letters and not excused:
            return False
    return len(w.log) == cursor.size
