"""Checks of a brain and its replication.

Pure: `examine(facts)` turns the facts of `collect` into findings, worst first, without reading files or a clock. Each
finding says what is wrong, since when, how much is waiting, and what to run. It works with the replicator dead, the
cloud down and the sidecar lost: a part that cannot be read is itself a finding. So is silence (nothing captured,
nothing acknowledged), because no backlog shows what was never written.

`facts` has the values; `checks_local`, `checks_replication` and `checks_agents` the checks; `format` the formatting of
times and troubles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from gradata.doctor import checks_agents, checks_local, checks_replication
from gradata.doctor.facts import (
    DiskFact,
    DoctorFacts,
    DoctorFinding,
    EventsFact,
    FindingStatus,
    KeyFact,
    ProjectionFact,
    RecordsFact,
    Thresholds,
)
from gradata.replicate.state import Local

__all__ = [
    "MARKS",
    "DiskFact",
    "DoctorFacts",
    "DoctorFinding",
    "EventsFact",
    "FindingStatus",
    "Health",
    "KeyFact",
    "ProjectionFact",
    "RecordsFact",
    "Thresholds",
    "examine",
    "health",
    "worst",
]

Health = Literal["healthy", "degraded", "broken"]
MARKS: dict[FindingStatus, str] = {"ok": "+", "skip": "-", "missing": "!", "warn": "!", "fail": "X", "error": "X"}
_RANK: dict[FindingStatus, int] = {"fail": 0, "error": 1, "missing": 2, "warn": 3, "ok": 4, "skip": 5}
_HEALTH: tuple[Health, ...] = ("broken", "degraded", "healthy")

_CHECKS: tuple[Callable[[DoctorFacts, Local], DoctorFinding], ...] = (
    checks_local.brain,
    checks_local.config,
    checks_local.log,
    checks_local.records,
    checks_local.last_event,
    checks_local.projection,
    checks_replication.key,
    checks_replication.endpoint,
    checks_replication.write_through,
    checks_replication.consent,
    checks_replication.replicator,
    checks_replication.backlog,
    checks_replication.last_ack,
    checks_replication.trouble,
    checks_replication.dead_letters,
    checks_replication.proof,
    checks_replication.cloud,
    checks_replication.clock,
    checks_local.sidecar,
    checks_agents.hooks,
    checks_agents.old_hooks,
    checks_local.disk,
    checks_local.file_events,
    checks_local.sqlite,
)


def examine(facts: DoctorFacts) -> tuple[DoctorFinding, ...]:
    """The findings of all checks, worst first, otherwise in the order of the checks."""
    if not facts.brain_exists or facts.local is None:
        hint = f"make one with: gradata init {facts.brain_dir}"
        return (DoctorFinding("brain", "fail", f"no brain at {facts.brain_dir} ({facts.brain_from}); {hint}"),)
    findings = [*(check(facts, facts.local) for check in _CHECKS), *checks_agents.agents(facts)]
    return tuple(sorted(findings, key=lambda finding: _RANK[finding.status]))


def health(findings: tuple[DoctorFinding, ...]) -> Health:
    """`broken` for any fail; `degraded` for any warn, missing or error; else `healthy`."""
    found = {finding.status for finding in findings}
    if "fail" in found:
        return "broken"
    return "degraded" if found & {"warn", "missing", "error"} else "healthy"


def worst(verdicts: tuple[Health, ...]) -> Health:
    """The worst of several brains' verdicts."""
    return min(verdicts, key=_HEALTH.index, default="healthy")
