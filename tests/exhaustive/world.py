"""A small world around `progress`: a log, a cloud, a durable sidecar, and everything that can befall them.

Pure. `moves(p, w)` gives each step that can be taken from a state: the kind one first (what a healthy world answers),
then those of an adversary, each with what it costs of the path's fault budget. `walk` puts them together and `rules`
says what must hold.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from replicator import actions as act
from replicator.model import Cursor, Head, Hole, Policy, Standing
from replicator.pacing import Budget
from replicator.progress import Progress, ProgressTally, Trouble
from replicator.proof import CompactRange, leaf_hash
from replicator.testing.cloud import Replica, head_of, receive
from replicator.testing.log import compare, cursor_at, read

JITTER = 0.5
POLICY = Policy(
    batch_bytes=8,
    batch_bytes_first=4,
    batch_bytes_min=2,
    batch_s_max=1.0,
    line_successes=1,
    read_bytes_max=8,
    record_bytes_max=6,
    request_burst=1,
    backoff_s_first=1.0,
    backoff_s_max=2.0,
    append_retry_s=1.0,
    retry_after_s_max=2.0,
    probe_s_first=1.0,
    probe_s_max=2.0,
    heartbeat_s=2.0,
    heartbeats_per_minute=60,
    timer_s=1.0,
    refused_in_a_row_max=3,
    foreign_refusals_max=2,
    generations_max=2,
    disagreements_max=2,
    ceiling_successes=1,
    dead_letters_unsaved_max=1,
)
LONG_AGO_S = 5.0
"""An append so long ago shortens no wait any more."""
POISON = b"p\n"
"""The cloud refuses a batch that holds it, and names it."""
SLYPOISON = b"q\n"
"""The cloud refuses a batch that holds it, and does not name it."""
LARGE = b"bbbb\n"
"""A 413 for each batch that holds it: within the client's limits, beyond a proxy's."""
OVERLONG = b"ccccccc\n"
"""Longer than the client takes."""

EDITED, TAMPERED, CLOUD_LOST, ORDERED, SIDECAR_LOST, SAVE_FAILED, JUMPED_FAR = (1 << n for n in range(7))


Stored = tuple[tuple[str, Replica], ...]


class World(NamedTuple):
    """Everything outside of the client's memory. `ever` is what a cloud stored at any time, by log_id."""

    log: tuple[bytes, ...]
    supply: tuple[bytes, ...]
    logs: Stored = ()
    ever: Stored = ()
    cloud: int = 1
    endpoint: str = "A"
    foreign: bool = False
    """Another cloud at another address, which nobody has confirmed."""
    durable: Standing | None = None
    letters: frozenset[tuple[str, int]] = frozenset()
    alone: frozenset[bytes] = frozenset()
    """Records that were refused alone, by the cloud or again by a stranger."""
    strangers: frozenset[bytes] = frozenset()
    """Records that something on the way refused alone."""
    hop_bytes: int = 0
    """A hop on the way lets no more pass in one request; 0: any size."""
    asked: act.ResetOrder | None = None
    orders: int = 0
    generations: int = 0
    faults: int = 0
    """How many more the adversary may do on this path."""
    happened: int = 0

    @property
    def cloud_id(self) -> str:
        return f"C{self.cloud}"

    def replica(self, log_id: str) -> Replica:
        return next((replica for name, replica in self.logs if name == log_id), ())


@dataclass(frozen=True, slots=True)
class Move:
    """One step. `outcome` None: the world changed, or the process (then `start`); nothing was done."""

    label: str
    world: World
    outcome: act.Outcome | None = None
    took_s: float = 0.0
    start: Progress | None = None


def start(standing: Standing | None, endpoint: str, kind: type[Progress] = Progress) -> Progress:
    """A process that begins, without a request budget: pacing has tests of its own. `kind`: a mutant's Progress."""
    return replace(kind.start(standing, policy=POLICY, endpoint=endpoint), budget=Budget(None, 1))


