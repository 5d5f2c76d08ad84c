"""The embedded replicator: one daemon thread per log and process that runs `engine` steps while it holds the lease.

Decides only about processes and threads: who leads, when to stop, what a fork inherits. Every decision about records is
made in `progress`. Nothing starts at import. The thread starts with the first `start()` or `wake()`, and loads httpx
and watchfiles itself, so the embedding program imports neither.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from replicator import actions as act
from replicator import status as st
from replicator.engine import Clock, Engine, EnginePorts, Host, SystemClock
from replicator.errors import LogError, ReplicatorError, SidecarError
from replicator.lease import Leadership, Lease, StoppedLeader, lease_path
from replicator.lifecycle import EXIT_LINE, PROCESS
from replicator.log import LogReader
from replicator.model import Policy, Standing
from replicator.pacing import backoff_s
from replicator.saved_state import record_crash, save_crash, saved_offset, saved_status
from replicator.sidecar import Sidecar, sidecar_path
from replicator.sink import Sink
from replicator.waker import Waker

FOLLOW_S = 1.0
"""Interval, in seconds, at which a follower checks whether it could lead."""
POLL_S = 0.05
SIDECAR_TRIES = 3
"""Attempts to open an existing sidecar before replication continues without it."""
RESTART_S_FIRST, RESTART_S_MAX = 0.5, 60.0

logger = logging.getLogger("replicator")
logger.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Drained:
    """The result of a drain. `acked` records during it; `remaining_bytes` of the log are not acknowledged.

    `reason`: "caught_up", "deadline", "closed", "off" (nothing ran, or may run), "log_unreadable", or the code of the
    trouble.
    """

    acked: int
    remaining_bytes: int
    reason: str


class Replicator:
    """Replicates one log to one sink, by itself, from `start()` to `close()`.

    `open_sink` is called in the replicator's thread, once for each time it begins to lead. `on_notice` is called in
    that thread too and must return soon. Without `watch_events` only `wake()` and the timer tell of appends.
    `permitted` is asked before each step, from any thread: while it says no, the lease is given back and nothing is
    sent; a wake, or at most `policy.timer_s`, later than its yes it goes on. The lease sees to it that of all
    processes of a log one replicates; the others follow: they append, and take over when the holder is gone. `brief`
    tells the cloud that this one ends as soon as nothing waits, so that its silence afterwards is no alarm. `hints` say
    what mends it, by the code of a notice, a trouble or an error; `exit_line` is printed to stderr at the
    interpreter's end if something waits, with `{bytes}` as their number.
    """

    def __init__(
        self,
        log_path: str,
        *,
        endpoint: str,
        open_sink: Callable[[], Sink],
        policy: Policy = Policy(),  # noqa: B008 -- a frozen value
        on_notice: Callable[[st.Notice], None] | None = None,
        version: str = "unknown",
        watch_events: bool = True,
        permitted: Callable[[], bool] = lambda: True,
        brief: bool = False,
        hints: Mapping[str, str] = st.HINTS,
        exit_line: str = EXIT_LINE,
    ) -> None:
        self.log_path = os.path.abspath(log_path)
        self.endpoint = endpoint
        self.policy = policy
        self._open_sink = open_sink
        self._on_notice = on_notice
        self._version = version
        self._watch_events = watch_events
        self._permitted = permitted
        self._brief = brief
        self._hints = {**st.HINTS, **hints}
        self.exit_line = exit_line
        self._clock: Clock = SystemClock()
        self._closed = False
        self._renew()
        PROCESS.add(self)

    def _renew(self) -> None:
        """Create everything that belongs to one process: at the start, and again in a forked child."""
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stop = False
        self._engine: Engine | None = None
        self._lease: Lease | StoppedLeader | None = None
        self._leadership = Leadership(lease_path(self.log_path))
        self._follows = False
        self._sidecar: Sidecar | None = None
        self._waker = Waker(self.log_path, timer_s=self.policy.timer_s, watch=self._watch_events)
        self._acked = 0
        self._failed_last = 0
        self.crashes = 0
        self.active_at_s = self._clock.monotonic_s()
        """Monotonic time of the thread's last activity, for watchdogs. It never rests longer than a request may take.
        """

    # ------------------------------------------------------------------------------ for the program

    def start(self) -> None:
        """Start the thread unless it runs. Idempotent; returns at once."""
        with self._changed:
            if self._closed or (self._thread is not None and self._thread.is_alive()):
                return
            PROCESS.arm()
            name = f"replicator:{os.path.basename(os.path.dirname(self.log_path)) or '/'}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Signal that something was appended. Takes microseconds; starts the thread if a fork left none."""
        if self._thread is None or not self._thread.is_alive():
            self.start()
        self._waker.wake()

    @property
    def leads(self) -> bool:
        """Whether this process leads, rather than follows."""
        return self._engine is not None

    @property
    def greeted(self) -> bool:
        """Whether a heartbeat of this process came to something, and what its answer asked for is done: the cloud has
        heard of it, or cannot be reached. Of one that follows, its leader speaks."""
        engine = self._engine
        return self._follows or (engine is not None and engine.progress.greeted)

    def status(self) -> st.Status | None:
        """The status: this process's own if it leads, else the one that the leader saved; None if unknown."""
        engine = self._engine
        try:
            log_bytes = LogReader(self.log_path).end()
        except LogError:
            log_bytes = 0
        if engine is not None:
            return st.refreshed(engine.status, log_bytes=log_bytes)
        saved = saved_status(self.log_path)
        return None if saved is None else st.refreshed(saved, log_bytes=log_bytes)

    def drain(self, timeout_s: float) -> Drained:
        """Replicate until everything now in the log is acknowledged, at most `timeout_s` seconds.

        The replicator's thread does the work while the caller waits. Returns early if waiting is pointless: replication
        is paused or stopped, or the next attempt is after the deadline. Safe to repeat.
        """
        deadline = self._clock.monotonic_s() + timeout_s
        try:
            target = LogReader(self.log_path).whole_end()
        except LogError:
            return Drained(0, 0, "log_unreadable")
        acked_before = self._acked
        self.start()
        self._waker.wake()
        while True:
            offset, hopeless = self._reached(deadline)
            now = self._clock.monotonic_s()
            if offset >= target and not self._ends_before(offset):
                return Drained(self._acked - acked_before, 0, "caught_up")
            reason = "closed" if self._closed else hopeless or ("deadline" if now >= deadline else None)
            if reason is not None:
                return Drained(self._acked - acked_before, max(0, target - offset), reason)
            with self._changed:
                self._changed.wait(min(POLL_S, deadline - now))

    def _reached(self, deadline: float) -> tuple[int, str | None]:
        """The durable offset, and why it will not move before the deadline (None: it may)."""
        engine = self._engine
        if engine is None or not self._permitted():
            return saved_offset(self.log_path), None if self._permitted() else "off"
        progress = engine.progress
        offset = progress.saving.durable.cursor.offset if progress.saving.durable is not None else 0
        if progress.saving.trouble is not None and progress.standing is not None:
            offset = progress.standing.cursor.offset
        trouble = progress.retry.trouble
        if trouble is None or (trouble.stops and not engine.rested):  # the order that ends it may lie in the sidecar
            return offset, None
        if not (trouble.pauses or trouble.stops or progress.retry.not_before > deadline):
            return offset, None
        return offset, trouble.code

    def _ends_before(self, offset: int) -> bool:
        """Whether the log was cut since: then the cursor says nothing of what is in it now."""
        try:
            return LogReader(self.log_path).end() < offset
        except LogError:
            return False

    def close(self, timeout_s: float = 5.0) -> Drained:
        """Drain, then stop the thread and release the lease. Nothing starts again afterwards. Safe to repeat.

        Waits for a request in flight until the deadline at most; the thread ends when the request returns.
        """
        deadline = self._clock.monotonic_s() + timeout_s
        drained = self.drain(timeout_s) if not self._closed and self._thread is not None else Drained(0, 0, "off")
        self._closed = True
        self.stop(max(POLL_S, deadline - self._clock.monotonic_s()))
        PROCESS.discard(self)
        return drained

    def leave(self, timeout_s: float) -> Drained:
        """For interpreter exit: as `close`, but if another process leads there is nothing to wait for.

        Otherwise the workers of a server would each end a second late, although their parent replicates for them.
        """
        return self.close(0.0 if self._engine is None and self._another_leads() else timeout_s)

    def _another_leads(self) -> bool:
        try:
            holder = Lease.holder(lease_path(self.log_path))
        except (OSError, ReplicatorError):
            return False
        return holder is not None and holder.pid != os.getpid()

    async def adrain(self, timeout_s: float) -> Drained:
        """`drain` for asyncio: does not block the event loop."""
        import asyncio  # 30 ms, and a host that calls this has it

        return await asyncio.to_thread(self.drain, timeout_s)

    async def aclose(self, timeout_s: float = 5.0) -> Drained:
        """`close` for asyncio: does not block the event loop."""
        import asyncio

        return await asyncio.to_thread(self.close, timeout_s)

    def __enter__(self) -> Replicator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self, timeout_s: float) -> bool:
        """Stop the thread without draining, within `timeout_s`. Returns whether it has ended. `start()` resumes."""
        with self._changed:
            self._stop = True
            thread = self._thread
        self._waker.wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    # ------------------------------------------------------------------------------ the thread

    def _run(self) -> None:
        failures = 0
        while not self._stop:
            self.active_at_s = self._clock.monotonic_s()
            try:
                self._lead_or_follow()
                failures = 0
            except Exception as error:  # noqa: BLE001 -- the last line of defence: record, tell, restart
                failures += 1
                self.crashes += 1
                now = self._clock.now().isoformat(timespec="seconds")
                save = partial(save_crash, self.log_path, self.endpoint, now)
                record_crash(error, self._hints, tell=self._tell, save=save)
                self._pause(backoff_s(failures, jitter=1.0, first_s=RESTART_S_FIRST, max_s=RESTART_S_MAX))
        self._waker.close()
        with self._changed:
            self._stop = False
            self._thread = None
            if not self._closed:
                self._waker = Waker(self.log_path, timer_s=self.policy.timer_s, watch=self._watch_events)
            self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        until = self._clock.monotonic_s() + seconds
        with self._changed:
            while not self._stop and (left := until - self._clock.monotonic_s()) > 0:
                self._changed.wait(min(left, FOLLOW_S))
                self.active_at_s = self._clock.monotonic_s()

    def _lead_or_follow(self) -> None:
        if not self._permitted() or not os.path.isdir(os.path.dirname(self.log_path)):
            self._waker.wait(self.policy.timer_s)
            return
        lease = self._leadership.take()
        self._follows = lease is None
        if lease is None:
            self._waker.wait(FOLLOW_S)
            return
        self._lease = lease
        try:
            if news := self._leadership.news(lease):
                self._tell(st.Notice("lease", news, grave=True))
            self._lead(lease)
        finally:
            self._engine = None
            self._lease = None
            if self._pid == os.getpid():
                lease.release()

    def _lead(self, lease: Lease | StoppedLeader) -> None:
        sidecar, standing = self._open_sidecar()
        sink = self._open_sink()
        log = LogReader(self.log_path, work_ahead=True)
        try:
            engine = Engine(
                EnginePorts(log, sidecar, sink, self._waker, self._clock),
                standing,
                endpoint=self.endpoint,
                policy=self.policy,
                host=Host.here(self._clock, self._version, brief=self._brief),
                hints=self._hints,
                on_notice=self._tell,
            )
            self._engine = engine
            while True:
                action = engine.next_action()
                if (self._stop or not self._permitted()) and not isinstance(action, act.Checkpoint):
                    return  # what was acknowledged is durable first: it need not be sent again
                if isinstance(lease, StoppedLeader) and not lease.holds():
                    return  # the leader goes on
                if isinstance(action, act.Send | act.Beat | act.Checkpoint) and not lease.holds():
                    self._tell(st.Notice("lease_lost", "the lease file was replaced: another replicator may lead"))
                    return
                size = _size(engine)
                engine.perform(action)
                self.active_at_s = self._clock.monotonic_s()
                self._acked += max(0, _size(engine) - size)
                with self._changed:
                    self._changed.notify_all()
        finally:
            self._sidecar = None
            sink.close()
            sidecar.close()

    def _open_sidecar(self) -> tuple[Sidecar, Standing | None]:
        """The sidecar and its content. One that stays unusable only costs a request to the cloud."""
        path = sidecar_path(self.log_path)
        sidecar = self._sidecar = Sidecar(path)  # first: a fork must not catch this thread inside SQLite
        for _ in range(SIDECAR_TRIES):
            try:
                standing = sidecar.load()
            except SidecarError as error:
                self._tell(st.Notice("sidecar", str(error), self._hints.get(error.code, error.hint), grave=True))
                if not os.path.exists(path):
                    break
                self._pause(self.policy.timer_s)
                continue
            if sidecar.set_aside is not None:
                self._tell(st.Notice("sidecar", sidecar.set_aside, "nothing to do: it is rebuilt", grave=True))
            return sidecar, standing
        return sidecar, None

    def _tell(self, notice: st.Notice) -> None:
        hint = f"; {notice.hint}" if notice.hint else ""
        logger.log(logging.WARNING if notice.grave else logging.INFO, "%s: %s%s", notice.code, notice.text, hint)
        if self._on_notice is not None:
            self._on_notice(notice)

    # ------------------------------------------------------------------------------ fork and exit

    @property
    def running(self) -> bool:
        """Whether there is a thread to be ended."""
        return self._thread is not None

    def hold_for_fork(self) -> Callable[[], None]:
        """Keep the thread out of SQLite, whose locks a child would inherit locked. Returns a function to end this."""
        sidecar = self._sidecar
        return sidecar.let_go if sidecar is not None and sidecar.hold() else lambda: None

    def forked(self) -> None:
        """In a forked child: leave the parent's lease, sockets and files alone, and start again at the next wake."""
        if self._lease is not None:
            self._lease.abandon()
        if self._sidecar is not None:
            self._sidecar.abandon()
        self._waker.abandon()
        PROCESS.keep_alive(self._engine)
        self._renew()


def _size(engine: Engine) -> int:
    standing = engine.progress.standing
    return 0 if standing is None else standing.cursor.size
