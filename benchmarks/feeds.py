"""What open feeds cost the writers: 1,000 brains, 200 open feeds of which 100 are never read.

Run: python -m benchmarks.feeds [--brains 1000] [--feeds 200] [--singles 20000] [--rounds 3] [--store tests]

Single events from 27 connections, each to the next brain, again and again: without feeds, with them, and so on in
turns, so that both see the same machine. Prints the p99 of both and their ratio, and the server's memory before,
with the feeds, and at the end.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.figures import quantile
from benchmarks.ingest import Served, add_store_option, measure, records, requests, served

CONNECTIONS = 27


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brains", type=int, default=1_000)
    parser.add_argument("--feeds", type=int, default=200)
    parser.add_argument("--singles", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    add_store_option(parser)
    wanted = parser.parse_args()
    with served(wanted.store) as server:
        names = [f"brain-{number}" for number in range(wanted.brains)]
        load(server, names, len(names), 0)  # every brain is there
        quiet, noisy, memory = [], [], [memory_mib(server.pid)]
        for turn in range(1, wanted.rounds + 1):
            quiet.append(load(server, names, wanted.singles, 2 * turn))
            with feeds(server, names[: wanted.feeds]):
                noisy.append(load(server, names, wanted.singles, 2 * turn + 1))
                memory.append(memory_mib(server.pid))
        before, after = statistics.median(quiet), statistics.median(noisy)
        print(f"ingest p99 without feeds: {before * 1e3:.1f} ms, median of {[round(p * 1e3, 1) for p in quiet]}")
        print(f"ingest p99 with {wanted.feeds} feeds, half never read: {after * 1e3:.1f} ms,"
              f" median of {[round(p * 1e3, 1) for p in noisy]}")  # fmt: skip
        print(f"ratio: {after / before:.2f}")
        print(f"memory of the server, MiB: {', '.join(f'{each:.0f}' for each in memory)} (before; after each round)")


def load(server: Served, names: list[str], count: int, turn: int) -> float:
    """Send single events to the brains in turn; the p99 in seconds."""
    each = max(1, count // len(names))
    made = [
        requests(server.key, name, records(each, start=turn * 10_000_000 + place * each), 1)
        for place, name in enumerate(names)
    ]
    clients = [
        [made[place][step] for step in range(each) for place in range(number, len(names), CONNECTIONS)]
        for number in range(CONNECTIONS)
    ]
    accepted, _, took = measure(server.port, clients)
    assert accepted == each * len(names)
    return quantile(took, 0.99)


@contextmanager
def feeds(server: Served, names: list[str]) -> Iterator[None]:
    """A feed of each brain is open: every second one is read on a thread, the others never."""
    with ExitStack() as ends:
        opened = [ends.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in names]
        for connection, name in zip(opened, names, strict=True):
            ask = f"GET /api/v1/feed?brain={name}&after=0 HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer {server.key}"
            connection.sendall(f"{ask}\r\n\r\n".encode())
            head = connection.recv(64)
            assert head.startswith(b"HTTP/1.1 200"), head
        readers = [threading.Thread(target=_read, args=(connection,), daemon=True) for connection in opened[::2]]
        for reader in readers:
            reader.start()
        yield
        for connection in opened:
            connection.shutdown(socket.SHUT_RDWR)
        for reader in readers:
            reader.join()


def _read(connection: socket.socket) -> None:
    try:
        while connection.recv(65_536):
            pass
    except OSError:
        return


def memory_mib(pid: int) -> float:
    """What the process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
