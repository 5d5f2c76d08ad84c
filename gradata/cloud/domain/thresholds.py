"""How long a brain may be silent, quiet, late or forked before it is an alert, and where alerts go."""

from __future__ import annotations

from dataclasses import dataclass

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a thing may last before it is one. In seconds."""

    silent_s: float = 300.0
    quiet_s: float = 3 * DAY_S
    lagging_s: float = 60.0
    forked_s: float = DAY_S


PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class Alerting:
    """When something is an alert, and where alerts go. `webhook` None: nowhere but the pages."""

    webhook: str | None = None
    patience: Patience = PATIENCE
