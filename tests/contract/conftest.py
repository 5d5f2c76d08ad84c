"""The stores that the contract suites run against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gradata.cloud.store.open import open_store
from gradata.cloud.store.port import Store
from gradata.cloud.store.postgres.migrate import migrate_url

Open = Callable[[], Store]


@pytest.fixture(params=["sqlite file", "sqlite memory", "postgresql", "postgresql in partitions"])
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the test's store; a second time it is the same data, where the store outlives its object."""
    opened: list[Store] = []
    url = f"sqlite:{tmp_path}/cloud.db"
    if request.param.startswith("postgresql"):
        url = request.getfixturevalue("postgres_url")
        if "partitions" in request.param:
            migrate_url(url, partitions=4)

    def open_one() -> Store:
        memory = request.param == "sqlite memory"
        if memory and opened:
            return opened[0]
        opened.append(open_store("sqlite::memory:" if memory else url))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_again: Open) -> Store:
    """A new store."""
    return open_again()
