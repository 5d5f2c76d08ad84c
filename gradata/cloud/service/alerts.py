"""The alert task: posts to a webhook when a brain becomes silent, paused, quiet or refused, and when it has recovered.

`fleet_state` decides what is wrong. Here it is compared with the open alerts, and each change is posted: signed,
retried for a day, once however many servers watch. Open alerts are in the store, so a restart neither forgets nor
repeats one.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import orjson

from gradata.cloud.clock import now_us
from gradata.cloud.domain.timestamps import SECOND, iso
from gradata.cloud.service.background import forever
from gradata.cloud.service.fleet_reader import FleetReader
from gradata.cloud.service.fleet_state import BrainVerdict, FleetBrain
from gradata.cloud.store.values import StoredAlert, StoredNotice, StoreUnavailableError
from replicator.errors import ConfigurationError
from replicator.pacing import backoff_s

CHECK_S = 2.0
LEASE_S = 60.0
"""Seconds after which other servers take over a notice whose server died."""
POST_S = 10.0
FIRST_RETRY_S = 2.0
RETRY_S_MAX = 900.0
GIVE_UP_S = 86_400.0
SIGNATURE = "Gradata-Signature"
DELIVERY = "Gradata-Delivery"

log = logging.getLogger("gradata.cloud")

Post = Callable[[bytes, Mapping[str, str]], Awaitable[bool]]
"""Whether the webhook took it."""


def name_of(workspace: str, brain_id: str, device_id: str | None) -> str:
    """The name of a finding about a device, or about a brain as a whole."""
    return "\n".join((workspace, brain_id, device_id or ""))


@dataclass(frozen=True, slots=True)
class AlertFinding:
    """A condition to report. `device_id` None: the brain as a whole."""

    workspace: str
    brain_id: str
    device_id: str | None
    verdict: BrainVerdict

    @property
    def name(self) -> str:
        """Equal for findings about the same device or brain."""
        return name_of(self.workspace, self.brain_id, self.device_id)

    def subject(self) -> bytes:
        """The workspace, brain and device, as JSON."""
        return orjson.dumps({"workspace": self.workspace, "brain_id": self.brain_id, "device_id": self.device_id})


@dataclass(frozen=True, slots=True)
class Changes:
    """The differences from the open alerts."""

    begun: Sequence[AlertFinding] = ()
    over: Sequence[StoredAlert] = field(default=())


def findings(workspace: str, brains: Sequence[FleetBrain]) -> list[AlertFinding]:
    """The alerts of a fleet: each device's own, the brain's where it is not a device's."""
    found = []
    for brain in brains:
        of_devices = [device for device in brain.devices if device.verdict.alert]
        found += [AlertFinding(workspace, brain.brain_id, device.device_id, device.verdict) for device in of_devices]
        if brain.verdict.alert and not of_devices:
            found.append(AlertFinding(workspace, brain.brain_id, None, brain.verdict))
    return found


def last_heard(workspace: str, brains: Sequence[FleetBrain]) -> dict[str, int]:
    """When each device, and each brain, was heard last, by the name of a finding about it."""
    heard: dict[str, int] = {}
    for brain in brains:
        devices = {device.device_id: device.log.heard_at or 0 for device in brain.devices}
        everybody: dict[str | None, int] = {None: max(devices.values(), default=0)}
        everybody.update(devices)
        heard |= {name_of(workspace, brain.brain_id, device_id): at for device_id, at in everybody.items()}
    return heard


def changes(found: Sequence[AlertFinding], told: Sequence[StoredAlert], heard: Mapping[str, int]) -> Changes:
    """The alerts to open and to clear. `heard`: `last_heard`.

    A silence alert ends when the device was heard since. A server that has just started calls nobody silent, which does
    not end an alert.
    """
    known = {alert.name: alert.state for alert in told}
    begun = [finding for finding in found if known.get(finding.name) != finding.verdict.state]
    current = {finding.name for finding in found}
    over = [
        alert
        for alert in told
        if alert.name not in current
        and (alert.state != "silent" or heard.get(alert.name, alert.opened_at) >= alert.opened_at)
    ]
    return Changes(begun, over)


