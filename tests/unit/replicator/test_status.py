"""status: what others see of a progress, and what a person is told once, at the edge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replicator import actions as act
from replicator import status as st
from replicator.model import DeadLetter, Policy, Standing, TreeHead
from replicator.progress import Progress, ProgressTally, Trouble
from replicator.testing.log import cursor_at
from replicator.wire import Report
from tests.support.fields import changed

LOG = (b"one\n", b"two\n", b"three\n")
HERE = "https://here/api/v1"
THEN, NOW = "2026-11-23T10:00:00.000+00:00", "2026-11-23T10:00:09.000+00:00"
LETTER = DeadLetter("log-1", 1, 4, 4, "refused", "no")


def at(size: int, **fields: object) -> Progress:
    """A progress behind `size` records of a cloud that is known."""
    standing = Standing(cursor_at("log-1", LOG[:size]), "cloud-1", HERE)
    return changed(Progress.start(standing, policy=Policy(), endpoint=HERE), **fields)  # type: ignore[no-any-return]


def shown(p: Progress, before: st.Status | None = None, *, log_bytes: int = 14, now: str = NOW) -> st.Status:
    return st.build(p, st.StatusFacts(log_bytes, now), before)


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
        (at(1, retry__trouble=Trouble("unavailable")), "retrying"),
        (at(3, retry__trouble=Trouble("denied", "", 401)), "paused"),
        (at(3, retry__trouble=Trouble("held")), "held"),
        (at(3, retry__trouble=Trouble("gone", "", 410)), "stopped"),
    ],
)
def test_the_state_names_what_holds_records_up(p: Progress, state: str) -> None:
    """Trouble first; else whether anything waits: a torn tail does not, a log that cannot be read may."""
    assert shown(p).state == state


def test_a_status_says_all_that_is_known() -> None:
    """Each field from where it comes: the progress, its tally, the facts, and what was known before."""
    tally = ProgressTally(11, 12, 13, 14, 15, 16, 17, 18)
    cursor = replace(cursor_at("log-1", LOG[:2]), parent="log-0")
    p = at(2, tally=tally, retry__failures=19, standing=Standing(cursor, "cloud-1", "https://there/api/v1"))
    facts = st.StatusFacts(15, NOW, 20, THEN, 21, "host", "1.0", "since", brief=True)
    before = st.Status("live", THEN, HERE, log_id="log-1", offset=8, crash="a crash", last_ack_at="long ago")
    assert st.build(p, facts, before) == st.Status(
        state="lagging",
        updated_at=NOW,
        endpoint=HERE,
        cloud_id="cloud-1",
        log_id="log-1",
        parent="log-0",
        offset=8,
        size=2,
        root=cursor.root.hex(),
        log_bytes=15,
        backlog_bytes=7,
        dead_letters=20,
        crash="a crash",
        last_event_at=THEN,
        last_ack_at="long ago",
        failures=19,
        requests=11,
        accepted=12,
        duplicates=13,
        flagged=14,
        refused=15,
        rewinds=16,
        generations=18,
        pid=21,
        host="host",
        version="1.0",
        since="since",
        brief=True,
    )
    assert st.build(p, facts, replace(before, offset=4)).crash is None, "an ack ends it"


def test_a_status_before_the_first_cursor_has_nothing_of_one() -> None:
    """Only where it is going, and how much waits."""
    nothing = Progress.start(None, policy=Policy(), endpoint=HERE)
    expected = st.Status("starting", NOW, HERE, log_bytes=14, backlog_bytes=14)
    assert shown(nothing) == expected
    assert shown(nothing, replace(expected, crash="a crash")) == replace(expected, crash="a crash")


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
    denied = shown(at(1, retry__trouble=Trouble("denied", "key_unknown", 401)), now=THEN)
    assert denied.trouble == st.Shown("denied", "key_unknown (401)", THEN, st.HINTS["denied"])
    again = shown(at(1, retry__trouble=Trouble("denied", "key_unknown", 401)), denied)
    assert again.trouble == denied.trouble
    other = shown(at(1, retry__trouble=Trouble("no_key", "none")), denied)
    assert other.trouble == st.Shown("no_key", "none", NOW, st.HINTS["no_key"])


def test_a_status_of_a_troubled_log_and_sidecar_says_so() -> None:
    """Each in words; a log that is sent again says how far."""
    standing = replace(at(1).standing or Standing(cursor_at("-", ())), resend=TreeHead(3, b""))
    p = at(1, log_trouble=act.ReadFailed("EIO", "no"), saving__trouble="disk full", standing=standing)
    status = shown(p)
    assert (status.log_trouble, status.sidecar_trouble, status.resending_to) == ("EIO: no", "disk full", 3)


def test_f55_the_report_to_the_cloud_holds_only_numbers_codes_and_times() -> None:
    """What travels with each request: no detail of a trouble, no path, no name of a host."""
    report = st.report(shown(at(1, retry__trouble=Trouble("denied", "a detail", 401))))
    assert (report.state, report.trouble, report.backlog_bytes, report.version) == ("paused", "denied", 10, "unknown")
    assert st.report(shown(at(3))).trouble is None
    status = st.Status("live", NOW, HERE, log_bytes=1, backlog_bytes=2, dead_letters=3, version="1.0")
    status = replace(status, last_event_at=THEN, last_ack_at=NOW, brief=True)
    assert st.report(status) == Report("live", 1, 2, THEN, 3, "1.0", None, NOW, brief=True)


def test_a_status_survives_as_json() -> None:
    """What `to_json` wrote `from_json` reads, trouble or not."""
    for p in (at(3), at(1, retry__trouble=Trouble("denied", "", 401))):
        status = shown(p)
        assert st.from_json(st.to_json(status)) == status


def test_a_status_of_another_version_is_read_as_far_as_it_goes() -> None:
    """Unknown fields are ignored, missing ones have their defaults, a trouble of another form is none."""
    text = b'{"state": "live", "updated_at": "then", "endpoint": "e", "later": 1, "trouble": "odd", "offset": 7}'
    assert st.from_json(text) == st.Status("live", "then", "e", offset=7)
    least = b'{"state": "live", "updated_at": "then", "endpoint": "e"}'
    assert st.from_json(least) == st.Status("live", "then", "e")
    half = least[:-1] + b', "trouble": {"code": "denied", "later": 1}}'
    assert st.from_json(half) == st.Status("live", "then", "e", trouble=st.Shown("denied", "", "", ""))


@pytest.mark.parametrize("text", [b"", b"nonsense", b"[]", b'{"state": "live"}'])
def test_f25_what_is_no_status_is_none(text: bytes) -> None:
    """Garbage in the sidecar is no crash."""
    assert st.from_json(text) is None


def test_a_status_that_somebody_else_wrote_is_refreshed_by_the_logs_length() -> None:
    """A follower shows the backlog as the log stands now; live with a backlog is lagging, trouble stays trouble."""
    live = shown(at(3))
    assert st.refreshed(live, log_bytes=14).state == "live"
    assert st.refreshed(live, log_bytes=20) == replace(live, state="lagging", log_bytes=20, backlog_bytes=6)
    paused = shown(at(3, retry__trouble=Trouble("denied", "", 401)))
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
    calm, troubled = at(1), at(1, retry__trouble=trouble)
    (notice,) = st.notices(calm, troubled)
    status = f" ({trouble.status})" if trouble.status else ""
    assert notice.text == f"replication {verb}: {trouble.code}{status}: {trouble.detail}; nothing is lost"
    assert (notice.hint, notice.grave) == (st.HINTS[trouble.code], grave)
    assert codes(troubled, changed(troubled, retry__failures=9)) == []
    ended = st.Notice("recovered", f"replication goes on (it was: {trouble.code})")
    assert st.notices(troubled, calm) == (ended,)
    assert codes(calm, calm) == []


def test_a_trouble_that_turns_into_another_is_told() -> None:
    """From unavailable to denied: a person has to act now."""
    assert codes(at(1, retry__trouble=Trouble("unavailable")), at(1, retry__trouble=Trouble("denied"))) == ["denied"]


def test_f04_a_new_generation_is_told_gravely_with_its_reason() -> None:
    """Both names and why."""
    before = at(2, generation_ended="the anchor does not hold")
    after = changed(before, generation_ended=None, standing=Standing(cursor_at("log-2", ()), "cloud-1", HERE))
    text = "the log begins a new generation log-2 (after log-1): the anchor does not hold"
    assert st.notices(before, after) == (st.Notice("new_generation", text, st.HINTS["new_generation"], grave=True),)


def test_f27_a_cursor_that_goes_back_is_told_by_its_cause() -> None:
    """By the cloud's word it is grave; by a person's order it is an echo."""
    before = at(3)
    rewound = at(1, tally=replace(before.tally, rewinds=1))
    (notice,) = st.notices(before, rewound)
    assert (notice.code, notice.grave) == ("rewound", True)
    assert notice.text == "the cloud lost its tail: the cursor goes back from record 3 to 1"
    (notice,) = st.notices(before, at(0, tally=replace(before.tally, rewinds=1)))
    assert notice.text == "the cloud lost what it had of this log: the cursor goes back from record 3 to 0"
    echo = st.Notice("reset", "as ordered, the cursor goes back from record 3 to 1")
    assert st.notices(before, at(1)) == (echo,)


def test_a_jump_a_changed_cloud_and_ordinary_progress() -> None:
    """Forward by proof and another cloud are told; an ack is not."""
    before = at(1)
    jumped = st.Notice("jumped", "the cloud already has records 1 to 3: the cursor goes forward")
    assert st.notices(before, at(3, tally=replace(before.tally, jumps=1))) == (jumped,)
    assert codes(before, at(3)) == []
    anew = replace(before, standing=Standing(cursor_at("log-1", LOG[:1]), "cloud-2", HERE))
    text = "the cloud was made anew: everything is replicated again"
    assert st.notices(before, anew) == (st.Notice("cloud_changed", text, grave=True),)
    assert codes(Progress.start(None, policy=Policy(), endpoint=HERE), before) == []


def test_the_program_that_embeds_it_says_what_mends_a_thing() -> None:
    """By the code of the notice or the trouble: the engine knows none of its commands."""
    hints = {**st.HINTS, "denied": "run: orders login"}
    denied = at(1, retry__trouble=Trouble("denied", "no", 401))
    (notice,) = st.notices(at(1), denied, hints)
    said = st.build(denied, st.StatusFacts(14, NOW), None, hints)
    assert (notice.hint, said.trouble and said.trouble.hint) == ("run: orders login", "run: orders login")


def test_f35_dead_letters_are_told_when_made_not_when_saved() -> None:
    """How many, which is the last, and how to see them."""
    text = "1 record(s) refused for good, the last is number 1 (refused); kept as dead letters"
    told = st.Notice("dead_letter", text, st.HINTS["dead_letter"], grave=True)
    assert st.notices(at(1), at(2, saving__dead_letters=(LETTER,))) == (told,)
    assert codes(at(2, saving__dead_letters=(LETTER,)), at(2)) == []


def test_f18_a_log_that_cannot_be_read_is_told_once_and_a_missing_one_calmly() -> None:
    """By its errno's name; a brain without a log is no alarm."""
    denied = at(1, log_trouble=act.ReadFailed("EACCES", "no"))
    missing = at(1, log_trouble=act.ReadFailed("ENOENT", "none"))
    assert st.notices(at(1), denied) == (st.Notice("log_unreadable", "EACCES: no", grave=True),)
    assert st.notices(denied, missing) == (st.Notice("log_unreadable", "ENOENT: none", grave=False),)
    assert codes(denied, replace(denied, log_trouble=act.ReadFailed("EACCES", "still no"))) == []
    assert codes(denied, at(1)) == []


def test_f19_a_sidecar_that_cannot_be_written_is_told_once() -> None:
    """Replication goes on; what to mend is said."""
    failing = at(1, saving__trouble="disk full")
    text = "the cursor cannot be saved, replication goes on: disk full"
    told = st.Notice("sidecar", text, "free disk space or mend the directory's permissions", grave=True)
    assert st.notices(at(1), failing) == (told,)
    assert codes(failing, changed(failing, saving__failures=2)) == []
