"""How a brain is, from facts: every state with its words, the habit, and the alerts that follow."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from gradata.cloud.domain.thresholds import Patience
from gradata.cloud.domain.timestamps import SECOND
from gradata.cloud.service.alerts import body_of, changes, check_webhook, findings, last_heard, signature
from gradata.cloud.service.fleet_state import (
    BrainVerdict,
    FleetBrain,
    FleetState,
    LastRefusal,
    habit_s,
    read_fleet,
    span,
)
from gradata.cloud.service.listening import ListeningPeriod
from gradata.cloud.store.values import StoredAlert, StoredBrain, StoredLog
from replicator.errors import ConfigurationError
from replicator.proof import CompactRange

NOW = 1_764_000_000 * SECOND
LIVE = {"state": "live", "log_bytes": 9, "backlog_bytes": 0, "last_event_at": "2025-11-24T15:59:00Z", "dead_letters": 0}


def log(heard_s: float = 10, *, device: str = "d", log_id: str = "l", **status: Any) -> StoredLog:
    """A log that was heard of so many seconds ago, with what its replicator said."""
    heard = NOW - int(heard_s * SECOND)
    sizes = {"log_bytes": 9 + status.get("backlog_bytes", 0)}
    said = json.dumps({**LIVE, **sizes, **status}).encode()
    day_old = NOW - 5 * 86_400 * SECOND
    return StoredLog(1, "w", "b", device, log_id, None, CompactRange.EMPTY, 9, None, day_old, heard, heard, said, 0)


def brain(*logs: StoredLog, name: str = "b", stored_s: float | None = 10) -> StoredBrain:
    """A brain with these logs, whose newest event was stored so many seconds ago."""
    stored = None if stored_s is None else NOW - int(stored_s * SECOND)
    return StoredBrain(name, NOW - 86_400 * SECOND, 3, stored, logs)


def only(*logs: StoredLog, **facts: Any) -> FleetBrain:
    """The one brain's state."""
    (found,) = read_fleet([brain(*logs)], now=NOW, **facts)
    return found


@pytest.mark.parametrize(
    ("stored", "state", "words", "command"),
    [
        (log(), "live", "in step", ""),
        (log(301, backlog_bytes=1200), "silent", "5 min; 1.2 kB waited then", "gradata doctor"),
        (
            log(state="paused", trouble="denied", backlog_bytes=5),
            "paused",
            "paused (denied); 5 B wait",
            "gradata doctor",
        ),
        (log(state="held", trouble="held"), "paused", "held", "gradata cursor reset --to-offset 0 --yes"),
        (log(state="stopped", trouble="gone"), "paused", "deleted", "gradata cursor reset --to-offset 0 --yes"),
        (log(last_event_at="2025-11-15T16:00:00Z"), "quiet", "nothing was captured for 9 d", "gradata doctor"),
        (log(state="lagging", backlog_bytes=2_000_000), "lagging", "2.0 MB wait", ""),
        (log(state="retrying", backlog_bytes=20), "lagging", "20 B wait", ""),
        (log(5, backlog_bytes=20), "live", "in step", ""),
        (log(301, state="paused"), "silent", "no word", "gradata doctor"),
        (log(86_000, brief=True), "live", "in step, by hooks alone", ""),
        (log(301, brief=True, backlog_bytes=1200), "silent", "1.2 kB waited then", "gradata doctor"),
        (log(301, brief=True, last_event_at="2025-11-15T16:00:00Z"), "quiet", "nothing was captured", "gradata doctor"),
    ],
)
def test_f53_each_state_has_words_and_a_command(stored: StoredLog, state: FleetState, words: str, command: str) -> None:
    """Silence, a pause, nothing captured and lag are told apart, and named with what mends them."""
    verdict = only(stored).verdict
    assert (verdict.state, verdict.command) == (state, command)
    assert words in verdict.words
    assert verdict.since is not None
    assert verdict.since <= NOW


def test_what_a_request_brought_does_not_wait() -> None:
    """A process that says "9 bytes wait" with the batch that brings them, and ends, leaves nothing behind."""
    one_batch = log(state="lagging", log_bytes=9, backlog_bytes=9)
    assert only(one_batch).devices[0].backlog_bytes == 0
    assert only(one_batch).verdict.state == "live"
    assert only(log(state="lagging", log_bytes=12, backlog_bytes=9)).devices[0].backlog_bytes == 3


