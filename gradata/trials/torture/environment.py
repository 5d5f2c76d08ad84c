"""The environment of the fault campaign: a brain with writers and replicators, a cloud, and a network between them.

Real processes in a temporary directory with its own home and (where permitted) disks; no brain, key or setting of the
user is read or written. Every process has its own session, so that Ctrl-C reaches only the campaign. Partners:
`faults`, which injects faults, and `audit`, which examines the result.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping

from gradata.cloud.service.api_keys import create_key, rotate_key
from gradata.cloud.store.open import open_store
from gradata.config import brain_dir as brains
from gradata.config.settings import BRAIN_VARIABLES, WRITE_THROUGH_OFF
from gradata.trials.torture.mounts import TrialPlace, alone, mounted
from replicator.testing.chaos import NONE, Chaos

WAIT_S = 60.0
POLL_S = 0.01
WRITER = """
import sys, time
from gradata import Brain
from replicator.errors import ReplicatorError
brain = Brain(sys.argv[1])
number = 0
while True:
    number += 1
    try:
        if sys.argv[2] == "correct":
            event = brain.correct(f"a draft {time.time_ns()} " * 9, "the final " * 9)
        else:
            event = brain.emit("NOTE", "torture", {"text": "x" * (number * 397 % 6_000)})
        print(event["event_id"], int(event["durable"]), flush=True)
    except ReplicatorError:
        print("refused 0", flush=True)
        time.sleep(0.1)
    time.sleep(0.02)
