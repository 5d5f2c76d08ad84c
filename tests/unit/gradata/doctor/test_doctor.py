"""`doctor` as a pure function: facts in, findings out, worst first, true with any part dead."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest

from gradata.agents import AgentFact, AgentsFound, OldFact, Unread
from gradata.agents.model import AgentTrust
from gradata.doctor import (
    DiskFact,
    DoctorFacts,
    DoctorFinding,
    EventsFact,
    KeyFact,
    ProjectionFact,
    RecordsFact,
    Thresholds,
    examine,
    health,
    worst,
)
from gradata.doctor.format import TROUBLES
from gradata.hints import HINTS
from gradata.replicate.state import Backlog, CloudSide, Local
from replicator.errors import LogError, SidecarError
from replicator.lease import Holder
from replicator.model import Anchor, Cursor, Head, Standing
from replicator.progress import TroubleCode
from replicator.proof import CompactRange, leaf_hashes
from replicator.status import Shown, State, Status

NOW = 1_800_000_000.0
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
TREE = CompactRange.EMPTY.extended(leaf_hashes([b"{}\n"] * 3))
CURSOR = Cursor("log-1", 9, TREE, None, Anchor.of(b"{}\n"))
STANDING = Standing(CURSOR, "cloud-1", "https://cloud.example/api/v1")


def iso(seconds: float) -> str:
    """ISO 8601, UTC, as a status has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def status(code: str | None = None, *, state: State = "live", **fields: object) -> Status:
    """A leader's status, in trouble `code` for half an hour, if any."""
    trouble = None if code is None else Shown(code, "in its words", iso(NOW - HOUR / 2), HINTS[code])
    made = Status(
        state, iso(NOW - 1), "https://cloud.example/api/v1", last_ack_at=iso(NOW - 10), trouble=trouble, pid=7
    )
    return replace(made, **fields)


AGENT = AgentFact(
    "claude-code", "Claude Code", "/brain", ("/home/.claude/settings.json",), "yes", trust=AgentTrust("trusted"),
    installed_at=NOW - 9 * DAY, last_fired_at=NOW - HOUR, last_capture_at=NOW - 2 * HOUR,
    command="gradata install --agent claude-code --brain /brain",
)  # fmt: skip
OLD = OldFact(
    "hermes", "/home/.hermes/config.yaml", "on_session_end", None, True, False, "an entry syncs with the cloud",
    "run: gradata install --agent hermes --brain /brain",
)  # fmt: skip
HEALTHY_LOCAL = Local(
    "/brain/events.jsonl",
    log_bytes=9,
    log_exists=True,
    written_at=NOW - 30,
    standing=STANDING,
    status=status(),
    sidecar_exists=True,
    holder=Holder(7, "laptop", "2026-11-23T10:00:00Z"),
)
HEALTHY = DoctorFacts(
    now=NOW,
    brain_dir="/brain",
    brain_from="as given",
    brain_exists=True,
    made_at=NOW - 9 * DAY,
    local=HEALTHY_LOCAL,
    cloud=CloudSide(Head("log-1", 3, TREE.root, 9), in_step=True, clock_off_s=0.4),
    key=KeyFact("GRADATA_API_KEY"),
    endpoint="https://cloud.example/api/v1",
    endpoint_from="from GRADATA_ENDPOINT",
    projection=ProjectionFact(0, exists=True),
    records=RecordsFact(3),
    disk=DiskFact(50 * 10**9, 100 * 10**9, 1_000),
    events=EventsFact(True, "", "max_user_instances 128"),
    agents=AgentsFound(agents=(AGENT,)),
    sqlite_version="3.51.3",
)


def local(**fields: object) -> DoctorFacts:
    """The healthy facts with this machine's side changed."""
    return replace(HEALTHY, local=replace(HEALTHY_LOCAL, **fields))


def finding(facts: DoctorFacts, name: str) -> DoctorFinding:
    """The one finding of this name."""
    (found,) = [each for each in examine(facts) if each.name == name]
    return found


def verdict(facts: DoctorFacts, name: str) -> str:
    """Its status alone."""
    return finding(facts, name).status


def test_a_healthy_brain_is_healthy() -> None:
    """With everything as it should be, each check is ok and the whole is healthy."""
    findings = examine(HEALTHY)
    assert {each.status for each in findings} == {"ok"}
    assert health(findings) == "healthy"