def test_what_a_client_said_may_be_anything() -> None:
    """No status, garbage, a time in 2099: the state comes from what the cloud saw itself."""
    for status in (None, b"garbage", b"[]", b'{"last_event_at": "2099-01-01T00:00:00Z"}', b'{"last_event_at": 3}'):
        found = only(replace(log(), status=status))
        assert (found.verdict.state, found.last_event_at) == ("live", NOW - 10 * SECOND)


def test_a_new_generation_is_forked_for_a_day() -> None:
    """It says how many records the cloud keeps of the log before; later it is an ordinary log."""
    parent = replace(log(7200, log_id="p"), tree=CompactRange.EMPTY.extended([b"x" * 32] * 3))
    fresh = replace(log(), parent="p", created_at=NOW - 3600 * SECOND)
    verdict = only(fresh, parent).verdict
    assert (verdict.state, verdict.alert) == ("forked", False)
    assert "the 3 records of the log before" in verdict.words
    assert only(replace(fresh, created_at=NOW - 90_000 * SECOND), parent).verdict.state == "live"


def test_a_brain_is_as_its_worst_device() -> None:
    """The log a device spoke of last is its state; the others do not count."""
    found = only(log(device="a"), log(400, device="b"), log(9000, device="a", log_id="old"))
    assert (found.verdict.state, found.verdict.words[:15]) == ("silent", "1 of 2 devices:")
    assert [(device.device_id, device.verdict.state) for device in found.devices] == [("b", "silent"), ("a", "live")]


def test_refusals_count_when_they_came_after_the_last_word() -> None:
    """A key that is refused shows at its brain, also at one that was never let in; once it works again, no more."""
    before, after = (LastRefusal("b", "key_unknown", 3, NOW - at * SECOND) for at in (60, 5))
    assert only(log(10), refused=[before]).verdict.state == "live"
    verdict = only(log(10), refused=[after]).verdict
    assert (verdict.state, verdict.since, verdict.command) == ("refused", NOW - 10 * SECOND, "gradata keys list")
    found = read_fleet([], refused=[after, LastRefusal("", "key_unknown", 1, NOW)], now=NOW)
    assert [(each.brain_id, each.verdict.state) for each in found] == [("b", "refused")]


def test_problems_come_first() -> None:
    """By state, then by name; silence is measured with the patience that is asked for."""
    fleet = [
        brain(log(90), name="z"),
        brain(log(state="paused"), name="y"),
        brain(log(), name="x"),
        brain(log(), name="a"),
    ]
    found = read_fleet(fleet, patience=Patience(silent_s=60), now=NOW)
    assert [each.brain_id for each in found] == ["y", "z", "a", "x"]
    assert [each.verdict.state for each in read_fleet(fleet, now=NOW)] == ["paused", "live", "live", "live"]


def test_a_brain_without_a_replicator_is_judged_by_its_events() -> None:
    """Older clients send no heartbeats: there is no silence, but there is quiet."""
    (recent,) = read_fleet([brain()], now=NOW)
    (old,) = read_fleet([brain(stored_s=4 * 86_400)], now=NOW)
    assert (recent.verdict.state, old.verdict.state) == ("live", "quiet")


def test_f53_quiet_follows_the_brains_own_habit() -> None:
    """Longer than its longest pause is quiet; a weekend is not, and a few days make no habit."""
    workdays = [f"2025-11-{day:02}" for day in (3, 4, 5, 6, 7, 10, 11, 12, 13, 14)]
    assert habit_s(workdays, "2025-11-17") == 3.5 * 86_400
    assert habit_s(workdays[:3], "2025-11-17") is None
    daily = habit_s([f"2025-11-{day:02}" for day in range(1, 9)], "2025-11-10")
    assert daily == 1.5 * 86_400
    two_days_ago = log(last_event_at="2025-11-22T16:00:00Z")
    assert only(two_days_ago).verdict.state == "live"
    assert only(two_days_ago, habits={"b": daily}).verdict.state == "quiet"


def test_durations_are_in_one_unit() -> None:
    """The largest that makes at least two."""
    assert [span(s) for s in (0, 59.4, 119, 120, 7199, 7200, 172_800)] == [
        "0 s", "59 s", "119 s", "2 min", "119 min", "2 h", "2 d",
    ]  # fmt: skip


# ---------------------------------------------------------------- alerts


def alerts_of(*logs: StoredLog) -> list[Any]:
    """The findings about a brain with these logs."""
    return findings("w", [only(*logs)])


def told(finding: Any, state: str) -> StoredAlert:
    """It was told with this state."""
    return StoredAlert(finding.name, state, NOW - 5, finding.subject())