def normalised(p: Progress, took_s: float) -> Progress:
    """Times relative to now, counters capped where nothing more depends on them."""
    size = p.standing.cursor.size if p.standing is not None else 0
    offset = p.standing.cursor.offset if p.standing is not None else 0
    sizing, isolation, retry, saving, heartbeat = p.sizing, p.isolation, p.retry, p.saving, p.heartbeat
    suspect = isolation.suspect
    return _with(
        p,
        sizing=_with(
            sizing,
            batch_records=min(sizing.batch_records, 8),
            regrow_at=sizing.regrow_at if sizing.regrow_at > offset else 0,
            line_successes=min(sizing.line_successes, 1),
            line_patience=min(sizing.line_patience, 2),
        ),
        isolation=_with(
            isolation,
            suspect=suspect if suspect is not None and suspect >= size else None,
            refused_in_a_row=min(isolation.refused_in_a_row, 3),
        ),
        retry=_with(
            retry,
            trouble=Trouble(retry.trouble.code) if retry.trouble is not None else None,
            failures=min(retry.failures, 3),
            not_before=max(0.0, retry.not_before - took_s),
            append_not_before=max(0.0, retry.append_not_before - took_s),
            disagreements=min(retry.disagreements, 2),
        ),
        saving=_with(saving, failures=min(saving.failures, 2), not_before=max(0.0, saving.not_before - took_s)),
        heartbeat=_with(
            heartbeat,
            due_at=max(0.0, heartbeat.due_at - took_s),
            last_at=max(-1.0, heartbeat.last_at - took_s),
        ),
        appended_at=p.appended_at - took_s if p.appended_at - took_s > -LONG_AGO_S else float("-inf"),
        generations_in_a_row=min(p.generations_in_a_row, 2),
        generation_ended="broken" if p.generation_ended is not None else None,
        load_tree=p.load_tree if p.load is not None else CompactRange.EMPTY,
        tally=ProgressTally(),
    )


def _with(value: Any, **wanted: Any) -> Any:
    """The value with these fields; itself if they have them already."""
    changed = {name: field for name, field in wanted.items() if getattr(value, name) != field}
    return replace(value, **changed) if changed else value


def moves(p: Progress, w: World, action: act.Action) -> Iterator[Move]:
    """Each step from here; the kind one first."""
    yield from _DO[type(action)](p, w, action)
    if w.faults:
        yield from _crashes(type(p), w._replace(faults=w.faults - 1))


# ------------------------------------------------------------------------------------------- the process


def _crashes(kind: type[Progress], w: World) -> Iterator[Move]:
    w = w._replace(foreign=w.foreign or _unconfirmed(w))
    yield Move("crash", w, start=start(w.durable, w.endpoint, kind))
    if w.durable is None:
        return
    lost = w._replace(durable=None, letters=frozenset(), asked=None, foreign=False)
    lost = lost._replace(happened=w.happened | SIDECAR_LOST)
    yield Move("crash, sidecar lost", lost, start=start(None, w.endpoint, kind))
    if w.durable.cursor.size:
        old = replace(w.durable, cursor=Cursor(w.durable.cursor.log_id), resend=None)
        older = w._replace(durable=old, happened=w.happened | SIDECAR_LOST)
        yield Move("crash, sidecar of long ago", older, start=start(old, w.endpoint, kind))
    if w.endpoint == "A":
        moved = w._replace(endpoint="B")
        yield Move("restart at a new address of the cloud", moved, start=start(w.durable, "B", kind))
        other = moved._replace(cloud=w.cloud + 1, logs=(), foreign=w.durable.cloud_id is not None)
        other = other._replace(happened=w.happened | CLOUD_LOST)
        yield Move("restart with another cloud at another address", other, start=start(w.durable, "B", kind))


def _unconfirmed(w: World) -> bool:
    """Whether a process that starts now meets another cloud at another address, as far as its sidecar knows."""
    standing = w.durable
    if standing is None or standing.cloud_id is None:
        return False
    return standing.endpoint != w.endpoint and standing.cloud_id != w.cloud_id


# ------------------------------------------------------------------------------------------- the log


