"""pacing: backoff and the request budget. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.pacing import SLOT_S, WINDOW_S, Budget, backoff_s


def send_all(budget: Budget, wanted: list[float]) -> list[float]:
    """When requests that are wanted at these times are made, if each waits as the budget says."""
    made: list[float] = []
    now = 0.0
    for want in wanted:
        now = max(now, want)
        now = budget.ready_at(now)
        budget = budget.spent(now)
        made.append(now)
    return made


def most_in_a_window(made: list[float]) -> int:
    """The largest number of requests in any half-open 60 s."""
    most = start = 0
    for end, time in enumerate(made):
        while made[start] + WINDOW_S <= time:
            start += 1
        most = max(most, end - start + 1)
    return most


# ---------------------------------------------------------------- backoff


@pytest.mark.parametrize(
    ("failures", "ceiling_s"), [(0, 0.0), (1, 0.5), (2, 1.0), (3, 2.0), (7, 32.0), (8, 60.0), (10**9, 60.0)]
)
def test_f29_the_ceiling_doubles_up_to_the_limit_and_stays_there(failures: int, ceiling_s: float) -> None:
    """With full jitter drawn as 1 the wait is the ceiling; a week of failures does not overflow it."""
    assert backoff_s(failures, jitter=1.0, first_s=0.5, max_s=60.0) == ceiling_s


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_f38_jitter_spreads_the_wait_over_all_of_it(failures: int, jitter: float) -> None:
    """The wait is the drawn share of the ceiling, so a fleet does not come back at one moment."""
    ceiling_s = backoff_s(failures, jitter=1.0, first_s=0.5, max_s=60.0)
    assert backoff_s(failures, jitter=jitter, first_s=0.5, max_s=60.0) == jitter * ceiling_s


# ---------------------------------------------------------------- budget


@given(
    st.integers(1, 40),
    st.integers(1, 12),
    st.lists(st.floats(0, 200, allow_nan=False), min_size=1, max_size=150),
)
def test_f37_no_window_of_a_minute_holds_more_than_the_rate(rate: int, burst: int, wanted: list[float]) -> None:
    """Whatever is wanted when, at most `rate` requests are made in any 60 s; and no more than `burst` at once."""
    made = send_all(Budget(rate, burst), sorted(wanted))
    assert most_in_a_window(made) <= rate
    assert max(made.count(time) for time in made) <= burst


def test_f37_a_burst_of_ten_thousand_never_exceeds_the_rate() -> None:
    """600 a minute with burst 10, always wanting more: exact in every window, and the budget is used up."""
    made = send_all(Budget(600, 10), [0.0] * 3_000)
    assert most_in_a_window(made) == 600
    assert made[9] == 0.0
    assert made[-1] == pytest.approx(299.9, abs=1.1)


def test_the_even_pace_never_waits() -> None:
    """A sender at exactly the rate is never held up (beyond what floats add up to)."""
    wanted = [number * 0.1 for number in range(5_000)]
    waits = [made - want for made, want in zip(send_all(Budget(600, 10), wanted), wanted, strict=True)]
    assert max(waits) < 1e-9


def test_after_the_burst_requests_come_evenly() -> None:
    """Burst 3 at 60 a minute: three at once, then one a second."""
    assert send_all(Budget(60, 3), [0.0] * 6) == [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]


def test_a_burst_is_paid_back_before_the_minute_is_over() -> None:
    """After 3 at once and one a second, the 61st request waits until the first no longer counts."""
    made = send_all(Budget(60, 3), [0.0] * 61)
    assert made[59] == 57.0
    assert made[60] == 60.0


def test_an_idle_sender_may_burst_again() -> None:
    """What was not used does not pile up beyond the burst."""
    assert send_all(Budget(60, 3), [1000.0] * 5) == [1000.0, 1000.0, 1000.0, 1001.0, 1002.0]


def test_without_a_rate_nothing_waits_or_is_remembered() -> None:
    """None is unlimited, and costs nothing."""
    budget = Budget(None, 10)
    assert budget.spent(5.0) is budget
    assert budget.ready_at(5.0) == 5.0


def test_a_lower_rate_counts_what_was_sent_before() -> None:
    """The server lowers the rate in mid-minute: requests of this minute count against the new rate."""
    budget = Budget(600, 10)
    for number in range(20):
        budget = budget.spent(number * 0.1)
    assert budget.with_rate(10).ready_at(2.0) == 1.0 + WINDOW_S
    assert budget.with_rate(600) is budget


def test_a_request_made_too_early_still_counts() -> None:
    """Who does not wait makes the next wait longer."""
    budget = Budget(60, 1).spent(0.0).spent(0.0).spent(0.0)
    assert budget.ready_at(0.0) == 3.0


def test_the_memory_is_bounded_at_any_rate() -> None:
    """Requests of one moment are one entry, so a rate of a million a minute holds no million times."""
    budget = Budget(1_000_000, 1_000)
    for number in range(100_000):
        budget = budget.spent(number * 0.002)
    assert len(budget._sent) <= WINDOW_S / SLOT_S + 2
    assert budget._sent_count == pytest.approx(WINDOW_S / 0.002, rel=0.01)


def test_entries_that_leave_the_window_together_are_all_forgotten() -> None:
    """After an idle minute the whole rate is there again, and not more: three at once, the fourth a minute later."""
    budget = Budget(3, burst=3)
    for now in (0.0, 1.0, 2.0):
        budget = budget.spent(now)
    for _ in range(3):
        assert budget.ready_at(100.0) == 100.0
        budget = budget.spent(100.0)
    assert budget.ready_at(100.0) == 100.0 + WINDOW_S


def test_requests_as_far_apart_as_an_entry_is_long_have_one_each() -> None:
    """An entry is half-open too: the second request does not make the first one count longer."""
    budget = Budget(2, burst=2).spent(0.0).spent(SLOT_S)
    assert budget.ready_at(SLOT_S) == WINDOW_S


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0), (None, 0)])
def test_a_budget_that_lets_nothing_through_is_a_programmers_mistake(rate: int | None, burst: int) -> None:
    """It would hold replication up for ever."""
    with pytest.raises(AssertionError):
        Budget(rate, burst)


@pytest.mark.parametrize(("failures", "jitter"), [(-1, 0.5), (1, -0.1), (1, 1.1)])
def test_a_share_beyond_the_whole_is_a_programmers_mistake(failures: int, jitter: float) -> None:
    """Jitter is a share of the ceiling, failures are counted."""
    with pytest.raises(AssertionError):
        backoff_s(failures, jitter=jitter, first_s=0.5, max_s=60.0)
