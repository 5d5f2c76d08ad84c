"""What a person orders when something went wrong: go back, and send again from there.

Orders that concern the cursor are left in the sidecar and carried out by whoever leads, now or later, exactly once;
so they need no lease and never fight with a live replicator. Nothing here deletes, truncates or skips anything.
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
    """What a reset would do. `again_records` and `again_bytes` lie between `there` and the present cursor and are
    sent again; the cloud calls duplicates what it has."""

    there: Cursor
    here: Standing | None
    again_records: int
    again_bytes: int

    def dropped(self, cloud_size: int) -> int:
        """How many of the records that are sent again a cloud with `cloud_size` records of this log drops."""
        here = self.there.size + self.again_records
        return max(0, min(cloud_size, here) - self.there.size)


def plan_reset(
    log_path: str, *, offset: int | None = None, event_id: str | None = None, size: int | None = None
) -> ResetPlan:
    """Where a reset to this offset, to the first record of this event, or behind `size` records would go, and its cost.

    Reads the log up to there. CursorError if it is no start of a record (it names the nearest ones), or lies beyond
    the cursor: a reset never skips records.
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
    """Leave the order for whoever leads; returns its number. `confirmed`: also upload to a cloud not seen before."""
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
    """Where replication of this log stands durably; None if it never began here."""
    view = read_only(sidecar_path(log_path))
    if view is None:
        return None
    try:
        return view.load()
    finally:
        view.close()
