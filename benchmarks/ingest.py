"""How fast the cloud takes records in: batches of one client, and single events of many, over real sockets.

Run: python -m benchmarks.ingest [--records 300000] [--batch 13000] [--batch-clients 1] [--singles 40000] [--clients 27]
       [--store postgresql://…] [--workers 1] [--limited]

`--store`: an empty PostgreSQL database instead of SQLite in a temporary directory; `--store tests`: a server that is
started for it, durable as any other. `--limited`: with the request budgets counted (never reached).

Requests are as a replicator sends them, and made before the clock starts, so the figures are those of the server (and
of this machine, which it shares with the load: what the load takes of it is printed). The baselines are the same bytes
written to a file with one fsync a request, and the same single requests to an application that does nothing, on the
same HTTP server.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import free_port, listens, wait_for
from replicator.proof import CompactRange, leaf_hashes
from tests.support.postgres_fixture import Postgres

SERVE = (
    "import sys; from gradata.cloud.server import run; from gradata.cloud.http.context import LIMITS, CloudOptions;"
    "from dataclasses import replace; rate = int(sys.argv[3]) or None;"
    "run('127.0.0.1', 0, sys.argv[1], workers=int(sys.argv[2]),"
    " options=CloudOptions(replace(LIMITS, requests_per_minute=rate)))"
)
BARE = """
import sys, uvicorn
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"447")]})
    await send({"type": "http.response.body", "body": b'{"accepted":1,'.ljust(447)})
uvicorn.run(app, port=int(sys.argv[1]), http="httptools", lifespan="off", log_level="error", access_log=False)
"""
STATUS = {
    "state": "live", "log_bytes": 893301, "backlog_bytes": 0, "last_event_at": "2026-11-23T10:00:00Z",
    "dead_letters": 0, "version": "1.0.0", "trouble": None, "last_ack_at": "2026-11-23T10:00:01Z",
}  # fmt: skip
PLENTY_A_MINUTE = 60_000_000
HEAD = "POST /api/v1/ingest HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer {key}\r\nContent-Type: {type}\r\n"
DURABLE = {"fsync": "on", "shared_buffers": "512MB", "max_wal_size": "4GB"}
TYPE = "application/vnd.gradata.batch"


def records(count: int, start: int = 0) -> list[bytes]:
    """Corrections of about 1.2 kB with ids in the order of time."""
    text = "It should say what is promised, and by when. " * 7
    return [
        json.dumps(
            {
                "ts": "2026-11-23T05:58:22.828816+00:00",
                "session": 3,
                "type": "CORRECTION",
                "source": "brain.correct",
                "data": {"draft_text": text, "final_text": text[5:], "category": "TONE", "severity": "minor"},
                "tags": ["category:TONE"],
                "valid_from": None,
                "valid_until": None,
                "brain_id": "4e0b4c1c-6c38-4f0a-8f0c-0a4c9f7b7f01",
                "event_id": f"01KAR{start + number:021d}",
                "device_id": "dev_0123456789abcdef0123456789abcdef",
                "content_hash": "c" * 64,
            }
        ).encode()
        + b"\n"
        for number in range(start, start + count)
    ]


class Replica:
    """One log of a brain, as its replicator sends it: each batch goes on where the one before ended."""

    def __init__(self, key: str, brain: str) -> None:
        self._head = HEAD.format(key=key, type=TYPE)
        self._brain = brain
        self._log_id = str(uuid.uuid4())
        self._tree, self._offset = CompactRange.EMPTY, 0

    def requests(self, lines: Sequence[bytes], batch: int) -> list[bytes]:
        """Requests ready for the wire, of `batch` records each."""
        made = []
        for first in range(0, len(lines), batch):
            part = lines[first : first + batch]
            envelope = {
                "schema": 2, "brain_id": self._brain, "device_id": "bench", "log_id": self._log_id, "cloud_id": None,
                "first": self._tree.size, "offset": self._offset, "root": self._tree.root.hex(), "count": len(part),
                "status": STATUS,
            }  # fmt: skip
            body = json.dumps(envelope).encode() + b"\n" + b"".join(part)
            made.append(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            self._tree = self._tree.extended(leaf_hashes(part))
            self._offset += sum(map(len, part))
        return made


def requests(key: str, brain: str, lines: Sequence[bytes], batch: int) -> list[bytes]:
    """One log's requests, ready for the wire."""
    return Replica(key, brain).requests(lines, batch)


