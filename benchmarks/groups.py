"""What the PostgreSQL store alone costs, without HTTP: groups of single events, batches, and the same batches again.

Run: python -m benchmarks.groups [--requests 27] [--groups 250] [--batch 1000] [--batches 60] [--store tests]

Prints for each kind the time of a group, and the CPU time in it: that of this process (decide, make the statements) and
that of the database's own process. On Linux, with PostgreSQL on the same machine: both are read from /proc.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path

from benchmarks.ingest import DURABLE, records
from gradata.cloud.domain.plan import Done
from gradata.cloud.domain.requests import Append
from gradata.cloud.protocol.interpret import read_lines
from gradata.cloud.store.postgres.store import PostgresStore
from replicator.proof import CompactRange
from tests.support.postgres_fixture import Postgres

WARM_GROUPS = 20


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=27)
    parser.add_argument("--groups", type=int, default=250)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--store", default="tests", metavar="URL", help="an empty PostgreSQL store, or: tests")
    wanted = parser.parse_args()
    with ExitStack() as ends:
        url = wanted.store
        if url == "tests":
            place = Path(ends.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            postgres = Postgres(place, DURABLE)
            ends.callback(postgres.stop)
            url = postgres.url("postgres")
        store = PostgresStore.open(url, serving=True)
        ends.callback(store.close)
        count = wanted.groups + WARM_GROUPS
        logs = [list(appends(f"single-{place}", count, 1, place * count)) for place in range(wanted.requests)]
        singles = [list(group) for group in zip(*logs, strict=True)]
        measure(store, f"{wanted.requests} single events", singles, wanted.requests)
        batches = [[one] for one in appends("batches", wanted.batches + WARM_GROUPS, wanted.batch, 10_000_000)]
        measure(store, f"a batch of {wanted.batch:,}", batches, wanted.batch)
        measure(store, f"a batch of {wanted.batch:,} again", batches, wanted.batch)


def appends(brain: str, count: int, size: int, start: int) -> Iterator[Append]:
    """Batches of one log, one behind the other."""
    log_id, tree, offset = str(uuid.uuid4()), CompactRange.EMPTY, 0
    for number in range(count):
        lines = records(size, start + number * size)
        load = read_lines(b"".join(lines), list(accumulate(map(len, lines))))
        yield Append("default", brain, "device", log_id, None, number * size, offset, tree.root, load, b"{}")
        tree = tree.extended(load.leaves)
        offset += sum(map(len, lines))


def measure(store: PostgresStore, what: str, groups: Sequence[list[Append]], events: int) -> None:
    """Commit the groups; time the ones behind the first."""
    for group in groups[:WARM_GROUPS]:
        store.ingest(group, now=time.time_ns() // 1_000)
    writer = store._writer  # noqa: SLF001  # whose CPU is counted
    assert writer is not None
    process = Path(f"/proc/{writer.info.backend_pid}/schedstat")
    timed = groups[WARM_GROUPS:]
    began, own, its = time.perf_counter(), time.thread_time(), _cpu_s(process)
    for group in timed:
        assert all(isinstance(done, Done) for done in store.ingest(group, now=time.time_ns() // 1_000))
    whole, own, its = time.perf_counter() - began, time.thread_time() - own, _cpu_s(process) - its
    group_s = whole / len(timed)
    print(
        f"{what}: {group_s * 1e3:.1f} ms a group, {events / group_s:,.0f} events/s; CPU an event:"
        f" {own / len(timed) / events * 1e6:.1f} µs here, {its / len(timed) / events * 1e6:.1f} µs in PostgreSQL",
        flush=True,
    )


def _cpu_s(process: Path) -> float:
    return int(process.read_text().split()[0]) / 1e9


if __name__ == "__main__":
    main()
