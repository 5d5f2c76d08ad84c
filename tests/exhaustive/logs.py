"""The logs from which the walks begin: what stands in them at first, and what may be appended on the way."""

from __future__ import annotations

from replicator.progress import Progress

from .walk import State
from .world import LARGE, OVERLONG, POISON, SLYPOISON, World, start

A, B, C = b"a\n", b"b\n", b"c\n"

LOGS: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {
    "plain": ((A, B, C), ()),
    "growing": ((A,), (B,)),
    "empty": ((), (A,)),
    "poison": ((A, POISON, B), ()),
    "poisons": ((POISON, A, POISON), ()),
    "sly poison": ((SLYPOISON, A), ()),
    "too large": ((A, LARGE, B), ()),
    "over-long": ((OVERLONG, A), ()),
    "small hop": ((A, B, C), ()),
    "two bad ones": ((POISON, OVERLONG, SLYPOISON, A), ()),
}


HOPS = {"small hop": 3}
"""What lies before some of them: how much a hop on the way lets pass in one request."""


def first_state(name: str, *, faults: int, kind: type[Progress] = Progress) -> State:
    """A fresh client before one of the logs."""
    log, supply = LOGS[name]
    return start(None, "A", kind), World(log, supply, faults=faults, hop_bytes=HOPS.get(name, 0))
