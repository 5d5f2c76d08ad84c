"""Which failures of real processes are tried once more: those that say that something was late, and no others."""

from __future__ import annotations

import queue
import re
import subprocess
import time
from collections.abc import Callable

import httpx
import pytest

from tests.acceptance.world import eventually
from tests.conftest import LATE


def slow() -> None:
    assert time.monotonic() - 0.0 < 0.0


def slow_by_name() -> None:
    took_s = 3.2
    assert took_s < 3.0


def never() -> None:
    eventually(lambda: False, 0.0)


def unheard() -> None:
    queue.SimpleQueue[int]().get(timeout=0.0)


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def wrong_words() -> None:
    assert ["", "the sidecar cannot be used: it was replaced while it was opened"] == [""] * 2


def wrong_number() -> None:
    stored = 9
    assert stored < 8


def rerun(fail: Callable[[], None]) -> bool:
    with pytest.raises(BaseException) as raised:  # noqa: PT011  (of any kind; the time-out of a test is no Exception)
        fail()
    return any(re.search(pattern, f"{raised.type.__name__}: {raised.value}") for pattern in LATE)


@pytest.mark.parametrize(
    "fail",
    [
        slow,
        slow_by_name,
        never,
        unheard,
        raising(TimeoutError("timed out")),
        raising(subprocess.TimeoutExpired("gradata", 30)),
        raising(httpx.ReadTimeout("")),
        raising(pytest.fail.Exception("Timeout (>60.0s) from pytest-timeout.")),
        raising(AssertionError("Locator expected to have text 'silent'\nwaiting with timeout 5000ms")),
    ],
)
def test_what_was_late_is_tried_again(fail: Callable[[], None]) -> None:
    """Each way to wait in the tests, as its failure tells."""
    assert rerun(fail)


@pytest.mark.parametrize(
    "fail",
    [
        wrong_words,
        wrong_number,
        raising(AssertionError("assert {1, 2} == {1}")),
        raising(ConnectionResetError(104, "reset")),
    ],
)
def test_what_was_wrong_is_not(fail: Callable[[], None]) -> None:
    """A wrong value, an error of the product, a lost record."""
    assert not rerun(fail)
