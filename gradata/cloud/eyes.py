"""What everything that looks at the cloud shares: fleet, feed, metrics, sessions. Partner: `shared`, for what writes.

A fleet is read from the store at most once in FRESH_S for each workspace, however many look at it.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from fastapi import Request

from gradata.cloud.auth import Principal, now_us
from gradata.cloud.feed import Hub, Single
from gradata.cloud.fleet import Brain, Patience, Refused, habit_s, read_fleet
from gradata.cloud.living import require_living
from gradata.cloud.metrics import Metrics
from gradata.cloud.service import DeniedError
from gradata.cloud.session import COOKIE, read_session
from gradata.cloud.shared import Shared
from replicator.errors import WireError

FRESH_S = 0.5
HABITS_S = 600.0
HABIT_DAYS = 30


class Eyes:
    """The shared half of all reading routes that are for people and their tools."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.store = shared.store
        self.alerting = shared.options.alerting
        self.metrics = Metrics()
        self.hub = Hub(shared.store)
        self._fleets = Single(fresh_s=FRESH_S)
        self._habits = Single(fresh_s=HABITS_S)
        self._secret: bytes | None = None
        self.started = time.monotonic()

    def open(self) -> None:
        """Begin to listen."""
        self.hub.open()

    def close(self) -> None:
        """End it."""
        self.hub.close()

    async def secret(self) -> bytes:
        """What sessions are signed with."""
        if self._secret is None:
            self._secret = await asyncio.to_thread(self.store.secret, "session")
        return self._secret

    async def reader(self, request: Request) -> Principal:
        """Who looks: by key, or by the session's cookie. Raises WireError 401, DeniedError."""
        if "authorization" in request.headers:
            return await self.shared.principal(request, "read")
        found = await self.signed_in(request)
        if found is None:
            raise WireError("sign in, or send a key", status=401, code="key_unknown")
        return found

    async def signed_in(self, request: Request) -> Principal | None:
        """Whose session the request's cookie is; None if it is none. The key must still work, and read."""
        token = request.cookies.get(COOKIE, "")
        prefix = read_session(token, await self.secret(), now_s=int(time.time())) if token else None
        found = None if prefix is None else await asyncio.to_thread(self.shared.keys.bearer, prefix)
        return found if found is not None and found.may("read") else None

    async def fleet(self, principal: Principal, patience: Patience | None = None) -> tuple[Brain, ...]:
        """The brains that the principal reaches, worst first."""
        brains = await self.workspace(principal.workspace, patience or self.alerting.patience)
        return tuple(brain for brain in brains if principal.reaches(brain.brain_id))

    async def brain(self, principal: Principal, brain_id: str) -> Brain:
        """One of them, as it is now. Raises DeniedError for what is not there or not reached, WireError 410."""
        found: tuple[Brain, ...] = ()
        if principal.reaches(brain_id):
            workspace = principal.workspace
            habits = await self._habits_of(workspace)
            found = await asyncio.to_thread(self._read_fleet, workspace, habits, self.alerting.patience, brain_id)
        for brain in found:
            if brain.brain_id == brain_id:
                return brain
        await require_living(self.store, principal, brain_id)
        raise DeniedError("brain_forbidden", "this key does not reach this brain")

    async def workspace(self, workspace: str, patience: Patience) -> tuple[Brain, ...]:
        """All brains of a workspace, worst first."""

        async def read() -> tuple[Brain, ...]:
            habits = await self._habits_of(workspace)
            return await asyncio.to_thread(self._read_fleet, workspace, habits, patience)

        return await self._fleets.get((workspace, patience), read)

    async def _habits_of(self, workspace: str) -> dict[str, float]:
        return await self._habits.get(workspace, lambda: asyncio.to_thread(self._read_habits, workspace))

    def _read_habits(self, workspace: str) -> dict[str, float]:
        today = datetime.now(UTC).date()
        first = (today - timedelta(days=HABIT_DAYS)).isoformat()
        days = self.store.active_days(workspace, first)
        found = {name: habit_s(active, today.isoformat()) for name, active in days.items()}
        return {name: habit for name, habit in found.items() if habit is not None}

    def _read_fleet(
        self, workspace: str, habits: dict[str, float], patience: Patience, brain_id: str | None = None
    ) -> tuple[Brain, ...]:
        brains = self.store.fleet(workspace, brain_id)
        refusals = self.store.refusals()
        own = {key.prefix for key in self.store.keys(workspace)} if refusals else set()
        refused = [Refused(brain, code, count, at) for prefix, brain, code, count, at in refusals if prefix in own]
        return read_fleet(brains, refused=refused, habits=habits, patience=patience, now=now_us())
