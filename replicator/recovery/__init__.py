"""Recovery: resets, dead letters, verify, repair, restore, merge.

Nothing here deletes at the cloud or removes anything from a log. Records are sent by the ordinary protocol.

`reset` leaves orders for the leader; `letters` lists, retries and drops dead letters; `local` is the local file as a
tree; `verify` finds what differs from the replica, `repair` resends what the replica lost; `restore` restores a log,
`merge` appends the records that only the cloud has. They read through `sink.ReplicaReader` and do not interpret
records.
"""

from replicator.recovery.letters import (
    DEAD_LETTERS_SHOWN_MAX,
    RETRY_RECORD_BYTES_MAX,
    dead_letters,
    drop_dead_letters,
    retry_dead_letter,
)
from replicator.recovery.reset import (
    ResetPlan,
    order_reset,
    plan_reset,
    reset_is_done,
    standing,
)

__all__ = [
    "DEAD_LETTERS_SHOWN_MAX",
    "RETRY_RECORD_BYTES_MAX",
    "ResetPlan",
    "dead_letters",
    "drop_dead_letters",
    "order_reset",
    "plan_reset",
    "reset_is_done",
    "retry_dead_letter",
    "standing",
]
