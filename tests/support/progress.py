"""Progress in a state of one's choice, and one step of it: for unit tests of the table."""

from __future__ import annotations

from dataclasses import replace

from replicator import actions as act
from replicator.model import Head, Policy, Standing
from replicator.progress import Heartbeat, Progress, advance, next_action
from replicator.testing.log import cursor_at, read
from tests.support.fields import changed

LOG = (b"one\n", b"two\n", b"three\n", b"four\n")
CLOUD = "cloud-1"
HERE = "https://here/api/v1"
POLICY = Policy()
JUNK = b"\x07" * 32


def at(size: int, *, log: tuple[bytes, ...] = LOG, **fields: object) -> Progress:
    """A progress behind `size` records, in step with the cloud, saved, with a heartbeat just made."""
    standing = Standing(cursor_at("log-1", log[:size]), CLOUD, HERE)
    p = Progress.start(standing, policy=POLICY, endpoint=HERE)
    return changed(replace(p, heartbeat=Heartbeat(60.0, 0.0)), **fields)  # type: ignore[no-any-return]


def after(p: Progress, outcome: act.Outcome, *, now: float = 0.0, jitter: float = 0.5, took_s: float = 0.0) -> Progress:
    """What follows from `outcome` of the action that is next."""
    return advance(p, next_action(p, now), outcome, began=now, now=now + took_s, jitter=jitter)


def sending(p: Progress, *, log: tuple[bytes, ...] = LOG, now: float = 0.0) -> Progress:
    """The same, with what it wants to read found in the log."""
    action = next_action(p, now)
    assert isinstance(action, act.Read), action
    found = read(log, action)
    assert isinstance(found, act.Found)
    return advance(p, action, found, began=now, now=now, jitter=0.5)


def head(size: int, *, log: tuple[bytes, ...] = LOG) -> Head:
    """The cloud's head behind `size` records of this log."""
    cursor = cursor_at("log-1", log[:size])
    return Head("log-1", size, cursor.root, cursor.offset, cursor.event_id)


def standing_of(p: Progress) -> Standing:
    """The standing, which must be there."""
    assert p.standing is not None
    return p.standing
