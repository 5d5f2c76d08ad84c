"""Fixtures that tests of several folders use."""

from tests.cloud_fixture import live_cloud, shared_cloud, start_cloud

__all__ = ["live_cloud", "shared_cloud", "start_cloud"]
