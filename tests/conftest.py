"""Fixtures that tests of several folders use."""

import signal
import threading

import pytest
from hypothesis import HealthCheck, settings

from tests.support.cloud_fixture import live_cloud, shared_cloud, start_cloud
from tests.support.leaks import LeakCheck
from tests.support.postgres_fixture import own_postgres, postgres_database, postgres_server, postgres_url

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


def pytest_configure(config: pytest.Config) -> None:
    """Registered, not found here: hooks of this file are not asked about fixtures of the whole session."""
    config.pluginmanager.register(LeakCheck())