def test_every_check_reports_exactly_once() -> None:
    """Nobody looks for a check in vain: the names stand, whatever is broken."""
    broken = replace(
        local(log_error=LogError("gone"), sidecar_error=SidecarError("locked"), lease_error=SidecarError("planted")),
        cloud=None,
    )
    names = sorted(each.name for each in examine(HEALTHY))
    assert sorted(each.name for each in examine(broken)) == names
    assert len(set(names)) == len(names)


def test_no_brain_is_the_only_finding() -> None:
    """Without a brain there is one failure, and it says how to make one."""
    (only,) = examine(replace(HEALTHY, brain_exists=False, local=None))
    assert (only.name, only.status) == ("brain", "fail")
    assert "gradata init /brain" in only.detail


def test_the_worst_comes_first() -> None:
    """Failures before errors before warnings before what is fine."""
    facts = replace(
        local(status=status("denied", state="paused"), dead_letters=2),
        projection=ProjectionFact(trouble="locked", exists=True),
    )
    found = [each.status for each in examine(facts)]
    assert found == sorted(found, key=["fail", "error", "missing", "warn", "ok", "skip"].index)
    assert found[0] == "fail"


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        (("ok", "skip"), "healthy"),
        (("ok", "warn"), "degraded"),
        (("missing",), "degraded"),
        (("error",), "degraded"),
        (("warn", "fail"), "broken"),
    ],
)
def test_health_is_that_of_the_worst(findings: tuple[str, ...], expected: str) -> None:
    """One failure makes it broken, anything else that is amiss degrades it."""
    assert health(tuple(DoctorFinding("x", each, "") for each in findings)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("records", "age_s", "expected"),
    [(0, 0.0, "ok"), (3, 59.0, "ok"), (3, 61.0, "warn"), (1_000, 61.0, "warn"), (1_001, 1.0, "fail")],
)
def test_the_backlog_warns_after_a_minute_and_fails_above_a_thousand(records: int, age_s: float, expected: str) -> None:
    """The limits of the specification, to the record and the second."""
    waiting = Backlog(records * 3, records, first_ts=NOW - age_s)
    facts = local(backlog=waiting, status=status(last_ack_at=iso(NOW - HOUR)))
    found = finding(facts, "backlog")
    assert found.status == expected
    assert found.detail.startswith(f"{records:,} pending")


def test_a_backlog_under_way_is_no_warning() -> None:
    """While acknowledgements come, old records (mined, backfilled) are on their way, not stuck."""
    waiting = Backlog(90, 30, first_ts=NOW - 90 * DAY)
    assert verdict(local(backlog=waiting), "backlog") == "ok"
    assert verdict(local(backlog=waiting, holder=None), "backlog") == "warn"


def test_a_bounded_count_says_so() -> None:
    """A lower bound is never shown as a number."""
    facts = local(backlog=Backlog(1 << 40, 5_000, exact=False, first_ts=NOW))
    assert finding(facts, "backlog").detail.startswith("at least 5,000 pending")


def test_a_record_in_the_making_is_no_backlog() -> None:
    """A torn tail is a write in progress."""
    found = finding(local(backlog=Backlog(17, 0)), "backlog")
    assert found.status == "ok"
    assert "17 bytes" in found.detail


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("unavailable", "warn"),
        ("no_key", "warn"),
        ("no_consent", "skip"),
        ("denied", "fail"),
        ("misconfigured", "fail"),
        ("malformed", "fail"),
        ("refusing", "fail"),
        ("disagreement", "fail"),
        ("too_old", "fail"),
        ("held", "fail"),
        ("gone", "fail"),
    ],
)
def test_each_trouble_has_words_a_time_and_a_hint(code: str, expected: str) -> None:
    """What, since when, how much waits, what to do; what a person must mend is a failure, a cloud away is not."""
    found = finding(local(status=status(code, state="paused"), backlog=Backlog(300, 312)), "trouble")
    assert found.status == expected
    assert "since 2027-01-15 07:30 UTC (30 min)" in found.detail
    assert "in its words" in found.detail
    assert "312 records wait, nothing is lost" in found.detail
    assert HINTS[code] in found.detail
    assert code not in found.detail.split()


def test_trouble_of_a_dead_replicator_is_told_with_its_age() -> None:
    """What the last one met may be over: it says as of when, and that nobody looks now."""
    assert "nobody replicates now" not in finding(local(status=status("denied")), "trouble").detail
    dead = finding(local(status=status("denied"), holder=None), "trouble").detail
    assert "as of 2027-01-15 07:59 UTC: nobody replicates now" in dead


