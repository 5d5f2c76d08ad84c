"""What the line carries: how large a batch may be so that it arrives well before every deadline on the way.

Learned from what got through and how long it took, and from what broke off. Hops have deadlines that nobody announces
(a body within 30 s, an answer within 10), and path MTUs that let small requests pass and no large one. So a batch that
broke off is halved, and the size that failed is tried again ever more rarely.
"""

from __future__ import annotations

from dataclasses import replace

from replicator import actions as act
from replicator.model import Batch, Hole, Policy
from replicator.progress.state import LINE_BYTES_MAX, Progress, Sizing

_PATIENCE_MAX = 1 << 20


def carried(sizing: Sizing, load: Batch, took_s: float, policy: Policy) -> Sizing:
    """The batch got through within `took_s` seconds, answer included."""
    size = len(load.data)
    carries = int(size * policy.batch_s_max / took_s) if took_s > 0 else LINE_BYTES_MAX
    if carries < size:
        if size <= policy.batch_bytes_min:  # a stall: of the line so few bytes say nothing
            return sizing
        return replace(sizing, line_bytes=max(policy.batch_bytes_min, min(sizing.line_bytes, carries)))
    if size * 2 <= sizing.line_bytes:
        return sizing
    successes = sizing.line_successes + 1
    if successes < sizing.line_patience:
        return replace(sizing, line_successes=successes)
    larger = max(sizing.line_bytes, min(sizing.line_bytes * 2, carries))
    if larger >= policy.read_bytes_max:
        return replace(sizing, line_bytes=LINE_BYTES_MAX, line_successes=0, line_patience=0)
    return replace(sizing, line_bytes=larger, line_successes=0)


def broke_off(p: Progress, action: act.Action) -> Progress:
    """The request broke off on its way: half as much next. Records that cannot be halved are sent as they are."""
    if not isinstance(action, act.Send) or isinstance(action.load, Hole):
        return p
    sizing, policy, size = p.sizing, p.policy, len(action.load.data)
    if size <= policy.batch_bytes_min:
        return p
    patience = sizing.line_patience
    if not patience:
        patience = policy.line_successes
    elif not p.retry.failures:  # smaller ones got through meanwhile: it is the size
        patience = min(patience * 4, _PATIENCE_MAX)
    half = max(policy.batch_bytes_min, min(sizing.line_bytes, size // 2))
    return replace(p, sizing=replace(sizing, line_bytes=half, line_successes=0, line_patience=patience))
