"""What a person orders when something went wrong: go back, prove, mend, bring back.

Nothing here deletes at the cloud, or takes anything from a log; whatever is sent goes the ordinary way.

`reset` leaves orders for whoever leads; `letters` lists, retries and drops dead letters; `local` is one's own file as
a tree; `verify` finds what differs from the replica, `repair` sends what the replica lost; `restore` brings a log back,
`merge` the records that only the cloud has. They read through `sink.ReplicaReader`, and know nothing of what the
records mean.
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
