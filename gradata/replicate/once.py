"""Replicate a log in the foreground, until everything is acknowledged or until stopped.

This is the embedded replicator with a caller that watches it. It leads if no other process does; otherwise it follows
the live leader through the sidecar, so the two never compete. It decides only when to stop watching; everything else is
decided by `progress`. Partner: `gradata replicate`, which prints what is yielded here.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from gradata.config.brain_dir import Directory, identify
from gradata.config.settings import Settings, refusal
from gradata.hints import HINTS
from gradata.replicate.auth_log import AuthLog
from gradata.replicate.run_counters import RunCounts, Totals
from gradata.replicate.state import Backlog, backlog
from gradata.replicate.wiring import EXIT_LINE, ConsentingSink, http_sink, version
from replicator import recovery
from replicator.actions import Broken, Read, ResetOrder
from replicator.errors import ConfigurationError, SidecarError
from replicator.lease import Lease, lease_path
from replicator.log import LogReader
from replicator.loop import Replicator
from replicator.model import Policy, Standing
from replicator.saved_state import saved_status
from replicator.sidecar import read_only, sidecar_path
from replicator.sink import Sink, check_endpoint
from replicator.status import Notice, Shown, Status

POLL_S = 0.1
STALL_S = 60.0
"""Without an acknowledgement for this many seconds the cloud counts as unavailable."""
GRACE_S = 5.0
"""Seconds for which another process's trouble, or one from before an order, may be outdated."""
GREET_S = 10.0
"""Seconds that a run with nothing to send waits for the answer to its heartbeat."""
PART_S = 2.0
"""Seconds allowed for ending after a signal."""

