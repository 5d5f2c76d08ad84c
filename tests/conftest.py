"""Fixtures that tests of several folders use."""

import signal
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.cloud_fixture import live_cloud, shared_cloud, start_cloud
from tests.postgres_fixture import own_postgres, postgres_database, postgres_server, postgres_url

TESTS = Path(__file__).parent

__all__ = [
    "live_cloud",
    "own_postgres",
    "postgres_database",
    "postgres_server",
    "postgres_url",
    "shared_cloud",
    "start_cloud",
]

# A shell that runs the tests in its background has them ignore SIGINT, and every process that they start would
# inherit that: the tests of Ctrl-C would wait for ever.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of who else is at work on the machine than of the code: timings are benchmarks.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

REAL = ("acceptance", "browser", "contract", "faults", "integration")
"""Where real processes, sockets and disks are at work: what a machine is busy with can make one of them late."""


LATE = (
    r"^\w*(Timeout|TimeoutExpired|TimeoutError|Empty)\b",
    r"(?i)time-?d?[ -]?out|not within|monotonic\(?|perf_counter|deadline",
    r"assert \(?\d+\.\d+( - \d+\.\d+\))? <=? \d",
)
"""What the error of a test says that waited too long: its kind, its words, or a time that is above its bound."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test of real processes that was late is tried once more; the summary counts it. Who is wrong fails at once."""
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in REAL:
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=list(LATE)))