def _log_changes(w: World) -> Iterator[Move]:
    if w.supply:
        appended = w._replace(log=(*w.log, w.supply[0]), supply=w.supply[1:])
        yield Move("append", appended)
    if not w.faults or not w.log:
        return
    w = w._replace(faults=w.faults - 1)
    cut = w._replace(happened=w.happened | TAMPERED)
    yield Move("log truncated to nothing", cut._replace(log=()))
    yield Move("log replaced", cut._replace(log=(b"x\n", b"y\n", b"z\n")[: len(w.log)]))
    yield Move("log's last record cut off", cut._replace(log=w.log[:-1]))
    edited = w._replace(happened=w.happened | EDITED)
    yield Move("first record edited", edited._replace(log=(b"e" * (len(w.log[0]) - 1) + b"\n", *w.log[1:])))


def _read(p: Progress, w: World, action: act.Action) -> Iterator[Move]:
    assert isinstance(action, act.Read)
    yield Move("read", w, read(w.log, action))
    yield from _log_changes(w)
    if w.faults:
        yield Move("read fails", w._replace(faults=w.faults - 1), act.ReadFailed("EIO", ""))


def _compare(p: Progress, w: World, action: act.Action) -> Iterator[Move]:
    assert isinstance(action, act.Compare)
    yield Move("compare", w, compare(w.log, action.heads))
    yield from _log_changes(w)
    if w.faults:
        yield Move("comparison fails", w._replace(faults=w.faults - 1), act.ReadFailed("EIO", ""))


def _begin(p: Progress, w: World, action: act.Action) -> Iterator[Move]:
    number = w.generations + 1
    yield Move("begin", w._replace(generations=number), act.Began(f"L{number}"))


# ------------------------------------------------------------------------------------------- the sidecar


def _checkpoint(p: Progress, w: World, action: act.Action) -> Iterator[Move]:
    assert isinstance(action, act.Checkpoint)
    letters = w.letters | {(letter.log_id, letter.record) for letter in action.dead_letters}
    done = w.asked is not None and w.asked.id <= action.reset_id
    saved = w._replace(durable=action.standing, letters=letters, asked=None if done else w.asked)
    yield Move("checkpoint", _told(saved), act.Saved(saved.asked))
    if w.faults:
        failed = w._replace(faults=w.faults - 1, happened=w.happened | SAVE_FAILED)
        yield Move("checkpoint fails", failed, act.SaveFailed(""))
        yield from _orders(w, lambda ordered: None)


def _wait(p: Progress, w: World, action: act.Action) -> Iterator[Move]:
    assert isinstance(action, act.Wait)
    until = 0.0 if action.until is None else action.until
    if p.stopped and not (w.asked is not None and w.asked.confirmed):
        confirmed = _asked(w, cursor_at("-", ()), confirmed=True)
        yield Move("a person confirms", _told(confirmed), act.Woken(reset=confirmed.asked), until)
    else:
        yield Move("wait", _told(w), act.Woken(reset=w.asked), until)
    w = _told(w)
    if w.supply:
        appended = w._replace(log=(*w.log, w.supply[0]), supply=w.supply[1:])
        yield Move("append and wake", appended, act.Woken(reset=w.asked, appended=True))
    if w.faults:
        yield Move("key changes", w._replace(faults=w.faults - 1), act.Woken(key_changed=True, reset=w.asked))
        yield from _orders(w, lambda ordered: act.Woken(reset=ordered))


def _orders(w: World, outcome: Callable[[act.ResetOrder | None], act.Outcome | None]) -> Iterator[Move]:
    """A person's reset, left in the sidecar."""
    if w.asked is not None:
        return
    w = w._replace(faults=w.faults - 1)
    places = [(0, False), (0, True), *([(1, False)] if w.log else [])]
    for size, confirmed in places:
        ordered = _asked(w, cursor_at("-", w.log[:size]), confirmed=confirmed)
        told = outcome(ordered.asked)
        yield Move(f"reset to {size}{', confirmed' * confirmed}", ordered if told is None else _told(ordered), told)


def _told(w: World) -> World:
    """The client hears of the order that waits: who confirmed another cloud made it one's own."""
    return w._replace(foreign=False) if w.asked is not None and w.asked.confirmed else w