"""


class Actor:
    """One role: the process that has it now, and what all its processes have promised."""

    def __init__(self, name: str, command: list[str], environ: Mapping[str, str], *, promises: bool = False) -> None:
        self.name = name
        self.promised: list[str] = []
        self.refused = 0
        self._command, self._environ, self._promises = command, environ, promises
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while one runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start or restart the process."""
        self._process = subprocess.Popen(
            self._command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._listener.start()

    def kill(self) -> None:
        """Kill it with SIGKILL, and collect what it had promised."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGKILL)
        process.wait()
        if self._listener is not None:
            self._listener.join()
        if process.stdout is not None:
            process.stdout.close()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            name, _, durable = line.strip().partition(" ")
            if not self._promises or not line.endswith("\n"):
                continue
            if durable == "1":
                self.promised.append(name)
            else:
                self.refused += 1


class Stage:
    """All processes and files. Create it on the main thread before any other starts; `close` leaves nothing behind."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.home = tempfile.mkdtemp(prefix="gradata-torture-")
        self.not_tried: list[str] = []
        self.chaos: Chaos | None = None
        self.actors: list[Actor] = []
        self.backup: str | None = None
        try:
            self._build(environ)
        except BaseException:
            self.close()
            raise

    def _build(self, environ: Mapping[str, str]) -> None:
        forbidden = alone()
        kinds = () if forbidden else ("ext4", "tmpfs")
        self.brain_place, why = mounted(os.path.join(self.home, "disk"), *kinds)
        self.cloud_place, _ = mounted(os.path.join(self.home, "cloud"), *kinds[:1])
        if not self.brain_place.can_cut:
            self.not_tried.append(f"power cuts: {forbidden or why}")
        if not self.brain_place.can_fill:
            self.not_tried.append(f"a full disk: {forbidden or why}")
        self.brain_dir = os.path.join(self.brain_place.path, "brain")
        self.store_file = os.path.join(self.cloud_place.path, "cloud.db")
        self.port = _free_port()
        self.chaos = Chaos(("127.0.0.1", self.port))
        os.makedirs(os.path.join(self.home, ".gradata"), mode=0o700)
        ours = {k: v for k, v in environ.items() if not k.startswith("GRADATA_") and k not in BRAIN_VARIABLES}
        ours = {k: v for k, v in ours.items() if not k.lower().endswith("_proxy")}
        self.environ = ours | {
            "HOME": self.home,
            "USERPROFILE": self.home,
            "GRADATA_ENDPOINT": f"{self.chaos.url}/api/v1",
        }
        brains.create(self.brain_dir)
        serve = self._gradata("serve", "--port", f"{self.port}", "--store", self.store)
        self.cloud = Actor("the cloud", serve, self.environ)
        self.start_cloud()
        self.keep_key(self.make_key())
        local = {**self.environ, WRITE_THROUGH_OFF: "1"}
        self.writers = [
            Actor("a brain that replicates", self._writer("correct"), self.environ, promises=True),
            Actor("another one", self._writer("emit"), self.environ, promises=True),
            Actor("a brain that only appends", self._writer("emit"), local, promises=True),
        ]
        self.follower = Actor(
            "replicate --follow", self._gradata("replicate", "--follow", "--brain", self.brain_dir), self.environ
        )
        self.actors = [*self.writers, self.follower]

    # ------------------------------------------------------------------------------ the cloud

    @property
    def store(self) -> str:
        """The store's address."""
        return f"sqlite:{self.store_file}"

    @property
    def url(self) -> str:
        """The cloud's own URL, without the proxy."""
        return f"http://127.0.0.1:{self.port}/api/v1"

    def start_cloud(self) -> None:
        """Start the server, and wait until it listens."""
        self.cloud.start()
        self.until(self._listens)

    def make_key(self) -> str:
        """A fresh key."""
        store = open_store(self.store)
        try:
            return create_key(store, "torture", ("ingest", "read"))
        finally:
            store.close()

    def rotate_key(self, grace_s: float) -> str:
        """Replace the key; the old one expires after `grace_s` seconds."""
        store = open_store(self.store)
        try:
            return rotate_key(store, "_".join(self.key.split("_")[:3]), grace_s=grace_s)
        finally:
            store.close()

    @property
    def key(self) -> str:
        """The key in this home's key file."""
        with open(self._key_file, encoding="ascii") as file:
            return file.read().strip()

    def keep_key(self, key: str) -> None:
        """Write the key file, as a person does."""
        with open(os.open(self._key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(f"{key}\n")

    def back_up(self) -> None:
        """Copy the store as it is now, while it serves."""
        self.backup = os.path.join(self.home, "backup.db")
        source, target = sqlite3.connect(self.store_file), sqlite3.connect(self.backup)
        try:
            source.backup(target)
        finally:
            target.close()
            source.close()

    def roll_back(self) -> None:
        """Kill the server and restore the copy of the store. A later key may be missing there, so a new one is made."""
        assert self.backup is not None
        self.cloud.kill()
        for part in ("-wal", "-shm", ""):
            if os.path.exists(self.store_file + part):
                os.unlink(self.store_file + part)
        shutil.copyfile(self.backup, self.store_file)
        self.start_cloud()
        self.keep_key(self.make_key())

    # ------------------------------------------------------------------------------ all of it

    def heal(self) -> None:
        """End all faults: network, disks, cloud."""
        if self.chaos is not None:
            self.chaos.fault = NONE
            self.chaos.refuse(False)
        self.brain_place.free()

    def until(self, holds: Callable[[], bool], within_s: float = WAIT_S) -> bool:
        """Wait for a condition. Returns whether it became true in time."""
        deadline = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def close(self) -> None:
        """End every process, unmount, remove."""
        for actor in [*self.actors, *([self.cloud] if hasattr(self, "cloud") else [])]:
            actor.kill()
        if self.chaos is not None:
            self.chaos.close()
        for disk in (getattr(self, "brain_place", None), getattr(self, "cloud_place", None)):
            if isinstance(disk, TrialPlace):
                disk.close()
        shutil.rmtree(self.home, ignore_errors=True)  # a temporary directory: what stays, the system removes

    @property
    def _key_file(self) -> str:
        return os.path.join(self.home, ".gradata", "key")

    def _writer(self, how: str) -> list[str]:
        return [sys.executable, "-c", WRITER, self.brain_dir, how]

    @staticmethod
    def _gradata(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "gradata", *arguments]

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
