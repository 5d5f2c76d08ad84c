"""`gradata replicate`: replicate in the foreground, once or until stopped."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_brain, add_endpoint, add_json, settled
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal
    from gradata.config.brain_dir import Directory
    from gradata.replicate.once import Result, RunProgress, Task
    from replicator.loop import Replicator
    from replicator.recovery import ResetPlan
    from replicator.status import Notice

NAME = "replicate"
HELP = "replicate now, once or continuously; or resend from an offset"


@dataclass(frozen=True, slots=True)
class ReplicateOptions:
    brain: str | None
    endpoint: str | None
    json: bool
    offset: int | None
    event_id: str | None
    follow: bool
    dry_run: bool
    quiet: bool
    timeout_s: float | None
    metrics: str | None = None


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Send what is not acknowledged yet, and exit when the cloud has acknowledged everything that was "
        "in the log at the start. If another process replicates this log, that process sends and this one"
        " reports. Resending is always safe: the cloud drops duplicates.",
        epilog="Exit codes: 0 everything is acknowledged; 1 paused, unreachable or timed out (nothing is lost); 2"
        " wrong usage; 130 or 143 ended by Ctrl-C or SIGTERM with records left.",
    )
    add_brain(parser)
    add_endpoint(parser)
    add_json(parser)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--from-offset", type=int, metavar="N", help="resend from this offset of the log")
    place.add_argument("--from-event", metavar="ID", help="resend from this event")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="exit when everything is acknowledged (the default)")
    how.add_argument("--follow", action="store_true", help="run until a signal; print only notices")
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")
    parser.add_argument("--quiet", action="store_true", help="print only errors")
    parser.add_argument(
        "--timeout", type=float, metavar="S", help="give up after S seconds (default: after 60 without progress)"
    )
    parser.add_argument(
        "--metrics", metavar="HOST:PORT", help="with --follow: serve Prometheus metrics and /health there"
    )
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> ReplicateOptions:
    return ReplicateOptions(
        chosen.brain, chosen.endpoint, chosen.json, chosen.from_offset, chosen.from_event,
        chosen.follow, chosen.dry_run, chosen.quiet, chosen.timeout, chosen.metrics,
    )  # fmt: skip


def run(options: ReplicateOptions, terminal: Terminal) -> int:
    """Replicate and print the result."""
    from gradata.config import brain_dir
    from gradata.replicate import once
    from replicator import recovery

    terminal.quiet = options.quiet
    if options.metrics is not None and not options.follow:
        raise ConfigurationError("--metrics requires --follow", hint="gradata replicate --follow --metrics …")
    settings = settled(options.brain, options.endpoint)
    place = brain_dir.find(settings.brain_dir)
    replicator = once.open_foreground(
        settings, place, (lambda notice: _tell(notice, terminal)) if options.follow else None
    )
    reset = None
    if options.offset is not None or options.event_id is not None:
        reset = recovery.plan_reset(place.log, offset=options.offset, event_id=options.event_id)
    task = once.plan(place.log, reset)
    if options.dry_run:
        return _show_plan(task, reset, replicator.endpoint, options, terminal)
    if options.follow:
        terminal.never_wait()
        return _follow(replicator, place, reset, options.metrics, terminal)
    return _once(replicator, place, reset, task, options, terminal)


def _once(
    replicator: Replicator,
    place: Directory,
    reset: ResetPlan | None,
    task: Task,
    options: ReplicateOptions,
    terminal: Terminal,
) -> int:
    from dataclasses import replace

    from gradata.replicate import once
    from replicator import recovery

    watch = once.RunWatch(replicator, greets=True)
    with _Signals() as signals:
        if reset is not None:
            task = replace(task, order=recovery.order_reset(place.log, reset))
        replicator.wake()  # starts it, and its first wait ends at once: an order is not looked for before that
        result = once.run_once(
            watch,
            task,
            timeout_s=options.timeout_s,
            stop=signals.stop,
            on_moment=lambda moment: terminal.progress(_in_words(moment)),
        )
        replicator.close(once.PART_S if result.reason == "interrupted" else 0.0)
    return _report(result, signals.received, options, terminal)


def _follow(
    replicator: Replicator, place: Directory, reset: ResetPlan | None, metrics: str | None, terminal: Terminal
) -> int:
    from gradata.config import settings
    from gradata.replicate import daemon
    from gradata.replicate.systemd_notify import SystemdNotifier
    from replicator import recovery

    with _Signals() as signals, _exported(replicator, metrics, terminal):
        if reset is not None:
            recovery.order_reset(place.log, reset)
        drained = daemon.run_until(replicator, signals.stop, SystemdNotifier(*settings.supervised()))
    if drained.remaining_bytes:
        terminal.warn(f"{drained.remaining_bytes:,} bytes wait in the log ({drained.reason}); nothing is lost")
        return 128 + (signals.received or signal.SIGTERM)
    return FINE


@contextmanager
def _exported(replicator: Replicator, address: str | None, terminal: Terminal) -> Iterator[None]:
    """Serves the replicator's metrics at `address`, if given."""
    if address is None:
        yield
        return
    from gradata.replicate.daemon import still_s
    from gradata.replicate.metrics_exporter import ExportedReplicator, Exporter

    exporter = Exporter(
        address, ExportedReplicator(replicator.status, lambda: still_s(replicator), lambda: replicator.leads)
    )
    terminal.say(f"metrics at {address.rpartition(':')[0]}:{exporter.port}/metrics")
    try:
        yield
    finally:
        exporter.close()


