"""Thresholds of alerts (silent, quiet, lagging, forked), and where alerts are sent."""

from __future__ import annotations

from dataclasses import dataclass

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Patience:
    """Durations in seconds after which a condition becomes a state."""

    silent_s: float = 300.0
    quiet_s: float = 3 * DAY_S
    lagging_s: float = 60.0
    forked_s: float = DAY_S


PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class Alerting:
    """The thresholds, and the webhook; `webhook` None: alerts are shown in the pages only."""

    webhook: str | None = None
    patience: Patience = PATIENCE