class Client:
    """One connection that sends its requests one after the other. As little Python as can be for each of them."""

    def __init__(self, port: int, made: Sequence[bytes], took: list[float]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._made = iter(made)
        self._took = took
        self._answer = b""
        self._begun = 0.0
        self.accepted = 0

    def ask(self) -> bool:
        """Send the next request; False if there is none."""
        request = next(self._made, None)
        if request is None:
            self.socket.close()
            return False
        self._begun = time.perf_counter()
        self.socket.sendall(request)
        return True

    def hear(self) -> bool:
        """Take what came; send the next request if the answer is whole. False when all is done."""
        answer = self._answer + self.socket.recv(65_536)
        head, end, body = answer.partition(b"\r\n\r\n")
        place = head.find(b"content-length: ")
        if not end or len(body) < int(head[place + 16 :].partition(b"\r")[0]):
            self._answer = answer
            return True
        self._took.append(time.perf_counter() - self._begun)
        assert head.startswith(b"HTTP/1.1 200"), answer
        self._answer = b""
        self.accepted += int(body[body.index(b'"accepted":') + 11 :].partition(b",")[0])
        return self.ask()


def measure(port: int, clients: Sequence[Sequence[bytes]]) -> tuple[int, float, list[float]]:
    """Records accepted, seconds, seconds of each request."""
    took: list[float] = []
    all_of_them = {(made := Client(port, requests, took)).socket.fileno(): made for requests in clients}
    start = time.perf_counter()
    with select.epoll() as ready:
        at_work = 0
        for number, each in all_of_them.items():
            ready.register(number, select.EPOLLIN)
            at_work += each.ask()
        while at_work:
            for number, _ in ready.poll():
                at_work -= not all_of_them[number].hear()
    seconds = time.perf_counter() - start
    return sum(each.accepted for each in all_of_them.values()), seconds, sorted(took)


def baseline(directory: Path, made: Sequence[bytes]) -> float:
    """Seconds to write the same bytes to a file, durably after each request."""
    start = time.perf_counter()
    with open(directory / "baseline", "wb", buffering=0) as file:
        for request in made:
            file.write(request)
            os.fdatasync(file.fileno())
    return time.perf_counter() - start


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--batch", type=int, default=13_000)
    parser.add_argument("--batch-clients", type=int, default=1)
    parser.add_argument("--singles", type=int, default=40_000)
    parser.add_argument("--clients", type=int, default=27)
    add_store_option(parser)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limited", action="store_true")
    wanted = parser.parse_args()
    with served(wanted.store, wanted.workers, limited=wanted.limited) as server:
        run(server, wanted)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"server: {used.ru_utime + used.ru_stime:.1f} CPU s, {used.ru_maxrss / 1024:.0f} MiB at most")


@dataclass(frozen=True, slots=True)
class Served:
    """A server, an admin key of its store, and a directory that goes with it."""

    port: int
    key: str
    pid: int
    directory: Path


def add_store_option(parser: argparse.ArgumentParser) -> None:
    """The option that `served` takes."""
    parser.add_argument("--store", default="", metavar="URL", help="a PostgreSQL store, or: tests")


@contextmanager
def served(store: str, workers: int = 1, *, limited: bool = False) -> Iterator[Served]:
    """A server on this store ("": SQLite of its own, "tests": a PostgreSQL of its own)."""
    with ExitStack() as places:
        directory = Path(places.enter_context(tempfile.TemporaryDirectory()))
        url = store or f"sqlite:{directory}/cloud.db"
        if store == "tests":
            place = Path(places.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            postgres = Postgres(place, DURABLE)
            places.callback(postgres.stop)
            url = postgres.url("postgres")
        command = [sys.executable, "-c", SERVE, url, str(workers), str(PLENTY_A_MINUTE * limited)]
        environment = os.environ | {"HOME": str(directory)}
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
            assert server.stderr is not None
            line = server.stderr.readline()
            port = int(line.split("/api/v1")[0].rpartition(":")[2])
            server.stderr.readline()
            try:
                yield Served(port, server.stderr.readline().strip(), server.pid, directory)
            finally:
                server.terminate()


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far, of its workers if it has any; 0 where /proc is not."""
    used = 0.0
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if pid in (int(directory.name), int(fields[1])):
            used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


@contextmanager
def bare() -> Iterator[int]:
    """The port of an application that does nothing."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", BARE, str(port)]) as server:
        try:
            wait_for(lambda: listens(port), 30.0)
            yield port
        finally:
            server.terminate()


def run(server: Served, wanted: argparse.Namespace) -> None:
    """Both measurements."""
    port, key, directory = server.port, server.key, server.directory
    lines = records(wanted.records)
    share = -(-len(lines) // wanted.batch_clients)
    many = [
        requests(key, f"brain-of-batches-{number}", lines[number * share : (number + 1) * share], wanted.batch)
        for number in range(wanted.batch_clients)
    ]
    made = [request for each in many for request in each]
    mean = sum(map(len, lines)) / len(lines)
    for what in ("batches", "the same again (all duplicates)"):
        accepted, seconds, took = measure(port, many)
        print(
            f"{what}: {len(lines)} records of {mean:.0f} bytes in {len(made)} requests of {wanted.batch_clients}"
            f" clients, {accepted} accepted:"
            f" {len(lines) / seconds:,.0f} records/s, p50 {took[len(took) // 2] * 1e3:.0f} ms a request"
        )
    print(f"  baseline, file and fdatasync: {len(lines) / baseline(directory, made):,.0f} records/s")
    each = wanted.singles // wanted.clients
    clients = [
        requests(key, f"brain-{number}", records(each, start=10_000_000 + number * each), 1)
        for number in range(wanted.clients)
    ]
    cpu_s, server_s = time.process_time(), cpu_of(server.pid)
    accepted, seconds, took = measure(port, clients)
    cpu_s, server_s = time.process_time() - cpu_s, cpu_of(server.pid) - server_s
    print(
        f"single events, {wanted.clients} clients: {accepted} accepted: {len(took) / seconds:,.0f} requests/s,"
        f" p50 {took[len(took) // 2] * 1e3:.1f} ms, p99 {took[len(took) * 99 // 100] * 1e3:.1f} ms"
    )
    print(f"  CPU a request: load {cpu_s / len(took) * 1e6:.0f} µs, server {server_s / len(took) * 1e6:.0f} µs")
    with bare() as idle:
        _, seconds, took = measure(idle, clients)
    print(f"  baseline, an application that does nothing: {len(took) / seconds:,.0f} requests/s")
    alone = [request for made in clients for request in made][:2_000]
    print(f"  baseline, file and fdatasync, one after the other: {2_000 / baseline(directory, alone):,.0f} requests/s")


if __name__ == "__main__":
    main()
