"""The states of brains and devices, as seen by the cloud. Pure.

A replicator sends a heartbeat at least once a minute, so its silence is a fact too; its own status comes with its
requests (`client`). A brain that is alive but captures nothing is `quiet`, which no backlog counter shows. Partners:
`store.port_monitoring`, the source of the facts; `routes.monitoring`, `alerts`, `metrics` and the pages, which show the
states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Literal

from gradata.cloud.domain.daily_counts import is_date
from gradata.cloud.domain.thresholds import DAY_S, PATIENCE, Patience
from gradata.cloud.domain.timestamps import SECOND
from gradata.cloud.service.client_status import ClientStatus, read_client_status
from gradata.cloud.service.listening import silence_us
from gradata.cloud.store.values import StoredBrain, StoredLog
from gradata.hints import HINTS

FleetState = Literal["refused", "paused", "silent", "quiet", "incomplete", "forked", "lagging", "live"]
STATES: tuple[FleetState, ...] = ("refused", "paused", "silent", "quiet", "incomplete", "forked", "lagging", "live")
"""Worst first."""
ALERTS: frozenset[FleetState] = frozenset({"refused", "paused", "silent", "quiet", "incomplete"})

ACTIVE_DAYS_MIN = 4
"""Number of days with events that make a habit."""


@dataclass(frozen=True, slots=True)
class LastRefusal:
    """The last time that a request with a key of the workspace was refused for a brain. Microseconds since 1970."""

    brain_id: str
    code: str
    count: int
    last_at: int


@dataclass(frozen=True, slots=True)
class BrainVerdict:
    """A state, since when (microseconds since 1970), its explanation, and the command that helps ("": none)."""

    state: FleetState
    since: int | None
    words: str
    command: str = ""

    @property
    def alert(self) -> bool:
        """Whether this state is an alert."""
        return self.state in ALERTS


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a brain, by the log that it last reported. Times in microseconds, `lag_s` in seconds."""

    device_id: str
    log: StoredLog
    verdict: BrainVerdict
    last_event_at: int | None
    lag_s: float
    backlog_bytes: int
    dead_letters: int
    version: str
    unreadable: bool = False
    """What its replicator said of itself could not be read; it counts as not said."""


@dataclass(frozen=True, slots=True)
class FleetBrain:
    """A brain; its state is that of its worst device."""

    brain_id: str
    verdict: BrainVerdict
    events: int
    last_event_at: int | None
    last_ack_at: int | None
    devices: tuple[Device, ...] = ()


def habit_s(days: Sequence[str], today: str) -> float | None:
    """The brain's usual pause, from the days on which it had events; None: too few.

    The longest pause between two active days plus half a day: somebody who works from Monday to Friday is not quiet on
    a Monday morning. The present pause does not count, because it is what is judged.
    """
    active = [date.fromisoformat(day) for day in days if day <= today and is_date(day)]
    if len(active) < ACTIVE_DAYS_MIN:
        return None
    return (max((later - earlier).days for earlier, later in pairwise(active)) + 0.5) * DAY_S


