"""Every decision of replication: what to do next, and what follows from how it went.

Pure: takes values and times, returns values. `next_action(progress, now)` names the one thing to do; `engine` does it
and brings back an outcome; `advance(…)` says what is true afterwards. Nothing here reads, sends, sleeps or logs, so
tests walk the whole table exhaustively. The actions and outcomes themselves are in `actions`.

Begin with `table`: which action is next, which outcomes each action may have, and the row for each outcome. `state`
is what the rows change. The rows' bodies: `log_side` (reads, checkpoints, orders of a person), `heads` (the cloud names
its own head), `acks` (records were accepted), `refusals` (records were not). `transitions` has what several rows share.
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
