"""The worlds of the acceptance tests, for tests of hosts."""

from tests.acceptance.conftest import make_world, world

__all__ = ["make_world", "world"]