def _asked(w: World, cursor: Cursor, *, confirmed: bool) -> World:
    asked = act.ResetOrder(cursor, confirmed, w.orders + 1)
    return w._replace(asked=asked, orders=w.orders + 1, happened=w.happened | ORDERED)


# ------------------------------------------------------------------------------------------- the cloud

FAILURES: tuple[tuple[str, act.Failure], ...] = (
    ("unavailable", act.Unavailable("")),
    ("unavailable, retry later", act.Unavailable("", 2.0)),
    ("broke off", act.Unavailable("", cut=True)),
    ("throttled", act.Throttled()),
    ("throttled, retry later", act.Throttled(2.0)),
    ("denied", act.Denied(401, "")),
    ("no key", act.Denied(0, "")),
    ("misconfigured", act.Misconfigured(404, "")),
    ("too old", act.TooOld("")),
    ("gone", act.Gone("")),
    ("garbled", act.Garbled("")),
    ("too large", act.TooLarge()),
    ("refused with 400", act.Refused(400, "")),
    ("refused with 422", act.Refused(422, "")),
    ("refused by a stranger", act.Refused(422, "", ours=False)),
    ("too large for a stranger", act.TooLarge(ours=False)),
)


def _cloud_changes(w: World) -> Iterator[Move]:
    if not w.faults or not w.logs:
        return
    lost = w._replace(faults=w.faults - 1, happened=w.happened | CLOUD_LOST)
    for size in range(max(len(replica) for _, replica in w.logs)):
        rolled = tuple((log_id, replica[:size]) for log_id, replica in w.logs)
        yield Move(f"cloud rolled back to {size}", lost._replace(logs=rolled))
    yield Move("cloud made anew", lost._replace(logs=(), cloud=w.cloud + 1))


def _stored(w: World, log_id: str, replica: Replica) -> World:
    logs = tuple(sorted({**dict(w.logs), log_id: replica}.items()))
    return w._replace(logs=logs, ever=_remembered(w.ever, log_id, replica))


def _remembered(ever: Stored, log_id: str, replica: Replica) -> Stored:
    """What the clouds had at any time: the longest of each log, with each record that was kept at any time.

    One name may have had several contents, after a rollback or at another cloud.
    """
    others, merged = [], replica
    for name, known in ever:
        if name == log_id and all(a.leaf == b.leaf for a, b in zip(known, merged, strict=False)):
            places = itertools.zip_longest(known, merged)
            merged = tuple(there if here is None or (there and there.record) else here for there, here in places)
        else:
            others.append((name, known))
    return tuple(sorted([*others, (log_id, merged)], key=repr))


def _lies(log_id: str, head: Head) -> list[tuple[str, Head]]:
    """Heads that are not the cloud's: older, strange, of another log."""
    junk = b"\x07" * 32
    return [
        ("nothing", Head(log_id, 0, Cursor("-").root)),
        ("a strange head of the same size", Head(log_id, max(1, head.size), junk)),
        ("a strange head ahead", Head(log_id, head.size + 1, junk)),
        ("the head of another log", Head("other", head.size, head.root)),
    ]


def _send(p: Progress, w: World, action: act.Action) -> Iterator[Move]:
    assert isinstance(action, act.Send)
    log_id = action.cursor.log_id
    refused = _swallowed(w, action) or _refusal(action)
    if refused is not None:
        yield Move("send: refused", _with_refusal(w, action, refused), refused)
        after, answer = w, None
    else:
        replica, answer = _received(w.replica(log_id), action, w.cloud_id)
        after = _stored(w, log_id, replica) if isinstance(answer, act.Acked) else w
        yield Move("send", after, answer)
    yield from _cloud_changes(w)
    if not w.faults:
        return
    w, after = w._replace(faults=w.faults - 1), after._replace(faults=w.faults - 1)
    for label, failure in FAILURES:
        yield Move(f"send: {label}", _with_refusal(w, action, failure), failure)
    if action.load.count > 1:
        last = act.Refused(422, "", action.load.first + action.load.count - 1)
        yield Move("send: refused with 422, naming the last", w, last)
        yield Move("send: refused with 422, naming a stranger", w, act.Refused(422, "", 99))
    lying = w._replace(happened=w.happened | CLOUD_LOST)
    for label, head in _lies(log_id, head_of(log_id, w.replica(log_id))):
        yield Move(f"send: conflict with {label}", lying, act.Mismatch(head))
    if isinstance(answer, act.Acked):
        yield Move("send, slowly", after, answer, 2.0)
        yield Move("send: stored, answer lost", after, act.Unavailable(""))
        for label, head in _lies(log_id, answer.head):
            wrong = after._replace(happened=after.happened | CLOUD_LOST)
            yield Move(f"send: acked with {label}", wrong, replace(answer, head=head))
            yield Move(f"send: not stored, but acked with {label}", lying, replace(answer, head=head))


