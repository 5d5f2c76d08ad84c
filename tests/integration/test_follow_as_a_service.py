"""`gradata replicate --follow` under a supervisor and a Prometheus: a real process, a real socket, real signals."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gradata.cli.service import KINDS
from gradata.config.settings import supervised
from gradata.replicate.metrics_exporter import parse_address
from gradata.replicate.systemd_notify import STILL_S, SystemdNotifier
from replicator.errors import ConfigurationError
from tests.acceptance.world import CLI, World, eventually, line
from tests.support.cloud_fixture import LiveCloud

HEARD_S = 30.0


@pytest.fixture
def world(tmp_path: Path, live_cloud: LiveCloud) -> Iterator[World]:
    """A user's machine with a brain."""
    made = World(tmp_path / "home", live_cloud)
    made.directory.mkdir()
    yield made
    made.close()


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A supervisor's socket."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(HEARD_S)
        yield address, receiver


def heard(receiver: socket.socket, wanted: str) -> str:
    """The next message that has `wanted` in it."""
    while wanted not in (message := receiver.recv(4096).decode()):
        continue
    return message


@dataclass
class Follow:
    """The process."""

    process: subprocess.Popen[str]

    def metrics_url(self) -> str:
        """Where it said that its metrics are."""
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        assert said.startswith("metrics at "), said
        return f"http://{said.split()[-1]}"


def start(world: World, *arguments: str, **environ: str) -> Follow:
    """`gradata replicate --follow` on the world's brain."""
    command = [sys.executable, "-W", "error", "-c", CLI, "replicate", "--follow", "--brain", str(world.directory)]
    process = subprocess.Popen(
        [*command, *arguments], env=world.environ(**environ), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    world._processes.append(process)
    return Follow(process)


def test_a_supervisor_hears_ready_watchdog_status_and_stopping(
    world: World, notified: tuple[str, socket.socket]
) -> None:
    """The protocol of sd_notify(3), from the start to the good end upon SIGTERM."""
    address, receiver = notified
    follow = start(world, NOTIFY_SOCKET=address, WATCHDOG_USEC="200000")
    assert receiver.recv(4096) == b"READY=1"
    world.append(line(1), line(2))
    assert "2 records acknowledged" in heard(receiver, "STATUS=live: 2")
    assert "WATCHDOG=1" in heard(receiver, "WATCHDOG=1")
    follow.process.send_signal(signal.SIGTERM)
    heard(receiver, "STOPPING=1")
    assert follow.process.wait(HEARD_S) == 0


def test_the_watchdog_is_not_fed_for_a_thread_that_stands_still(notified: tuple[str, socket.socket]) -> None:
    """Stuck for longer than any request may take: systemd is to restart it."""
    address, receiver = notified
    supervisor = SystemdNotifier(address, 1.0)
    supervisor.working(still_s=STILL_S + 1, words="live")
    assert receiver.recv(4096) == b"STATUS=live"
    supervisor.working(still_s=STILL_S, words="live")
    assert receiver.recv(4096) == b"WATCHDOG=1"


def test_a_supervisor_that_went_away_is_nobodys_concern(tmp_path: Path) -> None:
    """Nothing is raised, nothing waits."""
    SystemdNotifier(str(tmp_path / "gone"), 1.0).ready()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (None, None)),
        ({"NOTIFY_SOCKET": "@abstract", "WATCHDOG_USEC": "60000000"}, ("@abstract", 60.0)),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, ("/s", None)),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, ("/s", 60.0)),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "soon"}, ("/s", None)),
    ],
)
def test_what_the_environment_says_of_a_supervisor(
    environ: dict[str, str], expected: tuple[str | None, float | None]
) -> None:
    """A watchdog that is meant for another process is not ours."""
    assert supervised(environ, pid=7) == expected


def test_metrics_tell_state_backlog_and_counts(world: World) -> None:
    """A scrape shows what status shows; the probe is content; nothing of the brain's is in a label."""
    follow = start(world, "--metrics", "127.0.0.1:0")
    url = follow.metrics_url()
    world.append(line(1), line(2), line(3))
    with httpx.Client(trust_env=False) as http:
        text = eventually(lambda: (t := http.get(url).text) and 'records_total{outcome="accepted"} 3.0' in t and t)
        assert "gradata_replicator_backlog_bytes 0.0" in text
        assert 'gradata_replicator_state{state="live"} 1.0' in text
        assert "gradata_replicator_last_ack_age_seconds" in text
        assert str(world.directory) not in text
        assert world.cloud.key not in text
        assert http.get(url.replace("/metrics", "/health")).status_code == 200
    follow.process.send_signal(signal.SIGTERM)
    assert follow.process.wait(HEARD_S) == 0


def test_metrics_that_cannot_be_served_are_wrong_usage(world: World) -> None:
    """An address that is none, one that is taken, and metrics without --follow."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for arguments in (["--metrics", "9464"], ["--metrics", f"127.0.0.1:{taken.getsockname()[1]}"]):
            follow = start(world, *arguments)
            assert follow.process.wait(HEARD_S) == 2
    done = world.run("replicate", "--metrics", "127.0.0.1:0")
    assert done.returncode == 2
    assert "--follow" in done.stderr


@pytest.mark.parametrize("address", ["", "9464", ":9464", "host:", "host:99999", "host:x"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    """HOST:PORT and nothing else."""
    with pytest.raises(ConfigurationError, match="no address"):
        parse_address(address)


def test_an_ipv6_address_stands_in_brackets() -> None:
    """As in a URL."""
    assert parse_address("[::1]:9464") == ("::1", 9464)


@pytest.mark.parametrize("kind", KINDS)
def test_service_print_goes_to_stdout_and_advice_to_stderr(world: World, kind: str) -> None:
    """So that it can be piped into its file; nothing of the key is in it."""
    done = world.run("service", "print", kind, "--brain", str(world.directory))
    assert done.returncode == 0, done.stderr
    assert "replicate" in done.stdout
    assert "save it as" in done.stderr
    assert world.cloud.key not in done.stdout + done.stderr
