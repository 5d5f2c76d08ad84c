"""status: what others see of a progress, and what a person is told once, at the edge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replicator import actions as act
from replicator import status as st
from replicator.model import DeadLetter, Policy, Standing, TreeHead
from replicator.progress import Progress, Trouble
from replicator.testing.log import cursor_at

LOG = (b"one\n", b"two\n", b"three\n")
HERE = "https://here/api/v1"
THEN, NOW = "2026-11-23T10:00:00.000+00:00", "2026-11-23T10:00:09.000+00:00"
LETTER = DeadLetter("log-1", 1, 4, 4, "refused", "no")


def at(size: int, **fields: object) -> Progress:
    """A progress behind `size` records of a cloud that is known."""
    standing = Standing(cursor_at("log-1", LOG[:size]), "cloud-1", HERE)
    return replace(Progress.start(standing, policy=Policy(), endpoint=HERE), **fields)  # type: ignore[arg-type]


def shown(p: Progress, before: st.Status | None = None, *, log_bytes: int = 14, now: str = NOW) -> st.Status:
    return st.build(p, st.Facts(log_bytes, now), before)


def codes(before: Progress, after: Progress) -> list[str]:
    return [notice.code for notice in st.notices(before, after)]


# ------------------------------------------------------------------------------ status


@pytest.mark.parametrize(
    ("p", "state"),
    [
        (Progress.start(None, policy=Policy(), endpoint=HERE), "starting"),
        (at(3), "live"),
        (at(1), "lagging"),
        (at(1, caught_up=True), "live"),
        (at(1, caught_up=True, log_trouble=act.ReadFailed("EACCES", "no")), "lagging"),
        (at(1, trouble=Trouble("unavailable")), "retrying"),
        (at(3, trouble=Trouble("denied", "", 401)), "paused"),
        (at(3, trouble=Trouble("held")), "held"),
        (at(3, trouble=Trouble("gone", "", 410)), "stopped"),
    ],
)
def test_the_state_names_what_holds_records_up(p: Progress, state: str) -> None:
    """Trouble first; else whether anything waits: a torn tail does not, a log that cannot be read may."""
    assert shown(p).state == state


def test_the_backlog_is_what_the_cursor_has_not_reached() -> None:
    """In bytes; a log that became shorter than the cursor has none."""
    assert (shown(at(1)).backlog_bytes, shown(at(3), log_bytes=2).backlog_bytes) == (10, 0)


def test_the_last_ack_is_when_the_offset_of_this_log_grew() -> None:
    """Not at the first look, not when the cursor goes back, not for another log."""
    first = shown(at(1), now=THEN)
    assert first.last_ack_at is None
    acked = shown(at(2), first, now=THEN)
    assert acked.last_ack_at == THEN
    assert shown(at(2), acked).last_ack_at == THEN
    assert shown(at(1), acked).last_ack_at == THEN
    other = Standing(cursor_at("log-2", LOG), "cloud-1", HERE)
    assert shown(at(1, standing=other), acked).last_ack_at == THEN


def test_trouble_is_shown_with_status_hint_and_since_when() -> None:
    """While the code stays the same its beginning stays; another code begins anew; every code has a hint."""
    denied = shown(at(1, trouble=Trouble("denied", "key_unknown", 401)), now=THEN)
    assert denied.trouble == st.Shown("denied", "key_unknown (401)", THEN, st.HINTS["denied"])
    again = shown(at(1, trouble=Trouble("denied", "key_unknown", 401)), denied)
    assert again.trouble == denied.trouble
    other = shown(at(1, trouble=Trouble("no_key", "none")), denied)
    assert other.trouble == st.Shown("no_key", "none", NOW, st.HINTS["no_key"])


def test_a_status_of_a_troubled_log_and_sidecar_says_so() -> None:
    """Each in words; a log that is sent again says how far."""
    standing = replace(at(1).standing or Standing(cursor_at("-", ())), resend=TreeHead(3, b""))
    p = at(1, log_trouble=act.ReadFailed("EIO", "no"), save_trouble="disk full", standing=standing)
    status = shown(p)
    assert (status.log_trouble, status.sidecar_trouble, status.resending_to) == ("EIO: no", "disk full", 3)


def test_f55_the_report_to_the_cloud_holds_only_numbers_codes_and_times() -> None:
    """What travels with each request: no detail of a trouble, no path, no name of a host."""
    report = st.report(shown(at(1, trouble=Trouble("denied", "a detail", 401))))
    assert (report.state, report.trouble, report.backlog_bytes, report.version) == ("paused", "denied", 10, "unknown")
    assert st.report(shown(at(3))).trouble is None


def test_a_status_survives_as_json() -> None:
    """What `to_json` wrote `from_json` reads, trouble or not."""
    for p in (at(3), at(1, trouble=Trouble("denied", "", 401))):
        status = shown(p)
        assert st.from_json(st.to_json(status)) == status


def test_a_status_of_another_version_is_read_as_far_as_it_goes() -> None:
    """Unknown fields are ignored, missing ones have their defaults, a trouble of another form is none."""
    text = b'{"state": "live", "updated_at": "then", "endpoint": "e", "later": 1, "trouble": "odd", "offset": 7}'
    assert st.from_json(text) == st.Status("live", "then", "e", offset=7)


@pytest.mark.parametrize("text", [b"", b"nonsense", b"[]", b'{"state": "live"}'])
def test_f25_what_is_no_status_is_none(text: bytes) -> None:
    """Garbage in the sidecar is no crash."""
    assert st.from_json(text) is None


def test_a_status_that_somebody_else_wrote_is_refreshed_by_the_logs_length() -> None:
    """A follower shows the backlog as the log stands now; live with a backlog is lagging, trouble stays trouble."""
    live = shown(at(3))
    assert st.refreshed(live, log_bytes=14).state == "live"
    assert (st.refreshed(live, log_bytes=20).state, st.refreshed(live, log_bytes=20).backlog_bytes) == ("lagging", 6)
    paused = shown(at(3, trouble=Trouble("denied", "", 401)))
    assert st.refreshed(paused, log_bytes=20).state == "paused"


# ------------------------------------------------------------------------------ notices


@pytest.mark.parametrize(
    ("trouble", "verb", "grave"),
    [
        (Trouble("unavailable", "down"), "waits and tries again", False),
        (Trouble("denied", "key_unknown", 401), "paused", True),
        (Trouble("gone", "deleted", 410), "stopped", True),
    ],
)
def test_trouble_is_told_once_and_its_end_too(trouble: Trouble, verb: str, grave: bool) -> None:
    """At its edges only; with the status, what holds meanwhile, and what to run."""
    calm, troubled = at(1), at(1, trouble=trouble)
    (notice,) = st.notices(calm, troubled)
    status = f" ({trouble.status})" if trouble.status else ""
    assert notice.text == f"replication {verb}: {trouble.code}{status}: {trouble.detail}; nothing is lost"
    assert (notice.hint, notice.grave) == (st.HINTS[trouble.code], grave)
    assert codes(troubled, replace(troubled, failures=9)) == []
    assert codes(troubled, calm) == ["recovered"]
    assert codes(calm, calm) == []


def test_a_trouble_that_turns_into_another_is_told() -> None:
    """From unavailable to denied: a person has to act now."""
    assert codes(at(1, trouble=Trouble("unavailable")), at(1, trouble=Trouble("denied"))) == ["denied"]


def test_f04_a_new_generation_is_told_gravely_with_its_reason() -> None:
    """Both names and why."""
    before = at(2, renew="the anchor does not hold")
    after = replace(before, renew=None, standing=Standing(cursor_at("log-2", ()), "cloud-1", HERE))
    (notice,) = st.notices(before, after)
    assert (notice.code, notice.grave) == ("new_generation", True)
    assert notice.text == "the log begins a new generation log-2 (after log-1): the anchor does not hold"


def test_f27_a_cursor_that_goes_back_is_told_by_its_cause() -> None:
    """By the cloud's word it is grave; by a person's order it is an echo."""
    before = at(3)
    rewound = at(1, tally=replace(before.tally, rewinds=1))
    (notice,) = st.notices(before, rewound)
    assert (notice.code, notice.grave) == ("rewound", True)
    assert notice.text == "the cloud lost its tail: the cursor goes back from record 3 to 1"
    (notice,) = st.notices(before, at(0, tally=replace(before.tally, rewinds=1)))
    assert notice.text == "the cloud lost what it had of this log: the cursor goes back from record 3 to 0"
    (notice,) = st.notices(before, at(1))
    assert (notice.code, notice.grave) == ("reset", False)


def test_a_jump_a_changed_cloud_and_ordinary_progress() -> None:
    """Forward by proof and another cloud are told; an ack is not."""
    before = at(1)
    assert codes(before, at(3, tally=replace(before.tally, jumps=1))) == ["jumped"]
    assert codes(before, at(3)) == []
    anew = replace(before, standing=Standing(cursor_at("log-1", LOG[:1]), "cloud-2", HERE))
    assert codes(before, anew) == ["cloud_changed"]
    assert codes(Progress.start(None, policy=Policy(), endpoint=HERE), before) == []


def test_f35_dead_letters_are_told_when_made_not_when_saved() -> None:
    """How many, which is the last, and how to see them."""
    (notice,) = st.notices(at(1), at(2, dead_letters=(LETTER,)))
    assert notice.text == "1 record(s) refused for good, the last is number 1 (refused); kept as dead letters"
    assert codes(at(2, dead_letters=(LETTER,)), at(2)) == []


def test_f18_a_log_that_cannot_be_read_is_told_once_and_a_missing_one_calmly() -> None:
    """By its errno's name; a brain without a log is no alarm."""
    denied = at(1, log_trouble=act.ReadFailed("EACCES", "no"))
    missing = at(1, log_trouble=act.ReadFailed("ENOENT", "none"))
    assert [notice.grave for notice in st.notices(at(1), denied)] == [True]
    assert [notice.grave for notice in st.notices(denied, missing)] == [False]
    assert codes(denied, replace(denied, log_trouble=act.ReadFailed("EACCES", "still no"))) == []
    assert codes(denied, at(1)) == []


def test_f19_a_sidecar_that_cannot_be_written_is_told_once() -> None:
    """Replication goes on; what to mend is said."""
    failing = at(1, save_trouble="disk full")
    assert codes(at(1), failing) == ["sidecar"]
    assert codes(failing, replace(failing, save_failures=2)) == []
