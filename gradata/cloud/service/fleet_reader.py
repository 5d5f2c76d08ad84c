"""The read side shared by the dashboard, the feed, the metrics and the alerts. Partner: `http.context`, the write side.

A fleet is read from the store at most once in FRESH_S for each workspace, however many clients ask.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from gradata.cloud.clock import now_us
from gradata.cloud.domain.principal import Principal
from gradata.cloud.domain.thresholds import Alerting, Patience
from gradata.cloud.protocol.answers import DeniedError
from gradata.cloud.service.fleet_state import FleetBrain, LastRefusal, habit_s, read_fleet
from gradata.cloud.service.guards import require_living
from gradata.cloud.service.listening import ListeningPeriod
from gradata.cloud.service.live_feed import Hub, Single
from gradata.cloud.service.metrics import Metrics
from gradata.cloud.store.port import Store

FRESH_S = 0.5
HABITS_S = 600.0
HABIT_DAYS = 30


class FleetReader:
    """What the routes for people and their tools read: fleets, one brain, and the hub of the live feeds."""

    def __init__(self, store: Store, alerting: Alerting) -> None:
        self.store = store
        self.alerting = alerting
        self.metrics = Metrics()
        self.hub = Hub(store, clients_told=self.metrics.feeds.set)
        self._fleets = Single(fresh_s=FRESH_S)
        self._habits = Single(fresh_s=HABITS_S)
        self.listening = ListeningPeriod(now_us(), now_us(), time.monotonic())

    def open(self) -> None:
        """Begin to listen."""
        self.hub.open()

    def close(self) -> None:
        """End it."""
        self.hub.close()

    def interrupted(self) -> None:
        """The store could not be used just now, so nobody could be heard."""
        self.listening = self.listening.looked_at(now_us(), time.monotonic(), interrupted=True)

    async def fleet(self, principal: Principal, patience: Patience | None = None) -> tuple[FleetBrain, ...]:
        """The brains that the principal reaches, worst first."""
        brains = await self.workspace(principal.workspace, patience or self.alerting.patience)
        return tuple(brain for brain in brains if principal.reaches(brain.brain_id))

    async def brain(self, principal: Principal, brain_id: str) -> FleetBrain:
        """One of them, as it is now. Raises DeniedError for what is not there or not reached, WireError 410."""
        found: tuple[FleetBrain, ...] = ()
        if principal.reaches(brain_id):
            workspace = principal.workspace
            habits = await self._habits_of(workspace)
            found = await asyncio.to_thread(self._read_fleet, workspace, habits, self.alerting.patience, brain_id)
        for brain in found:
            if brain.brain_id == brain_id:
                return brain
        await require_living(self.store, principal, brain_id)
        raise DeniedError("brain_forbidden", "this key does not reach this brain")

    async def workspace(self, workspace: str, patience: Patience) -> tuple[FleetBrain, ...]:
        """All brains of a workspace, worst first."""

        async def read() -> tuple[FleetBrain, ...]:
            habits = await self._habits_of(workspace)
            return await asyncio.to_thread(self._read_fleet, workspace, habits, patience)

        return await self._fleets.get((workspace, patience), read)

    async def _habits_of(self, workspace: str) -> dict[str, float]:
        return await self._habits.get(workspace, lambda: asyncio.to_thread(self._read_habits, workspace))

    def _read_habits(self, workspace: str) -> dict[str, float]:
        today = datetime.now(UTC).date()
        first = (today - timedelta(days=HABIT_DAYS)).isoformat()
        days: dict[str, list[str]] = {}
        for name, kind, _ in self.store.days(workspace, first):
            active = days.setdefault(name, [])
            if kind.day not in active[-1:]:
                active.append(kind.day)
        found = {name: habit_s(active, today.isoformat()) for name, active in days.items()}
        return {name: habit for name, habit in found.items() if habit is not None}

    def _read_fleet(
        self, workspace: str, habits: dict[str, float], patience: Patience, brain_id: str | None = None
    ) -> tuple[FleetBrain, ...]:
        brains = self.store.fleet(workspace, brain_id)
        refusals = self.store.refusals()
        own = {key.prefix for key in self.store.keys(workspace)} if refusals else set()
        refused = [LastRefusal(brain, code, count, at) for prefix, brain, code, count, at in refusals if prefix in own]
        now = now_us()
        self.listening = self.listening.looked_at(now, time.monotonic())
        since = self.listening.since
        return read_fleet(brains, refused=refused, habits=habits, patience=patience, now=now, listening_since=since)
