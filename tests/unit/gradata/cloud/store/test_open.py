"""A new store opened by several at once: `gradata serve` starts, and `gradata keys create` does not wait for it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gradata.cloud.store.open import open_store
from gradata.cloud.store.port import Store

OPENERS = 6


def open_together(url: str) -> list[Store | BaseException]:
    """What each of several who open it at the same moment gets."""
    together = threading.Barrier(OPENERS)
    got: list[Store | BaseException] = []

    def opening() -> None:
        together.wait()
        try:
            got.append(open_store(url))
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is the finding
            got.append(error)

    threads = [threading.Thread(target=opening) for _ in range(OPENERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


@pytest.mark.slow
def test_a_new_store_can_be_opened_by_several_at_once(tmp_path: Path) -> None:
    """Found by `gradata torture`: whoever is slower finds the schema made, which is no error; all see one cloud."""
    for number in range(20):
        got = open_together(f"sqlite:{tmp_path}/{number}/cloud.db")
        stores = [store for store in got if not isinstance(store, BaseException)]
        identities = {store.cloud_id for store in stores}
        for store in stores:
            store.close()
        assert [error for error in got if isinstance(error, BaseException)] == []
        assert len(identities) == 1
