"""What open feeds cost the writers: 1,000 brains, 200 open feeds of which 100 are never read.

Run: python -m benchmarks.feeds [--brains 1000] [--feeds 200] [--singles 10000] [--rounds 7] [--store tests]

Single events from 27 connections, each to the next brain, again and again: without feeds, with them, and so on in
turns, so that both see the same machine. Every second feed is read, by another process, from its newest event on; the
others ask for all that their brain has, more than the buffers on the way hold, and never read a byte. The last feeds
stay open, while events come, until the server has dropped those.

Prints the p99 of both and their ratio; whether the feeds that are read told every event; how long those that are not
were kept; and the memory of the server's own, at first, after each load and at the end.
"""

from __future__ import annotations

import argparse
import multiprocessing
import selectors
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx

from benchmarks.figures import quantile
from benchmarks.ingest import Replica, Served, add_store_option, measure, records, served

CONNECTIONS = 27
BACKLOG = 500
"""Records that each brain with a feed has before: 600 kB."""
UNREAD_BYTES = 4_096
"""The receive buffer of a feed that is never read."""
EVENT = b"event: event"
TOLD_S = 30.0
DROPPED_S = 120.0


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brains", type=int, default=1_000)
    parser.add_argument("--feeds", type=int, default=200)
    parser.add_argument("--singles", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    add_store_option(parser)
    wanted = parser.parse_args()
    with served(wanted.store) as server:
        fleet = Fleet(server, wanted.brains, wanted.feeds)
        quiet, noisy, memory = [], [], [memory_mib(server.pid)]
        for _ in range(wanted.rounds):
            quiet.append(fleet.load(wanted.singles))
            memory.append(memory_mib(server.pid))
            with feeds(server, fleet.names[: wanted.feeds]) as told:
                noisy.append(fleet.load(wanted.singles))
                memory.append(memory_mib(server.pid))
                late_s = told(fleet.each * len(fleet.names[: wanted.feeds : 2]))
            print(f"p99 without and with feeds: {quiet[-1] * 1e3:.1f}, {noisy[-1] * 1e3:.1f} ms;"
                  f" all that was to be told was told {late_s:.1f} s after the last request", flush=True)  # fmt: skip
        before, after = statistics.median(quiet), statistics.median(noisy)
        print(f"ingest p99 without feeds: {before * 1e3:.1f} ms, the median")
        print(f"ingest p99 with {wanted.feeds} feeds, half never read: {after * 1e3:.1f} ms, the median")
        print(f"ratio: {after / before:.2f}")
        with feeds(server, fleet.names[: wanted.feeds]):
            print(until_dropped(server, fleet, wanted.feeds // 2))
        memory.append(memory_mib(server.pid))
        print(f"memory of the server's own, MiB: {', '.join(f'{each:.0f}' for each in memory)}")


class Fleet:
    """Brains that record, each its own log."""

    def __init__(self, server: Served, brains: int, watched: int) -> None:
        self.server = server
        self.names = [f"brain-{number}" for number in range(brains)]
        self.each = 0
        """Events of each brain in the last load."""
        self._logs = [Replica(server.key, name) for name in self.names]
        self._made = 0
        lines = [records(BACKLOG if place < watched else 1, self._numbers(BACKLOG)) for place in range(brains)]
        first = [log.requests(part, BACKLOG) for log, part in zip(self._logs, lines, strict=True)]
        measure(server.port, [[made[0] for made in first[number::CONNECTIONS]] for number in range(CONNECTIONS)])

    def load(self, count: int) -> float:
        """Send single events to the brains in turn; the p99 in seconds."""
        self.each = max(1, count // len(self.names))
        made = [log.requests(records(self.each, self._numbers(self.each)), 1) for log in self._logs]
        clients = [
            [made[place][step] for step in range(self.each) for place in range(number, len(made), CONNECTIONS)]
            for number in range(CONNECTIONS)
        ]
        accepted, _, took = measure(self.server.port, clients)
        assert accepted == self.each * len(made)
        return quantile(took, 0.99)

    def _numbers(self, count: int) -> int:
        """The first of so many numbers that no event has."""
        first = self._made
        self._made += count
        return first


@dataclass
class Told:
    """What the reading process has to say."""

    pipe: Connection

    def __call__(self, count: int) -> float:
        """Seconds until so many events more were told."""
        began = time.perf_counter()
        while count > 0:
            assert self.pipe.poll(TOLD_S), f"{count} events were not told"
            count -= self.pipe.recv()
        return time.perf_counter() - began


@contextmanager
def feeds(server: Served, names: Sequence[str]) -> Iterator[Told]:
    """A feed of each brain is open: every second one is read by another process, the others never."""
    opened = [_open(server, name, unread=place % 2 == 1) for place, name in enumerate(names)]
    mine, theirs = multiprocessing.Pipe(duplex=False)
    reader = multiprocessing.get_context("fork").Process(target=_read, args=(opened[::2], theirs), daemon=True)
    reader.start()
    theirs.close()
    try:
        yield Told(mine)
    finally:
        for connection in opened:
            connection.close()
        reader.terminate()
        reader.join()
        mine.close()


def _open(server: Served, name: str, *, unread: bool) -> socket.socket:
    connection = socket.socket()
    if unread:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_BYTES)
    connection.connect(("127.0.0.1", server.port))
    from_where = "&after=0" if unread else ""
    ask = f"GET /api/v1/feed?brain={name}{from_where} HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer {server.key}"
    connection.sendall(f"{ask}\r\n\r\n".encode())
    head = connection.recv(64)
    assert head.startswith(b"HTTP/1.1 200"), head
    return connection


def _read(connections: Sequence[socket.socket], told: Connection) -> None:
    """Read all of them for ever; say how many events came, each time some did."""
    with selectors.DefaultSelector() as ready:
        for connection in connections:
            ready.register(connection, selectors.EVENT_READ, [b""])
        while True:
            count = 0
            for key, _ in ready.select():
                assert isinstance(key.fileobj, socket.socket)
                text = key.data[0] + key.fileobj.recv(262_144)
                count += text.count(EVENT)
                key.data[0] = text[-len(EVENT) + 1 :]
            if count:
                told.send(count)


def until_dropped(server: Served, fleet: Fleet, left: int) -> str:
    """Load after load until no more than `left` feeds are open; how long that took."""
    began = time.perf_counter()
    while (still := open_feeds(server)) > left and time.perf_counter() - began < DROPPED_S:
        fleet.load(len(fleet.names))
        time.sleep(1.0)
    return f"after {time.perf_counter() - began:.0f} s {still} feeds were open"


def open_feeds(server: Served) -> int:
    """How many the server counts."""
    headers = {"Authorization": f"Bearer {server.key}"}
    text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", headers=headers, timeout=30.0).text
    return int(float(text.partition("\ngradata_feed_clients ")[2].partition("\n")[0]))


def memory_mib(pid: int) -> float:
    """What the process holds in memory, files apart."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
