"""A real cloud for tests: the server in a process of its own, which can be killed and started again.

Tests name `live_cloud`, or `start_cloud` where they want other limits or several clouds; `tests/conftest.py` makes
both known. Light to import: nothing of the server is loaded into the test's process but the keys' functions.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Forked

SERVE = """
import json, sys
from dataclasses import replace
from gradata.cloud.domain.thresholds import Alerting, Patience
from gradata.cloud.server import run
from gradata.cloud.http.context import LIMITS, CloudOptions
wanted = json.loads(sys.argv[3])
limits = replace(LIMITS, **wanted.pop("limits"))
patience = Patience(silent_s=wanted.pop("silent_s", 300.0))
wanted["alerting"] = Alerting(wanted.pop("webhook", None), patience)
run("127.0.0.1", int(sys.argv[1]), sys.argv[2], options=CloudOptions(limits=limits, **wanted))
"""
START_S = 30.0
OF_SERVER = ("burst", "burst_slack", "body_s", "webhook", "silent_s", "forwarded_allow_ips")


class LiveCloud:
    """A server on a free port of this machine with a store of its own. Same port and store after `start`."""

    def __init__(
        self, directory: Path, options: dict[str, object], store_url: str | None = None, *, prelude: str = ""
    ) -> None:
        """`prelude`: Python that the server's process runs before it serves."""
        self.directory = directory
        self.store_url = store_url or f"sqlite:{directory}/cloud.db"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/api/v1"
        self._options = options
        self._program = prelude + SERVE
        self._process: Forked | None = None
        self._said: list[str] = []
        self.start()
        self.key = self.make_key("ingest", "read")

    def start(self) -> None:
        """Start the server; returns when its port is open."""
        assert self._process is None
        # What the tests' own environment says of proxies and brains is none of the server's business.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADATA_")}
        environment["HOME"] = str(self.directory)
        arguments = [str(self.port), self.store_url, json.dumps(self._options)]
        self._process = Forked(self._program, arguments, environment)
        said = self._process.said
        opened = threading.Event()

        def listen() -> None:
            for line in said:
                self._said.append(line)
                if line.startswith("gradata cloud at "):
                    opened.set()
            opened.set()

        self._listener = threading.Thread(target=listen, daemon=True)
        self._listener.start()
        assert opened.wait(START_S), "the server did not start in time"
        assert any(line.startswith("gradata cloud at ") for line in self._said), self.said

    @property
    def admin_key(self) -> str:
        """The key that the server made at its first start."""
        home = self.directory if self.store_url.startswith("sqlite:") else self.directory / ".gradata" / "cloud"
        return (home / "admin.key").read_text().strip()

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """How it ended by itself; None while it runs."""
        return self._process.poll() if self._process is not None else None

    @property
    def said(self) -> str:
        """What the server wrote on stderr so far."""
        return "".join(self._said)

    def kill(self) -> None:
        """SIGKILL: whatever it was doing."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and wait for its end; the exit status."""
        return self._end(signal.SIGTERM)

    def restart(self) -> None:
        """`stop` and `start`."""
        self.stop()
        self.start()

    def make_key(self, *scopes: str, brains: tuple[str, ...] = (), workspace: str = "default") -> str:
        """A further key of the store."""
        from gradata.cloud.service.api_keys import create_key
        from gradata.cloud.store.open import open_store

        store = open_store(self.store_url)
        try:
            return create_key(store, "test", scopes, brains=brains, workspace=workspace)
        finally:
            store.close()

    def close(self) -> None:
        """End the server, if it runs."""
        if self._process is not None:
            self.kill()

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(how)
        status = process.wait(START_S)
        self._listener.join(START_S)
        process.said.close()
        return status


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


StartCloud = Callable[..., LiveCloud]


@pytest.fixture
def start_cloud(tmp_path: Path) -> Iterator[StartCloud]:
    """Starts clouds: `start_cloud(requests_per_minute=600, body_s=1.0, …)`; names of Limits or CloudOptions."""
    clouds: list[LiveCloud] = []

    def start(**options: object) -> LiveCloud:
        directory = tmp_path / f"cloud-{len(clouds)}"
        directory.mkdir()
        store_url = options.pop("store_url", None)
        prelude = str(options.pop("prelude", ""))
        of_server: dict[str, object] = {name: options.pop(name) for name in OF_SERVER if name in options}
        limits: dict[str, object] = {"requests_per_minute": None, **options}
        assert store_url is None or isinstance(store_url, str)
        cloud = LiveCloud(directory, {"limits": limits, **of_server}, store_url, prelude=prelude)
        clouds.append(cloud)
        return cloud

    yield start
    for cloud in clouds:
        cloud.close()


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    """One cloud without request budget for all tests that use brains of their own and leave it running."""
    cloud = LiveCloud(tmp_path_factory.mktemp("cloud"), {"limits": {"requests_per_minute": None}})
    yield cloud
    cloud.close()


@pytest.fixture
def live_cloud(start_cloud: StartCloud) -> LiveCloud:
    """A cloud with the documented limits but no request budget."""
    return start_cloud()
