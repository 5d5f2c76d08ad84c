"""Fixtures of the whole-system tests: one cloud for a worker, and worlds before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.front import Front
from tests.acceptance.world import World
from tests.support.cloud_fixture import LiveCloud

MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    """A cloud that no test stops or starves: each has a brain of its own in it."""
    cloud = LiveCloud(tmp_path_factory.mktemp("cloud"), {"limits": {"requests_per_minute": None}})
    yield cloud
    cloud.close()


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Makes worlds: `make_world(cloud)`."""
    worlds: list[World] = []

    def make(cloud: LiveCloud) -> World:
        worlds.append(World(tmp_path / f"home-{len(worlds)}", cloud))
        return worlds[-1]

    yield make
    for each in worlds:
        each.close()


@pytest.fixture
def world(make_world: MakeWorld, shared_cloud: LiveCloud) -> World:
    """A home with a key for the shared cloud; the brain is not made yet."""
    return make_world(shared_cloud)


@pytest.fixture
def front(world: World) -> Iterator[Front]:
    """A proxy between this world's programs and the cloud."""
    with Front(world.cloud.url) as made:
        world.endpoint = made.url
        yield made
