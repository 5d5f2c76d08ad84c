"""Since when the server has been able to hear its clients without interruption. Pure: times are arguments.

Silence only counts while the server listened. It may have been stopped, its store unavailable, its machine suspended,
or its clock set: afterwards nobody is silent before they had time to send a heartbeat. What was silent before stays
silent.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradata.cloud.domain.timestamps import SECOND

CLOCK_STEP_S = 5.0
"""The wall clock and the monotonic one differ by less in ordinary times: corrections are slewed."""


@dataclass(frozen=True, slots=True)
class ListeningPeriod:
    """`since`: when hearing began, in microseconds since 1970. `wall`, `monotonic_s`: when it was looked at last."""

    since: int
    wall: int
    monotonic_s: float

    def looked_at(self, wall: int, monotonic_s: float, *, interrupted: bool = False) -> ListeningPeriod:
        """The same a while later; a new beginning after an interruption, or if the wall clock was set meanwhile."""
        stepped = abs((wall - self.wall) / SECOND - (monotonic_s - self.monotonic_s)) > CLOCK_STEP_S
        return ListeningPeriod(wall if interrupted or stepped else self.since, wall, monotonic_s)


def silence_us(heard: int, *, now: int, since: int, heard_before: int) -> int:
    """How long a client was silent while the server listened, in microseconds.

    `heard_before`: when any client was last heard before `since`; the interruption is between the two.
    """
    if since <= heard <= now:
        return now - heard
    return max(0, heard_before - heard) + max(0, now - since)