def body_of(kind: Literal["firing", "cleared"], subject: bytes, verdict: BrainVerdict | None, opened_at: int) -> bytes:
    """What the webhook gets."""
    document = orjson.loads(subject) | {"kind": kind, "opened_at": iso(opened_at), "at": iso(now_us())}
    if verdict is not None:
        document |= {
            "state": verdict.state,
            "since": iso(verdict.since),
            "words": verdict.words,
            "command": verdict.command,
        }
    return orjson.dumps(document)


def signature(secret: bytes, body: bytes, now_s: int) -> str:
    """`t=<seconds>,v1=<HMAC-SHA256 of "<seconds>." and the body, in hex>`; the key is the secret in hex, as text."""
    mac = hmac.new(secret.hex().encode(), f"{now_s}.".encode() + body, hashlib.sha256)
    return f"t={now_s},v1={mac.hexdigest()}"


def check_webhook(url: str) -> str:
    """The URL. Raises ConfigurationError unless it is https, or on this machine."""
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise ConfigurationError(
            "the webhook must be https", hint="for example --alert-webhook https://example.org/hook"
        )
    return url


class Alerts:
    """Watches the fleet of every workspace and posts to the webhook. One task per server."""

    def __init__(self, fleets: FleetReader, post: Post) -> None:
        self._fleets = fleets
        self._store = fleets.store
        self._post = post
        self._patience = fleets.alerting.patience

    async def run(self) -> None:
        """Until cancelled."""
        await forever("alerting", self._step, pause_s=CHECK_S)

    async def _step(self) -> None:
        try:
            await self.step()
        except StoreUnavailableError:
            self._fleets.interrupted()
            raise

    async def step(self) -> None:
        """Check once: open and clear alerts, deliver notices."""
        found: list[AlertFinding] = []
        heard: dict[str, int] = {}
        for workspace in await asyncio.to_thread(self._store.workspaces):
            brains = await self._fleets.workspace(workspace, self._patience)
            found += findings(workspace, brains)
            heard |= last_heard(workspace, brains)
        await asyncio.to_thread(self._tell, found, heard)
        now = now_us()
        due = await asyncio.to_thread(lambda: self._store.take_notices(now=now, until=now + int(LEASE_S * SECOND)))
        for notice in due:
            await self._deliver(notice)

    def _tell(self, found: Sequence[AlertFinding], heard: Mapping[str, int]) -> None:
        told = self._store.alerts()
        changed = changes(found, told, heard)
        opened = {alert.name: alert.opened_at for alert in told}
        now = now_us()
        for finding in changed.begun:
            subject = finding.subject()
            body = body_of("firing", subject, finding.verdict, opened.get(finding.name, now))
            self._store.set_alert(finding.name, finding.verdict.state, subject=subject, body=body, now=now)
        for alert in changed.over:
            body = body_of("cleared", alert.subject, None, alert.opened_at)
            self._store.set_alert(alert.name, None, body=body, now=now)

    async def _deliver(self, notice: StoredNotice) -> None:
        secret = await asyncio.to_thread(self._store.secret, "webhook")
        headers = {
            "Content-Type": "application/json",
            SIGNATURE: signature(secret, notice.body, int(time.time())),
            DELIVERY: str(notice.number),
        }
        taken = await self._post(notice.body, headers)
        retry_at: int | None = None
        now = now_us()
        if not taken and now - notice.created_at < GIVE_UP_S * SECOND:
            jitter = 0.5 + random.random() / 2  # noqa: S311 - no secret
            wait_s = backoff_s(notice.attempts, jitter=jitter, first_s=FIRST_RETRY_S, max_s=RETRY_S_MAX)
            retry_at = now + int(wait_s * SECOND)
            log.warning("the webhook did not take an alert; it is tried again", extra={"attempts": notice.attempts})
        elif not taken:
            log.error("the webhook took no alert for a day; one is given up", extra={"attempts": notice.attempts})
        await asyncio.to_thread(lambda: self._store.settle_notice(notice.number, retry_at=retry_at))


def poster(url: str) -> Post:
    """Posts to the webhook; no redirects, POST_S in all. ConfigurationError if the proxy or authorities cannot work."""
    from replicator.sink.post import Poster  # here: a server without a webhook need not load an HTTP client

    client = Poster(url)

    async def post(body: bytes, headers: Mapping[str, str]) -> bool:
        return await asyncio.to_thread(client.post, body, headers, POST_S)

    return post