def test_a_time_that_is_none_is_shown_as_it_is() -> None:
    """A status of another version may say since-when in words of its own."""
    odd = status(trouble=Shown("denied", "", "this morning", "put a key"))
    assert "since this morning; 0 records wait" in finding(local(status=odd), "trouble").detail


def test_no_trouble_is_without_words() -> None:
    """Every code that replication knows is said in a sentence, not as a code."""
    assert set(TROUBLES) == set(get_args(TroubleCode)) <= set(HINTS)


def test_f33_a_refused_key_names_the_auth_log() -> None:
    """Paused by 401, doctor says in words that the key is refused, and where the local auth log is."""
    facts = replace(local(status=status("denied", state="paused")), auth_log="/brain/logs/replication-auth.log")
    assert "the server refuses the API key" in finding(facts, "trouble").detail
    assert finding(facts, "trouble").detail.endswith("see /brain/logs/replication-auth.log")


def test_f51_a_missing_key_says_what_to_set() -> None:
    """Without a key the brain works on its own: degraded, not broken, and told what would change that."""
    facts = replace(local(holder=None, backlog=Backlog(9_000, 3_000, first_ts=NOW - DAY)), key=KeyFact())
    found = finding(facts, "key")
    assert found.status == "missing"
    assert "~/.gradata/key" in found.detail
    assert "GRADATA_API_KEY" in found.detail
    assert health(examine(facts)) == "degraded"


def test_f52_withheld_consent_is_a_choice() -> None:
    """What the user decided is shown, and nothing is called broken for it."""
    facts = replace(
        local(holder=None, backlog=Backlog(9_000, 3_000, first_ts=NOW - DAY), status=None),
        consent_refused="sync_enabled is not true in /brain/cloud-config.json",
        cloud=CloudSide(reason="sync_enabled is not true", code="no_consent"),
    )
    assert "sync_enabled" in finding(facts, "consent").detail
    assert [verdict(facts, name) for name in ("consent", "backlog", "replicator", "cloud")] == ["skip"] * 4
    assert verdict(replace(facts, consent_by_choice=False), "consent") == "warn"


def test_f53_silence_is_a_finding() -> None:
    """A capture that never fires leaves no backlog: the age of the last event shows it."""
    silent = finding(local(written_at=NOW - 5 * DAY), "last_event")
    assert silent.status == "warn"
    assert "5 d ago" in silent.detail
    assert verdict(local(written_at=NOW - 23 * HOUR), "last_event") == "ok"


def test_f53_a_brain_that_never_saw_an_event_is_a_finding() -> None:
    """An empty log is nothing on the first day, and a warning after it."""
    empty = replace(HEALTHY_LOCAL, log_bytes=0)
    assert verdict(replace(HEALTHY, local=empty, made_at=NOW - HOUR), "last_event") == "skip"
    assert verdict(replace(HEALTHY, local=empty, made_at=NOW - 2 * DAY), "last_event") == "warn"
    assert verdict(replace(HEALTHY, local=empty, made_at=None), "last_event") == "skip"


def test_f44_a_dead_replicator_with_a_backlog_is_a_warning() -> None:
    """Nobody leads and records wait: it says so, who was last, and what to run."""
    found = finding(local(holder=None, backlog=Backlog(30, 10, first_ts=NOW - HOUR)), "replicator")
    assert found.status == "warn"
    assert "pid 7" in found.detail
    assert "gradata replicate --follow" in found.detail
    assert verdict(local(holder=None), "replicator") == "ok"
    assert verdict(local(holder=None, backlog=Backlog(3, 1), status=None), "replicator") == "warn"


def test_f50_switched_off_write_through_is_shown_and_its_backlog_still_counts() -> None:
    """With the rollback switch set something else replicates: a backlog is a backlog all the same."""
    off = {"write_through": False, "why_not": "GRADATA_DISABLE_WRITE_THROUGH is set"}
    idle = replace(local(holder=None), **off)
    assert "GRADATA_DISABLE_WRITE_THROUGH" in finding(idle, "write_through").detail
    assert verdict(idle, "replicator") == "skip"
    behind = replace(local(holder=None, backlog=Backlog(9_000, 3_000, first_ts=NOW - DAY)), **off)
    assert verdict(behind, "backlog") == "fail"