class _Signals:
    """SIGINT and SIGTERM set `stop`, so that the request in flight can finish; a second signal exits at once."""

    def __init__(self) -> None:
        from gradata.replicate.once import Stop

        self.stop = Stop()
        self.received: int | None = None
        self._before: dict[int, Any] = {}
        self._wakes = -1

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            self._wakes = signal.set_wakeup_fd(self.stop.fileno())
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._wakes)
        self.stop.close()

    def _take(self, number: int, _frame: object) -> None:
        if self.received is not None:
            raise SystemExit(128 + number)
        self.received = number
        self.stop.set()


def _tell(notice: Notice, terminal: Terminal) -> None:
    from datetime import UTC, datetime

    at = datetime.now(UTC).strftime("%H:%M:%SZ")
    hint = f"; {notice.hint}" if notice.hint and notice.grave else ""
    (terminal.warn if notice.grave else terminal.say)(f"{at} {notice.text}{hint}")


def _show_plan(
    task: Task, reset: ResetPlan | None, endpoint: str, options: ReplicateOptions, terminal: Terminal
) -> int:
    again = reset.again_records if reset is not None else 0
    start = task.target - task.total_bytes
    answer = {
        "dry_run": True, "endpoint": endpoint, "from_offset": start, "to_offset": task.target,
        "records": task.total_records, "bytes": task.total_bytes, "again_records": again,
    }  # fmt: skip
    if options.json:
        terminal.json(answer)
    else:
        terminal.out(
            f"would send {task.total_records:,} records ({task.total_bytes:,} bytes, offset {start:,} to"
            f" {task.target:,}) to {endpoint}; {again:,} of them again"
        )
    return FINE


def _in_words(moment: RunProgress) -> str:
    rate = moment.done_records / moment.seconds if moment.seconds else 0.0
    left = max(0, moment.total_records - moment.done_records)
    who = " (another process replicates)" if moment.another else ""
    trouble = f"; {moment.trouble.code}: {moment.trouble.detail}" if moment.trouble is not None else ""
    return (
        f"{moment.done_records:,} of {moment.total_records:,} records, {moment.done_bytes / 1e6:,.1f} of"
        f" {moment.total_bytes / 1e6:,.1f} MB, {rate:,.0f} records/s, {left:,} remain{who}{trouble}"
    )


def _report(result: Result, received: int | None, options: ReplicateOptions, terminal: Terminal) -> int:
    counts, left = result.counts, result.remaining
    if options.json:
        terminal.json(_json(result))
    elif not options.quiet:
        terminal.out(
            f"{counts.accepted:,} accepted, {counts.duplicates:,} duplicates, {counts.flagged:,} flagged,"
            f" {result.new_dead_letters:,} new dead letters ({result.dead_letters:,} in all), in"
            f" {result.seconds:.1f} s"
        )
    if result.reason == "caught_up":
        return FINE
    waits = f"{left.records:,} records ({left.bytes:,} bytes) wait in the log, nothing is lost"
    trouble = result.trouble
    if result.reason == "interrupted":
        terminal.warn(f"interrupted: {waits}")
        return 128 + (received or signal.SIGINT)
    said = f"{trouble.detail or trouble.code}" if trouble is not None else "no acknowledgement arrived"
    verb = {"trouble": "replication is paused", "stalled": "no progress for 60 s", "deadline": "not in time"}
    hint = trouble.hint if trouble is not None else "run: gradata doctor"
    terminal.fail(f"{verb[result.reason]}: {said}; {waits}", hint)
    return PROBLEM


def _json(result: Result) -> dict[str, object]:
    return {
        "reason": result.reason,
        **asdict(result.counts),
        "dead_letters": result.dead_letters,
        "new_dead_letters": result.new_dead_letters,
        "remaining_records": result.remaining.records,
        "remaining_bytes": result.remaining.bytes,
        "trouble": None if result.trouble is None else asdict(result.trouble),
        "seconds": round(result.seconds, 3),
    }