def _refusal(action: act.Send) -> act.Failure | None:
    """The refusals of a healthy cloud: they stay the same however often one asks."""
    if isinstance(action.load, Hole):
        return None
    for number, record in enumerate(action.load.records(), start=action.load.first):
        if number in action.load.holes:
            continue
        if record == LARGE:
            return act.TooLarge()
        if record in (POISON, SLYPOISON):
            return act.Refused(422, "", number if record == POISON else None)
    return None


def _swallowed(w: World, action: act.Send) -> act.Failure | None:
    """What a hop with a small MTU does to a large request: nothing comes back."""
    load = action.load
    large = not isinstance(load, Hole) and 0 < w.hop_bytes < sum(map(len, load.sent()))
    return act.Unavailable("", cut=True) if large else None


def _with_refusal(w: World, action: act.Send, failure: act.Failure) -> World:
    """The world remembers who refused which record alone."""
    if action.load.count != 1 or not isinstance(failure, act.TooLarge | act.Refused):
        return w
    leaf = _only(action)
    if failure.ours or leaf in w.strangers:
        return w._replace(alone=w.alone | {leaf})
    return w._replace(strangers=w.strangers | {leaf})


def _only(action: act.Send) -> bytes:
    """The leaf of a record that is alone in its request."""
    load = action.load
    return load.leaf if isinstance(load, Hole) else leaf_hash(bytes(load.data))


@lru_cache(maxsize=100_000)
def _received(replica: Replica, action: act.Send, cloud_id: str) -> tuple[Replica, act.Acked | act.Mismatch]:
    return receive(replica, action, cloud_id)


def _beat(p: Progress, w: World, action: act.Action) -> Iterator[Move]:
    assert isinstance(action, act.Beat)
    log_id = action.cursor.log_id
    head = head_of(log_id, w.replica(log_id))
    yield Move("heartbeat", w, act.Heard(w.cloud_id, head))
    yield from _cloud_changes(w)
    if not w.faults:
        return
    w = w._replace(faults=w.faults - 1)
    for label, failure in FAILURES:
        yield Move(f"heartbeat: {label}", w, failure)
    lying = w._replace(happened=w.happened | CLOUD_LOST)
    for label, lie in _lies(log_id, head):
        yield Move(f"heartbeat: {label}", lying, act.Heard(w.cloud_id, lie))
        yield Move(f"heartbeat: conflict with {label}", lying, act.Mismatch(lie))


def _recall(p: Progress, w: World, action: act.Action) -> Iterator[Move]:
    heads = tuple(head_of(log_id, replica) for log_id, replica in reversed(w.logs))
    yield Move("recall", w, act.Recalled(heads))
    yield from _cloud_changes(w)
    if not w.faults:
        return
    w = w._replace(faults=w.faults - 1)
    for label, failure in FAILURES:
        yield Move(f"recall: {label}", w, failure)
    lie = Head("other", 1, b"\x07" * 32)
    yield Move("recall: a strange log", w._replace(happened=w.happened | CLOUD_LOST), act.Recalled((lie,)))


_DO: dict[type, Callable[[Progress, World, act.Action], Iterator[Move]]] = {
    act.Read: _read,
    act.Compare: _compare,
    act.Begin: _begin,
    act.Checkpoint: _checkpoint,
    act.Wait: _wait,
    act.Send: _send,
    act.Beat: _beat,
    act.Recall: _recall,
}
