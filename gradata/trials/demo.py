"""The main scenario, end to end: real processes, real output, a killed cloud, a proof.

Runs in a temporary directory with its own home: no brain, key or setting of the user is read or written. The cloud and
each command are processes; the brain is embedded, as an agent would embed it. Partner: `gradata demo`, which prints
each step.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gradata.brain.brain import Brain
from gradata.config.settings import BRAIN_VARIABLES

STEP_S = 10.0
"""Seconds that one step may take before it counts as failed."""
POLL_S = 0.005
BEHIND = 3
"""Number of corrections recorded while the cloud is down."""
TEXTS = (
    ("We are pleased to inform you about our product launch.", "We shipped it. Want a look?"),
    ("The meeting is at 3pm on Tuesday.", "The meeting is at 4pm on Wednesday."),
    ("Please find attached the report.", "Here is the report."),
    ("It goes without saying that tests matter.", "Tests matter."),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was done, what it printed, and whether it did what was promised."""

    name: str
    held: bool
    shown: str
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The whole run. `kept` is the directory, if it was kept; `look` are commands to inspect it."""

    steps: tuple[Step, ...]
    seconds: float
    kept: str | None = None
    look: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether every step showed what was promised."""
        return all(step.held for step in self.steps)


class _Unmet(Exception):  # noqa: N818 -- no error: a promise that did not come true in time
    """Why a step failed. The steps after it are not run."""


def run(
    *,
    keep: bool = False,
    on_step: Callable[[Step], None] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> DemoReport:
    """Run the demo; `on_step` is called after each step. Ends every process that it started, whatever happens.

    The processes get `environ` without the variables that concern the user's own brains.
    """
    began = time.monotonic()
    directory = tempfile.mkdtemp(prefix="gradata-demo-")
    ours = {
        name: value
        for name, value in environ.items()
        if not name.startswith("GRADATA_") and name not in BRAIN_VARIABLES
    }
    stage = _Stage(directory, on_step or (lambda _: None), ours)
    try:
        with stage.closed_at_end():
            stage.play()
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)  # a temporary directory: what stays, the system removes
    look = stage.look() if keep else ()
    return DemoReport(tuple(stage.steps), time.monotonic() - began, directory if keep else None, look)


def as_json(shown: DemoReport) -> dict[str, object]:
    """The documented form of `gradata demo --json`."""
    return {
        "held": shown.held,
        "seconds": round(shown.seconds, 2),
        "steps": [{"name": step.name, "held": step.held, **step.figures} for step in shown.steps],
        "kept": shown.kept,
    }


