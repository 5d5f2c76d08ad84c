"""How campaigns are ended early: the first signal asks, the second one ends."""

from __future__ import annotations

import signal

import pytest

from tests.support.stopping import stoppable


def test_the_first_signal_asks_and_the_second_one_ends() -> None:
    """The round under way is finished and counted; who does not want to wait for it asks twice."""
    now = [100.0]
    with stoppable(lambda: now[0]) as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # the same Ctrl-C, passed on by whoever started the program
        assert stopped()
        now[0] += 5.0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_signals_are_as_before_when_a_campaign_is_over() -> None:
    """Whatever runs behind it in the same process is ended as it always was."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stoppable():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
