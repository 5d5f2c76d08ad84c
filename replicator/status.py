"""The status of a replicator that others may see, and its notices.

Pure. The leader writes `status` into the sidecar and sends it with its requests. `notices(before, after)` compares two
progresses. Notices are edge-triggered: emitted once per state change. Only numbers, codes and names can occur here,
never a text of a record, a key or a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from replicator.progress import Progress, Trouble
from replicator.wire import Report, plain

State = Literal["starting", "live", "lagging", "retrying", "paused", "held", "stopped"]

HINTS = {
    "unavailable": "nothing to do: it is retried indefinitely",
    "no_key": "give the sink a key",
    "no_consent": "nothing to do: it was switched off on purpose",
    "denied": "give the sink a valid key; replication resumes automatically",
    "misconfigured": "check the endpoint and proxies",
    "malformed": "a proxy or an old server rejects valid requests; everything is kept",
    "refusing": "the cloud or a proxy rejects every record; everything is kept",
    "disagreement": "the answers are not those of the ingest server; check endpoint and proxies",
    "too_old": "upgrade the side that the message names",
    "held": "confirm the new cloud with recovery.order_reset(…, confirmed=True)",
    "gone": "the log was deleted at the cloud; to send it again: recovery.order_reset(…, confirmed=True)",
    "new_generation": "if this was not intended, find out what replaced or truncated the log",
    "dead_letter": "list them with recovery.dead_letters",
}
"""Hints by the code of a notice or trouble. An embedding program may pass better ones."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A trouble as shown to people. `since` is ISO 8601, UTC."""

    code: str
    detail: str
    since: str
    hint: str


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """What a status needs besides the progress: sizes, wall-clock time and names, collected by the loop."""

    log_bytes: int
    now: str
    """ISO 8601, UTC; only for people."""
    dead_letters: int = 0
    last_event_at: str | None = None
    pid: int = 0
    host: str = ""
    version: str = ""
    since: str = ""
    brief: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """The status of one log's replication at `updated_at`. Sizes in bytes, times ISO 8601 UTC."""

    state: State
    updated_at: str
    endpoint: str
    cloud_id: str | None = None
    log_id: str | None = None
    parent: str | None = None
    offset: int = 0
    size: int = 0
    root: str = ""
    log_bytes: int = 0
    backlog_bytes: int = 0
    dead_letters: int = 0
    trouble: Shown | None = None
    log_trouble: str | None = None
    sidecar_trouble: str | None = None
    crash: str | None = None
    """Type and location of an unexpected exception in the thread; until the next ack."""
    last_event_at: str | None = None
    last_ack_at: str | None = None
    failures: int = 0
    requests: int = 0
    accepted: int = 0
    duplicates: int = 0
    flagged: int = 0
    refused: int = 0
    rewinds: int = 0
    generations: int = 0
    resending_to: int | None = None
    pid: int = 0
    host: str = ""
    version: str = ""
    since: str = ""
    brief: bool = False
    """The replicating process exits as soon as nothing is waiting."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A state change to report once. `grave`: a person should look."""

    code: str
    text: str
    hint: str = ""
    grave: bool = False


def build(p: Progress, facts: StatusFacts, before: Status | None, hints: Mapping[str, str] = HINTS) -> Status:
    """The status of `p`. Times of `before` are kept while they still apply."""
    cursor = p.standing.cursor if p.standing is not None else None
    offset = cursor.offset if cursor is not None else 0
    backlog = max(0, facts.log_bytes - offset)
    acked = before is not None and cursor is not None and before.log_id == cursor.log_id and offset > before.offset
    return Status(
        state=_state(p, backlog),
        updated_at=facts.now,
        endpoint=p.endpoint,
        cloud_id=p.standing.cloud_id if p.standing is not None else None,
        log_id=cursor.log_id if cursor is not None else None,
        parent=cursor.parent if cursor is not None else None,
        offset=offset,
        size=cursor.size if cursor is not None else 0,
        root=cursor.root.hex() if cursor is not None else "",
        log_bytes=facts.log_bytes,
        backlog_bytes=backlog,
        dead_letters=facts.dead_letters,
        trouble=_shown(p.retry.trouble, facts.now, before, hints),
        log_trouble=f"{p.log_trouble.code}: {p.log_trouble.detail}" if p.log_trouble is not None else None,
        sidecar_trouble=p.saving.trouble,
        crash=None if acked or before is None else before.crash,
        last_event_at=facts.last_event_at,
        last_ack_at=facts.now if acked else (before.last_ack_at if before is not None else None),
        failures=p.retry.failures,
        requests=p.tally.requests,
        accepted=p.tally.accepted,
        duplicates=p.tally.duplicates,
        flagged=p.tally.flagged,
        refused=p.tally.refused,
        rewinds=p.tally.rewinds,
        generations=p.tally.generations,
        resending_to=p.standing.resend.size if p.standing is not None and p.standing.resend is not None else None,
        pid=facts.pid,
        host=facts.host,
        version=facts.version,
        since=facts.since,
        brief=facts.brief,
    )


def _state(p: Progress, backlog: int) -> State:
    trouble = p.retry.trouble
    if trouble is not None:
        if trouble.code == "held":
            return "held"
        if trouble.stops:
            return "stopped"
        return "paused" if trouble.pauses else "retrying"
    if p.standing is None:
        return "starting"
    return "live" if backlog == 0 or (p.caught_up and p.log_trouble is None) else "lagging"


