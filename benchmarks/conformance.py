"""What embedded senders do when the world is unkind, side by side: 50 events each, at their defaults.

    python -m benchmarks.conformance [--seconds 25 | --quick] [--sender NAME]

Ours and five others (each from the registry, in an environment of its own) against a scripted server: how many of 50
events a server has *accepted* in the end. All scenarios run at once, they mostly wait; exits and import costs are
measured behind them. Prints a table in Markdown. Behind the scripted server of ours stands the real cloud, which is
counted.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.conformance_client import EVENTS, IMPORTS
from benchmarks.figures import cloud, workplace

CLIENT = Path(__file__).with_name("conformance_client.py")
PACKAGES = {
    "Segment": ["segment-analytics-python"],
    "PostHog": ["posthog"],
    "Sentry": ["sentry-sdk"],
    "OpenTelemetry": ["opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk"],
    "logstash-async": ["python-logstash-async"],
}
_MARKER = re.compile(rb"marker-(\d+)-")
LEAVE_S_MAX = 120.0
HANG = -1
"""Instead of a status: take the request and never say a word."""
Rule = Callable[[set[int], float], int]
"""The status for a request with these markers, so many seconds after the first one. 200 is accepted."""


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Senders that die in mid-request are what this is about."""


class Server:
    """The scripted server: refuses connections until `listen`; `accepted` are the markers that got a 200."""

    def __init__(self, trial: Trial, forward: str | None) -> None:
        self.trial, self.accepted, self.requests = trial, set[int](), 0
        self.forward = urlsplit(forward) if forward else None
        self.first_at: float | None = None
        self.arrived, self.over = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), self._handler(), bind_and_activate=False)
        self._http.server_bind()
        self.port = int(self._http.server_address[1])
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def listen(self) -> None:
        """Take connections from now on."""
        self._http.server_activate()
        self._thread.start()

    def close(self) -> None:
        """Let go of everything that hangs."""
        self.over.set()
        if self._thread.is_alive():
            self._http.shutdown()
        self._http.server_close()

    def status_for(self, body: bytes) -> tuple[int, set[int]]:
        """What the rule says to this body."""
        markers = {int(found) for found in _MARKER.findall(body)}
        with self._lock:
            self.requests += 1
            self.first_at = self.first_at or time.monotonic()
            self.arrived.set()
            return self.trial.rule(markers, time.monotonic() - self.first_at), markers

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None: ...

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                sent = self._body()
                status, markers = server.status_for(_plain(sent, self.headers.get("Content-Encoding", "")))
                if status == HANG:
                    server.over.wait()
                    self.close_connection = True
                    return
                answer, kind = b"{}", "application/json"
                if status == 200:
                    if server.forward is not None:
                        status, answer, kind = server.pass_on(self, sent)
                    if status == 200:
                        server.accepted |= markers
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

        return Handler

    def pass_on(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes, str]:
        """The real cloud's answer."""
        assert self.forward is not None
        connection = HTTPConnection(self.forward.netloc, timeout=30)
        kept = {k: v for k, v in handler.headers.items() if k.lower() not in ("host", "connection")}
        try:
            connection.request(handler.command, handler.path, body or None, kept)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("Content-Type", "application/json")
        finally:
            connection.close()


