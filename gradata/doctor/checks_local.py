"""Checks of this machine: the brain, its files, the disk and file events. Pure."""

from __future__ import annotations

from gradata.doctor.facts import DoctorFacts, DoctorFinding, FindingStatus
from gradata.doctor.format import ago, at, of_bytes
from gradata.hints import hint_of
from gradata.replicate.state import Local

DISK_WARN_BYTES, DISK_FAIL_BYTES = 10**9, 50 * 10**6
"""Below the first a person should look; below the second the next appends may fail."""
WAL_SAFE = (3, 51, 3)
"""SQLite before it has a bug in resetting a WAL with several writers."""


def brain(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """Which brain this is, and who says so."""
    return DoctorFinding("brain", "ok", f"{facts.brain_dir} ({facts.brain_from})")


def config(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """Whether settings are as they were meant."""
    if facts.config_trouble is not None:
        said = f"{facts.config_trouble}; what is recorded stays on this machine until then"
        return DoctorFinding("config", "fail", said)
    return DoctorFinding(
        "config", "ok", ", ".join(facts.config_files) or "no config files; all settings: gradata config"
    )


def log(facts: DoctorFacts, here: Local) -> DoctorFinding:
    """Whether the log is there and can be read."""
    if here.log_error is not None:
        return DoctorFinding("log", "fail", f"{here.log_error}; {hint_of(here.log_error)}")
    if not here.log_exists:
        return DoctorFinding("log", "missing", f"{here.log} does not exist yet; the first event creates it")
    trouble = here.status.log_trouble if here.status is not None and here.holder is not None else None
    if trouble is not None:
        return DoctorFinding("log", "fail", f"the replicator cannot read it: {trouble}")
    if facts.log_lock is not None:
        holder = facts.log_lock
        who = "another process" if holder.pid is None else f"pid {holder.pid}"
        state = " and is stopped" if holder.stopped else ""
        cure = "resume it" + (f" (kill -CONT {holder.pid})" if holder.stopped else "") + ", or end it"
        said = f"{who} keeps its lock{state}; records are appended without it after 1 s"
        return DoctorFinding("log", "warn", f"{said}; {cure}")
    return DoctorFinding("log", "ok", f"{here.log_bytes:,} bytes")


def records(facts: DoctorFacts, here: Local) -> DoctorFinding:
    """Records that cannot be interpreted: kept, replicated as they are, and flagged at the cloud."""
    found = facts.records
    if here.log_error is not None:
        return DoctorFinding("records", "skip", "the log cannot be read")
    looked = f"all {found.looked:,}" if found.whole else f"the last {found.looked:,}"
    if not found.damaged:
        return DoctorFinding("records", "ok", f"{looked} can be interpreted" if found.looked else "none yet")
    said = f"{found.damaged:,} of {looked} are no events, the last of them at offset {found.last_at:,}"
    said = f"{said}; they are kept, replicated as they are, and flagged"
    if found.fresh:
        return DoctorFinding(
            "records", "warn", f"{said}; {found.fresh:,} of them among the last hundred: which program writes them?"
        )
    return DoctorFinding("records", "ok", said)


def last_event(facts: DoctorFacts, here: Local) -> DoctorFinding:
    """When something was captured last: silence leaves no backlog."""
    cure = "is the capture still installed and firing? run: gradata install --agent all --dry-run"
    silent_s = facts.thresholds.silent_s
    if here.log_error is not None:
        return DoctorFinding("last_event", "skip", "the log cannot be read")
    if not here.log_bytes or here.written_at is None:
        made = facts.made_at
        if made is not None and facts.now - made > silent_s:
            return DoctorFinding("last_event", "warn", f"none since the brain was made {ago(facts, made)}; {cure}")
        return DoctorFinding("last_event", "skip", "none yet")
    said = f"{ago(facts, here.written_at)} ({at(here.written_at)})"
    if facts.now - here.written_at > silent_s:
        return DoctorFinding("last_event", "warn", f"silent: nothing new was captured since {said}; {cure}")
    return DoctorFinding("last_event", "ok", said)


def projection(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """How far system.db is behind the log."""
    found = facts.projection
    where = "" if found.elsewhere is None else f"; the SDK encrypts system.db, so it is {found.elsewhere}"
    if found.trouble is not None:
        return DoctorFinding(
            "projection", "error", f"{found.trouble}; the log is whole, and this is rebuilt from it{where}"
        )
    if found.behind_bytes is None:
        what = "system.db was made by an older version" if found.exists else "there is no projection yet"
        return DoctorFinding("projection", "skip", f"{what}; it is filled when the brain is opened{where}")
    if found.behind_bytes:
        count = f"{found.behind_records:,}" if found.exact else f"at least {found.behind_records:,}"
        said = f"behind by {count} records ({found.behind_bytes:,} bytes); projected when the brain is opened next"
        return DoctorFinding("projection", "ok", said + where)
    return DoctorFinding("projection", "ok", "up to date with the log" + where)


def sidecar(facts: DoctorFacts, here: Local) -> DoctorFinding:
    """The cursor's file: a cache of the cloud's word."""
    if here.sidecar_error is not None:
        return DoctorFinding("sidecar", "error", f"{here.sidecar_error}; {hint_of(here.sidecar_error)}")
    trouble = here.status.sidecar_trouble if here.status is not None and here.holder is not None else None
    if trouble is not None:
        return DoctorFinding("sidecar", "warn", f"the replicator cannot save its cursor, and goes on: {trouble}")
    aside = f"; {facts.set_aside} unusable one(s) were set aside" if facts.set_aside else ""
    if here.standing is None:
        what = "there is none; replication creates it" if not here.sidecar_exists else "it has no cursor yet"
        lost = bool(here.log_bytes) and not here.sidecar_exists and facts.key.source is not None
        return DoctorFinding("sidecar", "missing" if lost else "skip", f"{what}, from the cloud's head{aside}")
    cursor = here.standing.cursor
    if cursor.offset > here.log_bytes:
        shorter = f"the log ends at {here.log_bytes:,}, before the cursor at {cursor.offset:,}"
        return DoctorFinding(
            "sidecar", "warn", f"{shorter}: it was cut or replaced, and begins a new generation{aside}"
        )
    waits = f"; order {here.order} waits for the next replicator" if here.order is not None else ""
    return DoctorFinding("sidecar", "ok", f"cursor at record {cursor.size:,}, offset {cursor.offset:,}{waits}{aside}")


def disk(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """Whether the next appends have room."""
    found = facts.disk
    if found is None:
        return DoctorFinding("disk", "skip", "not looked at")
    if found.trouble is not None:
        return DoctorFinding("disk", "error", f"the file system cannot be asked: {found.trouble}")
    if found.inodes == 0:
        return DoctorFinding(
            "disk", "fail", f"no file can be made any more: no inodes are left; df -i '{facts.brain_dir}'"
        )
    said = f"{of_bytes(found.free_bytes)} free of {of_bytes(found.total_bytes)}"
    if found.free_bytes >= DISK_WARN_BYTES:
        return DoctorFinding("disk", "ok", said)
    status: FindingStatus = "fail" if found.free_bytes < DISK_FAIL_BYTES else "warn"
    return DoctorFinding("disk", status, f"{said}; a full disk refuses corrections: df -h '{facts.brain_dir}'")


def file_events(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """Whether a replicator hears at once what other processes append."""
    found = facts.events
    if found.works is None:
        return DoctorFinding("file_events", "skip", found.trouble or "not looked at")
    if found.works:
        return DoctorFinding("file_events", "ok", f"they come{f' ({found.limits})' if found.limits else ''}")
    cure = "sudo sysctl fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=524288"
    said = f"{found.trouble} ({found.limits}): other processes' events are found by the timer within 2 s; {cure}"
    return DoctorFinding("file_events", "warn", said)


def sqlite(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """The version, for old ones have a bug."""
    digits = tuple(int(part) for part in facts.sqlite_version.split(".") if part.isdecimal())
    old = (
        " (before 3.51.3 several writers could corrupt a WAL; here only one writes a file)" if digits < WAL_SAFE else ""
    )
    return DoctorFinding("sqlite", "ok", f"{facts.sqlite_version}{old}")