def test_an_alert_is_told_once_and_cleared() -> None:
    """New: told. Told: not again. Another state: told. Well again: cleared."""
    (silent,) = alerts_of(log(400))
    assert changes([silent], [], {}).begun == [silent]
    assert changes([silent], [told(silent, "silent")], {}) == changes([], [], {})
    assert changes([silent], [told(silent, "paused")], {}).begun == [silent]
    over = changes([], [told(silent, "silent")], {silent.name: NOW})
    assert (over.begun, [alert.name for alert in over.over]) == ([], [silent.name])
    assert alerts_of(log()) == []


def test_f94_nobody_is_silent_before_he_had_time_to_speak_again() -> None:
    """The server was away for an hour: whoever spoke until then is not silent, who was silent before still is."""
    fleet = [brain(log(3_600), name="spoke"), brain(log(3_605 + 301), name="silent before")]
    fresh, later = NOW - 10 * SECOND, NOW - 301 * SECOND
    assert {each.brain_id: each.verdict.state for each in read_fleet(fleet, now=NOW, listening_since=fresh)} == {
        "silent before": "silent",
        "spoke": "live",
    }
    assert {each.verdict.state for each in read_fleet(fleet, now=NOW, listening_since=later)} == {"silent"}


def test_f94_an_alert_of_silence_is_cleared_by_a_word_and_not_by_a_restart() -> None:
    """A server that listens anew calls nobody silent: what is open stays open until the device is heard."""
    (silent,) = alerts_of(log(400))
    open_alert = replace(told(silent, "silent"), opened_at=NOW - 100 * SECOND)
    unheard = last_heard("w", [only(log(400), listening_since=NOW)])
    assert only(log(400), listening_since=NOW).verdict.state == "live"
    assert changes([], [open_alert], unheard).over == []
    assert changes([], [open_alert], last_heard("w", [only(log(1))])).over == [open_alert]
    assert changes([], [open_alert], {}).over == [open_alert]  # its brain was deleted


@pytest.mark.parametrize("step_s", [3_600, -3_600])
def test_f115_a_clock_that_is_set_makes_nobody_silent(step_s: int) -> None:
    """Wall and monotonic clock differ: hearing begins anew, and everybody has the whole time to speak."""
    before = ListeningPeriod(since=0, wall=NOW, monotonic_s=50.0)
    assert before.looked_at(NOW + 10 * SECOND, 60.0).since == 0
    now = NOW + (10 + step_s) * SECOND
    stepped = before.looked_at(now, 60.0)
    assert stepped.since == now
    (found,) = read_fleet([brain(log(1))], now=now + SECOND, listening_since=stepped.since)
    assert found.verdict.state != "silent"


def test_each_device_has_an_alert_of_its_own() -> None:
    """A second device that falls silent is told although the brain is silent already."""
    found = alerts_of(log(400, device="a"), log(400, device="b"), log(device="c"))
    assert [finding.device_id for finding in found] == ["a", "b"]


def test_what_the_webhook_gets() -> None:
    """State, since when, words, command; the all-clear names the same subject. No text of any event is in reach."""
    (silent,) = alerts_of(log(400))
    firing = json.loads(body_of("firing", silent.subject(), silent.verdict, NOW))
    cleared = json.loads(body_of("cleared", silent.subject(), None, NOW))
    assert set(firing) - set(cleared) == {"state", "since", "words", "command"}
    assert (firing["kind"], firing["brain_id"], firing["device_id"], firing["state"]) == ("firing", "b", "d", "silent")
    assert cleared["kind"] == "cleared"


def test_the_signature_is_what_is_documented() -> None:
    """A value computed by hand: HMAC-SHA256 over "<seconds>.<body>", the key as hexadecimal text."""
    assert signature(bytes(32), b"{}", 7) == ("t=7,v1=" + hmac.new(b"0" * 64, b"7.{}", "sha256").hexdigest())


@pytest.mark.parametrize("url", ["http://example.org/hook", "ftp://x", "nonsense", "https://"])
def test_a_webhook_is_https_or_local(url: str) -> None:
    """Anything else is refused with a hint."""
    with pytest.raises(ConfigurationError) as refused:
        check_webhook(url)
    assert refused.value.hint
    assert check_webhook("http://127.0.0.1:9/x")
    assert check_webhook("https://example.org/x")


def test_a_verdict_knows_whether_somebody_must_come() -> None:
    """Forked and lagging mend themselves."""
    alerting = {state for state in ("refused", "paused", "silent", "quiet", "forked", "lagging", "live")
                if BrainVerdict(state, None, "").alert}  # type: ignore[arg-type]  # fmt: skip
    assert alerting == {"refused", "paused", "silent", "quiet"}
