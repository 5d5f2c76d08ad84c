"""A process that leads a brain directory, or waits to: the real engine, a step at a time.

One step takes no time; a request does, and meanwhile everything else goes on. A process may die before or after any
step, and on either side of a checkpoint's commit. Its partner `directory` is the machine that it runs on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from replicator import actions as act
from replicator import status as st
from replicator.engine import Engine, EnginePorts
from replicator.errors import SidecarError
from replicator.log import LogReader
from replicator.model import Standing
from replicator.testing import SidecarRows

from .cloud import Answered, Died
from .policy import POLICY
from .ports import EngineClock, NoWaiting, Sidecar, Sink

if TYPE_CHECKING:
    from .directory import Directory

STEPS_AT_ONCE_MAX = 3_000
SIDECAR_TRIES = 3
DORMANT_S = 3_600.0


class Process:
    """A program that embeds the replicator: it leads while it holds the lease, else it waits for it."""

    def __init__(self, directory: Directory, name: str) -> None:
        self.directory = directory
        self.name = name
        self.alive = False
        self.engine: Engine | None = None
        self.dies_at: str | None = None
        """`before save`, `after save`, or the name of the action before which it dies."""
        self.own_rows: SidecarRows | None = None
        """A sidecar that the others do not see, as on a disk that is shared badly."""
        self._life = 0
        self._planned_s = float("inf")
        self._plan = 0
        self._waits = False
        self._in_flight = False
        self._read_version = -1
        self._looked_version = -1
        self._tries = 0

    @property
    def rows(self) -> SidecarRows:
        """What the sidecar holds that this process sees."""
        return self.directory.rows if self.own_rows is None else self.own_rows

    def start(self) -> None:
        """The process begins."""
        if not self.alive:
            self.alive = True
            self._life += 1
            self._tries = 0
            self._note("starts")
            self.try_to_lead()

    def die(self) -> None:
        """It ends at once, wherever it is; the system frees its lease."""
        if not self.alive:
            return
        self._note("dies")
        self.alive = False
        self._stop_leading()

    def _stop_leading(self) -> None:
        self._life += 1
        self.engine = None
        self._planned_s = float("inf")
        self._in_flight = self._waits = False
        if self.directory.holder is self:
            self.directory.holder = None
            self.directory.lease_is_free()

    def try_to_lead(self) -> None:
        """Lead if nobody does, or if the lease does not work here."""
        directory = self.directory
        taken = directory.holder not in (None, self) and not directory.lease_broken
        if not self.alive or self.engine is not None or taken:
            return
        if directory.holder is None:
            directory.holder = self
        sidecar = Sidecar(self)
        try:
            standing = sidecar.load()
        except SidecarError:
            self._tries += 1
            if self._tries < SIDECAR_TRIES:
                self._after(POLICY.timer_s, self.try_to_lead)
                return
            standing = None
            directory.excuse("resend", "jumped", "recalled")
        self._lead(sidecar, standing)

    def _lead(self, sidecar: Sidecar, standing: Standing | None) -> None:
        directory, world = self.directory, self.directory.world
        if world.counted("leads", directory) > 1 and directory.led_by not in (None, self.name):
            world.count("taken over by another process")
        directory.led_by = self.name
        self._note(f"leads, at {_place(standing)}")
        self.sink = Sink(directory)
        self.clock = EngineClock(world)
        self.engine = Engine(
            EnginePorts(LogReader(directory.path, directory.disk), sidecar, self.sink, NoWaiting(), self.clock),
            standing,
            endpoint=directory.endpoint,
            policy=world.policy,
            on_notice=lambda notice: world.oracle.noticed(directory, notice),
            jitter=world.rng.random,
            new_log_id=world.new_uuid,
        )
        self._read_version = -1
        directory.refused_in_a_row.pop(self.name, None)
        if standing is None or standing.cloud_id is None:
            directory.foreign = False  # with the sidecar went what is known of the cloud before
        self._turn_after(0.0)

    # ------------------------------------------------------------------------------ turns

    def wake(self, delay_s: float) -> None:
        """Something changed: look after this time, if nothing is in flight and no earlier turn is planned."""
        if self.engine is not None and not self._in_flight:
            self._turn_after(delay_s)

    def _turn_after(self, delay_s: float) -> None:
        at_s = self.directory.world.clock.now_s + delay_s
        if at_s >= self._planned_s:
            return
        self._planned_s = at_s
        self._plan += 1
        plan = self._plan
        self._after(delay_s, lambda: self.turn() if plan == self._plan else None)

    def _after(self, delay_s: float, event: Callable[[], None]) -> None:
        life = self._life
        self.directory.world.clock.after(delay_s, lambda: event() if life == self._life else None)

    def turn(self) -> None:
        """Step until there is nothing to do but wait, or a request is on its way."""
        self._planned_s = float("inf")
        try:
            self._steps()
        except Died:
            self.directory.restart_later(self)

    def _steps(self) -> None:
        waited, self._waits = self._waits, False
        for _ in range(STEPS_AT_ONCE_MAX):
            engine = self.engine
            if engine is None or self._in_flight:
                return
            action = engine.next_action()
            if isinstance(action, act.Wait) and not waited:
                self._waits = True
                self._turn_after(self._wait_s(action))
                return
            waited = waited and not isinstance(action, act.Wait)
            if self._lost_lease(action):
                return
            if self.dies_at == type(action).__name__:
                raise Died
            if isinstance(action, act.Send | act.Beat | act.Recall) and self._request(action):
                return
            self._perform(action)
        raise AssertionError(f"{self.name} does {STEPS_AT_ONCE_MAX} steps without waiting")

    def _lost_lease(self, action: act.Action) -> bool:
        directory = self.directory
        if directory.holder is self or directory.lease_broken:
            return False
        if not isinstance(action, act.Send | act.Beat | act.Checkpoint):
            return False
        self._note("lost the lease")
        self._stop_leading()
        return True

    def _request(self, action: act.Send | act.Beat | act.Recall) -> bool:
        directory, world = self.directory, self.directory.world
        assert self.engine is not None
        request = self.sink.request(action, st.report(self.engine.status))
        if request is None:
            return False
        world.oracle.sends(directory, self.engine.progress, action)
        began_s = world.clock.now_s
        self._in_flight = True
        life = self._life

        def done(answer: Answered | None) -> None:
            if life != self._life:
                return
            self._in_flight = False
            self.sink.answered(action, answer, world.clock.wall_s)
            if answer is not None:
                world.oracle.answered(directory, action, answer)
            self.clock.began_s = began_s
            try:
                self._perform(action)
            except Died:
                directory.restart_later(self)
                return
            self.turn()

        world.network.carry(request, self.sink.key, directory.cloud, done)
        return True

    def _perform(self, action: act.Action) -> None:
        engine, world = self.engine, self.directory.world
        assert engine is not None
        before = engine.progress
        if isinstance(action, act.Read):
            self._read_version = self.directory.version
        self._looked_version = self.directory.version
        engine.perform(action)
        if world.trace is not None:
            self._note(f"{_said(action)} -> {_place(engine.progress.standing)} {engine.status.state}")
        world.oracle.stepped(self.directory, self.name, before, action, engine.progress)

    def _wait_s(self, action: act.Wait) -> float:
        """How long to sleep. Looks of the timer at a directory in which nothing changed are left out, for speed."""
        assert self.engine is not None
        p, now_s = self.engine.progress, self.directory.world.clock.now_s
        until_s = DORMANT_S + now_s if action.until is None else action.until
        unchanged = self._looked_version == self.directory.version and not p.wants_saving and not p.compare
        broken = p.log_trouble is not None and p.log_trouble.code != "ENOENT"
        if self.directory.world.fast and unchanged and p.standing is not None:
            if p.stopped:
                until_s = now_s + DORMANT_S
            elif p.retry.not_before > now_s:
                until_s = p.retry.not_before
            elif p.caught_up and not p.generation_ended and not broken and self._read_version == self.directory.version:
                until_s = p.heartbeat.due_at
        return max(0.0, until_s - now_s)

    def _note(self, text: str) -> None:
        self.directory.world.note(f"{self.directory.name}/{self.name} {text}")


def _place(standing: Standing | None) -> str:
    if standing is None:
        return "nowhere"
    resend = f" resending to {standing.resend.size}" if standing.resend is not None else ""
    return f"{standing.cursor.log_id[:4]}:{standing.cursor.size}{resend}"


def _said(action: act.Action) -> str:
    load = getattr(action, "load", None)
    return type(action).__name__ if load is None else f"{type(action).__name__} {load.first}+{load.count}"
