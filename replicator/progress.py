"""Every decision of replication: what to do next, and what follows from how it went.

Pure: takes values and times, returns values. `next_action(progress, now)` names the one thing to do; `loop` does it
and brings back an outcome; `advance(…)` says what is true afterwards. Nothing here reads, sends, sleeps or logs, so
the whole table is walked exhaustively by tests. The words for what can be done and come of it are in `actions`.

One file, although long: a reader must be able to check every transition against the tables of the documentation
without leaving it. Errors: a pair of action and outcome that makes no sense is a programmer's mistake (AssertionError).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from replicator import actions as act
from replicator.framing import event_id_of
from replicator.model import (
    Anchor,
    Batch,
    Cursor,
    DeadLetter,
    Head,
    Hole,
    Limits,
    Policy,
    Refusal,
    Standing,
    TreeHead,
)
from replicator.pacing import Budget, backoff_s
from replicator.proof import CompactRange, leaf_hash, leaf_hashes

ENVELOPE_BYTES_MAX = 64 * 1024
"""What the first line of a batch may add to its records; kept free below the cloud's limit on bodies."""
RECORD_BYTES_LIMIT_MIN = 16 * 1024
"""A cloud that announces to take less, or bodies with less room, is not believed: it would turn whole logs into dead
letters."""