def read_fleet(
    brains: Sequence[StoredBrain],
    *,
    refused: Sequence[LastRefusal] = (),
    habits: Mapping[str, float] | None = None,
    patience: Patience = PATIENCE,
    now: int,
    listening_since: int = 0,
) -> tuple[FleetBrain, ...]:
    """Every brain's state, worst first, then by name. `habits` in seconds, by brain.

    `listening_since`: since when clients could be heard without a break, in microseconds since 1970.
    """
    heard = [log.heard_at or log.created_at for brain in brains for log in brain.logs]
    before = max((at for at in heard if at < listening_since), default=listening_since)
    look = _Look(patience, now, listening_since, before)
    refusals = {each.brain_id: each for each in sorted(refused, key=lambda each: each.last_at)}
    found = [
        _brain(brain, refusals.pop(brain.brain_id, None), (habits or {}).get(brain.brain_id), look) for brain in brains
    ]
    found += [FleetBrain(name, _refusal(each, None), 0, None, None) for name, each in refusals.items() if name]
    return tuple(sorted(found, key=lambda brain: (STATES.index(brain.verdict.state), brain.brain_id)))


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at the fleet. `heard_before`: the last word of anybody before `listening_since`."""

    patience: Patience
    now: int
    listening_since: int
    heard_before: int


def _brain(stored: StoredBrain, refusal: LastRefusal | None, habit: float | None, look: _Look) -> FleetBrain:
    patience = look.patience
    quiet_s = patience.quiet_s if habit is None else max(habit, patience.silent_s)
    logs = _current(stored.logs)
    devices = tuple(
        sorted(
            (_device(log, stored.logs, quiet_s, look) for log in logs),
            key=lambda device: (STATES.index(device.verdict.state), device.device_id),
        )
    )
    heard = max((log.heard_at or log.created_at for log in logs), default=stored.event_stored_at)
    last_event = max((d.last_event_at for d in devices if d.last_event_at), default=stored.event_stored_at)
    if refusal is not None and (heard is None or refusal.last_at > heard):
        verdict = _refusal(refusal, heard)
    elif devices:
        verdict = _worst(devices)
    else:
        verdict = _quiet(last_event or stored.created_at, quiet_s, look.now) or BrainVerdict(
            "live", last_event, "sends events without a replicator: nothing proves that all of them are here"
        )
    last_ack = max((log.stored_at for log in stored.logs if log.stored_at), default=stored.event_stored_at)
    return FleetBrain(stored.brain_id, verdict, stored.events, last_event, last_ack, devices)


def _current(logs: Sequence[StoredLog]) -> list[StoredLog]:
    """Of each device the log that it spoke of last."""
    latest: dict[str, StoredLog] = {}
    for log in sorted(logs, key=lambda log: (log.heard_at or 0, log.created_at)):
        latest[log.device_id] = log
    return list(latest.values())


def _device(log: StoredLog, logs: Sequence[StoredLog], quiet_s: float, look: _Look) -> Device:
    now = look.now
    client = read_client_status(log.status)
    reported = client.last_event_at
    believable = reported is not None and reported <= now + SECOND * 60
    last_event = reported if believable else log.stored_at
    backlog = _backlog(client, log)
    heard = log.heard_at or log.created_at
    lag_s = (now - (log.stored_at or log.created_at)) / SECOND if backlog else 0.0
    verdict = (
        (None if client.brief and not backlog else _silent(heard, backlog, look))
        or _paused(client, log, backlog)
        or _quiet(last_event or log.created_at, quiet_s, now)
        or _incomplete(client, log)
        or _forked(log, logs, look.patience, now)
        or _lagging(client, log, backlog, lag_s, look.patience)
        or _live(client, log)
    )
    return Device(
        log.device_id,
        log,
        verdict,
        last_event,
        lag_s,
        backlog,
        client.dead_letters,
        client.version,
        client.unreadable,
    )


def _backlog(client: ClientStatus, log: StoredLog) -> int:
    """The client's backlog: what it reported, minus what it sent with that request or since.

    A process that sends one batch and exits reports before that batch is acknowledged, and never again.
    """
    waits = client.backlog_bytes
    return waits if client.log_bytes is None else min(waits, max(0, client.log_bytes - log.offset))


def _worst(devices: Sequence[Device]) -> BrainVerdict:
    worst = devices[0].verdict  # they are sorted
    bad = sum(device.verdict.state == worst.state for device in devices)
    if len(devices) == 1 or worst.state == "live":
        return worst
    return BrainVerdict(worst.state, worst.since, f"{bad} of {len(devices)} devices: {worst.words}", worst.command)


# ---------------------------------------------------------------- each state, with its words


def _silent(heard: int, backlog: int, look: _Look) -> BrainVerdict | None:
    silence = silence_us(heard, now=look.now, since=look.listening_since, heard_before=look.heard_before)
    if silence <= look.patience.silent_s * SECOND:
        return None
    waits = f"; {size(backlog)} waited then" if backlog else ""
    words = f"no word from it for {span((look.now - heard) / SECOND)}{waits}"
    return BrainVerdict("silent", heard, words, "gradata doctor")


def _paused(client: ClientStatus, log: StoredLog, backlog: int) -> BrainVerdict | None:
    state = client.state
    if state not in ("paused", "held", "stopped"):
        return None
    trouble = client.trouble
    hint, _, command = HINTS.get(trouble, "").partition("Run: ")
    if not command:  # some say it in their words
        command = hint.rpartition(": ")[2] if ": gradata " in hint else "gradata doctor"
        hint = hint.removesuffix(f": {command}")
    why = f" ({trouble})" if trouble else ""
    waits = f"; {size(backlog)} wait" if backlog else ""
    words = f"replication is {state}{why}{waits}" + (f". {hint[:1].upper()}{hint[1:].strip(' .')}" if hint else "")
    return BrainVerdict("paused", client.last_ack_at or log.stored_at, words, command)


def _quiet(last_event: int, quiet_s: float, now: int) -> BrainVerdict | None:
    if now - last_event <= quiet_s * SECOND:
        return None
    words = f"alive, but nothing was captured for {span((now - last_event) / SECOND)}: does the agent's hook still run?"
    return BrainVerdict("quiet", last_event, words, "gradata doctor")


def _incomplete(client: ClientStatus, log: StoredLog) -> BrainVerdict | None:
    if not client.dead_letters:
        return None
    records = "1 record was" if client.dead_letters == 1 else f"{client.dead_letters:,} records were"
    words = f"{records} refused for good, and kept as dead letters on the device"
    return BrainVerdict("incomplete", log.stored_at, words, "gradata dead-letters list")


def _live(client: ClientStatus, log: StoredLog) -> BrainVerdict:
    words = "in step, by hooks alone" if client.brief else "in step"
    if log.holes:
        words += f", but {log.holes:,} of {log.tree.size:,} records without their bytes"
    if client.unreadable:
        words += "; what its replicator says of itself cannot be read"
    return BrainVerdict("live", log.stored_at, words)


def _forked(log: StoredLog, logs: Sequence[StoredLog], patience: Patience, now: int) -> BrainVerdict | None:
    if log.parent is None or now - log.created_at > patience.forked_s * SECOND:
        return None
    parent = next((other for other in logs if other.log_id == log.parent), None)
    kept = "" if parent is None else f" The cloud keeps the {parent.tree.size:,} records of the log before."
    words = f"the log was truncated, replaced or edited, and began a new generation.{kept}"
    return BrainVerdict("forked", log.created_at, words, "gradata status")


def _lagging(
    client: ClientStatus, log: StoredLog, backlog: int, lag_s: float, patience: Patience
) -> BrainVerdict | None:
    if not backlog or (client.state == "live" and lag_s <= patience.lagging_s):
        return None
    words = f"{size(backlog)} wait"
    return BrainVerdict("lagging", log.stored_at or log.created_at, words, "gradata doctor" if lag_s > 600 else "")


def _refusal(refusal: LastRefusal, heard: int | None) -> BrainVerdict:
    times = "once" if refusal.count == 1 else f"{refusal.count:,} times"
    words = f"its requests are refused ({refusal.code}, {times}): the key was revoked, rotated or never made"
    return BrainVerdict("refused", heard or refusal.last_at, words, "gradata keys list")


# ---------------------------------------------------------------- small things


def size(count: int) -> str:
    """A number of bytes for people."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count} B"


def span(seconds: float) -> str:
    """A duration for people, in one unit."""
    for size, unit in ((DAY_S, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"
