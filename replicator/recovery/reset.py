"""Resets: move the cursor back and resend from there.

Orders are left in the sidecar and carried out exactly once by the present or next leader. So they need no lease and
never compete with a live replicator. Nothing here deletes, truncates or skips anything.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from replicator import actions as act
from replicator.errors import CursorError
from replicator.log import LogReader
from replicator.model import Cursor, Standing
from replicator.sidecar import Sidecar, read_only, sidecar_path


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """The effect of a reset. `again_records` and `again_bytes` lie between `there` and the present cursor and are
    resent; the cloud drops those it has as duplicates.
    """

    there: Cursor
    here: Standing | None
    again_records: int
    again_bytes: int

    def dropped(self, cloud_size: int) -> int:
        """How many of the resent records a cloud with `cloud_size` records of this log drops as duplicates."""
        here = self.there.size + self.again_records
        return max(0, min(cloud_size, here) - self.there.size)


def plan_reset(
    log_path: str, *, offset: int | None = None, event_id: str | None = None, size: int | None = None
) -> ResetPlan:
    """The target and cost of a reset to an offset, to the first record of an event, or to after `size` records.

    Reads the log up to there. CursorError if no record begins there (it names the nearest ones), or if it is beyond the
    cursor: a reset never skips records.
    """
    here = standing(log_path)
    log_id = here.cursor.log_id if here is not None else str(uuid.uuid4())
    there = LogReader(log_path).locate(log_id=log_id, offset=offset, event_id=event_id, size=size)
    if here is None:
        return ResetPlan(there, None, 0, 0)
    if there.offset > here.cursor.offset:
        raise CursorError(
            f"offset {there.offset} lies beyond the cursor at {here.cursor.offset}: what lies between would be skipped",
            hint="choose an offset up to the cursor",
            code="beyond_cursor",
        )
    return ResetPlan(there, here, here.cursor.size - there.size, here.cursor.offset - there.offset)


def order_reset(log_path: str, plan: ResetPlan, *, confirmed: bool = False) -> int:
    """Leave the order for the leader and return its number. `confirmed`: also send to a new endpoint."""
    sidecar = Sidecar.open(sidecar_path(log_path), may_set_aside=False)
    try:
        return sidecar.ask_reset(act.ResetOrder(plan.there, confirmed))
    finally:
        sidecar.close()


def reset_is_done(log_path: str, reset_id: int) -> bool:
    """Whether the order was carried out."""
    sidecar = Sidecar.open(sidecar_path(log_path), may_set_aside=False)
    try:
        return sidecar.reset_done(reset_id)
    finally:
        sidecar.close()


def standing(log_path: str) -> Standing | None:
    """The durable standing of this log; None if replication never began here."""
    view = read_only(sidecar_path(log_path))
    if view is None:
        return None
    try:
        return view.load()
    finally:
        view.close()
