"""Fixtures that tests of several folders use."""

import signal
import threading

from tests.cloud_fixture import live_cloud, shared_cloud, start_cloud
from tests.postgres_fixture import own_postgres, postgres_database, postgres_server, postgres_url

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
