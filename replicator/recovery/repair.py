"""Resends what the replica lost: the records that a verdict calls missing or damaged, and no others.

Uses the ordinary protocol, with `first` below the cloud's size: the cloud accepts a record only if its hash is the leaf
that it kept. So a repair is verified and cannot overwrite anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from replicator import actions as act
from replicator.errors import CloudError, CursorError
from replicator.log import LogReader
from replicator.model import MIB, Hole, Limits
from replicator.proof import leaf_hashes
from replicator.recovery.local import LocalTree
from replicator.recovery.verify import ReplicaVerdict
from replicator.sink import Sink
from replicator.sink.reader import ReplicaReader
from replicator.wire import Report

THROTTLED_MAX = 10
_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair came to: records sent, and those that the cloud did not take, with its reason."""

    sent: int = 0
    requests: int = 0
    refused: tuple[tuple[int, str], ...] = ()


def repair(
    tree: LocalTree,
    verdict: ReplicaVerdict,
    sink: Sink,
    report: Report,
    *,
    limits: Limits = _LIMITS,
    wait: Callable[[float], object] = time.sleep,
) -> Repaired:
    """Send the missing and damaged records again, each to its place; the cloud takes them by their leaves.

    `report` goes with them, as with every batch: how the log's replicator is. Safe to repeat, and beside a live one.
    CloudError where the cloud does not answer.
    """
    result = Repaired()
    for first, end in sorted((*verdict.missing, *verdict.damaged)):
        number = first
        while number < end:
            cursor = tree.cursor(verdict.log_id, number)
            bounds = act.Read(cursor, 4 * MIB, min(end - number, limits.records), limits.record_bytes)
            found = LogReader(tree.path).read(bounds)
            if not isinstance(found, act.Found):
                raise CursorError(
                    f"record {number} cannot be read as it was: {getattr(found, 'reason', 'the log changed')}",
                    hint="compare again",
                    code="changed_meanwhile",
                )
            load = found.load
            leaves = [load.leaf] if isinstance(load, Hole) else leaf_hashes(load.records())
            action = act.Send(cursor, load, cursor.tree.extended(leaves), verdict.cloud_id)
            result = _counted(result, action, _sent(sink, action, report, wait))
            number += load.count
    return result


def mended(verdict: ReplicaVerdict, reader: ReplicaReader) -> int:
    """How many of the records that were missing or damaged the cloud now has as they should be."""
    wanted = left = 0
    for first, end in (*verdict.missing, *verdict.damaged):
        wanted += end - first
        at = first
        while at < end:
            part = reader.scrub(verdict.log_id, "deep", at, end)
            left += part.missing + len(part.damaged)
            if part.end == at:  # the cloud's head is still before it
                left += end - at
                break
            at = part.end
    return wanted - left


def _sent(
    sink: Sink, action: act.Send, report: Report, wait: Callable[[float], object]
) -> act.Acked | act.Mismatch | act.Refused:
    for _ in range(THROTTLED_MAX):
        outcome = sink.send(action, report)
        match outcome:
            case act.Acked() | act.Mismatch() | act.Refused():
                return outcome
            case act.Throttled(retry_after_s):
                wait(min(max(retry_after_s or 1.0, 0.1), 60.0))
            case _:
                break
    else:
        outcome = act.Unavailable("the request budget stays spent")
    raise CloudError(
        f"the cloud did not take what was sent: {getattr(outcome, 'detail', '') or type(outcome).__name__.lower()}",
        hint="try it again later",
        code="repair_refused",
    )


def _counted(before: Repaired, action: act.Send, outcome: act.Acked | act.Mismatch | act.Refused) -> Repaired:
    count = action.load.count
    if isinstance(outcome, act.Acked) and not outcome.refused_count:
        return replace(before, sent=before.sent + count, requests=before.requests + 1)
    if isinstance(outcome, act.Acked):
        why = [(refusal.record, refusal.code) for refusal in outcome.refused]
    elif isinstance(outcome, act.Mismatch):
        why = [(outcome.record if outcome.record is not None else action.cursor.size, "another record is there")]
    else:
        why = [(action.cursor.size, outcome.detail)]
    return Repaired(before.sent + count, before.requests + 1, (*before.refused, *why))
