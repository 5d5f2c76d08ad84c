"""Fixtures of the integration tests."""

from tests.cli_runner import cli

__all__ = ["cli"]
