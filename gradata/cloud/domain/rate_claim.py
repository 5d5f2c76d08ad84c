"""A request's claim on a rate limit that several servers share, and the store's verdict."""

from __future__ import annotations

from dataclasses import field
from typing import Protocol

from gradata.cloud.domain.rate_limit import Rate, RateVerdict
from replicator.fast_dataclass import value


@value
class RateClaim:
    """A claim on the rate limit that all servers of the store share. `told` receives the verdict, before `done`."""

    name: str
    rate: Rate
    told: VerdictCallback | None = field(default=None, repr=False)


class VerdictCallback(Protocol):
    """Receives the verdict."""

    verdict: RateVerdict | None