@pytest.mark.parametrize(
    ("here", "name", "expected"),
    [
        ({"log_error": LogError("it is a directory", hint="move it")}, "log", "fail"),
        ({"log_exists": False, "log_bytes": 0}, "log", "missing"),
        ({"status": status(log_trouble="EACCES: no")}, "log", "fail"),
        ({"status": status(log_trouble="EACCES: no"), "holder": None}, "log", "ok"),
        ({"lease_error": SidecarError("a symlink", hint="remove it")}, "replicator", "error"),
        ({"sidecar_error": SidecarError("locked", hint="wait")}, "sidecar", "error"),
        ({"sidecar_error": SidecarError("locked"), "status": None, "standing": None}, "replicator", "ok"),
        ({"status": status(sidecar_trouble="disk full")}, "sidecar", "warn"),
        ({"standing": None, "status": None, "sidecar_exists": False}, "sidecar", "missing"),
        ({"standing": None, "status": None}, "sidecar", "skip"),
        ({"standing": None, "status": None}, "last_ack", "skip"),
        ({"status": status(last_ack_at=None)}, "last_ack", "skip"),
        ({"status": status(last_ack_at="not a time")}, "last_ack", "skip"),
        ({"log_bytes": 4}, "sidecar", "warn"),
        ({"log_error": LogError("it is a directory", hint="move it")}, "records", "skip"),
        ({"written_at": NOW + HOUR}, "clock", "ok"),
        ({"order": 3}, "sidecar", "ok"),
        ({"dead_letters": 1}, "dead_letters", "warn"),
        ({"status": None}, "replicator", "ok"),
    ],
)
def test_each_part_answers_for_itself(here: dict[str, object], name: str, expected: str) -> None:
    """A log, lease, sidecar or status that is gone or broken is told by its own check."""
    assert verdict(local(**here), name) == expected


