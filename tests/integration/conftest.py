"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gradata.cloud.store.open import open_store
from gradata.cloud.store.port import Store
from tests.support.cli_runner import cli

__all__ = ["cli"]


@pytest.fixture
def stores(postgres_url: str) -> Iterator[list[Store]]:
    """Four stores on one database, as four API processes have them."""
    opened = [open_store(postgres_url, serving=True) for _ in range(4)]
    yield opened
    for store in opened:
        store.close()
