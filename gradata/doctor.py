"""What is wrong with a brain's replication, in words for the person at three in the morning.

Pure: `examine(facts)` turns what `doctor_facts` collected into findings, worst first; it reads no file and no clock.
Each finding says what is, since when, how much waits, and what to run. It must be true with the replicator dead,
the cloud away and the sidecar lost: so a part that could not be looked at is itself a finding, and silence (nothing
captured, nothing acknowledged) is one too, for no backlog can show what was never written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from gradata.overview import CloudSide, Local

FindingStatus = Literal["ok", "skip", "missing", "warn", "fail", "error"]
Health = Literal["healthy", "degraded", "broken"]
MARKS: dict[FindingStatus, str] = {"ok": "+", "skip": "-", "missing": "!", "warn": "!", "fail": "X", "error": "X"}
_RANK: dict[FindingStatus, int] = {"fail": 0, "error": 1, "missing": 2, "warn": 3, "ok": 4, "skip": 5}

BACKLOG_WARN_S = 60.0
"""A backlog older than this is worth a look."""
BACKLOG_RECORDS_MAX = 1_000
"""More than this is a failure: nobody noticed for too long."""
SILENT_S = 24 * 3600.0
"""A brain without a new event for this long may have lost its capture: hooks that never fire look just like this."""
ACKED_LATELY_S = 60.0


@dataclass(frozen=True, slots=True)
class KeyFact:
    """Where the key comes from, never what it is. `source` None: there is none. `trouble`: why it cannot work."""

    source: str | None = None
    trouble: str | None = None
    conflict: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectionFact:
    """How far system.db is behind the log, in bytes; None: it has no cursor yet. `trouble`: it cannot be read."""

    behind_bytes: int | None = None
    exists: bool = False
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
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
    endpoint_trouble: str | None = None
    write_through: bool = True
    why_not: str | None = None
    cloud_off: bool = False
    """Nothing may leave the machine by any path."""
    consent_refused: str | None = None
    consent_by_choice: bool = True
    projection: ProjectionFact = ProjectionFact()
    auth_log: str | None = None
    """Its path, if it exists."""
    sqlite_version: str = ""
    set_aside: int = 0
    """How many unusable sidecars were set aside."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `detail` is one line."""

    name: str
    status: FindingStatus
    detail: str


def examine(facts: Facts, *, backlog_records_max: int = BACKLOG_RECORDS_MAX) -> tuple[Finding, ...]:
    """Every check's finding, worst first, else in the order of the checks."""
    if not facts.brain_exists or facts.local is None:
        hint = f"make one with: gradata init {facts.brain_dir}"
        return (Finding("brain", "fail", f"no brain at {facts.brain_dir} ({facts.brain_from}); {hint}"),)
    findings = [check(facts, facts.local) for check in _CHECKS]
    findings.extend(_backlog(facts, facts.local, backlog_records_max))
    return tuple(sorted(findings, key=lambda finding: _RANK[finding.status]))


def health(findings: tuple[Finding, ...]) -> Health:
    """`broken` for any fail; `degraded` for any warn, missing or error; else `healthy`."""
    found = {finding.status for finding in findings}
    if "fail" in found:
        return "broken"
    return "degraded" if found & {"warn", "missing", "error"} else "healthy"


# ------------------------------------------------------------------------------ the checks


def _brain(facts: Facts, _: Local) -> Finding:
    return Finding("brain", "ok", f"{facts.brain_dir} ({facts.brain_from})")


def _log(_: Facts, here: Local) -> Finding:
    if here.log_error is not None:
        return Finding("log", "fail", f"{here.log_error}; {here.log_error.hint}")
    if not here.log_exists:
        return Finding("log", "missing", f"{here.log} is not there; it begins with the first event")
    trouble = here.status.log_trouble if here.status is not None and here.holder is not None else None
    if trouble is not None:
        return Finding("log", "fail", f"the replicator cannot read it: {trouble}")
    return Finding("log", "ok", f"{here.log_bytes:,} bytes")