def _plain(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip" or body[:2] == b"\x1f\x8b":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body


@dataclass
class Sender:
    """One sender: the interpreter that has it, and the cloud behind its server (ours alone has one)."""

    name: str
    python: str
    version: str
    cloud: str | None = None
    key: str | None = None


@dataclass
class Trial:
    """One sender in one scenario, with a directory and a server of its own."""

    sender: Sender
    state: Path
    scale: float
    rule: Rule = lambda _markers, _at: 200
    server: Server = field(init=False)

    def __enter__(self) -> Trial:
        self.state.mkdir(parents=True)
        self.server = Server(self, self.sender.cloud)
        self.processes: list[subprocess.Popen[str]] = []
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.server.close()

    def start(self, action: str, seconds: float = 0.0) -> subprocess.Popen[str]:
        """Start the program; returns when it has emitted."""
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "TMPDIR")}
        environ = kept | {"HOME": str(self.state)}
        if self.sender.key:
            environ |= {"GRADATA_API_KEY": self.sender.key}
        command = [self.sender.python, str(CLIENT), self.sender.name, str(self.server.port), str(self.state)]
        process = subprocess.Popen(
            [*command, action, str(seconds)], env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.processes.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line == "done\n":
                return process
        raise RuntimeError(f"{self.sender.name} does not run: {command}")

    def count(self, numbers: range = range(EVENTS)) -> int:
        """How many of these events were accepted."""
        return len(self.server.accepted & set(numbers))

    def live(self, seconds: float, enough: int = EVENTS, numbers: range = range(EVENTS)) -> int:
        """Let it live so long, or until all is there; how many are."""
        deadline = time.monotonic() + seconds
        while self.count(numbers) < enough and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.count(numbers)


def status_for_a_while(trial: Trial, status: int) -> str:
    """This status, then the server is itself again."""
    away_s = trial.scale
    trial.rule = lambda _, at: status if at < away_s else 200
    trial.server.listen()
    trial.start("stay", 10_000)
    return str(trial.live(away_s + _patience_s(trial)))


def down(trial: Trial) -> str:
    """Nobody listens, then somebody does."""
    trial.start("stay", 10_000)
    time.sleep(trial.scale * 120 / 25)
    trial.server.listen()
    return str(trial.live(_patience_s(trial)))


def poison(trial: Trial) -> str:
    """Whatever holds event 17 gets a 422."""
    trial.rule = lambda markers, _: 422 if 17 in markers else 200
    trial.server.listen()
    trial.start("stay", 10_000)
    arrived = trial.live(_patience_s(trial), EVENTS - 1)
    letters = dead_letters(trial)
    return f"{arrived} + {letters} dead letter" if letters else str(arrived)


def dead_letters(trial: Trial) -> int:
    """How many dead letters ours has kept; the others have no such thing."""
    if trial.sender.cloud is None:
        return 0
    command = [
        trial.sender.python,
        "-m",
        "gradata",
        "dead-letters",
        "list",
        "--json",
        "--brain",
        f"{trial.state}/brain",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(json.loads(said)["total"])


def ten_at_most(trial: Trial) -> str:
    """413 for more than ten events at once. A sender that sends each alone never meets it."""
    large = threading.Event()

    def rule(markers: set[int], _: float) -> int:
        if len(markers) <= 10:
            return 200
        large.set()
        return 413

    trial.rule = rule
    if trial.sender.cloud is not None:  # it would send as they come, one or two at once: so let them gather
        trial.start("stay", 1.0).wait(60)
        trial.server.listen()
        trial.start("again", 10_000)
    else:
        trial.server.listen()
        trial.start("stay", 10_000)
    arrived = trial.live(_patience_s(trial))
    return str(arrived) if large.is_set() else "–"


def killed_while_down(trial: Trial) -> str:
    """SIGKILL with nobody listening; then the server and the program start again."""
    process = trial.start("stay", 10_000)
    time.sleep(3)
    process.send_signal(signal.SIGKILL)
    trial.server.listen()
    trial.start("again", 10_000)
    return str(trial.live(_patience_s(trial)))


def killed_in_flight(trial: Trial) -> str:
    """SIGKILL while a request waits for its answer; then the server is itself and the program starts again."""
    trial.rule = lambda *_: HANG
    trial.server.listen()
    process = trial.start("stay", 10_000)
    trial.server.arrived.wait(60)
    process.send_signal(signal.SIGKILL)
    trial.rule = lambda *_: 200
    trial.start("again", 10_000)
    return str(trial.live(_patience_s(trial)))


def fork(trial: Trial) -> str:
    """The ten events of a forked child that ends at once."""
    trial.server.listen()
    trial.start("fork", 10_000)
    return str(trial.live(min(20.0, _patience_s(trial)), 10, range(100, 110)))


def leave(trial: Trial) -> str:
    """How long the end takes against a server that takes requests and says nothing."""
    trial.rule = lambda *_: HANG
    trial.server.listen()
    process = trial.start("leave")
    began = time.monotonic()
    try:
        process.wait(LEAVE_S_MAX)
    except subprocess.TimeoutExpired:
        return f"over {LEAVE_S_MAX:g} s"
    return f"{time.monotonic() - began:.1f} s"


def _patience_s(trial: Trial) -> float:
    return 30.0 if trial.scale < 25 else 75.0


SCENARIOS: dict[str, Callable[[Trial], str]] = {
    "401 for {0:g} s": lambda trial: status_for_a_while(trial, 401),
    "503 for {0:g} s": lambda trial: status_for_a_while(trial, 503),
    "down for {1:g} s": down,
    "one poison event": poison,
    "413 for batches over 10": ten_at_most,
    "SIGKILL, server down, restart": killed_while_down,
    "SIGKILL with a batch in flight, restart": killed_in_flight,
    "fork: the child's 10 events": fork,
}
EXIT = "exit against a black hole"


def environment(name: str, place: Path) -> Sender:
    """An environment with this sender alone, and its version."""
    python = str(place / "bin" / "python")
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(place)], check=True)
    subprocess.run(["uv", "pip", "install", "-q", "--python", python, *PACKAGES[name]], check=True)
    ask = f"from importlib.metadata import version; print(version({PACKAGES[name][0]!r}))"
    return Sender(
        name, python, subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    )


