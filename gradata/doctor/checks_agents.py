"""Checks of the installed agents: one finding per agent on this machine. Pure.

A hook that never fires looks like one that has nothing to do. So each finding says when the agent last ran a hook, last
recorded and last recalled, and what would fix a problem.
"""

from __future__ import annotations

from gradata.agents import AgentFact
from gradata.agents.known import SDK_ALONE
from gradata.doctor.facts import DoctorFacts, DoctorFinding, FindingStatus
from gradata.doctor.format import ago, lasting
from gradata.replicate.state import Local

MISSING_SHOWN_MAX = 3


def hooks(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """Whether any agent has this brain's hooks, and which of them need a look."""
    found = facts.agents
    installed = [fact for fact in found.agents if fact.installed != "no"] if found is not None else []
    if found is None or not installed:
        return DoctorFinding(
            "hooks", "skip", "no agent's configuration names this brain; run: gradata install --agent all"
        )
    troubled = [fact.agent for fact in installed if _trouble(facts, fact) is not None]
    if troubled:
        return DoctorFinding("hooks", "warn", f"look at {', '.join(f'agent {name}' for name in troubled)}")
    fired = [fact.last_fired_at for fact in installed if fact.last_fired_at is not None]
    last = f"the last one fired {ago(facts, max(fired))}" if fired else "none has fired yet"
    return DoctorFinding("hooks", "ok", f"{', '.join(fact.agent for fact in installed)}: {last}")


def old_hooks(facts: DoctorFacts, _: Local) -> DoctorFinding:
    """Entries of older versions that sync, capture twice or never run: the cloud-sync ones are what went silent."""
    found = facts.agents
    if found is None:
        return DoctorFinding("old_hooks", "skip", "the agents were not looked at")
    if found.unread:
        first = found.unread[0]
        return DoctorFinding(
            "old_hooks", "warn", f"{first.file} ({first.agent}) could not be looked through: {first.why}"
        )
    mended = [old for old in found.old if not old.stays]
    if not mended:
        dead = f"; {found.old[0].words}: {found.old[0].command}" if found.old else ""
        return DoctorFinding("old_hooks", "ok", f"none{dead}")
    worst = min(mended, key=lambda old: (not old.sync, not old.ignored))
    syncing = sum(old.sync for old in mended)
    said = f"{len(mended)}, {syncing} of them for cloud sync: {worst.words}; {worst.command} ({SDK_ALONE})"
    return DoctorFinding("old_hooks", "warn", said)


def agents(facts: DoctorFacts) -> list[DoctorFinding]:
    """A finding for each host on this machine: `agent_claude_code` and so on."""
    found = facts.agents
    return [_agent(facts, fact) for fact in found.agents] if found is not None else []


def _agent(facts: DoctorFacts, fact: AgentFact) -> DoctorFinding:
    name = f"agent_{fact.agent.replace('-', '_')}"
    if fact.installed == "no":
        return DoctorFinding(name, "skip", f"{fact.title} is here, without hooks for this brain; run: {fact.command}")
    trouble = _trouble(facts, fact)
    status: FindingStatus = "ok" if trouble is None else "warn"
    return DoctorFinding(name, status, f"{_standing(facts, fact)}{'' if trouble is None else f': {trouble}'}")


def _standing(facts: DoctorFacts, fact: AgentFact) -> str:
    installed = "installed" if fact.installed == "yes" else "partly installed"
    trust = {"trusted": ", the host runs it", "untrusted": ", not trusted yet", "off": ", switched off"}
    times = (("fired", fact.last_fired_at), ("capture", fact.last_capture_at), ("recall", fact.last_recall_at))
    said = ", ".join(f"last {name} {'never' if at is None else ago(facts, at)}" for name, at in times)
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(fact.left_out.items()))
    left_out = f"; changes that were not taken for a person's: {reasons}" if reasons else ""
    return f"{installed}{trust.get(fact.trust.state, '')}; {said}{left_out}"


def _trouble(facts: DoctorFacts, fact: AgentFact) -> str | None:
    """What is wrong and what would mend it; None: nothing."""
    if fact.missing:
        more = f" and {len(fact.missing) - MISSING_SHOWN_MAX} more" if len(fact.missing) > MISSING_SHOWN_MAX else ""
        return f"no entry for {', '.join(fact.missing[:MISSING_SHOWN_MAX])}{more}; run: {fact.command}"
    if fact.trust.state in ("untrusted", "off"):
        return f"{fact.trust.why}; {fact.trust.cure}"
    if fact.trouble is not None:
        return fact.trouble
    if fact.unknown_forms:
        return f"{fact.unknown_forms} calls of {fact.title} were not understood; is there a newer gradata?"
    silent_s = facts.thresholds.silent_s
    if fact.never_fired and fact.installed_at is not None and facts.now - fact.installed_at > silent_s:
        which = "" if fact.last_fired_at is None else f"{' and '.join(fact.never_fired)} "
        since = lasting(facts.now - fact.installed_at)
        never = f"{which}never fired since it was installed {since} ago in {fact.files[0]}"
        return f"{never}; is the agent used? run: {fact.command}"
    return None