@pytest.mark.parametrize(
    ("changed", "name", "expected"),
    [
        ({"key": KeyFact("x", trouble="it has spaces")}, "key", "fail"),
        ({"key": KeyFact("x", conflict="another one")}, "key", "warn"),
        ({"endpoint_trouble": "no scheme"}, "endpoint", "fail"),
        ({"projection": ProjectionFact()}, "projection", "skip"),
        ({"projection": ProjectionFact(None, exists=True)}, "projection", "skip"),
        ({"projection": ProjectionFact(12, exists=True)}, "projection", "ok"),
        ({"projection": ProjectionFact(trouble="x", exists=True)}, "projection", "error"),
        ({"cloud_off": True, "write_through": False}, "replicator", "ok"),
        ({"cloud": None}, "cloud", "skip"),
        ({"cloud": None}, "proof", "skip"),
        ({"cloud": CloudSide(reason="refused", code="unavailable")}, "cloud", "warn"),
        ({"cloud": CloudSide(reason="401", code="denied")}, "cloud", "fail"),
        ({"cloud": CloudSide(reason="none", code="no_key")}, "cloud", "skip"),
        ({"cloud": CloudSide(reason="none", code="unavailable")}, "proof", "skip"),
        ({"cloud": CloudSide(reason="the cloud has no log of this brain")}, "cloud", "ok"),
        ({"cloud": CloudSide(Head("log-1", 3, TREE.root), in_step=False)}, "proof", "fail"),
        ({"cloud": CloudSide(Head("log-1", 2, TREE.root), in_step=True)}, "proof", "warn"),
        ({"set_aside": 1}, "sidecar", "ok"),
        ({"key": KeyFact("x", stale_token="/brain/cloud-config.json")}, "key", "warn"),
        ({"key": KeyFact(stale_token="/brain/cloud-config.json")}, "key", "missing"),
        ({"config_trouble": "there is no setting `x`", "write_through": False, "cloud_off": True}, "config", "fail"),
        ({"config_trouble": "there is no setting `x`", "write_through": False}, "write_through", "warn"),
        ({"config_files": ("/brain/config.toml",)}, "config", "ok"),
        ({"records": RecordsFact()}, "records", "ok"),
        ({"records": RecordsFact(500, 3, 0, 77, whole=False)}, "records", "ok"),
        ({"records": RecordsFact(500, 3, 1, 77)}, "records", "warn"),
        ({"disk": None}, "disk", "skip"),
        ({"disk": DiskFact(trouble="gone")}, "disk", "error"),
        ({"disk": DiskFact(10**9 - 1, 10**12)}, "disk", "warn"),
        ({"disk": DiskFact(10**7, 10**12)}, "disk", "fail"),
        ({"disk": DiskFact(10**12, 10**12, 0)}, "disk", "fail"),
        ({"events": EventsFact()}, "file_events", "skip"),
        ({"events": EventsFact(False, "no further watcher", "max_user_instances 128")}, "file_events", "warn"),
        ({"agents": None}, "hooks", "skip"),
        ({"agents": None}, "old_hooks", "skip"),
        ({"agents": AgentsFound()}, "hooks", "skip"),
        ({"agents": AgentsFound(old=(OLD,))}, "old_hooks", "warn"),
        (
            {"agents": AgentsFound(unread=(Unread("codex", "/home/.codex/config.toml", "no TOML"),))},
            "old_hooks",
            "warn",
        ),
        (
            {"agents": AgentsFound(agents=(replace(AGENT, last_fired_at=None, never_fired=("capture",)),))},
            "hooks",
            "warn",
        ),
        ({"agents": AgentsFound(agents=(replace(AGENT, last_fired_at=None, installed_at=NOW - HOUR),))}, "hooks", "ok"),
        ({"agents": AgentsFound(agents=(replace(AGENT, last_fired_at=None, installed_at=None),))}, "hooks", "ok"),
        ({"agents": AgentsFound(agents=(replace(AGENT, trouble="the brain is gone"),))}, "hooks", "warn"),
        ({"agents": AgentsFound(agents=(replace(AGENT, unknown_forms=2),))}, "hooks", "warn"),
        ({"agents": AgentsFound(agents=(replace(AGENT, installed="no"),))}, "hooks", "skip"),
        ({"agents": AgentsFound(agents=(replace(AGENT, installed="no"),))}, "agent_claude_code", "skip"),
        ({"agents": AgentsFound(agents=(replace(AGENT, installed="partly", missing=("Stop",)),))}, "hooks", "warn"),
        ({"agents": AgentsFound(agents=(replace(AGENT, trust=AgentTrust("untrusted", "x", "y")),))}, "hooks", "warn"),
        ({"agents": AgentsFound(agents=(replace(AGENT, trust=AgentTrust("unknown")),))}, "hooks", "ok"),
        ({"agents": AgentsFound(old=(replace(OLD, sync=False, stays=True),))}, "old_hooks", "ok"),
        ({"cloud": CloudSide(reason="x", code="unavailable", clock_off_s=-90.0)}, "clock", "warn"),
        ({"cloud": None}, "clock", "skip"),
        ({"sqlite_version": "3.40.1"}, "sqlite", "ok"),
    ],
)
def test_each_setting_and_the_cloud_answer_for_themselves(changed: dict[str, object], name: str, expected: str) -> None:
    """Key, endpoint, projection, cloud and proof: each in its own check; a cloud that is away is only a warning."""
    assert verdict(replace(HEALTHY, **changed), name) == expected


def test_f25_sidecars_set_aside_are_told() -> None:
    """A rebuilt sidecar leaves a trace."""
    assert "2 unusable one(s) were set aside" in finding(replace(HEALTHY, set_aside=2), "sidecar").detail


def test_f09_records_that_only_the_cloud_holds_are_counted() -> None:
    """After the end of a log was cut off, the generation before is longer at the cloud: at least so many are there."""
    cloud = CloudSide(Head("log-1", 3, TREE.root), in_step=True, parent=Head("log-0", 10, TREE.root))
    found = finding(replace(HEALTHY, cloud=cloud), "proof")
    assert found.status == "warn"
    assert "at least 7 records" in found.detail
    assert "log-0" in found.detail


def test_f22_a_clock_that_jumped_makes_odd_times_and_no_failure() -> None:
    """Times in the future, or nonsense, are shown; nothing is decided by them."""
    facts = local(written_at=NOW + DAY, status=status(last_ack_at=iso(NOW + DAY)), backlog=Backlog(3, 1, first_ts=9e9))
    assert verdict(facts, "backlog") == "ok"
    assert finding(facts, "last_event").detail.startswith("0 s ago")
    assert finding(local(status=status("denied", updated_at="x")), "trouble").status == "fail"


