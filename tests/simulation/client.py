"""The client's machine: a brain directory on a simulated disk, the processes that may lead it, and its writers.

The engine, the log's reader and writer, and the wire codec are the real ones. One step of the engine takes no time;
a request does, and meanwhile everything else goes on. A process may die before or after any step, in the middle of
an append, and on either side of a checkpoint's commit.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from replicator import actions as act
from replicator import status as st
from replicator.engine import Engine, Ports
from replicator.errors import AppendError, LogError, NotDurableError, SidecarError
from replicator.log import LogReader, LogWriter
from replicator.model import DeadLetter, Identity, Standing
from replicator.testing import MemorySidecar, SidecarRows, SimDisk
from replicator.wire import Report, Request, batch_request, heartbeat_request, logs_request
from replicator.wire import read_ack, read_heartbeat, read_logs

from .cloud import Answered, CloudProcess, Died
from .policy import POLICY

if TYPE_CHECKING:
    from .world import World

STEPS_AT_ONCE_MAX = 3_000
ROWS_KEPT = 3
SIDECAR_TRIES = 3
WRITERS = 3
DORMANT_S = 3_600.0


class Disk(SimDisk):
    """A disk on which a writer may die in the middle of a write."""

    dying = False

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
        super().__init__(process.directory.rows)
        self._process = process

    def save(
        self,
        standing: Standing,
        dead_letters: tuple[DeadLetter, ...] = (),
        *,
        status: bytes | None = None,
        done_reset: int = 0,
    ) -> act.Reset | None:
        directory = self._process.directory
        self.rows, self.failing = directory.rows, directory.sidecar_fails
        if self._process.dies_at == "before save":
            raise Died
        directory.keep_rows()
        reset = super().save(standing, dead_letters, status=status, done_reset=done_reset)
        directory.world.oracle.checkpointed(directory, standing)
        if self._process.dies_at == "after save":
            raise Died
        return reset

    def _usable(self) -> SidecarRows:
        directory = self._process.directory
        self.rows, self.failing = directory.rows, directory.sidecar_fails
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


class Process:
    """A program that embeds the replicator: it leads while it holds the lease, else it waits for it."""

    def __init__(self, directory: Directory, name: str) -> None:
        self.directory = directory
        self.name = name
        self.alive = False
        self.engine: Engine | None = None
        self.dies_at: str | None = None
        """`before save`, `after save`, or the name of the action before which it dies."""
        self._life = 0
        self._planned_s = float("inf")
        self._plan = 0
        self._waits = False
        self._in_flight = False
        self._read_version = -1
        self._looked_version = -1
        self._tries = 0

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
            Ports(LogReader(directory.path, directory.disk), sidecar, self.sink, NoWaiting(), self.clock),
            standing,
            endpoint=directory.endpoint,
            policy=POLICY,
            on_notice=lambda notice: world.oracle.noticed(directory, notice),
            jitter=world.rng.random,
            new_log_id=world.new_uuid,
        )
        self._read_version = -1
        directory.refused_in_a_row = 0
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
                world.oracle.answered(directory, action, answer.status)
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
        world.oracle.stepped(self.directory, before, action, engine.progress)

    def _wait_s(self, action: act.Wait) -> float:
        """How long to sleep. Looks of the timer at a directory in which nothing changed are left out, for speed."""
        assert self.engine is not None
        p, now_s = self.engine.progress, self.directory.world.clock.now_s
        until_s = DORMANT_S + now_s if action.until is None else action.until
        unchanged = self._looked_version == self.directory.version and not p.unsaved and not p.compare
        broken = p.log_trouble is not None and p.log_trouble.code != "ENOENT"
        if self.directory.world.fast and unchanged and p.standing is not None:
            if p.trouble is not None and p.trouble.stops:
                until_s = now_s + DORMANT_S
            elif p.not_before > now_s:
                until_s = p.not_before
            elif p.caught_up and not p.renew and not broken and self._read_version == self.directory.version:
                until_s = p.beat_at
        return max(0.0, until_s - now_s)

    def _note(self, text: str) -> None:
        self.directory.world.note(f"{self.directory.name}/{self.name} {text}")


class Directory:
    """One brain directory on a machine of its own."""

    path = "/brain/events.jsonl"

    def __init__(self, world: World, name: str, cloud: CloudProcess, identity: Identity) -> None:
        self.world = world
        self.name = name
        self.identity = identity
        self.cloud = cloud
        self.endpoint = "https://a.example/api/v1"
        self.key: str | None = None
        self.disk = Disk(random.Random(world.rng.random()))
        self.disk.short_write_chance = world.short_writes
        self.rows = SidecarRows()
        self.sidecar_fails: str | None = None
        self.holder: Process | None = None
        self.lease_broken = False
        self.led_by: str | None = None
        self.version = 0
        self.excused: Counter[str] = Counter()
        """How often each reaction may be seen."""
        self.reactions: Counter[str] = Counter()
        self.edited = False
        """Bytes before the cursor were edited, or lost by a disk that had failed to sync them: cloud and file may differ
        there for good."""
        self.foreign = False
        """The cloud is another one than before, and nobody has confirmed it."""
        self.refused_in_a_row = 0
        self.shared = False
        """Two led it at one time, and overwrote each other's sidecar."""
        self.letters_lost = False
        """The sidecar's list of dead letters was lost with it."""
        self.backup: tuple[bytes, SidecarRows] | None = None
        self.processes = [Process(self, "p1"), Process(self, "p2")]
        self._rows_before: list[SidecarRows] = []
        self._writers = [LogWriter(self.path, self.disk) for _ in range(WRITERS)]

    def excuse(self, *reactions: str) -> None:
        """A cause was injected here that justifies these reactions; one that makes a client lose its place justifies
        once more what was justified before."""
        again = self.excused.keys() if "resend" in reactions else ()
        for reaction in {*reactions, *again}:
            self.excused[reaction] += len(self.processes)

    def touched(self) -> None:
        """Something here changed: a wake, file events or the timer tell of it."""
        self.version += 1
        rng = self.world.rng
        for process in self.processes:
            process.wake(rng.choice((0.0, rng.uniform(0.01, 0.3), rng.uniform(0.0, POLICY.timer_s))))

    def lease_is_free(self) -> None:
        """Whoever waits for the lease looks within a second."""
        for process in self.processes:
            if process.alive:
                process._after(self.world.rng.uniform(0.0, 1.0), process.try_to_lead)

    def restart_later(self, process: Process) -> None:
        """The process died; somebody starts it again."""
        process.dies_at = None
        process.die()
        self.excuse("resend", "jumped")
        self.world.count("leader killed between steps")
        self.world.clock.after(self.world.rng.choice((0.2, 20.0, 300.0)) * self.world.rng.random(), process.start)

    # ------------------------------------------------------------------------------ writers

    def append(self, record: bytes, *, dies: bool = False) -> None:
        """A writer of ours appends a record; `dies`: it is killed in the middle of it."""
        world = self.world
        number = world.rng.randrange(WRITERS)
        before = self.disk.size(self.path)
        self.disk.between_pages = self.look
        self.disk.dying = dies
        try:
            appended = self._writers[number].append(record)
        except AppendError as error:
            world.count("append failed")
            world.oracle.not_appended(self, before, record, torn="torn piece remains" in str(error))
        except NotDurableError:
            world.count("append not durable")
        except LogError:
            world.count("no log to append to")
        except Died:
            world.count("writer killed in mid-write")
            self._writers[number] = LogWriter(self.path, self.disk)
        else:
            world.count("torn tail ended", by=appended.ended_torn_tail)
            world.oracle.promised(self, appended.offset, record)
        self.disk.between_pages = None
        self.disk.dying = False
        self.touched()

    def append_unlocked(self, record: bytes, *, dies: bool = False) -> None:
        """An old writer appends, without lock or sync; a reader may look when half of it is there."""
        cut = self.world.rng.randrange(len(record)) if dies or len(record) > 4096 else 0
        if cut:
            self.disk.append_unlocked(self.path, record[:cut])
            self.look()
        if not dies:
            self.disk.append_unlocked(self.path, record[cut:])
        self.touched()

    def look(self) -> None:
        """A leader happens to look just now."""
        self.world.count("read in mid-write")
        self.version += 1
        for process in self.processes:
            if process.engine is not None and process._waits:
                process.turn()

    # ------------------------------------------------------------------------------ what befalls directories

    def keep_rows(self) -> None:
        """What a power cut may bring back."""
        self._rows_before = [*self._rows_before[1 - ROWS_KEPT :], copied(self.rows)]

    def power_cut(self) -> None:
        """The machine is without power, then starts again."""
        before = self.disk.content(self.path)
        self.world.oracle.before_cut(self)
        for process in self.processes:
            process.die()
            self.world.clock.after(self.world.rng.uniform(5, 90), process.start)
        self.disk.power_cut()
        self._writers = [LogWriter(self.path, self.disk) for _ in range(WRITERS)]
        if self._rows_before and self.world.rng.random() < 0.5:
            self.rows = copied(self.world.rng.choice(self._rows_before))
        self._rows_before = []
        self.edited = self.edited or not before.startswith(self.disk.content(self.path))
        self.world.oracle.after_cut(self)
        self.touched()

    def lose_sidecar(self) -> None:
        """Somebody deletes the sidecar."""
        self.letters_lost = True
        self.rows = SidecarRows()
        self._rows_before = []
        self.touched()

    def tamper(self, content: bytes, *, same_file: bool) -> None:
        """A person, or a program of theirs, makes the log into this."""
        if same_file:
            self.disk.overwrite(self.path, content)
        else:
            again = self.world.rng.random() < 0.3
            if again:  # the number of a file is free only when nobody has it open
                for writer in self._writers:
                    writer.close()
            self.disk.replace(self.path, content, same_inode=again)
        self.world.oracle.tampered(self)
        self.touched()

    def fill_up(self) -> None:
        """The disk has almost no room left."""
        used = sum(len(file.seen) for file in self.disk._files.values())
        self.disk.capacity_bytes = used + self.world.rng.randrange(600)


def copied(rows: SidecarRows) -> SidecarRows:
    """A copy that later saves do not change."""
    return replace(rows, letters=dict(rows.letters), resets=dict(rows.resets))


def _place(standing: Standing | None) -> str:
    if standing is None:
        return "nowhere"
    resend = f" resending to {standing.resend.size}" if standing.resend is not None else ""
    return f"{standing.cursor.log_id[:4]}:{standing.cursor.size}{resend}"


def _said(action: act.Action) -> str:
    load = getattr(action, "load", None)
    return type(action).__name__ if load is None else f"{type(action).__name__} {load.first}+{load.count}"


ERRNOS = (errno.EACCES, errno.EIO, errno.EMFILE)
