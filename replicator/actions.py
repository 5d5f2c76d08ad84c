"""The actions of replication and their outcomes: the values that `progress` and the ports share.

Values only. `progress.next_action` names an action, `engine` performs it through a port (`log`, `sink`, `sidecar`), and
the result is one of the outcomes; `progress.advance` computes what follows. Operating errors are outcomes: a port
raises only for programming errors.
"""

from __future__ import annotations

from dataclasses import dataclass

from replicator.fast_dataclass import value
from replicator.model import Batch, Cursor, DeadLetter, Head, Hole, Limits, Refusal, Standing
from replicator.proof import CompactRange

# ---------------------------------------------------------------- actions: the caller's next duty


@dataclass(frozen=True, slots=True)
class Recall:
    """Ask the cloud which logs of this device it has: the cursor is lost, or there never was one."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Name a new generation. `parent` is the log_id that it follows, if any."""

    parent: str | None


@dataclass(frozen=True, slots=True)
class Compare:
    """Compute the local file's root at the size of each head."""

    heads: tuple[Head, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """Read whole records after the cursor, at least one, within the limits; check the anchor as well."""

    cursor: Cursor
    bytes_max: int
    records_max: int
    record_bytes_max: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send what was read; its first record is number `cursor.size`."""

    cursor: Cursor
    load: Batch | Hole
    after: CompactRange
    """The tree after what is sent: the ack must show its size and root."""
    cloud_id: str | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """Send a heartbeat."""

    cursor: Cursor
    cloud_id: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Save the standing, with the dead letters made since the last checkpoint, in one transaction."""

    standing: Standing
    dead_letters: tuple[DeadLetter, ...] = ()
    reset_id: int = 0
    """The order that `standing` carries out; it is removed in the same transaction."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for a wake, at most until this monotonic time (None: until a wake)."""

    until: float | None


Action = Recall | Begin | Compare | Read | Send | Beat | Checkpoint | Wait

# ---------------------------------------------------------------- outcomes of what needs no cloud


@dataclass(frozen=True, slots=True)
class Found:
    """The read found whole records, or one that can only be sent as a hole."""

    load: Batch | Hole


@dataclass(frozen=True, slots=True)
class Nothing:
    """No whole record after the cursor; at most a write in progress."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The evidence is broken: the log no longer continues what was acknowledged. `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """The operating system refused the read. `code` is the errno's name; `detail` for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Began:
    """The name of the new generation."""

    log_id: str


@dataclass(frozen=True, slots=True)
class Compared:
    """`cursor` is at the largest head whose root the local file has; None if it has none of them."""

    cursor: Cursor | None


@dataclass(frozen=True, slots=True)
class Saved:
    """The checkpoint is durable. `reset` is a reset that a person ordered meanwhile."""

    reset: ResetOrder | None = None


@dataclass(frozen=True, slots=True)
class SaveFailed:
    """The sidecar could not be written."""

    detail: str


@dataclass(frozen=True, slots=True)
class Woken:
    """The wait ended. `key_changed`: the API key is another than the one refused. `appended`: the log has grown."""

    key_changed: bool = False
    reset: ResetOrder | None = None
    appended: bool = False


@dataclass(frozen=True, slots=True)
class ResetOrder:
    """A person's order: move the cursor there and resend from there, whatever the cloud has.

    `confirmed`: the person has confirmed a new endpoint.
    """

    cursor: Cursor
    confirmed: bool = False
    id: int = 0
    """The sidecar's number of the order, so that it is carried out exactly once; 0: given in this process."""


# ---------------------------------------------------------------- outcomes of an exchange with the cloud


@value
class Acked:
    """The cloud's durable acceptance of the batch in flight. `head` is the cloud's head afterwards.

    The lists may be cut to fit the answer; the counts are always complete.
    """

    cloud_id: str
    head: Head
    accepted: int = 0
    duplicates: int = 0
    flagged: tuple[Refusal, ...] = ()
    refused: tuple[Refusal, ...] = ()
    limits: Limits | None = None
    flagged_count: int = 0
    refused_count: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """The answer to a heartbeat."""

    cloud_id: str
    head: Head


@dataclass(frozen=True, slots=True)
class Recalled:
    """The answer to a recall: this device's logs at the cloud, newest first."""

    heads: tuple[Head, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """409: the cloud's head is not where the batch begins. `record`: the first one known to differ."""

    head: Head
    record: int | None = None
    cloud_id: str | None = None


@dataclass(frozen=True, slots=True)
class TooLarge:
    """413. `limits` if the answer names them. `ours`: it is an answer of the protocol, not of a hop on the way."""

    limits: Limits | None = None
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """400 or 422 for the whole request. `record`: the number of the one at fault, if the answer names it.

    `ours`: it is an answer of the protocol, not of a hop on the way.
    """

    status: int
    detail: str
    record: int | None = None
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No valid answer: no connection, a time-out, 408, 5xx. `retry_after_s` if the server gave one.

    `cut`: the request broke off on its way (a time-out, a reset, 408), so a smaller one may get through.
    """

    detail: str
    retry_after_s: float | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Garbled:
    """A 2xx that is not the protocol's: a captive portal, a truncated or wrong-typed body, an encoded one."""

    detail: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """429: the rate limit is exceeded. `retry_after_s` is the answer's Retry-After in seconds, if it has one."""

    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """401, 403, or no usable key at all. `status` 0: there is no key to send."""

    status: int
    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """404, 405, 407, 3xx, or a page instead of an answer: this address is not the cloud's ingest."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class TooOld:
    """426: one side does not speak the other's schema; `detail` says which."""

    detail: str


@dataclass(frozen=True, slots=True)
class Gone:
    """410: the brain was deleted at the cloud on purpose."""

    detail: str


Failure = TooLarge | Refused | Unavailable | Garbled | Throttled | Denied | Misconfigured | TooOld | Gone
SendOutcome = Acked | Mismatch | Failure
BeatOutcome = Heard | Mismatch | Failure
RecallOutcome = Recalled | Failure
LocalOutcome = Found | Nothing | Broken | ReadFailed | Began | Compared | Saved | SaveFailed | Woken
Outcome = LocalOutcome | Acked | Heard | Recalled | Mismatch | Failure
