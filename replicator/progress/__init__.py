"""Every decision of replication: what to do next, and what follows from its outcome.

Pure: takes values and times, returns values. `next_action(progress, now)` names the next action; `engine` performs it
and returns an outcome; `advance(…)` computes the next state. Nothing here reads, sends, sleeps or logs, so tests can
walk the table exhaustively. Actions and outcomes are defined in `actions`.

Begin with `table`: the order of actions, the outcomes of each, and the row for each outcome. `state` is what the rows
change. The rows are in `log_side` (reads, checkpoints, orders), `heads` (the cloud's head), `acks` (records were
accepted) and `refusals` (records were rejected). `transitions` has what several rows share.
"""

from replicator.progress.state import (
    ENVELOPE_BYTES_MAX,
    RECORD_BYTES_LIMIT_MIN,
    Heartbeat,
    Isolation,
    Progress,
    ProgressTally,
    Retry,
    Saving,
    Sizing,
    Unsettled,
)
from replicator.progress.table import OUTCOMES_OF, advance, next_action
from replicator.progress.trouble import PAUSING, STOPPING, Trouble, TroubleCode

__all__ = [
    "ENVELOPE_BYTES_MAX",
    "OUTCOMES_OF",
    "PAUSING",
    "RECORD_BYTES_LIMIT_MIN",
    "STOPPING",
    "Heartbeat",
    "Isolation",
    "Progress",
    "ProgressTally",
    "Retry",
    "Saving",
    "Sizing",
    "Trouble",
    "TroubleCode",
    "Unsettled",
    "advance",
    "next_action",
]
