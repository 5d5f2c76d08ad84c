"""What taking away costs, for a brain of many records; baseline: storing them.

Run: python -m benchmarks.removal [--records 100000] [--store postgresql://…]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from benchmarks.figures import tell, workplace
from gradata.cloud.domain.requests import Append
from gradata.cloud.protocol.interpret import read_lines
from gradata.cloud.service import deletion, legacy_pages
from gradata.cloud.store.open import open_store
from gradata.cloud.store.port import Store
from gradata.cloud.store.reading import mark_of
from replicator.framing import split
from replicator.proof import CompactRange, extend

BATCH = 1_000
BRAIN, LOG = "brain", "11111111-1111-4111-8111-111111111111"
NOW = 1_764_000_000_000_000


def line(number: int) -> bytes:
    """One record of 700 bytes."""
    event = {"event_id": f"e{number:09}", "type": "CORRECTION", "data": {"text": "x" * 620}}
    return json.dumps(event).encode() + b"\n"


def fill(store: Store, records: int) -> None:
    """A log of that many events of 700 bytes, in batches, each stored a second later."""
    tree, offset = CompactRange.EMPTY, 0
    for first in range(0, records, BATCH):
        rows = [line(number) for number in range(first, min(first + BATCH, records))]
        data = b"".join(rows)
        lines = read_lines(data, split(data))
        request = Append("default", BRAIN, "device", LOG, None, first, offset, tree.root, lines)
        store.ingest([request], now=NOW + first // BATCH * 1_000_000)
        tree, _ = extend(tree, lines.leaves)
        offset += len(data)


def timed(what: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def pull_all(store: Store) -> None:
    """Every event, by pages of 1000."""
    place = None
    while True:
        page = legacy_pages.page(store, "default", BRAIN, place, 1_000)
        if not page.events:
            return
        place = mark_of(store, "default", BRAIN, page.events[-1].event_id)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--store")
    chosen = parser.parse_args()
    count = chosen.records
    with workplace() as place:
        store = open_store(chosen.store or f"sqlite:{place}/cloud.db")
        baseline = count / timed(lambda: fill(store, count))
        tell("stored in batches of 1,000 (baseline)", baseline, "records/s")
        tell("pulled in pages of 1,000", count / timed(lambda: pull_all(store)), "events/s")
        target = deletion.Target(f"e{count // 2:09}")
        took = timed(lambda: deletion.erase(store, "default", BRAIN, target, now=NOW))
        tell(f"one event erased among {count:,}", took, "s")
        half = NOW + count // BATCH // 2 * 1_000_000
        tell("expired", count / 2 / timed(lambda: deletion.expire(store, "default", BRAIN, half)), "records/s")
        deletion.delete(store, "default", BRAIN, now=NOW)
        tell("purged behind a tombstone", count / timed(lambda: deletion.purge(store, "default", BRAIN)), "records/s")
        store.close()


if __name__ == "__main__":
    main()