EndReason = Literal["caught_up", "trouble", "stalled", "deadline", "interrupted"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One observation.

    `standing` is durable; `fresh` is the status of a process that replicates now, or None.
    """

    standing: Standing | None
    fresh: Status | None
    order_done: bool
    dead_letters: int


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Progress to show to a person. Sizes are those of the whole task; `trouble` is the leader's; `another`: the leader
    is another process.
    """

    done_bytes: int
    total_bytes: int
    done_records: int
    total_records: int
    seconds: float
    trouble: Shown | None
    another: bool


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run. `remaining` is what was in the log at the start and is not acknowledged."""

    reason: EndReason
    counts: RunCounts
    remaining: Backlog
    dead_letters: int
    new_dead_letters: int
    trouble: Shown | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Task:
    """The task: everything before `target` (a log offset), and the order, if one was given."""

    target: int
    total_bytes: int
    total_records: int
    order: int | None = None


def open_foreground(
    settings: Settings,
    directory: Directory,
    on_notice: Callable[[Notice], None] | None = None,
    *,
    brief: bool = False,
) -> Replicator:
    """A replicator of this brain's log for the foreground; not started. ConfigurationError as in `open_sink`.

    `brief`: for a process that only lives as long as it has new records, such as a hook; the cloud then expects no
    heartbeats. Rejections of the key go into the auth log, as with an embedded replicator.
    """
    endpoint = permitted(settings)
    auth_log = AuthLog(settings.brain_dir, read_key=settings.read_key)

    def tell(notice: Notice) -> None:
        auth_log(notice)
        if on_notice is not None:
            on_notice(notice)

    return Replicator(
        directory.log,
        endpoint=endpoint,
        open_sink=lambda: open_sink(settings, directory),
        on_notice=tell,
        version=version(),
        brief=brief,
        hints=HINTS,
        exit_line=EXIT_LINE,
    )


def open_sink(settings: Settings, directory: Directory) -> Sink:
    """The sink to the cloud, subject to the user's consent.

    ConfigurationError if consent or a switch forbids that anything leaves the machine, and for an invalid endpoint.
    `GRADATA_DISABLE_WRITE_THROUGH` does not forbid it: replicating by hand is its purpose.
    """
    endpoint = permitted(settings)
    return ConsentingSink(http_sink(endpoint, settings.read_key, identify(directory)), settings)


def permitted(settings: Settings) -> str:
    """The endpoint, if sending is permitted. ConfigurationError as in `open_sink`."""
    if (refused := refusal(settings)) is not None:
        raise ConfigurationError(f"nothing may leave this machine: {refused.why}", hint=refused.hint)
    return check_endpoint(settings.endpoint)


def plan(log: str, reset: recovery.ResetPlan | None) -> Task:
    """The present task: the backlog, and what `reset` or a waiting order resends.

    LogError if the log cannot be read.
    """
    target = LogReader(log).whole_end()
    standing, waiting_order = _standing_and_order(log)
    offset = standing.cursor.offset if standing is not None and standing.cursor.offset <= target else 0
    there = reset.there.offset if reset is not None else waiting_order.cursor.offset if waiting_order else offset
    todo = backlog(log, min(offset, there), target)
    return Task(target, todo.bytes, todo.records, None if waiting_order is None else waiting_order.id)


def _standing_and_order(log: str) -> tuple[Standing | None, ResetOrder | None]:
    view = read_only(sidecar_path(log))
    if view is None:
        return None, None
    try:
        asked = view.pending()
        return view.load(), None if asked is None else asked.reset
    finally:
        view.close()


class RunWatch:
    """Watches one replicator work on one task. Use: `begin`, then `look` until it returns a Result.

    Call `begin` before the order is given, so that nothing done for it is missed. With `greets` it is not finished
    before the cloud has answered a heartbeat of this process or a live leader, or GREET_S have passed.
    """

    def __init__(
        self, replicator: Replicator, *, greets: bool = False, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._replicator = replicator
        self._greets = greets
        self._log = replicator.log_path
        self._now = monotonic_s
        saved = saved_status(self._log)
        self._stale = (
            None if saved is None or Lease.holder(lease_path(self._log)) is not None else (saved.pid, saved.since)
        )
        self._totals = Totals(saved)
        self._began = self._moved_at = self._now()
        self._place: tuple[int, RunCounts] | None = None
        self._letters_before: int | None = None

    def look(self, task: Task, *, timeout_s: float | None) -> RunProgress | Result:
        """The present progress, or a Result once there is nothing left to wait for."""
        seen = self._see(task)
        now = self._now()
        if self._letters_before is None:
            self._letters_before = seen.dead_letters
        answered = replace(self._totals.counts, requests=0)  # attempts are no progress, answers are
        place = (seen.standing.cursor.offset if seen.standing is not None else 0, answered)
        if place != self._place:
            self._place, self._moved_at = place, now
        reason = self._ended(task, seen, now, timeout_s)
        return self._moment(task, seen, now) if reason is None else self._result(task, seen, reason)

    def interrupted(self, task: Task) -> Result:
        """The result after an interruption."""
        return self._result(task, self._see(task), "interrupted")

    def _ended(self, task: Task, seen: Seen, now: float, timeout_s: float | None) -> EndReason | None:
        waited_s = now - self._began
        greeted = not self._greets or self._replicator.greeted or waited_s > GREET_S
        if _is_done(task, seen) and self._fits(seen) and greeted:
            return "caught_up"
        trouble = _why_waiting_is_of_no_use(seen.fresh)
        if trouble is not None and (waited_s > GRACE_S or (seen.order_done and self._replicator.leads)):
            return "trouble"
        if timeout_s is not None and waited_s > timeout_s:
            return "deadline"
        return "stalled" if now - self._moved_at > STALL_S else None

    def _fits(self, seen: Seen) -> bool:
        """Whether the log is still the one that was acknowledged. A log that was truncated or replaced meanwhile is not
        finished, however far the old cursor is.
        """
        if seen.standing is None or (seen.fresh is not None and seen.fresh.sidecar_trouble is not None):
            return True  # the leader itself said how far it is, and it has looked
        read = Read(seen.standing.cursor, 1, 1, Policy().record_bytes_max)
        return not isinstance(LogReader(self._log).read(read), Broken)

    def _see(self, task: Task) -> Seen:
        """Reads the sidecar before the status: counts may be newer than the cursor that is shown, never older, or a
        result would lack the last answer.
        """
        seen = self._see_sidecar(task)
        status = self._replicator.status()
        if status is None or (not self._replicator.leads and (status.pid, status.since) == self._stale):
            return seen
        self._totals.see(status)
        dead_letters = status.dead_letters if seen.standing is None else seen.dead_letters
        return replace(seen, fresh=status, dead_letters=dead_letters)

    def _see_sidecar(self, task: Task) -> Seen:
        nothing = Seen(None, None, task.order is None, 0)
        try:
            view = read_only(sidecar_path(self._log))
        except SidecarError:
            return nothing  # busy, or no sidecar can be here: the next look, or the status, tells
        if view is None:
            return nothing
        try:
            asked = view.pending()
            waits = asked is not None and asked.reset is not None  # ours, or a newer one that replaced it
            return replace(nothing, standing=view.load(), order_done=not waits, dead_letters=view.dead_letter_count())
        except SidecarError:
            return nothing
        finally:
            view.close()

    def _moment(self, task: Task, seen: Seen, now: float) -> RunProgress:
        left = self._left(task, seen)
        standing = seen.standing
        records_left = 0 if standing is None or not task.total_bytes else left * task.total_records // task.total_bytes
        trouble = seen.fresh.trouble if seen.fresh is not None else None
        done_records = max(0, task.total_records - records_left) if standing is not None else 0
        return RunProgress(
            task.total_bytes - left, task.total_bytes, done_records, task.total_records, now - self._began,
            trouble, seen.fresh is not None and not self._replicator.leads,
        )  # fmt: skip

    def _left(self, task: Task, seen: Seen) -> int:
        offset = seen.standing.cursor.offset if seen.standing is not None and seen.order_done else None
        return min(task.total_bytes, max(0, task.target - offset)) if offset is not None else task.total_bytes

    def _result(self, task: Task, seen: Seen, reason: EndReason) -> Result:
        offset = seen.standing.cursor.offset if seen.standing is not None else 0
        if not seen.order_done:
            offset = min(offset, max(0, task.target - task.total_bytes))
        trouble = seen.fresh.trouble if seen.fresh is not None else None
        if trouble is None and seen.fresh is not None and seen.fresh.log_trouble is not None:
            since = seen.fresh.updated_at
            trouble = Shown("log_unreadable", seen.fresh.log_trouble, since, "run: gradata doctor")
        return Result(
            reason,
            self._totals.counts,
            Backlog() if reason == "caught_up" else backlog(self._log, offset, task.target),
            seen.dead_letters,
            max(0, seen.dead_letters - (self._letters_before or 0)),
            None if reason == "caught_up" else trouble,
            self._now() - self._began,
        )


def _is_done(task: Task, seen: Seen) -> bool:
    """Everything is acknowledged, and durably so where there can be a sidecar."""
    standing, fresh = seen.standing, seen.fresh
    if fresh is not None and fresh.sidecar_trouble is not None:
        return fresh.offset >= task.target and fresh.resending_to is None and seen.order_done
    if standing is None:
        return False
    return seen.order_done and standing.resend is None and standing.cursor.offset >= task.target


def _why_waiting_is_of_no_use(status: Status | None) -> str | None:
    if status is None:
        return None
    if status.state in ("paused", "held", "stopped"):
        return status.state
    return status.log_trouble


class Stop:
    """Ends the wait of a thread; may be set by a signal handler.

    A `threading.Event` may not: a handler runs on the main thread, and if that thread holds the event's lock inside
    `wait`, setting it deadlocks.
    """

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)  # as `signal.set_wakeup_fd` wants it
        self._is_set = False

    def set(self) -> None:
        """End the wait."""
        if not self._is_set:
            self._is_set = True
            self._sender.send(b".")

    def fileno(self) -> int:
        """For `signal.set_wakeup_fd`: a byte written here ends the wait, too.

        A Python handler runs between two instructions. A signal that arrives after the last one before `wait` sleeps
        would otherwise be noticed only at the next wake-up.
        """
        return self._sender.fileno()

    def is_set(self) -> bool:
        """True from the first `set()` on."""
        return self._is_set

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until set, at most this many seconds. Returns whether it is set."""
        return bool(select.select([self._receiver], [], [], timeout_s)[0])

    def close(self) -> None:
        """Close its sockets."""
        self._receiver.close()
        self._sender.close()


def run_once(
    watch: RunWatch,
    task: Task,
    *,
    timeout_s: float | None,
    stop: Stop,
    on_moment: Callable[[RunProgress], None],
) -> Result:
    """Watch until there is a result, reporting progress; `stop` ends it at once."""
    while not stop.is_set():
        seen = watch.look(task, timeout_s=timeout_s)
        if isinstance(seen, Result):
            return seen
        on_moment(seen)
        stop.wait(POLL_S)
    return watch.interrupted(task)


def drain(settings: Settings, directory: Directory, *, timeout_s: float) -> Result:
    """Replicate everything that is in the brain's log now, within `timeout_s` seconds, whoever leads. Blocks until
    then.

    For the end of a session while write-through is off, and for hooks. It checks consent, but neither the write-through
    switch nor whether this process may have a thread. ConfigurationError if nothing may leave the machine, or for an
    invalid endpoint; LogError if the log cannot be read. A missing or rejected key and an unavailable cloud are
    results. Safe to repeat, and beside a live replicator.
    """
    replicator = open_foreground(settings, directory, brief=True)
    watch = RunWatch(replicator)
    task = plan(directory.log, None)
    seen = watch.look(task, timeout_s=None)
    if isinstance(seen, Result):
        return seen  # nothing waits: no thread, no connection
    deadline = time.monotonic() + timeout_s
    stop = Stop()
    replicator.start()
    try:
        return run_once(watch, task, timeout_s=timeout_s, stop=stop, on_moment=lambda _: None)
    finally:
        replicator.close(max(0.0, min(PART_S, deadline - time.monotonic())))
        stop.close()