def _last_event(facts: Facts, here: Local) -> Finding:
    cure = "is the capture still installed and firing?"
    if here.log_error is not None:
        return Finding("last_event", "skip", "the log cannot be read")
    if not here.log_bytes or here.written_at is None:
        made = facts.made_at
        if made is not None and facts.now - made > SILENT_S:
            return Finding("last_event", "warn", f"none since the brain was made {_ago(facts, made)}; {cure}")
        return Finding("last_event", "skip", "none yet")
    said = f"{_ago(facts, here.written_at)} ({_at(here.written_at)})"
    if facts.now - here.written_at > SILENT_S:
        return Finding("last_event", "warn", f"silent: nothing new was captured since {said}; {cure}")
    return Finding("last_event", "ok", said)


def _projection(facts: Facts, _: Local) -> Finding:
    found = facts.projection
    if found.trouble is not None:
        return Finding("projection", "error", f"{found.trouble}; the log is whole, and this is rebuilt from it")
    if found.behind_bytes is None:
        what = "system.db was made by an older version" if found.exists else "there is no system.db yet"
        return Finding("projection", "skip", f"{what}; it is filled when the brain is opened")
    if found.behind_bytes:
        return Finding("projection", "ok", f"{found.behind_bytes:,} bytes behind the log; the next opening brings them")
    return Finding("projection", "ok", "as far as the log")


def _key(facts: Facts, _: Local) -> Finding:
    key = facts.key
    if key.source is None:
        hint = "put one into ~/.gradata/key (mode 0600), or set GRADATA_API_KEY"
        return Finding("key", "missing", f"none: corrections stay on this machine; {hint}")
    if key.trouble is not None:
        return Finding("key", "fail", f"from {key.source}: {key.trouble}")
    if key.conflict is not None:
        return Finding("key", "warn", f"from {key.source}; {key.conflict}")
    return Finding("key", "ok", f"from {key.source}")


def _endpoint(facts: Facts, _: Local) -> Finding:
    if facts.endpoint_trouble is not None:
        return Finding("endpoint", "fail", facts.endpoint_trouble)
    return Finding("endpoint", "ok", facts.endpoint)


def _write_through(facts: Facts, _: Local) -> Finding:
    if facts.write_through:
        return Finding("write_through", "ok", "on")
    return Finding("write_through", "skip", f"off: {facts.why_not}; unset it to replicate again")


def _consent(facts: Facts, _: Local) -> Finding:
    if facts.consent_refused is None:
        return Finding("consent", "ok", "nothing forbids it")
    status: FindingStatus = "skip" if facts.consent_by_choice else "warn"
    return Finding("consent", status, f"events stay on this machine: {facts.consent_refused}")


def _replicator(facts: Facts, here: Local) -> Finding:
    if here.lease_error is not None:
        return Finding("replicator", "error", f"{here.lease_error}; {here.lease_error.hint}")
    if here.holder is not None:
        state = here.state if here.sidecar_error is None else "its state is unknown"
        who = f"pid {here.holder.pid} on {here.holder.host} since {here.holder.since}"
        if here.status is not None and here.status.crash is not None:
            return Finding("replicator", "warn", f"{state}: {who} leads, after {here.status.crash}")
        return Finding("replicator", "ok", f"{state}: {who} leads")
    if _local_only(facts):
        return Finding("replicator", "skip", "disabled: nothing leaves this machine")
    if not facts.write_through and not here.backlog.bytes:
        return Finding("replicator", "skip", f"disabled: {facts.why_not}")
    last = ""
    if here.status is not None:
        last = f"; last seen: pid {here.status.pid} at {_short(here.status.updated_at)}"
    if here.backlog.bytes:
        run = "run: gradata replicate --follow"
        return Finding("replicator", "warn", f"no process replicates this log, and records wait{last}; {run}")
    return Finding("replicator", "ok", f"not running, and nothing waits{last}")


def _last_ack(facts: Facts, here: Local) -> Finding:
    if here.sidecar_error is not None:
        return Finding("last_ack", "skip", "the sidecar cannot be read")
    at = _seconds(here.status.last_ack_at) if here.status is not None else None
    if at is None:
        return Finding("last_ack", "skip", "none known here" if here.standing is not None else "none yet")
    return Finding("last_ack", "ok", f"{_ago(facts, at)} ({_at(at)})")


