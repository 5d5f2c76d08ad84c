"""The hosts that embed a brain, real ones: do parent's and children's records arrive, and does the host still end?

    python -m tests.campaigns embedding [--host NAME]

Each host runs twice: with a brain, and as it is without one. What it emitted must reach the cloud by itself; then it is
told to end, with a backlog against a cloud that is gone, and the table shows how much longer that takes than without.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.world import ROOT, World, eventually
from tests.support.cloud_fixture import LiveCloud

HANGS_S = 90.0
TASKS = 8
BRAIN = """
import os
def note(kind):
    event = brain.emit("NOTE", kind, {"pid": os.getpid()}) if brain is not None else {"event_id": "none"}
    ids = os.open(os.environ["IDS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ids, f'{kind} {event["event_id"]}\\n'.encode())
    os.close(ids)
def opened():
    from gradata import Brain
    return Brain(os.environ["BRAIN"]) if os.environ.get("BRAIN") else None
"""
GUNICORN = f"""{BRAIN}
brain = opened()
note("parent")
def app(environ, start):
    note("child")
    start("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
CELERY = f"""{BRAIN}
import sys
from celery import Celery
folder = os.environ["FOLDER"]
app = Celery("app", broker="filesystem://")
outbox = os.environ.get("OUTBOX", folder)
app.conf.broker_transport_options = {{"data_folder_in": folder, "data_folder_out": outbox, "control_folder": folder}}
app.conf.worker_hijack_root_logger = False
brain = None
if "worker" in sys.argv:
    brain = opened()
    note("parent")
@app.task(name="work")
def work():
    note("child")
"""
ASYNCIO = f"""{BRAIN}
import asyncio, sys
brain = opened()
async def main():
    note("parent")
    for _ in range(10):
        note("child")
        await asyncio.to_thread(note, "child")
        await asyncio.sleep(0)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    note("child")
asyncio.run(main())
"""
THREADS = f"""{BRAIN}
import sys, threading, time
brain = opened()
note("parent")
def endless():
    while True:
        note("daemon")
        time.sleep(0.001)
def late():
    time.sleep(0.2)
    for _ in range(20):
        note("child")
for _ in range(5):
    note("child")
print("ready", flush=True)
sys.stdin.readline()
threading.Thread(target=endless, daemon=True).start()
threading.Thread(target=late).start()
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What a host came to. `said`: what it wrote on stderr; seconds from being told to end until it has."""

    host: str
    parent: int
    children: int
    arrived: int
    missing: int
    exit_s: float
    said: str = ""


class Hosted:
    """One host of this user, running."""

    def __init__(self, world: World, place: Path, source: str, command: list[str], *, brain: bool) -> None:
        self.ids = place / "ids"
        (place / "app.py").write_text(source)
        (place / "queue").mkdir(exist_ok=True)
        environ = world.environ(IDS=str(self.ids), FOLDER=str(place / "queue"), PYTHONPATH=str(ROOT))
        environ |= {"BRAIN": str(world.directory)} if brain else {}
        self.process = subprocess.Popen(
            command, cwd=place, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        self.said = ""

    def hear(self, until: str) -> str:
        """Read what it says up to a line with this."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if until in line:
                return line
        raise AssertionError(f"it never said {until!r}: {self.said}")

    def emitted(self, kind: str) -> list[str]:
        """The ids of what was emitted there."""
        lines = self.ids.read_text().splitlines() if self.ids.exists() else []
        return [name for each, _, name in (line.partition(" ") for line in lines) if each == kind]

    def end(self, how: Callable[[subprocess.Popen[str]], None]) -> float:
        """Tell it to end; seconds until it has. AssertionError if it hangs."""
        began = time.monotonic()
        how(self.process)
        try:
            out, _ = self.process.communicate(timeout=HANGS_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"it hangs: {self.said}") from None
        self.said += out
        return time.monotonic() - began


def _sigterm(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)


def _a_line(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def _ask(url: str, times: int) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(times):
        opener.open(url, timeout=30).read()


def _gunicorn(*options: str) -> Callable[[World, Path, bool], tuple[Hosted, Callable[[], None]]]:
    def start(world: World, place: Path, brain: bool) -> tuple[Hosted, Callable[[], None]]:
        command = [sys.executable, "-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:0", *options, "app:app"]
        host = Hosted(world, place, GUNICORN, command, brain=brain)
        found = re.search(r"http://\S+", host.hear("Listening at"))
        assert found is not None
        return host, lambda: _ask(found[0], 20)

    return start


def _celery(world: World, place: Path, brain: bool) -> tuple[Hosted, Callable[[], None]]:
    command = [sys.executable, "-m", "celery", "-A", "app", "worker", "--pool=prefork", "-c", "2", "--loglevel=INFO"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    host = Hosted(world, place, CELERY, command, brain=brain)
    host.hear("ready.")
    outbox = place / "outbox"
    outbox.mkdir()
    environ = world.environ(FOLDER=str(place / "queue"), OUTBOX=str(outbox), PYTHONPATH=str(ROOT))

    def work() -> None:
        had = len(host.emitted("child"))
        send = f"from app import app\nfor _ in range({TASKS}): app.send_task('work')"
        subprocess.run([sys.executable, "-c", send], cwd=place, env=environ, check=True, timeout=60)
        for message in outbox.iterdir():  # whole at once: the worker of this transport takes half-written ones
            message.rename(place / "queue" / message.name)
        eventually(lambda: len(host.emitted("child")) >= had + TASKS, HANGS_S)

    return host, work


def _program(source: str) -> Callable[[World, Path, bool], tuple[Hosted, Callable[[], None]]]:
    def start(world: World, place: Path, brain: bool) -> tuple[Hosted, Callable[[], None]]:
        host = Hosted(world, place, source, [sys.executable, "-W", "error", "-c", source], brain=brain)
        host.hear("ready")
        return host, lambda: None

    return start


HOSTS = {
    "gunicorn, preloaded": (_gunicorn("--preload"), _sigterm),
    "gunicorn, threads": (_gunicorn("--preload", "-k", "gthread", "--threads", "4"), _sigterm),
    "celery, prefork": (_celery, _sigterm),
    "asyncio": (_program(ASYNCIO), _a_line),
    "threads at exit": (_program(THREADS), _a_line),
}


def try_host(name: str, world: World, place: Path) -> Row:
    """Run a host with a brain: what it emits arrives by itself; then it ends with the cloud gone."""
    start, how = HOSTS[name]
    place.mkdir(parents=True, exist_ok=True)
    world.brain(GRADATA_DISABLE_WRITE_THROUGH="1").close()
    host, work = start(world, place, True)
    try:
        work()
        named = host.emitted("parent") + host.emitted("child")
        eventually(lambda: set(named) <= set(world.event_ids()), 60)
        arrived = len(named)
        world.cloud.stop()
        work()
        exit_s = host.end(how)
    finally:
        if host.process.poll() is None:
            host.process.kill()
        world.cloud.close()
        world.cloud.start()
    with world.brain():
        world.settle(60)
    there = set(world.event_ids())
    named = [name for kind in ("parent", "child", "daemon") for name in host.emitted(kind)]
    missing = sum(name not in there for name in named)
    children = len(host.emitted("child"))
    return Row(name, len(host.emitted("parent")), children, arrived, missing, exit_s, host.said)


def without(name: str, world: World, place: Path) -> float:
    """Seconds that the host takes to end without a brain."""
    start, how = HOSTS[name]
    place.mkdir(parents=True, exist_ok=True)
    host, work = start(world, place, False)
    work()
    return host.end(how)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", choices=HOSTS, help="only this one")
    chosen = parser.parse_args()
    bad = 0
    for name in [chosen.host] if chosen.host else HOSTS:
        with tempfile.TemporaryDirectory(prefix="hosts-") as place:
            (Path(place) / "cloud").mkdir()
            cloud = LiveCloud(Path(place) / "cloud", {"limits": {"requests_per_minute": None}})
            world = World(Path(place) / "home", cloud)
            try:
                row = try_host(name, world, Path(place) / "with")
                baseline_s = without(name, world, Path(place) / "without")
            finally:
                world.close()
                cloud.close()
        bad += row.missing > 0
        print(
            f"{name:<22} parent {row.parent:3}  children {row.children:3}  by itself {row.arrived:3}"
            f"  missing {row.missing}  exit {row.exit_s:5.2f} s, without a brain {baseline_s:5.2f} s",
            flush=True,
        )
    return 1 if bad else 0
