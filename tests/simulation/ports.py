"""The ports of one simulated engine: disk, sidecar and sink that fail on order, and time that is the world's.

The log's reader and writer, and the client's half of the wire codec, are the real ones on top of these.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from replicator import actions as act
from replicator.model import DeadLetter, Standing
from replicator.testing import MemorySidecar, SidecarRows, SimDisk
from replicator.wire import (
    Report,
    Request,
    batch_request,
    heartbeat_request,
    logs_request,
    read_ack,
    read_heartbeat,
    read_logs,
)

from .cloud import Answered, Died

if TYPE_CHECKING:
    from .directory import Directory
    from .process import Process
    from .world import World


class Disk(SimDisk):
    """A disk on which a writer may die in the middle of a write."""

    dying = False

    @property
    def used_bytes(self) -> int:
        """What all files take."""
        return sum(len(file.seen) for file in self._files.values())

    def write(self, fd: int, piece: bytes) -> int:
        if self.dying:
            self.dying = False
            self._put(self._open[fd].file, piece[: self._rng.randrange(len(piece))])
            raise Died
        return super().write(fd, piece)


class Sink:
    """The Sink port in two halves: `request` when a step begins, `send` and the others when its answer is there."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._ready: list[object] = []
        self._denied: str | None = None
        self.key: str = ""

    def request(self, action: act.Send | act.Beat | act.Recall, report: Report) -> Request | None:
        """What goes over the network; None: there is no key, and the answer is ready."""
        self.key = self._directory.key or ""
        if not self.key:
            self._denied = ""
            self._ready.append(act.Denied(0, "no_key"))
            return None
        identity = self._directory.identity
        if isinstance(action, act.Send):
            return batch_request(identity, action, report)
        return heartbeat_request(identity, action, report) if isinstance(action, act.Beat) else logs_request(identity)

    def answered(self, action: act.Action, answer: Answered | None, wall_s: float) -> None:
        """Turn the answer into the outcome that the engine is given next."""
        self._denied = None
        if answer is None:
            self._ready.append(act.Unavailable("no answer"))
            return
        if not answer.status:
            self._ready.append(act.Unavailable("it broke off", cut=True))
            return
        if answer.status in (401, 403):
            self._denied = self.key
        read = (
            read_ack if isinstance(action, act.Send) else read_heartbeat if isinstance(action, act.Beat) else read_logs
        )
        self._ready.append(read(answer.status, answer.headers, answer.body, now_wall=wall_s))

    def _take(self, *_: object) -> object:
        return self._ready.pop()

    send = beat = recall = _take

    def key_changed(self) -> bool:
        return self._denied is not None and (self._directory.key or "") != self._denied

    def close(self) -> None: ...


class Sidecar(MemorySidecar):
    """A sidecar whose process may die on either side of a save. A power cut may take back the last saves."""

    def __init__(self, process: Process) -> None:
        super().__init__(process.rows)
        self._process = process

    def save(
        self,
        standing: Standing,
        dead_letters: tuple[DeadLetter, ...] = (),
        *,
        status: bytes | None = None,
        done_reset: int = 0,
    ) -> act.ResetOrder | None:
        directory = self._process.directory
        self.rows, self.failing = self._process.rows, directory.sidecar_fails
        if self._process.dies_at == "before save":
            raise Died
        directory.keep_rows()
        reset = super().save(standing, dead_letters, status=status, done_reset=done_reset)
        if dead_letters or done_reset or not standing.cursor.size:
            directory.rows_synced()
        directory.world.oracle.checkpointed(directory, standing)
        if self._process.dies_at == "after save":
            raise Died
        return reset

    def _usable(self) -> SidecarRows:
        directory = self._process.directory
        self.rows, self.failing = self._process.rows, directory.sidecar_fails
        return super()._usable()


class NoWaiting:
    """Waiting is done by the world's clock."""

    def wait(self, timeout_s: float | None) -> bool:
        return False


class EngineClock:
    """The world's clock for one engine; the next look at it may be told to see an earlier time."""

    def __init__(self, world: World) -> None:
        self._clock = world.clock
        self.began_s: float | None = None
        self.now = world.clock.now

    def monotonic_s(self) -> float:
        began_s, self.began_s = self.began_s, None
        return self._clock.now_s if began_s is None else began_s


def copied(rows: SidecarRows) -> SidecarRows:
    """A copy that later saves do not change."""
    return replace(rows, letters=dict(rows.letters), resets=dict(rows.resets))