def _trouble(facts: Facts, here: Local) -> Finding:
    trouble = here.trouble
    if trouble is None:
        return Finding("trouble", "ok", "none")
    since = _seconds(trouble.since)
    said = f"{_WORDS.get(trouble.code, trouble.code)} since {_short(trouble.since)}"
    if since is not None:
        said = f"{said} ({_ago(facts, since).removesuffix(' ago')})"
    said = f"{said}: {trouble.detail}" if trouble.detail else said
    if here.holder is None and here.status is not None:
        said = f"{said} (as of {_short(here.status.updated_at)}: nobody replicates now)"
    said = f"{said}; {here.backlog.records:,} records wait, nothing is lost; {trouble.hint}"
    if trouble.code in ("denied", "no_key") and facts.auth_log is not None:
        said = f"{said}; see {facts.auth_log}"
    return Finding("trouble", _GRAVITY.get(trouble.code, "fail"), said)


_GRAVITY: dict[str, FindingStatus] = {"unavailable": "warn", "no_key": "warn", "no_consent": "skip"}
"""What is no failure: a cloud that is away is optional, a brain without a key works, consent is a choice."""
_WORDS = {
    "no_consent": "paused, the user keeps the records on this machine",
    "unavailable": "the cloud does not answer",
    "no_key": "paused, no API key",
    "denied": "paused, the server refuses the API key",
    "misconfigured": "paused, no ingest server at this address",
    "malformed": "paused, valid requests are refused",
    "refusing": "paused, every record is refused",
    "disagreement": "paused, the answers are none of the protocol",
    "too_old": "paused, one side is too old for the other",
    "held": "held, another cloud at another address",
    "gone": "stopped, the brain was deleted at the cloud",
}


def _dead_letters(_: Facts, here: Local) -> Finding:
    if here.sidecar_error is not None:
        return Finding("dead_letters", "skip", "the sidecar cannot be read")
    if here.dead_letters:
        return Finding("dead_letters", "warn", f"{here.dead_letters:,}; list them with: gradata dead-letters list")
    return Finding("dead_letters", "ok", "none")


def _sidecar(facts: Facts, here: Local) -> Finding:
    if here.sidecar_error is not None:
        return Finding("sidecar", "error", f"{here.sidecar_error}; {here.sidecar_error.hint}")
    trouble = here.status.sidecar_trouble if here.status is not None and here.holder is not None else None
    if trouble is not None:
        return Finding("sidecar", "warn", f"the replicator cannot save its cursor, and goes on: {trouble}")
    aside = f"; {facts.set_aside} unusable one(s) were set aside" if facts.set_aside else ""
    if here.standing is None:
        what = "there is none; replication makes it" if not here.sidecar_exists else "it holds no cursor yet"
        lost = bool(here.log_bytes) and not here.sidecar_exists and facts.key.source is not None
        return Finding("sidecar", "missing" if lost else "skip", f"{what}, from the cloud's word{aside}")
    cursor = here.standing.cursor
    if cursor.offset > here.log_bytes:
        shorter = f"the log ends at {here.log_bytes:,}, before the cursor at {cursor.offset:,}"
        return Finding("sidecar", "warn", f"{shorter}: it was cut or replaced, and begins a new generation{aside}")
    waits = f"; order {here.order} waits for who replicates next" if here.order is not None else ""
    return Finding("sidecar", "ok", f"cursor at record {cursor.size:,}, offset {cursor.offset:,}{waits}{aside}")


