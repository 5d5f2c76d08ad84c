"""One user's machine for whole-system tests: a home with a brain, real processes, and a cloud to look into.

Everything is real: the Brain, its replicator's thread, the command line in processes of its own, the server. Tests
wait for conditions with a bound (`eventually`), never for time. Partner: `front`, which stands before the cloud.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx

from gradata import Brain
from gradata.brain.brain import Ports, open_replicator
from gradata.config.settings import Settings
from replicator import recovery
from replicator.errors import SidecarError
from replicator.log import LogWriter
from replicator.loop import Replicator
from replicator.model import Identity, Policy
from replicator.status import Status
from tests.support.cloud_fixture import LiveCloud
from tests.support.patience import PATIENCE_S

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
POLL_S = 0.02
CLOSE_S = 10.0

QUICK = Policy(backoff_s_first=0.05, backoff_s_max=0.3, probe_s_first=0.2, probe_s_max=0.4, heartbeats_per_minute=600)
"""The documented policy with short waits, for tests that are about something else."""

CLI = "import sys; from gradata.cli import main; sys.exit(main())"
FOLLOW = f"import sys; sys.argv[1:] = ['replicate', '--follow', '--brain', sys.argv[1]]; {CLI}"


def eventually(holds: Callable[[], T], within_s: float = PATIENCE_S) -> T:
    """The first answer of `holds` that is true; AssertionError if there is none in time."""
    deadline = time.monotonic() + within_s
    while not (answer := holds()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {holds}"
        time.sleep(POLL_S)
    return answer


def line(number: int, text: str = "text", **more: object) -> bytes:
    """A record as other writers make them, with an event_id of its own."""
    event = {"ts": "2026-11-23T10:00:00+00:00", "type": "NOTE", "data": {"text": text}, "event_id": f"e-{number}"}
    return json.dumps(event | more).encode() + b"\n"


class World:
    """A home directory, the brain in it, and the address that this user's programs use for the cloud."""

    def __init__(self, home: Path, cloud: LiveCloud) -> None:
        self.home = home
        self.cloud = cloud
        self.endpoint = cloud.url
        self.directory = home / "brain"
        self.log = self.directory / "events.jsonl"
        self._http = httpx.Client(trust_env=False, timeout=PATIENCE_S)
        self._brains: list[Brain] = []
        self._processes: list[subprocess.Popen[str]] = []
        (home / ".gradata").mkdir(parents=True)
        self.keep_key(cloud.key)

    def close(self) -> None:
        """End everything that a test left running."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            try:
                process.communicate(timeout=CLOSE_S)
            except subprocess.TimeoutExpired:  # a child that it forked lives on, and holds its pipes
                for pipe in (process.stdin, process.stdout, process.stderr):
                    if pipe is not None:
                        pipe.close()
        for brain in self._brains:
            brain.close(timeout_s=0)
        self._http.close()

    # ---------------------------------------------------------------- the user

    def keep_key(self, key: str | None) -> None:
        """Write the key into the user's key file; None takes the file away."""
        file = self.home / ".gradata" / "key"
        file.unlink(missing_ok=True)
        if key is not None:
            file.touch(mode=0o600)
            file.write_text(f"{key}\n")

    def environ(self, **more: str) -> dict[str, str]:
        """This user's environment: nothing of the tests' own about brains and proxies."""
        mine = {k: v for k, v in os.environ.items() if not k.startswith(("GRADATA_", "BRAIN_"))}
        mine = {k: v for k, v in mine.items() if not k.lower().endswith("_proxy")}
        return mine | {"HOME": str(self.home), "GRADATA_ENDPOINT": self.endpoint, **more}

    def brain(self, directory: Path | None = None, *, policy: Policy | None = QUICK, **environ: str) -> Brain:
        """The brain, made unless it exists, open in this process; policy None: the documented one."""
        place = directory or self.directory
        brain = Brain.init(place, environ=self.environ(**environ), ports=paced(policy))
        self._brains.append(brain)
        return brain

    def append(self, *records: bytes, locked: bool = True) -> None:
        """Append records to the log as another program does, with our lock or without."""
        if locked:
            writer = LogWriter(str(self.log))
            for record in records:
                writer.append(record)
            writer.close()
        else:
            with self.log.open("ab", buffering=0) as file:
                file.write(b"".join(records))

    def run(
        self, *arguments: str, brain: bool = True, stdin: str = "", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """`gradata …` on this brain, to its end; `brain` False: without naming it."""
        command = [sys.executable, "-W", "error", "-c", CLI, *arguments]
        command += ["--brain", str(self.directory)] if brain else []
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
            env=self.environ(**environ),
        )  # fmt: skip

    def start(self, script: str, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """A Python program of this user; `argv[1]` is the brain's directory. Killed at the end of the test."""
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, str(self.directory), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=self.environ(**environ),
        )
        self._processes.append(process)
        return process

    def follow(self, **environ: str) -> subprocess.Popen[str]:
        """`gradata replicate --follow` in a process of its own."""
        return self.start(FOLLOW, **environ)

    def doctor(self, *arguments: str, **environ: str) -> dict[str, tuple[str, str]]:
        """What doctor finds: status and detail by the check's name."""
        told = json.loads(self.run("doctor", "--json", *arguments, **environ).stdout)
        return {check["name"]: (check["status"], check["detail"]) for check in told["checks"]}

    # ---------------------------------------------------------------- what is known here

    @property
    def whole(self) -> bytes:
        """The log's whole records."""
        data = self.log.read_bytes()
        return data[: data.rfind(b"\n") + 1]

    @property
    def standing(self) -> Any:
        """Where replication stands durably; None if it never began, or nobody can tell now."""
        try:
            return recovery.standing(str(self.log))
        except SidecarError:
            return None

    def in_step(self) -> bool:
        """Whether all whole records are acknowledged here, and the cloud has exactly these bytes and this root."""
        here = self.standing
        whole = self.whole
        if here is None or here.cursor.offset != len(whole):
            return False
        if here.cursor.log_id not in (log["log_id"] for log in self.logs()):
            return False
        head = self.head(here.cursor.log_id)
        return head["root"] == here.cursor.root.hex() and self.replica(here.cursor.log_id) == whole

    def settle(self, within_s: float = PATIENCE_S) -> None:
        """Wait until everything in the log is at the cloud, proven, and each event is there once."""
        eventually(self.in_step, within_s)
        ids = self.event_ids()
        assert len(ids) == len(set(ids))

    # ---------------------------------------------------------------- what is known at the cloud

    def get(self, path: str) -> httpx.Response:
        """A request to the cloud itself, whatever stands before it."""
        answer = self._http.get(f"{self.cloud.url}{path}", headers={"Authorization": f"Bearer {self.cloud.key}"})
        assert answer.status_code in (200, 206), answer.text
        return answer

    @property
    def brain_id(self) -> str:
        """The brain's id."""
        return (self.directory / ".tenant_id").read_text().strip()

    def logs(self) -> list[dict[str, Any]]:
        """The brain's logs at the cloud, newest first."""
        found: list[dict[str, Any]] = self.get(f"/logs?brain={self.brain_id}").json()["logs"]
        return found

    def head(self, log_id: str) -> dict[str, Any]:
        """The cloud's head of one log, with what its client said last."""
        found: dict[str, Any] = self.get(f"/logs/{log_id}").json()
        return found

    def replica(self, log_id: str) -> bytes:
        """The log as the cloud has it."""
        return self.get(f"/logs/{log_id}/bytes").content

    def events(self) -> Iterator[dict[str, Any]]:
        """The cloud's projection, oldest first."""
        after: int | None = 0
        while after is not None:
            page = self.get(f"/events?brain={self.brain_id}&after={after}&limit=1000").json()
            yield from page["events"]
            after = page["next"]

    def event_ids(self) -> list[str]:
        """The ids in the cloud's projection."""
        return [event["event_id"] for event in self.events()]


def paced(policy: Policy | None = QUICK) -> Ports:
    """A Brain's ports, with a replicator of this policy."""

    def opened(settings: Settings, log: str, identity: Identity) -> Replicator | None:
        replicator = open_replicator(settings, log, identity)
        if replicator is not None and policy is not None:
            replicator.policy = policy
        return replicator

    return Ports(open_replicator=opened)


def shorter(policy: Policy = QUICK, **numbers: Any) -> Policy:
    """QUICK with other numbers."""
    return replace(policy, **numbers)


def say(process: subprocess.Popen[str], text: str) -> None:
    """Write one line to a process."""
    assert process.stdin is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints; "" at its end."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def status_of(brain: Brain) -> Status:
    """The live replicator's status; an empty one before there is any."""
    found = brain.replicator.status() if brain.replicator is not None else None
    return found if found is not None else Status("starting", "", "")


def trouble_of(brain: Brain) -> str | None:
    """The code of the present trouble."""
    trouble = status_of(brain).trouble
    return None if trouble is None else trouble.code
