"""Checks of replication: what may be sent, who replicates, what is waiting, and the state of the cloud. Pure."""

from __future__ import annotations

from gradata.doctor.facts import DoctorFacts, DoctorFinding, FindingStatus
from gradata.doctor.format import GRAVITY, TROUBLES, ago, at, seconds, short
from gradata.hints import hint_of
from gradata.replicate.state import Local

ACKED_LATELY_S = 60.0
CLOCK_WARN_S = 60.0
"""A larger clock difference (seconds) gives wrong times, and dates in headers that others may reject."""


def key(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """Where the key comes from, and what stands beside it."""
    found = facts.key
    stale = f"; {found.stale_token} holds a token, which is not used: remove it" if found.stale_token else ""
    if found.source is None:
        hint = "put one into ~/.gradata/key (mode 0600), or set GRADATA_API_KEY"
        return DoctorFinding("key", "missing", f"none: corrections stay on this machine; {hint}{stale}")
    if found.trouble is not None:
        return DoctorFinding("key", "fail", f"from {found.source}: {found.trouble}{stale}")
    if found.conflict is not None:
        return DoctorFinding("key", "warn", f"from {found.source}; {found.conflict}{stale}")
    return DoctorFinding("key", "warn" if stale else "ok", f"from {found.source}{stale}")


def endpoint(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """Where records go."""
    if facts.endpoint_trouble is not None:
        return DoctorFinding("endpoint", "fail", facts.endpoint_trouble)
    plain = ", plain http: this machine only" if facts.endpoint.startswith("http:") else ""
    origin = f" ({facts.endpoint_from}{plain})" if facts.endpoint_from else ""
    return DoctorFinding("endpoint", "ok", f"{facts.endpoint}{origin}")


def write_through(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """Whether programs replicate by themselves."""
    if facts.write_through:
        return DoctorFinding("write_through", "ok", "on, as this shell and the config files say")
    if facts.config_trouble is not None:
        return DoctorFinding("write_through", "warn", "off: a setting is wrong, and nothing is sent until it is fixed")
    hint = "while it is off, cron does: gradata replicate --once --quiet"
    return DoctorFinding("write_through", "skip", f"off: {facts.why_not}; {hint}")


def consent(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """Whether the user lets records leave."""
    if facts.consent_refused is None:
        return DoctorFinding("consent", "ok", "nothing forbids it")
    status: FindingStatus = "skip" if facts.consent_by_choice else "warn"
    return DoctorFinding("consent", status, f"events stay on this machine: {facts.consent_refused}")


def replicator(facts: DoctorFacts, here: Local) -> DoctorFinding:
    """Who replicates this log now."""
    if here.lease_error is not None:
        return DoctorFinding("replicator", "error", f"{here.lease_error}; {hint_of(here.lease_error)}")
    if here.holder is not None:
        state = here.state if here.sidecar_error is None else "its state is unknown"
        who = f"pid {here.holder.pid} on {here.holder.host} since {here.holder.since}"
        if facts.leader_stopped:
            pid = here.holder.pid
            cure = f"resume it (kill -CONT {pid}), or end it; another process of this brain leads meanwhile, if any"
            return DoctorFinding("replicator", "warn", f"{who} leads and is stopped; {cure}")
        if here.status is not None and here.status.crash is not None:
            return DoctorFinding("replicator", "warn", f"{state}: {who} leads, after {here.status.crash}")
        if here.holder.unlocked:
            said = "this disk has no file locks, so other processes may replicate too: that costs requests, but no data"
            return DoctorFinding("replicator", "ok", f"{state}: {who} leads; {said}")
        return DoctorFinding("replicator", "ok", f"{state}: {who} leads")
    if local_only(facts):
        return DoctorFinding("replicator", "skip", "disabled: nothing leaves this machine")
    if not facts.write_through and not here.backlog.bytes:
        return DoctorFinding("replicator", "skip", f"disabled: {facts.why_not}")
    last = ""
    if here.status is not None:
        last = f"; last seen: pid {here.status.pid} at {short(here.status.updated_at)}"
    if here.status is not None and here.status.crash is not None:
        return DoctorFinding(
            "replicator", "warn", f"no process replicates this log; the last one crashed: {here.status.crash}{last}"
        )
    if here.backlog.bytes:
        run = "gradata replicate --follow (hosts under gevent, eventlet, or uWSGI without threads need it beside them)"
        if not facts.write_through:
            run = "gradata replicate --once, which hook and cron do while write-through is off"
        said = f"no process replicates this log, and records wait{last}; run: {run}"
        return DoctorFinding("replicator", "warn", said)
    return DoctorFinding("replicator", "ok", f"not running, and nothing waits{last}")


def last_ack(facts: DoctorFacts, here: Local) -> DoctorFinding:
    """When the cloud last took something."""
    if here.sidecar_error is not None:
        return DoctorFinding("last_ack", "skip", "the sidecar cannot be read")
    moment = seconds(here.status.last_ack_at) if here.status is not None else None
    if moment is None:
        return DoctorFinding("last_ack", "skip", "none known here" if here.standing is not None else "none yet")
    return DoctorFinding("last_ack", "ok", f"{ago(facts, moment)} ({at(moment)})")


def trouble(facts: DoctorFacts, here: Local) -> DoctorFinding:
    """What the leader, or the last one, is in trouble with: the last error, and since when it is paused."""
    found = here.trouble
    if found is None:
        return DoctorFinding("trouble", "ok", "none")
    since = seconds(found.since)
    said = f"{TROUBLES.get(found.code, found.code)} since {short(found.since)}"
    if since is not None:
        said = f"{said} ({ago(facts, since).removesuffix(' ago')})"
    said = f"{said}: {found.detail}" if found.detail else said
    if here.holder is None and here.status is not None:
        said = f"{said} (as of {short(here.status.updated_at)}: nobody replicates now)"
    said = f"{said}; {here.backlog.records:,} records wait, nothing is lost; {found.hint}"
    if found.code in ("denied", "no_key") and facts.auth_log is not None:
        said = f"{said}; see {facts.auth_log}"
    return DoctorFinding("trouble", GRAVITY.get(found.code, "fail"), said)


def dead_letters(_: DoctorFacts, here: Local) -> DoctorFinding:
    """Records that the cloud refused for good."""
    if here.sidecar_error is not None:
        return DoctorFinding("dead_letters", "skip", "the sidecar cannot be read")
    if here.dead_letters:
        return DoctorFinding(
            "dead_letters", "warn", f"{here.dead_letters:,}; list them with: gradata dead-letters list"
        )
    return DoctorFinding("dead_letters", "ok", "none")


def proof(facts: DoctorFacts, here: Local) -> DoctorFinding:
    """Whether the cloud has these very records."""
    cloud = facts.cloud
    if cloud is None:
        return DoctorFinding("proof", "skip", "the cloud was not asked")
    if cloud.head is None:
        return DoctorFinding("proof", "skip", "the cloud did not say where it stands")
    if not cloud.in_step:
        cure = "a running replicator begins a new generation; nothing is overwritten; look with: gradata verify"
        return DoctorFinding(
            "proof", "fail", f"the cloud's {cloud.head.size:,} records are not those of this log; {cure}"
        )
    known = here.standing.cursor if here.standing is not None else None
    if known is not None and cloud.head.size < known.size:
        lost = f"the cloud is behind: it has {cloud.head.size:,} of the {known.size:,} records that it acknowledged"
        return DoctorFinding("proof", "warn", f"{lost}; they are sent again automatically")
    if cloud.parent is not None and known is not None and cloud.parent.size > known.size:
        only = cloud.parent.size - known.size
        return DoctorFinding(
            "proof", "warn", f"in step at size {cloud.head.size:,}; at least {only:,} records of the generation before "
            f"({cloud.parent.log_id}) are only at the cloud; bring them back with: gradata restore --merge"
        )  # fmt: skip
    return DoctorFinding("proof", "ok", f"in step with the cloud at size {cloud.head.size:,}")


def cloud(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """Whether the cloud answers now."""
    asked = facts.cloud
    if asked is None:
        return DoctorFinding("cloud", "skip", "not asked")
    if asked.head is not None or asked.code == "":
        return DoctorFinding("cloud", "ok", f"answers at {facts.endpoint}")
    if asked.code in ("no_consent", "no_ids", "no_key"):
        return DoctorFinding("cloud", "skip", f"not asked: {asked.reason}")
    if asked.code == "denied":
        return DoctorFinding(
            "cloud", "fail", f"it rejects the API key: {asked.reason}; put a valid one into ~/.gradata/key"
        )
    hint = "nothing to do if it is meant to be away: everything waits in the log"
    return DoctorFinding("cloud", "warn", f"no valid answer: {asked.reason}; {hint}")


def clock(facts: DoctorFacts, here: Local) -> DoctorFinding:
    """This machine's clock against the cloud's and against its own past. Nothing is decided by it but what is shown."""
    off = facts.cloud.clock_off_s if facts.cloud is not None else None
    if off is not None and abs(off) > CLOCK_WARN_S:
        way = "ahead of" if off > 0 else "behind"
        said = f"{abs(off):,.0f} s {way} the cloud's: shown times are odd, nothing else is; set it (timedatectl)"
        return DoctorFinding("clock", "warn", said)
    if off is not None:
        return DoctorFinding("clock", "ok", "as the cloud's")
    if here.written_at is not None and here.log_bytes and here.written_at - facts.now > CLOCK_WARN_S:
        early = here.written_at - facts.now
        return DoctorFinding("clock", "warn", f"it was set back: the log was last written {early:,.0f} s in the future")
    return DoctorFinding("clock", "skip", "not compared")


def backlog(facts: DoctorFacts, here: Local) -> DoctorFinding:
    """The backlog and its age."""
    waiting, limits = here.backlog, facts.thresholds
    if here.log_error is not None:
        return DoctorFinding("backlog", "skip", "the log cannot be read")
    if not waiting.records:
        tail = f" ({waiting.bytes:,} bytes of an incomplete record)" if waiting.bytes else ""
        return DoctorFinding("backlog", "ok", f"0 pending{tail}")
    count = f"{waiting.records:,}" if waiting.exact else f"at least {waiting.records:,}"
    said = f"{count} pending, {waiting.bytes:,} bytes"
    since = _pending_since(facts, here)
    old = since is not None and facts.now - since > limits.backlog_warn_s
    if since is not None and old:
        said = f"{said}, the oldest from {ago(facts, since)}"
    if local_only(facts):
        return DoctorFinding("backlog", "skip", f"{said}: they stay on this machine")
    if waiting.records > limits.backlog_records_max:
        return DoctorFinding(
            "backlog", "fail", f"{said}: more than {limits.backlog_records_max:,}; run: gradata replicate"
        )
    return (
        DoctorFinding("backlog", "warn", f"{said}; run: gradata replicate")
        if old
        else DoctorFinding("backlog", "ok", said)
    )


def _pending_since(facts: DoctorFacts, here: Local) -> float | None:
    """Since when the oldest pending record is waiting: its own timestamp, else the log's last write. None while
    acknowledgements arrive.
    """
    acked = seconds(here.status.last_ack_at) if here.status is not None else None
    if here.holder is not None and acked is not None and facts.now - acked < ACKED_LATELY_S:
        return None
    said = here.backlog.first_ts
    if said is None or said > facts.now:
        said = here.written_at
    return said


def local_only(facts: DoctorFacts) -> bool:
    """Whether the backlog is meant to stay here: by a switch, by consent, or because no key was ever set."""
    return facts.cloud_off or facts.consent_refused is not None or facts.key.source is None
