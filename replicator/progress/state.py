"""The state of replication as frozen values: `Progress`, its fields grouped by the rows that use them.

Each group says when it is active: when its fields differ from their defaults, what brought them there and what ends it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from replicator import actions as act
from replicator.model import Batch, Cursor, DeadLetter, Head, Hole, Limits, Policy, Refusal, Standing
from replicator.pacing import Budget
from replicator.progress.trouble import Trouble
from replicator.proof import CompactRange

ENVELOPE_BYTES_MAX = 64 * 1024
"""What the first line of a batch may add to its records; kept free below the cloud's limit on bodies."""
LINE_BYTES_MAX = 1 << 40
"""Nothing is known against any size of a batch."""
RECORD_BYTES_LIMIT_MIN = 16 * 1024
"""A cloud that announces to take less, or bodies with less room, is not believed: it would turn whole logs into dead
letters."""


@dataclass(frozen=True, slots=True)
class ProgressTally:
    """Counts since the start of this process; for display, never for decisions."""

    requests: int = 0
    accepted: int = 0
    duplicates: int = 0
    flagged: int = 0
    refused: int = 0
    rewinds: int = 0
    jumps: int = 0
    generations: int = 0


@dataclass(frozen=True, slots=True)
class Sizing:
    """How much the next batch may carry.

    One is always in it. Batches double while they come back full, up to `Policy.batch_bytes`, and beyond it while the
    request budget is what holds records up. A 413 sets the ceiling, a refusal without a record's number halves the
    count of records; both are about the records there, kept small up to `regrow_at`, where the refused range ends, and
    forgotten where the cursor goes elsewhere. `line_bytes` is about the line, and stays.
    """

    batch_bytes: int
    batch_records: int
    ceiling_bytes: int
    """Batches above it were refused as too large; raised again after `policy.ceiling_successes` at the ceiling."""
    ceiling_successes: int = 0
    regrow_at: int = 0
    """Offset up to which batches stay small: something within was refused."""
    line_bytes: int = LINE_BYTES_MAX
    """What the line carries within `policy.batch_s_max`, or half of what did not get through."""
    line_successes: int = 0
    line_patience: int = 0
    """How many batches must get through before twice `line_bytes` is tried; 0: each that comes back full is enough."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A record whose place the cloud has without its bytes, because an answer named it: it is still sent alone.

    `leaf`: of what stood there when the place was sent. `behind`: where the cursor goes once that is settled.
    """

    leaf: bytes
    behind: Cursor


@dataclass(frozen=True, slots=True)
class Isolation:
    """The search for the records that the cloud refuses, so that all others arrive and each is refused alone.

    One is in it from the first refusal of a batch until the records at fault are accepted, or are dead letters. What
    is known here is about records at and behind the cursor: a cursor that goes elsewhere begins with the defaults.
    """

    left_out: tuple[int, ...] = ()
    """Numbers of records that answers named, in order: the next batch goes without their bytes, then each of them
    goes alone. Fewer than `policy.refused_in_a_row_max`, so that no more become dead letters on one answer's word."""
    unsettled: tuple[Unsettled, ...] = ()
    """The record at the cursor, and others behind it, whose places an ack of the batch around them covers."""
    suspect: int | None = None
    """The number of a record that an answer named, and leaving its bytes out did not help, or too many are left out
    already: it is approached, and sent alone before anything behind it."""
    refusal: Refusal | None = None
    """The record at the cursor was refused alone: its place goes without its bytes."""
    refused_leaf: bytes = b""
    """The leaf of that record: another one that stands there meanwhile was refused by nobody."""
    refused_in_a_row: int = 0
    """Dead letters made of refused records since the last record that was accepted."""
    foreign_refusals: int = 0
    """How often in a row the record at the cursor was refused alone by something that does not speak the protocol."""
    foreign_status: int = 0
    """The status of those refusals; `refused_leaf` is the record's."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Why and until when no request is made.

    One is in it from a request that failed until one shows that records flow: an ack, or a heartbeat's answer when
    nothing waits to be sent. A 429 alone sets `not_before` without a trouble.
    """

    trouble: Trouble | None = None
    failures: int = 0
    """In a row; what the backoff grows with. A pause begins its own count."""
    not_before: float = 0.0
    """Monotonic seconds; nothing is sent, read or compared before."""
    append_not_before: float = math.inf
    """What an append brings `not_before` forward to; infinite where it must not."""
    disagreements: int = 0
    """Answers in a row that were none."""
    heartbeat_answered: bool = False
    """A heartbeat was answered since the trouble began: if no records wait, that ends it."""


