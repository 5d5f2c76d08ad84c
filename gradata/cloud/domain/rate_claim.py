"""A request's claim on a rate limit that several servers share, and what the store said to it."""

from __future__ import annotations

from dataclasses import field
from typing import Protocol

from gradata.cloud.domain.rate_limit import Rate, Verdict
from replicator.fast_dataclass import value


@value
class Claim:
    """A request's claim on a budget that all servers of the store share. `told` gets the verdict, before `done`."""

    name: str
    rate: Rate
    told: Told | None = field(default=None, repr=False)


class Told(Protocol):
    """Where a verdict is kept."""

    verdict: Verdict | None