def _proof(facts: Facts, here: Local) -> Finding:
    cloud = facts.cloud
    if cloud is None:
        return Finding("proof", "skip", "the cloud was not asked")
    if cloud.head is None:
        return Finding("proof", "skip", "the cloud did not say where it stands")
    if not cloud.in_step:
        cure = "a running replicator begins a new generation; nothing is overwritten"
        return Finding("proof", "fail", f"the cloud's {cloud.head.size:,} records are not those of this log; {cure}")
    known = here.standing.cursor if here.standing is not None else None
    if known is not None and cloud.head.size < known.size:
        lost = f"the cloud is behind: it has {cloud.head.size:,} of the {known.size:,} records that it acknowledged"
        return Finding("proof", "warn", f"{lost}; they are sent again by itself")
    if cloud.parent is not None and known is not None and cloud.parent.size > known.size:
        only = cloud.parent.size - known.size
        return Finding(
            "proof", "warn", f"in step at size {cloud.head.size:,}; at least {only:,} records of the generation before "
            f"({cloud.parent.log_id}) are only at the cloud"
        )  # fmt: skip
    return Finding("proof", "ok", f"in step with the cloud at size {cloud.head.size:,}")


def _cloud(facts: Facts, _: Local) -> Finding:
    if facts.cloud is None:
        return Finding("cloud", "skip", "not asked")
    if facts.cloud.head is not None or facts.cloud.code == "":
        return Finding("cloud", "ok", f"answers at {facts.endpoint}")
    if facts.cloud.code in ("no_consent", "no_ids", "no_key"):
        return Finding("cloud", "skip", f"not asked: {facts.cloud.reason}")
    if facts.cloud.code == "denied":
        return Finding("cloud", "fail", f"it refuses the API key: {facts.cloud.reason}")
    hint = "nothing to do if it is meant to be away: everything waits in the log"
    return Finding("cloud", "warn", f"no answer that counts: {facts.cloud.reason}; {hint}")


def _sqlite(facts: Facts, _: Local) -> Finding:
    return Finding("sqlite", "ok", facts.sqlite_version)


_CHECKS: tuple[Callable[[Facts, Local], Finding], ...] = (
    _brain, _log, _last_event, _projection, _key, _endpoint, _write_through, _consent, _replicator, _last_ack,
    _trouble, _dead_letters, _proof, _cloud, _sidecar, _sqlite,
)  # fmt: skip


def _backlog(facts: Facts, here: Local, records_max: int) -> Iterator[Finding]:
    waiting = here.backlog
    if here.log_error is not None:
        yield Finding("backlog", "skip", "the log cannot be read")
        return
    if not waiting.records:
        tail = f" ({waiting.bytes:,} bytes of a record in the making)" if waiting.bytes else ""
        yield Finding("backlog", "ok", f"0 pending{tail}")
        return
    count = f"{waiting.records:,}" if waiting.exact else f"at least {waiting.records:,}"
    said = f"{count} pending, {waiting.bytes:,} bytes"
    since = _pending_since(facts, here)
    old = since is not None and facts.now - since > BACKLOG_WARN_S
    if since is not None and old:
        said = f"{said}, the oldest from {_ago(facts, since)}"
    if _local_only(facts):
        yield Finding("backlog", "skip", f"{said}: they stay on this machine")
    elif waiting.records > records_max:
        yield Finding("backlog", "fail", f"{said}: more than {records_max:,}; run: gradata replicate")
    elif old:
        yield Finding("backlog", "warn", f"{said}; run: gradata replicate")
    else:
        yield Finding("backlog", "ok", said)


def _pending_since(facts: Facts, here: Local) -> float | None:
    """Since when the oldest pending record waits, as far as that can be told: what it says itself, else the log's
    last write. None while acknowledgements come: then it is on its way."""
    acked = _seconds(here.status.last_ack_at) if here.status is not None else None
    if here.holder is not None and acked is not None and facts.now - acked < ACKED_LATELY_S:
        return None
    said = here.backlog.first_ts
    if said is None or said > facts.now:
        said = here.written_at
    return said


def _local_only(facts: Facts) -> bool:
    """Whether what waits is meant to stay here: by a switch, by consent, or because no key was ever set."""
    return facts.cloud_off or facts.consent_refused is not None or facts.key.source is None


# ------------------------------------------------------------------------------ times, for people


def _seconds(text: str | None) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _short(text: str) -> str:
    seconds = _seconds(text)
    return _at(seconds) if seconds is not None else text


def _ago(facts: Facts, seconds: float) -> str:
    age = max(0, int(facts.now - seconds))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if age >= 2 * length:
            return f"{age // length} {unit} ago"
    return f"{age} s ago"
