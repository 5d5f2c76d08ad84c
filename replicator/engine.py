"""One step of replication: get the action from `progress`, perform it through a port, return the outcome to `progress`.

Contains no policy, no thread and no lock. `loop` runs steps on its thread; tests and the simulation run them with fakes
at the ports. The ports return operating errors as outcomes; only the sidecar raises (SidecarError), and a failed
checkpoint is an outcome too.
"""

from __future__ import annotations

import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, assert_never

from replicator import actions as act
from replicator import status as st
from replicator.errors import LogError, SidecarError
from replicator.model import Head, Policy, Standing
from replicator.progress import Progress, advance, next_action
from replicator.sidecar import SidecarPort
from replicator.sink import Sink
from replicator.waker import WakerPort


class Clock(Protocol):
    """Two kinds of time: `monotonic_s` is for decisions, `now` only for display."""

    def monotonic_s(self) -> float: ...
    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        """Seconds that never jump; CLOCK_MONOTONIC."""
        return time.monotonic()

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC."""
        return datetime.now(UTC)


class LogPort(Protocol):
    """The part of `log.LogReader` that a step uses."""

    def read(self, action: act.Read) -> act.Found | act.Nothing | act.Broken | act.ReadFailed: ...
    def compare(self, heads: tuple[Head, ...]) -> act.Compared | act.ReadFailed: ...
    def end(self) -> int: ...
    def last_write(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class EnginePorts:
    """The ports of an engine: log, sidecar, sink, waker."""

    log: LogPort
    sidecar: SidecarPort
    sink: Sink
    waker: WakerPort
    clock: Clock


@dataclass(frozen=True, slots=True)
class Host:
    """The process that runs the engine; for display only. `brief`: it exits when nothing is waiting."""

    pid: int = 0
    name: str = ""
    version: str = ""
    since: str = ""
    brief: bool = False

    @classmethod
    def here(cls, clock: Clock, version: str, *, brief: bool) -> Host:
        """This process, from now on."""
        return cls(os.getpid(), socket.gethostname(), version, clock.now().isoformat(timespec="seconds"), brief)


class Engine:
    """Replication of one log by one leader, a step at a time.

    Not thread-safe: one thread steps. Others may read `progress` and `status`, which are replaced, never modified.
    """

    def __init__(
        self,
        ports: EnginePorts,
        standing: Standing | None,
        *,
        endpoint: str,
        policy: Policy,
        host: Host = Host(),
        hints: Mapping[str, str] = st.HINTS,
        on_notice: Callable[[st.Notice], None] = lambda _: None,
        jitter: Callable[[], float] = random.random,
        new_log_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._ports = ports
        self._host = host
        self._hints = hints
        self._on_notice = on_notice
        self._jitter = jitter
        self._new_log_id = new_log_id
        self.progress = Progress.start(standing, policy=policy, endpoint=endpoint)
        self.status = self._as_of_old(endpoint)
        self.rested = False
        """The last step was a wait: what people ordered before it was looked at."""
        self._end_seen = self._count_bytes()
        """How long the log was at the last look: a wait tells whether it has grown since."""

    def _as_of_old(self, endpoint: str) -> st.Status:
        """The status before the first step: the last ack as the previous process saved it."""
        now = self._ports.clock.now().isoformat(timespec="milliseconds")
        try:
            saved = self._ports.sidecar.status()
        except SidecarError:
            saved = None  # said by the first checkpoint
        known = None if saved is None else st.from_json(saved)
        if known is None:
            return st.Status("starting", now, endpoint)
        return replace(known, state="starting", updated_at=now, endpoint=endpoint)

    def next_action(self) -> act.Action:
        """The action for the next `perform`."""
        return next_action(self.progress, self._ports.clock.monotonic_s())

    def step(self) -> act.Action:
        """Perform the next action and return it. Waiting is an action too."""
        action = self.next_action()
        self.perform(action)
        return action

    def perform(self, action: act.Action) -> None:
        """Perform `action` and advance the progress by its outcome."""
        clock = self._ports.clock
        began = clock.monotonic_s()
        outcome = self._do(action)
        before = self.progress
        self.progress = advance(before, action, outcome, began=began, now=clock.monotonic_s(), jitter=self._jitter())
        self.rested = isinstance(action, act.Wait)
        self._tell(before, action)

    def _do(self, action: act.Action) -> act.Outcome:
        ports = self._ports
        match action:
            case act.Read():
                return ports.log.read(action)
            case act.Send():
                return ports.sink.send(action, st.report(self.refresh()))
            case act.Checkpoint():
                return self._checkpoint(action)
            case act.Wait(until):
                return self._wait(until)
            case act.Beat():
                return ports.sink.beat(action, st.report(self.refresh()))
            case act.Recall():
                return ports.sink.recall()
            case act.Compare(heads):
                return ports.log.compare(heads)
            case act.Begin():
                return act.Began(self._new_log_id())
            case _:
                assert_never(action)

    def _checkpoint(self, action: act.Checkpoint) -> act.Saved | act.SaveFailed:
        status = st.to_json(self.refresh())
        try:
            reset = self._ports.sidecar.save(
                action.standing, action.dead_letters, status=status, done_reset=action.reset_id
            )
        except SidecarError as error:
            return act.SaveFailed(str(error))
        return act.Saved(reset)

    def _wait(self, until: float | None) -> act.Woken:
        ports = self._ports
        ports.waker.wait(None if until is None else max(0.0, until - ports.clock.monotonic_s()))
        try:
            asked = ports.sidecar.asked()
        except SidecarError:
            asked = None  # said by the checkpoint that fails for the same reason; the order stays in the sidecar
        trouble = self.progress.retry.trouble
        waits_for_key = trouble is not None and trouble.code in ("denied", "no_key", "no_consent")
        end, before = self._count_bytes(), self._end_seen
        self._end_seen = end
        return act.Woken(
            key_changed=waits_for_key and ports.sink.key_changed(),
            reset=asked.reset if asked else None,
            appended=end > before,
        )

    def refresh(self) -> st.Status:
        """The status as of now; also kept as `status`."""
        self.status = st.build(self.progress, self._facts(), self.status, self._hints)
        return self.status

    def _count_dead_letters(self) -> int:
        try:
            return self._ports.sidecar.dead_letter_count()
        except SidecarError:
            return self.status.dead_letters

    def _count_bytes(self) -> int:
        try:
            return self._ports.log.end()
        except LogError:
            return self.status.log_bytes  # why it cannot be looked at is said by the next read

    def _facts(self) -> st.StatusFacts:
        written = self._ports.log.last_write()
        return st.StatusFacts(
            log_bytes=self._count_bytes(),
            now=self._ports.clock.now().isoformat(timespec="milliseconds"),
            dead_letters=self._count_dead_letters(),
            last_event_at=None
            if written is None
            else datetime.fromtimestamp(written, UTC).isoformat(timespec="milliseconds"),
            pid=self._host.pid,
            host=self._host.name,
            version=self._host.version,
            since=self._host.since,
            brief=self._host.brief,
        )

    def _tell(self, before: Progress, action: act.Action) -> None:
        told = st.notices(before, self.progress, self._hints)
        for notice in told:
            self._on_notice(notice)
        # The status within a checkpoint counts the dead letters that the sidecar had before it.
        counted = isinstance(action, act.Checkpoint) and bool(action.dead_letters)
        if told or counted or isinstance(action, act.Beat) or before.retry.failures != self.progress.retry.failures:
            try:
                self._ports.sidecar.save_status(st.to_json(self.refresh()))
            except SidecarError:
                return  # the status is a convenience; the checkpoint says what is wrong with the sidecar
