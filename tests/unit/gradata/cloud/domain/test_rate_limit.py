"""Rate limits: a burst, then a pace that is never exceeded, and the header fields that say so."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gradata.cloud.domain.rate_limit import Rate, RateLimiter, policy_field, state_field


def test_a_rate_passes_its_burst_and_then_its_pace() -> None:
    """10 at once, then one each tenth of a second; a refused request spends nothing and says how long to wait."""
    rate = Rate(600, burst=10)
    busy = 0.0
    for number in range(10):
        verdict = rate.judge(busy, 100.0)
        assert (verdict.passed, verdict.remaining) == (True, 9 - number)
        busy = verdict.busy_until
    refused = rate.judge(busy, 100.0)
    assert (refused.passed, refused.busy_until, round(refused.retry_after_s, 6)) == (False, busy, 0.1)
    assert rate.judge(busy, 100.1).passed
    assert rate.judge(busy, 200.0).remaining == 9


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 0.3), max_size=400))
def test_a_rate_is_never_exceeded(gaps: list[float]) -> None:
    """In any minute no more than 600 and the burst pass; a client at the steady pace is never refused."""
    rate = Rate(600, burst=10)
    now, busy, passed = 50.0, 0.0, []
    for gap in gaps:
        now += gap
        verdict = rate.judge(busy, now)
        busy = verdict.busy_until
        if verdict.passed:
            passed.append(now)
    for start, end in ((a, b) for a in range(len(passed)) for b in range(a, len(passed), 7)):
        assert end - start + 1 <= (passed[end] - passed[start]) * 10 + 10 + 1e-6
    busy = 0.0
    for step in range(100):
        verdict = rate.judge(busy, 500 + step * 0.1)
        busy = verdict.busy_until
        assert verdict.passed


def test_the_header_fields() -> None:
    """As the protocol gives them; with nothing spent the burst remains."""
    now = 7.0
    limiter = RateLimiter(Rate(600, burst=10), clock=lambda: now)
    rate = limiter.rate
    assert rate is not None
    assert (policy_field(rate), state_field(rate, None)) == ('"brain";q=600;w=60', '"brain";r=10;t=0')
    assert state_field(rate, limiter.admit("brain")) == '"brain";r=9;t=1'
    assert RateLimiter(None, clock=lambda: now).admit("brain") is None