@dataclass(slots=True)
class _Stage:
    """The processes and files of one demo."""

    directory: str
    on_step: Callable[[Step], None]
    environ: dict[str, str]
    steps: list[Step] = field(default_factory=list)
    cloud: subprocess.Popen[str] | None = None
    brain: Brain | None = None
    url: str = ""

    # ------------------------------------------------------------------------------ the play

    def play(self) -> None:
        """Run the steps in order; the first failure ends the run."""
        acts = (
            ("a cloud", self._a_cloud),
            ("a brain", self._a_brain),
            ("correct", self._correct),
            ("kill -9 the cloud", self._kill),
            ("correct, without a cloud", self._correct_more),
            ("what doctor says", self._doctor),
            ("the cloud comes back", self._restart),
            ("the proof", self._prove),
            ("send everything again", self._again),
        )
        for name, act in acts:
            try:
                held, said, figures = act()
            except _Unmet as why:
                held, said, figures = False, str(why), {}
            mark = "ok  " if held else "FAIL"
            step = Step(name, held, f"{mark} {len(self.steps) + 1}. {name:<25} {said}", figures)
            self.steps.append(step)
            self.on_step(step)
            if not held:
                return

    def _a_cloud(self) -> tuple[bool, str, dict[str, Any]]:
        home = os.path.join(self.directory, "home")
        os.makedirs(os.path.join(home, ".gradata"), mode=0o700)
        self.environ.update(HOME=home, USERPROFILE=home, GRADATA_BRAIN=self._brain_dir)
        started = self._serve(0)
        self.url = started["url"]
        self.environ["GRADATA_ENDPOINT"] = self.url
        made = self._gradata("keys", "create", "--store", self._store, "--name", "demo", "--json")
        path = os.path.join(home, ".gradata", "key")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(made["key"] + "\n")
        return True, f"gradata serve: {self.url}, pid {self._pid}; a key with scopes ingest,read", {"url": self.url}

    def _a_brain(self) -> tuple[bool, str, dict[str, Any]]:
        made = self._gradata("init", self._brain_dir, "--json")
        self.brain = Brain(self._brain_dir, environ=self.environ)
        self.brain.correct(*TEXTS[0], dry_run=True)  # loads what the first correction of a process loads
        self._until(lambda: self._status().get("state") == "live", "the brain does not replicate")
        return True, f"gradata init: {made['brain']}; replication is on", {"brain_id": made["brain_id"]}

    def _correct(self) -> tuple[bool, str, dict[str, Any]]:
        assert self.brain is not None
        with _Cloud(self.url, self._key) as cloud:
            size = cloud.size(self.brain)
            began = time.perf_counter()
            event = self.brain.correct(*TEXTS[0])
            recorded_ms = (time.perf_counter() - began) * 1e3
            self._until(lambda: cloud.size(self.brain) == size + 1, "the correction did not reach the cloud")
            seen_ms = (time.perf_counter() - began) * 1e3
        said = f"recorded in {recorded_ms:.1f} ms, seen in the cloud after {seen_ms:.0f} ms: {event['data']['summary']}"
        figures = {"recorded_ms": round(recorded_ms, 2), "seen_ms": round(seen_ms, 1), "event_id": event["event_id"]}
        return True, said, figures

    def _kill(self) -> tuple[bool, str, dict[str, Any]]:
        assert self.cloud is not None
        pid = self.cloud.pid
        self.cloud.kill()
        self.cloud.communicate()
        self.cloud = None
        return True, f"pid {pid} is gone", {"pid": pid}

    def _correct_more(self) -> tuple[bool, str, dict[str, Any]]:
        assert self.brain is not None
        began = time.perf_counter()
        durable = [self.brain.correct(*texts)["durable"] for texts in TEXTS[1:]]
        each_ms = (time.perf_counter() - began) * 1e3 / BEHIND
        self._until(lambda: self._status().get("trouble") is not None, "nothing noticed that the cloud is away")
        status = self._status()
        waiting = status["backlog_records"]
        said = f"{len(durable)} recorded in {each_ms:.1f} ms each; state {status['state']}, {waiting} records wait"
        return all(durable) and waiting == BEHIND, said, {"each_ms": round(each_ms, 2), "backlog_records": waiting}

    def _doctor(self) -> tuple[bool, str, dict[str, Any]]:
        report = self._gradata("doctor", "--no-cloud", "--json")
        checks = {check["name"]: check for check in report["checks"]}
        lines = [f"{checks[name]['status']}: {name}: {checks[name]['detail']}" for name in ("trouble", "backlog")]
        held = checks["trouble"]["status"] == "warn" and checks["backlog"]["detail"].startswith(f"{BEHIND} pending")
        return held, "\n       ".join([report["status"], *lines]), {"status": report["status"]}

    def _restart(self) -> tuple[bool, str, dict[str, Any]]:
        began = time.perf_counter()
        self._serve(int(self.url.split(":")[2].partition("/")[0]))
        up_s = time.perf_counter() - began
        with _Cloud(self.url, self._key) as cloud:
            self._until(lambda: cloud.size(self.brain) == BEHIND + 1, "the backlog did not drain")
        seconds = time.perf_counter() - began
        said = f"up after {up_s:.1f} s, and {seconds - up_s:.1f} s later it has everything, without intervention"
        return True, said, {"up_s": round(up_s, 2), "drained_s": round(seconds - up_s, 2)}

    def _prove(self) -> tuple[bool, str, dict[str, Any]]:
        assert self.brain is not None
        with open(self.brain.log_path, "rb") as file:
            log = file.read()
        with _Cloud(self.url, self._key) as cloud:
            head = cloud.head(self.brain)
            replica = cloud.replica(head["log_id"])
        status = self._gradata("status", "--json")
        same = replica == log and status["cloud"]["in_step"] and status["cloud"]["root"] == head["root"]
        said = f"{len(replica):,} bytes at the cloud = the log, byte for byte; root {head['root'][:16]}… on both sides"
        return same, said if same else "the replica differs from the log", {"bytes": len(replica), "root": head["root"]}

    def _again(self) -> tuple[bool, str, dict[str, Any]]:
        answer = self._gradata("replicate", "--from-offset", "0", "--json", "--timeout", f"{STEP_S:g}")
        counts = {name: answer[name] for name in ("accepted", "duplicates")}
        said = f"gradata replicate --from-offset 0: {counts['accepted']} accepted, {counts['duplicates']} duplicates"
        return counts == {"accepted": 0, "duplicates": BEHIND + 1}, said, counts

    # ------------------------------------------------------------------------------ processes and files

    @property
    def _brain_dir(self) -> str:
        return os.path.join(self.directory, "brain")

    @property
    def _store(self) -> str:
        return f"sqlite:{os.path.join(self.directory, 'cloud', 'cloud.db')}"

    @property
    def _pid(self) -> int:
        return self.cloud.pid if self.cloud is not None else 0

    @property
    def _key(self) -> str:
        with open(os.path.join(self.directory, "home", ".gradata", "key"), encoding="ascii") as file:
            return file.read().strip()

    @contextmanager
    def closed_at_end(self) -> Iterator[None]:
        """Whatever happens: the brain is closed and the cloud ended."""
        try:
            yield
        finally:
            if self.brain is not None:
                self.brain.close(timeout_s=1.0)
            if self.cloud is not None:
                self.cloud.terminate()
                try:
                    self.cloud.communicate(timeout=STEP_S)
                except subprocess.TimeoutExpired:
                    self.cloud.kill()
                    self.cloud.communicate()

    def look(self) -> tuple[str, ...]:
        """Commands to look at what is there."""
        home = os.path.join(self.directory, "home")
        settings = f"HOME={home} GRADATA_ENDPOINT={self.url}"
        port = self.url.split(":")[2].partition("/")[0] if self.url else "0"
        return (
            f"gradata serve --port {port} --store {self._store} &",
            f"{settings} gradata status --brain {self._brain_dir}",
            f"{settings} gradata doctor --brain {self._brain_dir}",
        )

    def _serve(self, port: int) -> dict[str, Any]:
        arguments = ["serve", "--port", str(port), "--store", self._store, "--json"]
        os.makedirs(os.path.join(self.directory, "cloud"), mode=0o700, exist_ok=True)
        self.cloud = subprocess.Popen(
            [sys.executable, "-m", "gradata", *arguments], env=self.environ, stdout=subprocess.PIPE, text=True
        )
        assert self.cloud.stdout is not None
        line = self.cloud.stdout.readline()
        if not line:
            raise _Unmet(f"gradata serve ended with {self.cloud.wait()}")
        return dict(json.loads(line))

    def _gradata(self, *arguments: str) -> dict[str, Any]:
        """A command's JSON. No JSON is a failure."""
        done = subprocess.run(
            [sys.executable, "-m", "gradata", *arguments],
            env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=STEP_S * 2, check=False,
        )  # fmt: skip
        try:
            return dict(json.loads(done.stdout))
        except ValueError:
            raise _Unmet(f"gradata {arguments[0]} ended with {done.returncode}: {done.stderr.strip()}") from None

    def _status(self) -> dict[str, Any]:
        """`gradata status --no-cloud`, without the cost of a process: it is asked again and again."""
        from gradata.config import brain_dir
        from gradata.replicate import state

        return state.status_json(state.local(brain_dir.find(self._brain_dir)), None)

    def _until(self, true: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + STEP_S
        while not true():
            if time.monotonic() > deadline:
                raise _Unmet(otherwise)
            time.sleep(POLL_S)


class _Cloud:
    """Read access to the cloud with a key."""

    def __init__(self, url: str, key: str) -> None:
        from replicator.sink.http_library import httpx  # here: `import gradata.demo` need not cost it

        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=STEP_S, trust_env=False
        )

    def __enter__(self) -> _Cloud:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def head(self, brain: Brain | None) -> dict[str, Any]:
        """The newest log of the brain; size 0 if there is none."""
        assert brain is not None
        answer = self._client.get("/logs", params={"brain": brain.identity.brain_id})
        logs = answer.json().get("logs", []) if answer.status_code == 200 else []
        return dict(logs[0]) if logs else {"size": 0}

    def size(self, brain: Brain | None) -> int:
        """How many records it has."""
        return int(self.head(brain)["size"])

    def replica(self, log_id: str) -> bytes:
        """The log's bytes, as the cloud gives them back."""
        return self._client.get(f"/logs/{log_id}/bytes").raise_for_status().content
