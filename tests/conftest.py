"""Fixtures that tests of several folders use."""

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