def _shown(trouble: Trouble | None, now: str, before: Status | None, hints: Mapping[str, str]) -> Shown | None:
    if trouble is None:
        return None
    since = now
    if before is not None and before.trouble is not None and before.trouble.code == trouble.code:
        since = before.trouble.since
    status = f" ({trouble.status})" if trouble.status else ""
    return Shown(trouble.code, plain(trouble.detail) + status, since, hints[trouble.code])


def report(status: Status) -> Report:
    """The status that is sent to the cloud with each request."""
    return Report(
        state=status.state,
        log_bytes=status.log_bytes,
        backlog_bytes=status.backlog_bytes,
        last_event_at=status.last_event_at,
        dead_letters=status.dead_letters,
        version=status.version or "unknown",
        trouble=status.trouble.code if status.trouble is not None else None,
        last_ack_at=status.last_ack_at,
        brief=status.brief,
    )


def to_json(status: Status) -> bytes:
    """The status as JSON, as the sidecar keeps it."""
    return orjson.dumps(status)


def from_json(text: bytes) -> Status | None:
    """A status that `to_json` wrote, of this or another version: unknown fields are ignored; None if unusable."""
    try:
        fields: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, dict) or not {"state", "updated_at", "endpoint"} <= fields.keys():
        return None
    known = {name: fields[name] for name in Status.__dataclass_fields__ if name in fields}
    shown = known.pop("trouble", None)
    trouble = None
    if isinstance(shown, dict):
        trouble = Shown(*(str(shown.get(name, "")) for name in Shown.__dataclass_fields__))
    return Status(**known, trouble=trouble)


def refreshed(status: Status, *, log_bytes: int) -> Status:
    """Another process's status, with the backlog for the log's present size."""
    backlog = max(0, log_bytes - status.offset)
    state: State = "lagging" if status.state == "live" and backlog else status.state
    return replace(status, log_bytes=log_bytes, backlog_bytes=backlog, state=state)


# ------------------------------------------------------------------------------------------- notices


def notices(before: Progress, after: Progress, hints: Mapping[str, str] = HINTS) -> tuple[Notice, ...]:
    """The notices of the change from `before` to `after`: at most one per subject, edge-triggered."""
    told = (
        *_trouble_notices(before.retry.trouble, after),
        *_standing_notices(before, after),
        *_local_notices(before, after),
    )
    return tuple(notice if notice.hint else replace(notice, hint=hints.get(notice.code, "")) for notice in told)


def _trouble_notices(before: Trouble | None, after: Progress) -> tuple[Notice, ...]:
    now = after.retry.trouble
    if now is None:
        return () if before is None else (Notice("recovered", f"replication goes on (it was: {before.code})"),)
    if before is not None and before.code == now.code:
        return ()
    status = f" ({now.status})" if now.status else ""
    verb = "stopped" if now.stops else "paused" if now.pauses else "waits and tries again"
    text = f"replication {verb}: {now.code}{status}: {plain(now.detail)}; nothing is lost"
    return (Notice(now.code, text, grave=now.pauses or now.stops),)


def _standing_notices(before: Progress, after: Progress) -> tuple[Notice, ...]:
    if before.standing is None or after.standing is None:
        return ()
    old, new = before.standing, after.standing
    told = []
    if new.cursor.log_id != old.cursor.log_id:
        why, log_id = before.generation_ended, new.cursor.log_id
        text = f"the log begins a new generation {log_id} (after {old.cursor.log_id}): {why}"
        told.append(Notice("new_generation", text, grave=True))
    elif new.cursor.size < old.cursor.size:
        text = f"the cursor goes back from record {old.cursor.size} to {new.cursor.size}"
        if after.tally.rewinds > before.tally.rewinds:
            lost = "its tail" if new.cursor.size else "what it had of this log"
            told.append(Notice("rewound", f"the cloud lost {lost}: {text}", grave=True))
        else:
            told.append(Notice("reset", f"as ordered, {text}"))
    elif after.tally.jumps > before.tally.jumps:
        text = f"the cloud already has records {old.cursor.size} to {new.cursor.size}: the cursor goes forward"
        told.append(Notice("jumped", text))
    if old.cloud_id is not None and new.cloud_id not in (None, old.cloud_id):
        told.append(Notice("cloud_changed", "the cloud was made anew: everything is replicated again", grave=True))
    return tuple(told)


def _local_notices(before: Progress, after: Progress) -> tuple[Notice, ...]:
    told = []
    fresh = len(after.saving.dead_letters) - len(before.saving.dead_letters)
    if fresh > 0:
        last = after.saving.dead_letters[-1]
        text = (
            f"{fresh} record(s) refused for good, the last is number {last.record} ({last.code}); kept as dead letters"
        )
        told.append(Notice("dead_letter", text, grave=True))
    failed = after.log_trouble
    if failed is not None and (before.log_trouble is None or before.log_trouble.code != failed.code):
        missing = failed.code == "ENOENT"
        told.append(Notice("log_unreadable", f"{failed.code}: {plain(failed.detail)}", grave=not missing))
    if after.saving.trouble is not None and before.saving.trouble is None:
        text = f"the cursor cannot be saved, replication goes on: {plain(after.saving.trouble)}"
        told.append(Notice("sidecar", text, "free disk space or mend the directory's permissions", grave=True))
    return tuple(told)
