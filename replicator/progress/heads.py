"""Rows of the cloud's head: in the answer to a heartbeat, in a conflict, and after it was compared with the log.

The table of heads is in docs/protocol.md: move back, move forward, or start a new generation.
"""

from __future__ import annotations

from dataclasses import replace

from replicator.model import UNNAMED_CLOUD, Cursor, Head, Standing, TreeHead
from replicator.progress.state import Progress
from replicator.progress.transitions import counted, cursor_moved, disagreement, flowing, new_generation
from replicator.progress.trouble import Trouble


def heard(p: Progress, cloud_id: str, head: Head, now: float, jitter: float) -> Progress:
    """A heartbeat's answer: which cloud this is, and what it has of the log."""
    assert p.standing is not None
    if head.log_id != p.cursor.log_id:
        return disagreement(p, "the heartbeat's answer speaks of another log", now, jitter)
    known = p.standing.cloud_id
    another = known not in (None, cloud_id) or known == UNNAMED_CLOUD  # such a one is known by its address alone
    if another and p.endpoint_changed:
        held = Trouble("held", "another cloud at another address")
        return replace(p, load=None, retry=replace(p.retry, trouble=held))
    standing = replace(p.standing, cloud_id=cloud_id, endpoint=p.endpoint)
    if known not in (None, cloud_id):
        standing = replace(standing, resend=None)
        p = replace(p, isolation=replace(p.isolation, unsettled=()))
    p = replace(p, standing=standing)
    p = flowing(p) if p.caught_up else _answered(p)
    if head.tree_head in (TreeHead(p.cursor.size, p.cursor.root), standing.resend):
        return p
    return replace(p, compare=(head,), load=None)


def _answered(p: Progress) -> Progress:
    """Records may wait: only an ack shows that they flow."""
    return replace(p, retry=replace(p.retry, heartbeat_answered=p.retry.trouble is not None))


def mismatched(p: Progress, head: Head, now: float, jitter: float) -> Progress:
    """409: the head that comes with it decides, once the log was asked whether it has that head."""
    if p.standing is None or head.log_id != p.cursor.log_id:
        return disagreement(p, "the conflict speaks of another log", now, jitter)
    return replace(p, compare=(head,), load=None)


def recalled(p: Progress, heads: tuple[Head, ...]) -> Progress:
    """The logs of this device at the cloud: those with anything in them are compared with the log."""
    return replace(flowing(p), recalled=True, compare=tuple(head for head in heads if head.size > 0))


def compared(p: Progress, cursor: Cursor | None, now: float, jitter: float) -> Progress:
    """The largest head that the log has: the cursor goes back or forward there. None that it has: a fork."""
    isolation = replace(p.isolation, refusal=None, unsettled=())
    p = replace(p, compare=(), load=None, isolation=isolation, log_trouble=None)
    if p.standing is None:
        if cursor is None:
            return p
        return replace(p, standing=Standing(cursor, None, p.endpoint), tally=counted(p.tally, jumps=1))
    if cursor is None:
        return new_generation(p, "the cloud has other records under the name of this log", now, jitter)
    there = replace(cursor, parent=p.cursor.parent)
    resend, proven = p.standing.resend, TreeHead(there.size, there.root)
    if there.size == p.cursor.size or resend == proven:
        return disagreement(p, "the cloud refuses to go on from a head that it names itself", now, jitter)
    if there.size > p.cursor.size and (resend is not None or _near(p, there)):
        return replace(p, standing=replace(p.standing, resend=proven), caught_up=False)
    back = there.size < p.cursor.size
    tally = counted(p.tally, rewinds=1) if back else counted(p.tally, jumps=1)
    standing = replace(p.standing, cursor=there, resend=None)
    in_a_row = p.generations_in_a_row if back else 0  # a head further on is records of this log that were accepted
    return replace(cursor_moved(p), standing=standing, caught_up=False, tally=tally, generations_in_a_row=in_a_row)


def _near(p: Progress, there: Cursor) -> bool:
    """Ahead by no more than a batch and the longest record: what a lost answer, or a crash before the checkpoint,
    leaves, and a power cut that also took the last checkpoints back.

    There one sends again instead of jumping: the answers name again what was refused, so that no dead letter is lost.
    """
    ahead = there.size - p.cursor.size
    bytes_max = p.policy.read_bytes_max + p.policy.record_bytes_max
    return ahead <= p.limits.records and (ahead == 1 or there.offset - p.cursor.offset <= bytes_max)
