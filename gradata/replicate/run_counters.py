"""Counts of the cloud's answers during a run, whichever process sent the records.

Pure. Every replicator counts from its own start and publishes its totals. `Totals` computes what happened since the
first observation, across a change of leaders. Partner: `once`.
"""

from __future__ import annotations

from dataclasses import dataclass

from replicator.status import Status


@dataclass(frozen=True, slots=True)
class RunCounts:
    """The cloud's answers to the records sent during one run."""

    accepted: int = 0
    duplicates: int = 0
    flagged: int = 0
    refused: int = 0
    requests: int = 0

    @classmethod
    def of(cls, status: Status) -> RunCounts:
        """The totals of one process."""
        return cls(status.accepted, status.duplicates, status.flagged, status.refused, status.requests)

    def __add__(self, other: RunCounts) -> RunCounts:
        return RunCounts(
            self.accepted + other.accepted,
            self.duplicates + other.duplicates,
            self.flagged + other.flagged,
            self.refused + other.refused,
            self.requests + other.requests,
        )

    def __sub__(self, other: RunCounts) -> RunCounts:
        return RunCounts(
            self.accepted - other.accepted,
            self.duplicates - other.duplicates,
            self.flagged - other.flagged,
            self.refused - other.refused,
            self.requests - other.requests,
        )


class Totals:
    """Totals across several leaders: each counts from its own start, the first from the first observation."""

    def __init__(self, before: Status | None) -> None:
        self._base = RunCounts() if before is None else RunCounts.of(before)
        self._leader = None if before is None else (before.pid, before.since)
        self._done = RunCounts()
        self._present = self._base

    def see(self, status: Status) -> None:
        """Add a status of any process."""
        leader = (status.pid, status.since)
        if leader != self._leader:
            self._done += self._present - self._base
            self._leader, self._base = leader, RunCounts()
        self._present = RunCounts.of(status)

    @property
    def counts(self) -> RunCounts:
        """The sum over all leaders since the first observation."""
        return self._done + (self._present - self._base)
