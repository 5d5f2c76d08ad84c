"""The sidecar: replication's state in SQLite beside the log, and the orders that people leave there.

Everything but the orders is a cache. The cursor is saved *after* the ack, so a lost or older sidecar means that records
are resent and deduplicated, never that one is skipped. Therefore an unusable file is set aside and recreated instead of
repaired. Decides nothing: `progress` says what to save, `loop` when.

Writers: the leader, and commands that leave an order (`ask_reset`, `mark_retry`, `drop_dead_letters`). No transaction
lasts longer than one call, so no lock is held during network I/O.

`port` is the interface, `store` the sidecar itself, `rows` converts values to and from SQL, `file` handles everything
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
