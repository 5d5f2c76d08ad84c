"""Where replication stands, kept in SQLite beside the log, and the orders that people leave there for it.

Everything in it but the orders is a cache: the cursor is saved *after* the ack, so a lost or older sidecar means
that records are sent again and absorbed, never that one is skipped. Therefore an unusable file is set aside and
begun anew rather than mended. Decides nothing: `progress` says what is to be saved, `loop` says when.

Writers: the leader, and command lines that leave an order (`ask_reset`, `mark_retry`, `drop_dead_letters`). No
transaction lasts longer than one call, so no lock is held while the network is spoken to.

`port` is what others need to know, `store` the sidecar itself, `rows` values in and out of SQL, `file` everything
that can be wrong with a file.
"""

from replicator.sidecar.file import BUSY_S, SET_ASIDE_MAX, sidecar_path
from replicator.sidecar.port import DEAD_LETTERS_READ_MAX, KeptDeadLetter, PendingOrders, SidecarPort
from replicator.sidecar.rows import SCHEMA_VERSION
from replicator.sidecar.store import Sidecar, SidecarView, read_only

__all__ = [
    "BUSY_S",
    "DEAD_LETTERS_READ_MAX",
    "SCHEMA_VERSION",
    "SET_ASIDE_MAX",
    "KeptDeadLetter",
    "PendingOrders",
    "Sidecar",
    "SidecarPort",
    "SidecarView",
    "read_only",
    "sidecar_path",
]
