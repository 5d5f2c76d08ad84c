"""How soon a killed agent is seen: red in the page, exit 1 of `gradata fleet`, and the webhook, once.

Run: python -m benchmarks.silence [--silent-for 10] [--linger 10]

A real `gradata serve` with a webhook, and an agent's process with a Brain that corrects once a second until it is
killed (kill -9). All three are looked at as a person does: the page's own HTML, a process of `gradata fleet`, a web
server that counts. Prints the seconds after the set time; the baseline is one look at each.
"""

from __future__ import annotations

import argparse
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from benchmarks.figures import cloud, tell, wait_for, workplace

AGENT = """
import sys, time
from gradata import Brain
brain = Brain.init(sys.argv[1])
while True:
    brain.correct(f"a draft of {time.time_ns()} that is longer", "the final")
    print("corrected", flush=True)
    time.sleep(1.0)
"""


class Hook:
    """A webhook that keeps when it was called."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[float] = queue.SimpleQueue()
        calls = self.calls

        class Receive(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(204)
                self.end_headers()
                calls.put(time.perf_counter())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receive)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--silent-for", type=float, default=10.0, help="the set time, in seconds")
    parser.add_argument("--linger", type=float, default=10.0, help="seconds to wait for a second call of the webhook")
    wanted = parser.parse_args()
    hook = Hook()
    options = ("--alert-webhook", hook.url, "--silent-for", f"{wanted.silent_for:g}s")
    with workplace() as directory, cloud(directory / "cloud", *options) as (url, key):
        watch(directory, url, key, hook, wanted)
    hook.server.shutdown()


def watch(directory: Path, url: str, key: str, hook: Hook, wanted: argparse.Namespace) -> None:
    """Kill an agent, and wait for the three."""
    environment = os.environ | {"GRADATA_API_KEY": key, "GRADATA_ENDPOINT": url}
    page = url.removesuffix("/api/v1")

    def fleet() -> int:
        command = [sys.executable, "-m", "gradata", "fleet", "--silent-for", f"{wanted.silent_for:g}s"]
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    with httpx.Client(trust_env=False) as client:
        client.post(f"{page}/sign-in", data={"key": key}, headers={"Sec-Fetch-Site": "same-origin"})

        def red() -> bool:
            return 'class="state silent alert"' in client.get(f"{page}/parts/fleet").text

        agent = subprocess.Popen(
            [sys.executable, "-c", AGENT, str(directory / "brain")], stdout=subprocess.PIPE, env=environment, text=True
        )
        assert agent.stdout is not None
        for _ in range(3):
            assert agent.stdout.readline() == "corrected\n"
        wait_for(lambda: fleet() == 0 and not red(), 60.0)
        looks = timed(red), timed(lambda: fleet() == 0)
        agent.kill()
        killed = time.perf_counter()
        agent.wait()
        turned = []
        watching = threading.Thread(target=lambda: (wait_for(red, 600.0, 0.1), turned.append(time.perf_counter())))
        watching.start()
        wait_for(lambda: fleet() == 1, 600.0, 0.1)
        exited = time.perf_counter()
        watching.join()
        called = hook.calls.get(timeout=60)
    set_s = wanted.silent_for
    tell("red in the page, after the set time", turned[0] - killed - set_s, f"s (one look: {looks[0]:.2f} s)")
    tell("exit 1 of `gradata fleet`, after the set time", exited - killed - set_s, f"s (one look: {looks[1]:.2f} s)")
    tell("the webhook, after the set time", called - killed - set_s, "s")
    try:
        hook.calls.get(timeout=wanted.linger)
        tell("calls of the webhook", 2, "or more")
    except queue.Empty:
        tell("calls of the webhook", 1, "")


def timed(look: Callable[[], object]) -> float:
    """Seconds of one look."""
    began = time.perf_counter()
    look()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