TroubleCode = Literal[
    "unavailable",  # no answer: tried again with backoff, for ever
    "no_key",  # pauses: nothing to authorise with
    "no_consent",  # pauses: the user keeps the records on this machine
    "denied",  # pauses: 401, 403
    "misconfigured",  # pauses: 404, 405, 407, 3xx
    "malformed",  # pauses: 400 for one record, or a refused hole: not the record's fault
    "refusing",  # pauses: several records refused alone in a row, with none accepted between
    "disagreement",  # pauses: answers that are no acks, again and again
    "too_old",  # pauses: one side does not speak the other's schema
    "held",  # stops: another cloud at another address; a person confirms
    "gone",  # stops: the brain was deleted on purpose
]
PAUSING = frozenset(
    {"no_key", "no_consent", "denied", "misconfigured", "malformed", "refusing", "disagreement", "too_old"}
)
STOPPING = frozenset({"held", "gone"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why records do not flow now. `status` is the HTTP status, where one said so."""

    code: TroubleCode
    detail: str = ""
    status: int = 0

    @property
    def pauses(self) -> bool:
        """Waits for something to change, probing with one record or a heartbeat."""
        return self.code in PAUSING

    @property
    def stops(self) -> bool:
        """Waits for a person's order, without probing."""
        return self.code in STOPPING


@dataclass(frozen=True, slots=True)
class Tally:
    """What happened since the start of this process; for people, never for decisions."""

    requests: int = 0
    accepted: int = 0
    duplicates: int = 0
    flagged: int = 0
    refused: int = 0
    rewinds: int = 0
    jumps: int = 0
    generations: int = 0


@dataclass(frozen=True, slots=True)
class Aside:
    """A record whose place the cloud has without its bytes, because an answer named it: it is still sent alone.

    `leaf`: of what stood there when the place was sent. `behind`: where the cursor goes once that is settled.
    """

    leaf: bytes
    behind: Cursor


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the cloud has got, and all that decides what to do next.

    Invariants (asserted by `advance`, walked by the exhaustive test):
    - *No gap*: each record before `standing.cursor` is stored by the cloud or is a dead letter. The cursor goes
      forward only by an ack or by proof (`Compared`), backward only by a reset, a new generation or the cloud's word.
      A record whose place alone is acknowledged is passed only when it was sent alone, and taken or refused (`aside`).
    - `durable` is never ahead of what was acknowledged: a checkpoint saves what already holds.
    - `load` is what the last read found directly behind the cursor; nothing is read while it waits.
    - A dead letter was refused *alone*, or is longer than anyone takes.
    """

    policy: Policy
    endpoint: str
    budget: Budget
    limits: Limits
    batch_bytes: int
    batch_records: int
    ceiling_bytes: int
    """Batches above it were refused as too large; raised again after `policy.ceiling_successes` at the ceiling."""
    standing: Standing | None = None
    durable: Standing | None = None
    dead_letters: tuple[DeadLetter, ...] = ()
    reset_id: int = 0
    recalled: bool = False
    renew: str | None = None
    """Why the present generation ended; the next thing is to name a new one."""
    compare: tuple[Head, ...] = ()
    load: Batch | Hole | None = None
    after: CompactRange = CompactRange.EMPTY
    """The tree behind `load`: what an ack of it must show."""
    caught_up: bool = False
    ceiling_successes: int = 0
    regrow_at: int = 0
    """Offset up to which batches stay small: something within was refused."""
    named: tuple[int, ...] = ()
    """Numbers of records that answers named, in order: the next batch goes without their bytes, then each of them
    goes alone. Fewer than `policy.refused_in_a_row_max`, so that no more become dead letters on one answer's word."""
    aside: tuple[Aside, ...] = ()
    """The record at the cursor, and others behind it, whose places an ack of the batch around them covers."""
    culprit: int | None = None
    """The number of a record that an answer named, and leaving its bytes out did not help, or too many are named
    already: it is approached, and sent alone before anything behind it."""
    refusal: Refusal | None = None
    """The record at the cursor was refused alone: its place goes without its bytes."""
    refused_leaf: bytes = b""
    """The leaf of that record: another one that stands there meanwhile was refused by nobody."""
    refused_in_a_row: int = 0
    """Dead letters made of refused records since the last record that was accepted."""
    disagreements: int = 0
    heard: bool = False
    """A heartbeat was answered since the trouble began: if no records wait, that ends it."""
    failures: int = 0
    not_before: float = 0.0
    trouble: Trouble | None = None
    log_trouble: act.ReadFailed | None = None
    save_failures: int = 0
    save_not_before: float = 0.0
    save_trouble: str | None = None
    beat_at: float = 0.0
    last_beat: float = float("-inf")
    tally: Tally = field(default=Tally(), compare=False)

    @classmethod
    def start(cls, standing: Standing | None, *, policy: Policy, endpoint: str) -> Progress:
        """The progress of a process that just started, with what its sidecar holds (None: it holds nothing)."""
        limits = Limits()
        return cls(
            policy=policy,
            endpoint=endpoint,
            budget=Budget(limits.requests_per_minute, policy.request_burst),
            limits=limits,
            batch_bytes=min(policy.batch_bytes_first, policy.batch_bytes),
            batch_records=limits.records,
            ceiling_bytes=policy.read_bytes_max,
            standing=standing,
            durable=standing,
        )

    @property
    def cursor(self) -> Cursor:
        """The present cursor; only while there is one."""
        assert self.standing is not None
        return self.standing.cursor

    @property
    def unsaved(self) -> bool:
        """Something would be lost with the process."""
        return self.standing != self.durable or bool(self.dead_letters) or self.reset_id != 0

    @property
    def wants_saving(self) -> bool:
        """Something is unsaved, or the last save failed: a cursor that came back to where it was needs no save, but
        only a save shows that the sidecar can be used again."""
        return self.unsaved or self.save_trouble is not None

    @property
    def moved(self) -> bool:
        """The endpoint is not the one that the standing was made with: nothing is sent before a heartbeat."""
        return self.standing is not None and self.standing.endpoint not in (None, self.endpoint)

    @property
    def greeted(self) -> bool:
        """A heartbeat came to something, and what the cloud said to it needs no more looking into."""
        return self.last_beat > float("-inf") and not self.compare and self.renew is None

    @property
    def paused(self) -> bool:
        """Waits for a key, a configuration or a person."""
        return self.trouble is not None and (self.trouble.pauses or self.trouble.stops)


# ------------------------------------------------------------------------------------------- what to do next


def next_action(p: Progress, now: float) -> act.Action:
    """The one thing to do now: the first line that holds."""
    timer = now + p.policy.timer_s
    if p.standing is not None and p.wants_saving and p.renew is None and now >= p.save_not_before:
        return act.Checkpoint(p.standing, p.dead_letters, p.reset_id)
    if p.trouble is not None and p.trouble.stops:
        return act.Wait(timer)
    if p.renew is not None:
        return act.Begin(p.cursor.log_id)
    if now < p.not_before:
        return act.Wait(min(p.not_before, timer))
    if p.compare:
        return act.Compare(p.compare)
    ready_at = p.budget.ready_at(now)
    if p.standing is None:
        if p.recalled:
            return act.Begin(None)
        return act.Wait(min(ready_at, timer)) if ready_at > now else act.Recall()
    if now >= p.beat_at or p.moved or (p.paused and p.caught_up):
        return act.Beat(p.cursor, p.standing.cloud_id)
    if p.load is not None:
        return act.Send(p.cursor, p.load, p.after, p.standing.cloud_id)
    if p.caught_up:
        return act.Wait(min(p.beat_at, timer))
    if ready_at > now:
        return act.Wait(min(ready_at, timer))
    if len(p.dead_letters) >= p.policy.dead_letters_unsaved_max:
        return act.Wait(min(p.save_not_before, timer))
    return _read(p)


def _read(p: Progress) -> act.Read:
    body_bytes = p.limits.body_bytes - ENVELOPE_BYTES_MAX
    records = p.limits.records if p.refusal is not None else min(p.batch_records, p.limits.records)
    if p.culprit is not None and p.culprit >= p.cursor.size:
        records = max(1, min(records, p.culprit - p.cursor.size))
    return act.Read(
        p.cursor,
        bytes_max=min(p.batch_bytes, p.ceiling_bytes, body_bytes, p.policy.read_bytes_max),
        records_max=1 if p.paused or p.aside else records,
        record_bytes_max=min(p.policy.record_bytes_max, p.limits.record_bytes, body_bytes),
    )


# ------------------------------------------------------------------------------------------- what follows


def advance(
    p: Progress, action: act.Action, outcome: act.Outcome, *, began: float, now: float, jitter: float
) -> Progress:
    """What is true after `action` came to `outcome`.

    `began` and `now` are monotonic seconds before and after it; `jitter` in [0, 1) spreads retries.
    """
    if isinstance(action, act.Send | act.Recall):
        tally = replace(p.tally, requests=p.tally.requests + 1)
        p = replace(p, budget=p.budget.spent(began), tally=tally)
    if isinstance(action, act.Beat):
        p = replace(p, last_beat=began, beat_at=began + p.policy.heartbeat_s)
    after = _after(p, action, outcome, now, jitter)
    _assert_no_gap(p, after, outcome)
    return after


def _after(p: Progress, action: act.Action, outcome: act.Outcome, now: float, jitter: float) -> Progress:
    match outcome:
        case act.Found(load):
            return _found(p, load)
        case act.Nothing():
            return _nothing(p)
        case act.Broken(reason):
            return _new_generation(replace(p, log_trouble=None), reason)
        case act.ReadFailed():
            return _read_failed(p, action, outcome, now)
        case act.Began(log_id):
            return _begun(p, action, log_id)
        case act.Compared(cursor):
            return _compared(p, cursor, now, jitter)
        case act.Saved(reset):
            return _saved(p, action, reset, now)
        case act.SaveFailed(detail):
            failures = p.save_failures + 1
            delay_s = backoff_s(failures, jitter=jitter, first_s=p.policy.backoff_s_first, max_s=p.policy.timer_s)
            return replace(p, save_failures=failures, save_not_before=now + delay_s, save_trouble=detail)
        case act.Woken(key_changed, reset):
            return _woken(p, key_changed, reset, now)
        case act.Recalled(heads):
            return replace(_flowing(p), recalled=True, compare=tuple(h for h in heads if h.size > 0))
        case act.Acked():
            return _acked(p, action, outcome, now, jitter)
        case act.Heard(cloud_id, head):
            return _heard(p, cloud_id, head, now, jitter)
        case act.Mismatch(head):
            return _mismatched(p, head, now, jitter)
        case act.TooLarge(limits):
            return _too_large(p, action, limits, now, jitter)
        case act.Refused():
            return _refused(p, action, outcome, now)
        case act.Unavailable(detail, retry_after_s):
            return _retry(p, Trouble("unavailable", detail), now, jitter, at_least_s=_clamped(p, retry_after_s))
        case act.Garbled(detail):
            return _disagreement(p, detail, now, jitter)
        case act.Throttled(retry_after_s):
            return _throttled(p, action, now + max(_clamped(p, retry_after_s), p.policy.backoff_s_first) + jitter)
        case act.Denied(status, code, detail):
            withheld: TroubleCode = "no_consent" if code == "no_consent" else "no_key"
            return _pause(p, Trouble("denied" if status else withheld, detail or code, status), now)
        case act.Misconfigured(status, detail):
            return _pause(p, Trouble("misconfigured", detail, status), now)
        case act.TooOld(detail):
            return _pause(p, Trouble("too_old", detail, 426), now)
        case act.Gone(detail):
            return replace(p, load=None, trouble=Trouble("gone", detail, 410))
        case _:
            assert_never(outcome)


def _assert_no_gap(before: Progress, after: Progress, outcome: act.Outcome) -> None:
    if before.standing is None or after.standing is None:
        return
    if after.cursor.log_id == before.cursor.log_id and after.cursor.size > before.cursor.size:
        settled = before.aside and after.cursor == before.aside[0].behind
        by_word = isinstance(outcome, act.Acked | act.Compared)
        assert by_word or settled, f"the cursor went forward by {type(outcome).__name__}"
    if after.load is not None:
        assert after.load.first == after.cursor.size
        assert after.load.offset == after.cursor.offset


# ------------------------------------------------------------------------------------------- the log's side


def _new_generation(p: Progress, reason: str) -> Progress:
    return replace(_moved(p), renew=reason, compare=(), caught_up=False)


def _moved(p: Progress) -> Progress:
    """The cursor goes, or went, elsewhere than behind an ack: what was known of the records at it is void."""
    return replace(p, load=None, refusal=None, refused_in_a_row=0, named=(), aside=(), culprit=None)


def _found(p: Progress, load: Batch | Hole) -> Progress:
    p = replace(p, caught_up=False, log_trouble=None)
    leaves = [load.leaf] if isinstance(load, Hole) else load.hashed or leaf_hashes(load.views())
    if p.refusal is not None and leaves[0] != p.refused_leaf:
        p = replace(p, refusal=None)  # another record stands there now, which nobody refused
    if p.aside and leaves[0] != p.aside[0].leaf:
        p = replace(p, aside=())
    load = load if isinstance(load, Hole) else _without_refused(p, load, leaves)
    return replace(p, load=load, after=p.cursor.tree.extended(leaves[: load.count]))


def _without_refused(p: Progress, load: Batch, leaves: Sequence[bytes]) -> Batch | Hole:
    """The batch, without the bytes of what was refused alone or named; its first record by itself if that is all."""
    named = tuple(number for number in p.named if number < load.first + load.count)
    holes = named if p.refusal is None else (load.first, *(number for number in named if number > load.first))
    if len(holes) < load.count:
        return replace(load, holes=holes, hashed=tuple(leaves)) if holes else load
    record = load.record(0)
    if p.refusal is not None:
        return Hole(load.first, load.offset, len(record), leaves[0], Anchor.of(record))
    return Batch(load.first, load.offset, record, (len(record),), (leaves[0],))


def _nothing(p: Progress) -> Progress:
    p = replace(_flowing(p) if p.heard else p, load=None, caught_up=True, log_trouble=None)
    resend = p.standing.resend if p.standing is not None else None
    if resend is not None:
        return _new_generation(p, f"the log ends after {p.cursor.size} records, the cloud has {resend.size} of it")
    return p


def _read_failed(p: Progress, action: act.Action, failed: act.ReadFailed, now: float) -> Progress:
    """Never a reset for an error of the operating system: wait for the timer, look again."""
    if isinstance(action, act.Compare):
        return replace(p, log_trouble=failed, not_before=now + p.policy.timer_s)
    return replace(p, log_trouble=failed, load=None, caught_up=True)


def _begun(p: Progress, action: act.Action, log_id: str) -> Progress:
    assert isinstance(action, act.Begin)
    cloud_id = p.standing.cloud_id if p.standing is not None else None
    endpoint = p.standing.endpoint if p.standing is not None and cloud_id else p.endpoint
    standing = Standing(Cursor(log_id, parent=action.parent), cloud_id, endpoint)
    generations = p.tally.generations + (action.parent is not None)
    return replace(p, standing=standing, renew=None, regrow_at=0, tally=replace(p.tally, generations=generations))


def _saved(p: Progress, action: act.Action, reset: act.Reset | None, now: float) -> Progress:
    assert isinstance(action, act.Checkpoint)
    p = replace(
        p,
        durable=action.standing,
        dead_letters=p.dead_letters[len(action.dead_letters) :],
        reset_id=0 if p.reset_id == action.reset_id else p.reset_id,
        save_failures=0,
        save_not_before=0.0,
        save_trouble=None,
    )
    return _reset(p, reset, now)


def _woken(p: Progress, key_changed: bool, reset: act.Reset | None, now: float) -> Progress:
    p = replace(p, caught_up=False)
    if key_changed and p.trouble is not None and p.trouble.pauses:
        p = replace(p, not_before=min(p.not_before, now), failures=0)
    return _reset(p, reset, now)


def _reset(p: Progress, reset: act.Reset | None, now: float) -> Progress:
    """A person's order. Only ever backward: what lies between is the cloud's to call duplicates."""
    if reset is None or (reset.id and reset.id == p.reset_id):
        return p
    if p.standing is None:
        if not (reset.confirmed and p.trouble is not None and p.trouble.stops):
            return p  # it stays in the sidecar, and is carried out when there is a cursor
        return replace(p, trouble=None, recalled=True, compare=(), reset_id=reset.id, not_before=now)
    there = replace(reset.cursor, log_id=p.cursor.log_id, parent=p.cursor.parent)
    if there.size >= p.cursor.size:
        there = p.cursor  # its evidence is that of what was acknowledged; a log that changed since is found by it
    known = p.standing.resend or TreeHead(p.cursor.size, p.cursor.root)
    standing = replace(p.standing, cursor=there, resend=known if there.size < known.size else None)
    refused = p.refused_in_a_row if there == p.cursor else 0  # who stays has met nothing again
    p = replace(_moved(p), caught_up=False, compare=(), renew=None, reset_id=reset.id, refused_in_a_row=refused)
    if reset.confirmed and (p.moved or (p.trouble is not None and p.trouble.stops)):
        standing = replace(standing, cloud_id=None, endpoint=p.endpoint)
        p = replace(p, trouble=None, not_before=now, beat_at=now)
    return replace(p, standing=standing)


# ------------------------------------------------------------------------------------------- the cloud's word


def _heard(p: Progress, cloud_id: str, head: Head, now: float, jitter: float) -> Progress:
    assert p.standing is not None
    if head.log_id != p.cursor.log_id:
        return _disagreement(p, "the heartbeat's answer speaks of another log", now, jitter)
    known = p.standing.cloud_id
    if known not in (None, cloud_id) and p.moved:
        return replace(p, load=None, trouble=Trouble("held", "another cloud at another address"))
    standing = replace(p.standing, cloud_id=cloud_id, endpoint=p.endpoint)
    if known not in (None, cloud_id):
        standing = replace(standing, resend=None)
        p = replace(p, aside=())
    p = replace(p, standing=standing)
    p = _flowing(p) if p.caught_up else replace(p, heard=p.trouble is not None)
    if head.tree_head in (TreeHead(p.cursor.size, p.cursor.root), standing.resend):
        return p
    return replace(p, compare=(head,), load=None)


def _mismatched(p: Progress, head: Head, now: float, jitter: float) -> Progress:
    if p.standing is None or head.log_id != p.cursor.log_id:
        return _disagreement(p, "the conflict speaks of another log", now, jitter)
    return replace(p, compare=(head,), load=None)


def _compared(p: Progress, cursor: Cursor | None, now: float, jitter: float) -> Progress:
    """PROTOCOL.md, table of heads: back, forward, or a new generation."""
    p = replace(p, compare=(), load=None, refusal=None, aside=(), log_trouble=None)
    if p.standing is None:
        if cursor is None:
            return p
        return replace(p, standing=Standing(cursor, None, p.endpoint), tally=_counted(p.tally, jumps=1))
    if cursor is None:
        return _new_generation(p, "the cloud has other records under the name of this log")
    there = replace(cursor, parent=p.cursor.parent)
    resend, proven = p.standing.resend, TreeHead(there.size, there.root)
    if there.size == p.cursor.size or resend == proven:
        return _disagreement(p, "the cloud refuses to go on from a head that it names itself", now, jitter)
    if there.size > p.cursor.size and (resend is not None or _near(p, there)):
        return replace(p, standing=replace(p.standing, resend=proven), caught_up=False)
    back = there.size < p.cursor.size
    tally = _counted(p.tally, rewinds=1) if back else _counted(p.tally, jumps=1)
    standing = replace(p.standing, cursor=there, resend=None)
    return replace(_moved(p), standing=standing, caught_up=False, tally=tally)


def _near(p: Progress, there: Cursor) -> bool:
    """Ahead by no more than a batch and the longest record: what a lost answer, or a crash before the checkpoint,
    leaves, and a power cut that also took the last checkpoints back.

    There one sends again instead of jumping: the answers name again what was refused, so that no dead letter is lost.
    """
    ahead = there.size - p.cursor.size
    bytes_max = p.policy.read_bytes_max + p.policy.record_bytes_max
    return ahead <= p.limits.records and (ahead == 1 or there.offset - p.cursor.offset <= bytes_max)


def _counted(tally: Tally, *, rewinds: int = 0, jumps: int = 0) -> Tally:
    return replace(tally, rewinds=tally.rewinds + rewinds, jumps=tally.jumps + jumps)


# ------------------------------------------------------------------------------------------- acks


def _acked(p: Progress, action: act.Action, ack: act.Acked, now: float, jitter: float) -> Progress:
    """An ack is one only if size and root are exactly ours; a head further on is the cloud's word, to be compared."""
    assert isinstance(action, act.Send)
    assert p.standing is not None
    load, before, tree = action.load, action.cursor, action.after
    resend = p.standing.resend
    mine = TreeHead(tree.size, tree.root)
    if ack.head.log_id != before.log_id or ack.head.size < mine.size:
        return _disagreement(p, "the answer's head is behind what it acknowledges", now, jitter)
    passing = resend is not None and resend.size > mine.size and resend == ack.head.tree_head
    if ack.head.tree_head != mine and not passing:
        if ack.head.size > mine.size or resend is not None:
            return replace(p, compare=(ack.head,), load=None)
        return _disagreement(p, "the answer's root is not that of the records sent", now, jitter)
    anchor, event_id = (load.anchor, None) if isinstance(load, Hole) else _last(load)
    end = Cursor(before.log_id, load.end, tree, event_id, anchor, before.parent)
    letters, settled = _letters(p, load, ack), isinstance(load, Hole) or p.refusal is not None
    if p.aside:  # sent alone, and taken after all
        cursor, aside = (p.aside[0].behind, p.aside[1:]) if passing else (end, ())
    else:
        cursor, aside = _beside(p, load, before, end)
    p = replace(
        _at(p, cursor, aside, ack.head.tree_head),
        refusal=None,
        refused_in_a_row=p.refused_in_a_row + (p.refusal is not None),
        dead_letters=p.dead_letters + letters,
    )
    p = replace(_flowing(p), tally=_tallied(p.tally, ack))
    assert p.standing is not None
    p = replace(p, standing=replace(p.standing, cloud_id=ack.cloud_id, endpoint=p.endpoint))
    if isinstance(load, Batch):
        p = _grown(replace(p, refused_in_a_row=0), load, now)
    if settled:
        p = replace(p, regrow_at=0, batch_records=p.limits.records)
    return _limited(p, ack.limits)


def _at(p: Progress, cursor: Cursor, aside: tuple[Aside, ...], known: TreeHead | None) -> Progress:
    """The cursor stands there. `known`: the head that the cloud has; beyond the cursor it is a resend."""
    assert p.standing is not None
    resend = known if known is not None and known.size > cursor.size else None
    named = tuple(number for number in p.named if number >= cursor.size)
    culprit = None if p.culprit is None or p.culprit < cursor.size else p.culprit
    standing = replace(p.standing, cursor=cursor, resend=resend)
    return replace(p, standing=standing, load=None, aside=aside, named=named, culprit=culprit)


def _beside(p: Progress, load: Batch | Hole, before: Cursor, end: Cursor) -> tuple[Cursor, tuple[Aside, ...]]:
    """Where the cursor goes by an ack of `load`: to the end, or to the first record that must still be sent alone."""
    unsettled = () if isinstance(load, Hole) else load.holes if p.refusal is None else load.holes[1:]
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
    return stops[0], tuple(map(Aside, leaves, behind))


def _last(batch: Batch) -> tuple[Anchor, str]:
    last = batch.last
    return Anchor.of(last), event_id_of(last)


def _letters(p: Progress, load: Batch | Hole, ack: act.Acked) -> tuple[DeadLetter, ...]:
    log_id = p.cursor.log_id
    if isinstance(load, Hole):
        why = p.refusal or Refusal(load.first, "record_too_large", "longer than the cloud or this client takes")
        return (DeadLetter(log_id, load.first, load.offset, load.length, why.code, why.detail),)
    whys = [why for why in ack.refused if 0 <= why.record - load.first < load.count]
    if load.holes and p.refusal is not None:
        whys.insert(0, p.refusal)
    return tuple(_letter(log_id, load, why) for why in whys)


def _letter(log_id: str, load: Batch, why: Refusal) -> DeadLetter:
    offset = load.offset + load.start_of(why.record)
    return DeadLetter(log_id, why.record, offset, load.length_of(why.record), why.code, why.detail)


def _tallied(tally: Tally, ack: act.Acked) -> Tally:
    return replace(
        tally,
        accepted=tally.accepted + ack.accepted,
        duplicates=tally.duplicates + ack.duplicates,
        flagged=tally.flagged + ack.flagged_count,
        refused=tally.refused + ack.refused_count,
    )


def _limited(p: Progress, limits: Limits | None) -> Progress:
    if limits is None or limits == p.limits:
        return p
    if min(limits.record_bytes, limits.body_bytes - ENVELOPE_BYTES_MAX) < RECORD_BYTES_LIMIT_MIN:
        return p
    return replace(p, limits=limits, budget=p.budget.with_rate(limits.requests_per_minute))


def _grown(p: Progress, load: Batch, now: float) -> Progress:
    """Batches double while they come back full: to `policy.batch_bytes`, beyond it only if the budget is the bound."""
    if load.end < p.regrow_at:
        # The first half of what was refused is in, so the culprit is in the other: halving goes on there.
        return replace(p, batch_records=(load.count + 1) // 2) if load.count == p.batch_records else p
    batch_records = min(max(p.batch_records * 2, 2), p.limits.records)
    bound = p.policy.batch_bytes
    if p.budget.ready_at(now) > now:
        bound = min(p.limits.body_bytes, p.policy.read_bytes_max)
    full = len(load.data) * 2 > min(p.batch_bytes, p.ceiling_bytes)
    batch_bytes = max(p.batch_bytes, min(p.batch_bytes * 2, bound)) if full else p.batch_bytes
    ceiling_bytes, successes = p.ceiling_bytes, p.ceiling_successes
    if full and batch_bytes > ceiling_bytes:
        successes += 1
        if successes >= p.policy.ceiling_successes:
            ceiling_bytes, successes = min(ceiling_bytes * 2, p.policy.read_bytes_max), 0
    return replace(
        p,
        batch_bytes=batch_bytes,
        batch_records=batch_records,
        ceiling_bytes=ceiling_bytes,
        ceiling_successes=successes,
    )


# ------------------------------------------------------------------------------------------- refusals


def _too_large(p: Progress, action: act.Action, limits: Limits | None, now: float, jitter: float) -> Progress:
    if not isinstance(action, act.Send):
        return _disagreement(p, "an answer of 413 to a request without records", now, jitter)
    load = action.load
    if isinstance(load, Hole):
        p = replace(p, refusal=None)
        return _pause(p, Trouble("malformed", "the place of a record without its bytes was refused", 413), now)
    p = _limited(replace(p, load=None), limits)
    if load.count == 1:
        why = Refusal(load.first, "too_large", "413 for this record alone")
        return _refused_alone(p, load, why, 413, now)
    half = max(1, len(load.data) // 2)
    return replace(p, ceiling_bytes=half, ceiling_successes=0, regrow_at=load.end)


def _refused(p: Progress, action: act.Action, refused: act.Refused, now: float) -> Progress:
    if not isinstance(action, act.Send):
        return _pause(p, Trouble("malformed", refused.detail, refused.status), now)
    load = action.load
    p = replace(p, load=None)
    if isinstance(load, Hole):  # not even its place is taken, so it was never about the record: try that again
        p = replace(p, refusal=None)
    if isinstance(load, Hole) or (load.count == 1 and refused.status == 400):
        return _pause(p, Trouble("malformed", refused.detail, refused.status), now)
    if load.count == 1:
        return _refused_alone(p, load, Refusal(load.first, "refused", refused.detail), refused.status, now)
    record = refused.record
    if record is None or not load.first <= record < load.first + load.count:
        record = None
    return _refused_together(p, load, record)


def _refused_together(p: Progress, load: Batch, record: int | None) -> Progress:
    """`record`: the one that the answer names. Leave its bytes out; if that does not help, get to it step by step."""
    if load.holes and (record is None or record in load.holes):
        return replace(p, named=(), culprit=load.holes[0])
    if record is None:
        return replace(p, batch_records=(load.count + 1) // 2, regrow_at=load.end)
    if p.culprit is not None or record in p.named or len(p.named) + 1 >= p.policy.refused_in_a_row_max:
        return replace(p, culprit=record)
    return replace(p, named=tuple(sorted((*p.named, record))))


def _refused_alone(p: Progress, load: Batch, why: Refusal, status: int, now: float) -> Progress:
    """Its place goes next, without its bytes, or is there already. Several in a row are no bad records: keep them all
    and pause."""
    if p.refused_in_a_row + 1 >= p.policy.refused_in_a_row_max:
        return _pause(p, Trouble("refusing", why.detail, status), now)
    if not p.aside:
        return replace(p, refusal=why, refused_leaf=leaf_hash(load.last))
    assert p.standing is not None
    letter = _letter(p.cursor.log_id, load, why)
    return replace(
        _at(p, p.aside[0].behind, p.aside[1:], p.standing.resend),
        refused_in_a_row=p.refused_in_a_row + 1,
        dead_letters=(*p.dead_letters, letter),
    )


def _throttled(p: Progress, action: act.Action, until: float) -> Progress:
    """No failure. A heartbeat's 429 does not hold records up, unless nothing goes before a heartbeat is answered."""
    if isinstance(action, act.Beat):
        p = replace(p, beat_at=max(p.beat_at, until))
        return replace(p, not_before=until) if p.moved or p.paused else p
    return replace(p, load=None, not_before=until)


def _flowing(p: Progress) -> Progress:
    return replace(p, failures=0, disagreements=0, heard=False, not_before=0.0, trouble=None)


def _disagreement(p: Progress, detail: str, now: float, jitter: float) -> Progress:
    count = p.disagreements + 1
    p = replace(p, disagreements=count)
    if count >= p.policy.disagreements_max:
        return _pause(p, Trouble("disagreement", detail), now)
    return _retry(p, Trouble("unavailable", detail), now, jitter)


def _retry(p: Progress, trouble: Trouble, now: float, jitter: float, *, at_least_s: float = 0.0) -> Progress:
    """As unavailable: what was read is let go, so that the evidence is checked afresh before it is sent again."""
    if p.trouble is not None and p.trouble.pauses:
        trouble = p.trouble
    delay_s = backoff_s(p.failures + 1, jitter=jitter, first_s=p.policy.backoff_s_first, max_s=p.policy.backoff_s_max)
    return replace(
        p,
        load=None,
        heard=False,
        trouble=trouble,
        failures=p.failures + 1,
        not_before=now + max(delay_s, at_least_s),
        beat_at=_beat_after_failure(p, now),
    )


def _pause(p: Progress, trouble: Trouble, now: float) -> Progress:
    """Probe after 5 s, growing to 60 s; a changed key ends the wait at once (`Woken`)."""
    again = p.failures if p.trouble is not None and p.trouble.pauses else 0
    delay_s = min(p.policy.probe_s_max, p.policy.probe_s_first * 2 ** min(again, 16))
    return replace(
        p,
        load=None,
        heard=False,
        trouble=trouble,
        failures=again + 1,
        not_before=now + delay_s,
        beat_at=_beat_after_failure(p, now),
    )


def _beat_after_failure(p: Progress, now: float) -> float:
    """After a reconnection a heartbeat comes first, within its own budget."""
    return max(now, p.last_beat + 60.0 / p.policy.heartbeats_per_minute)


def _clamped(p: Progress, retry_after_s: float | None) -> float:
    return min(max(retry_after_s or 0.0, 0.0), p.policy.retry_after_s_max)