def test_f53_hooks_that_never_fired_name_agent_file_and_cure() -> None:
    """The original trouble: an event name that the host ignores. Told with since when, and what to run."""
    fact = replace(AGENT, last_fired_at=None, never_fired=("capture", "recall"))
    never = replace(HEALTHY, agents=AgentsFound(agents=(fact,)))
    assert finding(never, "hooks").detail == "look at agent claude-code"
    detail = finding(never, "agent_claude_code").detail
    assert "never fired since it was installed 9 d ago in /home/.claude/settings.json" in detail
    assert detail.endswith("run: gradata install --agent claude-code --brain /brain")


def test_what_was_not_taken_for_a_persons_edit_is_counted() -> None:
    """By reason; it is nothing to mend."""
    agent = replace(AGENT, left_out={"many_files": 3, "formatting": 1})
    said = finding(replace(HEALTHY, agents=AgentsFound(agents=(agent,))), "agent_claude_code")
    assert said.status == "ok"
    assert said.detail.endswith("changes that were not taken for a person's: formatting 1, many_files 3")


def test_f53_one_hook_that_never_fired_is_not_hidden_by_another() -> None:
    """An event name that the host ignores stops recall alone while capture goes on."""
    fact = replace(AGENT, never_fired=("recall",))
    detail = finding(replace(HEALTHY, agents=AgentsFound(agents=(fact,))), "agent_claude_code").detail
    assert ": recall never fired since it was installed 9 d ago" in detail


def test_each_host_says_when_it_last_ran_recorded_and_recalled() -> None:
    """One line for each host, with nothing to do where nothing is wrong."""
    detail = finding(HEALTHY, "agent_claude_code").detail
    assert detail == "installed, the host runs it; last fired 60 min ago, last capture 2 h ago, last recall never"


def test_a_host_that_waits_for_trust_says_what_a_person_must_do() -> None:
    """Codex and Hermes skip a hook in silence until then."""
    waiting = replace(AGENT, agent="codex", trust=AgentTrust("untrusted", "5 hooks wait", "type /hooks"))
    detail = finding(replace(HEALTHY, agents=AgentsFound(agents=(waiting,))), "agent_codex").detail
    assert "not trusted yet" in detail
    assert detail.endswith(": 5 hooks wait; type /hooks")


def test_old_cloud_sync_entries_come_before_others() -> None:
    """Of several old entries the one that syncs is named, and all are counted."""
    harmless = replace(OLD, sync=False, words="an entry is of an older version")
    detail = finding(replace(HEALTHY, agents=AgentsFound(old=(harmless, OLD))), "old_hooks").detail
    assert detail.startswith("2, 1 of them for cloud sync: an entry syncs with the cloud; run: ")


def test_f22_a_clock_that_differs_from_the_cloud_s_is_told_with_the_number() -> None:
    """In seconds, and which way; only shown times are odd."""
    ahead = replace(HEALTHY, cloud=CloudSide(HEALTHY.cloud.head, True, clock_off_s=3_600.0))
    assert finding(ahead, "clock").detail.startswith("3,600 s ahead of the cloud's")
    back = replace(local(written_at=NOW + HOUR), cloud=None)
    assert finding(back, "clock").detail.startswith("it was set back: the log was last written 3,600 s in the future")


def test_thresholds_are_settings() -> None:
    """What is too much, too old or too silent can be said."""
    waiting = local(backlog=Backlog(9, 3, first_ts=NOW - 5), status=status(last_ack_at=iso(NOW - HOUR)))
    assert verdict(replace(waiting, thresholds=Thresholds(backlog_records_max=2)), "backlog") == "fail"
    assert verdict(replace(waiting, thresholds=Thresholds(backlog_warn_s=4)), "backlog") == "warn"
    assert verdict(replace(HEALTHY, thresholds=Thresholds(silent_s=10)), "last_event") == "warn"


def test_the_projection_is_behind_by_records() -> None:
    """A number that a person can compare, and a lower bound called one."""
    behind = ProjectionFact(900, True, None, 7)
    assert "behind by 7 records (900 bytes)" in finding(replace(HEALTHY, projection=behind), "projection").detail
    bounded = replace(behind, exact=False)
    assert "at least 7 records" in finding(replace(HEALTHY, projection=bounded), "projection").detail


def test_the_worst_of_several_brains_decides() -> None:
    """A fleet is as healthy as its sickest brain."""
    assert worst(("healthy", "broken", "degraded")) == "broken"
    assert worst(("healthy", "degraded")) == "degraded"
    assert worst(()) == "healthy"