@dataclass(frozen=True, slots=True)
class Saving:
    """What the sidecar has, and what it does not have yet.

    One is in it while `durable` is not the standing, or dead letters or a finished order are not saved. `trouble` lasts
    from a checkpoint that failed to one that succeeds; replication goes on meanwhile.
    """

    durable: Standing | None = None
    dead_letters: tuple[DeadLetter, ...] = ()
    reset_id: int = 0
    """The person's order that the standing carries out; ticked off with the next checkpoint. 0: none."""
    failures: int = 0
    not_before: float = 0.0
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When the next heartbeat is due and the last one began, in monotonic seconds.

    One is always in it: every `policy.heartbeat_s`, and soon after a failure, within a budget of its own.
    """

    due_at: float = 0.0
    last_at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the cloud has got, and all that decides what to do next.

    Invariants (asserted by `advance`, walked by the exhaustive test):
    - *No gap*: each record before `standing.cursor` is stored by the cloud or is a dead letter. The cursor goes
      forward only by an ack or by proof (`Compared`), backward only by a reset, a new generation or the cloud's word.
      A record whose place alone is acknowledged is passed only when it was sent alone, and taken or refused
      (`isolation.unsettled`).
    - `saving.durable` is never ahead of what was acknowledged: a checkpoint saves what already holds.
    - `load` is what the last read found directly behind the cursor; nothing is read while it waits.
    - A dead letter was refused *alone*, or is longer than anyone takes.
    """

    policy: Policy
    endpoint: str
    budget: Budget
    limits: Limits
    sizing: Sizing
    standing: Standing | None = None
    recalled: bool = False
    """The cloud was asked for this device's logs: without a cursor, a log begins."""
    generation_ended: str | None = None
    """Why the present generation ended; the next thing is to name a new one."""
    generations_in_a_row: int = 0
    """How many generations ended since the last record that was accepted."""
    compare: tuple[Head, ...] = ()
    """Heads that the cloud named, to be compared with the log before anything is sent."""
    load: Batch | Hole | None = None
    load_tree: CompactRange = CompactRange.EMPTY
    """The tree behind `load`: what an ack of it must show."""
    caught_up: bool = False
    appended_at: float = -math.inf
    """Monotonic seconds: when the log was last seen to grow."""
    log_trouble: act.ReadFailed | None = None
    isolation: Isolation = field(default=Isolation())
    retry: Retry = field(default=Retry())
    saving: Saving = field(default=Saving())
    heartbeat: Heartbeat = field(default=Heartbeat())
    tally: ProgressTally = field(default=ProgressTally(), compare=False)

    @classmethod
    def start(cls, standing: Standing | None, *, policy: Policy, endpoint: str) -> Progress:
        """The progress of a process that just started, with what its sidecar holds (None: it holds nothing)."""
        limits = Limits()
        return cls(
            policy=policy,
            endpoint=endpoint,
            budget=Budget(limits.requests_per_minute, policy.request_burst),
            limits=limits,
            sizing=Sizing(
                batch_bytes=min(policy.batch_bytes_first, policy.batch_bytes),
                batch_records=limits.records,
                ceiling_bytes=policy.read_bytes_max,
            ),
            standing=standing,
            saving=Saving(durable=standing),
        )

    @property
    def cursor(self) -> Cursor:
        """The present cursor; only while there is one."""
        assert self.standing is not None
        return self.standing.cursor

    @property
    def unsaved(self) -> bool:
        """Something would be lost with the process."""
        saving = self.saving
        return self.standing != saving.durable or bool(saving.dead_letters) or saving.reset_id != 0

    @property
    def wants_saving(self) -> bool:
        """Something is unsaved, or the last save failed: a cursor that came back to where it was needs no save, but
        only a save shows that the sidecar can be used again."""
        return self.unsaved or self.saving.trouble is not None

    @property
    def endpoint_changed(self) -> bool:
        """The endpoint is not the one that the standing was made with: nothing is sent before a heartbeat."""
        return self.standing is not None and self.standing.endpoint not in (None, self.endpoint)

    @property
    def greeted(self) -> bool:
        """A heartbeat came to something, and what the cloud said to it needs no more looking into."""
        return self.heartbeat.last_at > float("-inf") and not self.compare and self.generation_ended is None

    @property
    def paused(self) -> bool:
        """Waits for a key, a configuration or a person."""
        trouble = self.retry.trouble
        return trouble is not None and (trouble.pauses or trouble.stops)

    @property
    def stopped(self) -> bool:
        """Waits for a person's order."""
        return self.retry.trouble is not None and self.retry.trouble.stops