def import_ms(sender: Sender) -> str:
    """What importing it costs, beyond a bare interpreter: the median of 7."""
    ask = f"import time; began = time.perf_counter(); import {IMPORTS[sender.name]}; print(time.perf_counter() - began)"
    command = [sender.python, "-c", ask]
    times = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(7)]
    return f"{statistics.median(times) * 1e3:.0f} ms"


def one(sender: Sender, scenario: Callable[[Trial], str], place: Path, scale: float) -> str:
    """One cell."""
    with Trial(sender, place, scale) as trial:
        return scenario(trial)


def table(senders: list[Sender], place: Path, scale: float) -> list[list[str]]:
    """All cells."""
    with ThreadPoolExecutor(len(senders) * len(SCENARIOS)) as pool:
        cells = {
            (sender.name, scenario): pool.submit(one, sender, tried, place / f"{row}-{sender.name}", scale)
            for row, (scenario, tried) in enumerate(SCENARIOS.items())
            for sender in senders
        }
        rows = [
            [scenario.format(scale, scale * 120 / 25), *(cells[sender.name, scenario].result() for sender in senders)]
            for scenario in SCENARIOS
        ]
        ends = [pool.submit(one, sender, leave, place / f"exit-{sender.name}", scale) for sender in senders]
        rows.append([EXIT, *(end.result() for end in ends)])
    return [*rows, ["import cost", *(import_ms(sender) for sender in senders)]]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=25.0, help="how long the 401 and the 503 last (25)")
    parser.add_argument("--quick", action="store_true", help="5 seconds, and less patience")
    parser.add_argument("--sender", action="append", choices=[*PACKAGES, "here"], help="only these; repeat")
    chosen = parser.parse_args()
    names = chosen.sender or [*PACKAGES, "here"]
    python = sys.executable
    with workplace() as home, tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        place = Path(directory)
        with cloud(home / "cloud") as (url, key):
            others = [environment(name, place / f"env-{name}") for name in names if name != "here"]
            ours = [Sender("here", python, "this", url.removesuffix("/api/v1"), key)] if "here" in names else []
            senders = others + ours
            rows = table(senders, place, 5.0 if chosen.quick else chosen.seconds)
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}; {EVENTS} events each\n")
    print(f"| scenario | {' | '.join(f'{sender.name} {sender.version}' for sender in senders)} |")
    print(f"|---|{'---|' * len(senders)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    assert shutil.which("uv"), "each sender gets an environment of its own, by uv"
    main()
