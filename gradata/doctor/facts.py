"""The facts that doctor judges, as plain values: `collect` collects them, the checks read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gradata.replicate.state import CloudSide, Local
from replicator.lease.other_processes import LockHolder

if TYPE_CHECKING:
    from gradata.agents import AgentsFound

FindingStatus = Literal["ok", "skip", "missing", "warn", "fail", "error"]


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """One check. `detail` is one line."""

    name: str
    status: FindingStatus
    detail: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of warnings and failures. Each can be set (`gradata config`)."""

    backlog_records_max: int = 1_000
    """More pending records than this are a failure."""
    backlog_warn_s: float = 60.0
    """A backlog older than this many seconds is a warning."""
    silent_s: float = 24 * 3600.0
    """A brain without a new event for this many seconds may have lost its capture: a hook that never fires looks the
    same.
    """


@dataclass(frozen=True, slots=True)
class KeyFact:
    """Where the key comes from, never what it is. `source` None: there is none. `trouble`: why it cannot work."""

    source: str | None = None
    trouble: str | None = None
    conflict: str | None = None
    stale_token: str | None = None
    """The file that holds a token of an older version, which is not used; None: there is none."""


@dataclass(frozen=True, slots=True)
class ProjectionFact:
    """How far system.db is behind the log, in bytes and records (at least so many, unless `exact`).

    `behind_bytes` None: it has no cursor yet. `trouble`: it cannot be read. `elsewhere`: its path, where the SDK
    encrypts system.db.
    """

    behind_bytes: int | None = None
    exists: bool = False
    trouble: str | None = None
    behind_records: int = 0
    exact: bool = True
    elsewhere: str | None = None


@dataclass(frozen=True, slots=True)
class RecordsFact:
    """The last records of the log. `damaged` of the `looked` ones cannot be interpreted; `fresh` of those are among
    the last hundred. `last_at` is the offset of the last damaged one."""

    looked: int = 0
    damaged: int = 0
    fresh: int = 0
    last_at: int | None = None
    whole: bool = True
    """Whether these are all records of the log."""


@dataclass(frozen=True, slots=True)
class DiskFact:
    """The file system of the brain. `inodes` None: it has no such limit. `trouble`: it cannot be asked."""

    free_bytes: int = 0
    total_bytes: int = 0
    inodes: int | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class EventsFact:
    """Whether this user may watch a further directory. `limits` as the system names them."""

    works: bool | None = None
    trouble: str = ""
    limits: str = ""


@dataclass(frozen=True, slots=True)
class DoctorFacts:
    """Everything that was found, at `now` (seconds since the epoch). `cloud` None: it was not asked."""

    now: float
    brain_dir: str
    brain_from: str
    brain_exists: bool
    made_at: float | None = None
    local: Local | None = None
    cloud: CloudSide | None = None
    key: KeyFact = KeyFact()
    endpoint: str = ""
    endpoint_from: str = ""
    endpoint_trouble: str | None = None
    config_trouble: str | None = None
    config_files: tuple[str, ...] = ()
    """Those that exist."""
    write_through: bool = True
    why_not: str | None = None
    cloud_off: bool = False
    """Nothing may leave the machine by any path."""
    consent_refused: str | None = None
    consent_by_choice: bool = True
    projection: ProjectionFact = ProjectionFact()
    records: RecordsFact = RecordsFact()
    log_lock: LockHolder | None = None
    """Who keeps the writers' lock of the log; None: nobody for longer than a write takes."""
    leader_stopped: bool = False
    """The process that holds the replicator's lease on this machine is stopped."""
    disk: DiskFact | None = None
    events: EventsFact = EventsFact()
    agents: AgentsFound | None = None
    """None: they were not looked at."""
    auth_log: str | None = None
    """Its path, if it exists."""
    sqlite_version: str = ""
    set_aside: int = 0
    """How many unusable sidecars were set aside."""
    thresholds: Thresholds = field(default_factory=Thresholds)
