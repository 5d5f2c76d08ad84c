"""The files that replication keeps beside a log: each log has its own.

I/O only to resolve links of the directory. `sidecar` and `lease` name their files by it.
"""

from __future__ import annotations

import hashlib
import os

PLAIN_NAME = "events.jsonl"
"""The one log whose companions are named without it, as they always were."""
_NAME_BYTES_MAX = 160


def companion_path(log_path: str, kind: str) -> str:
    """Where the companion of a log is, for `kind` "db" or "lock": beside it, whichever way (symlink) its directory was
    reached. `.replicator.KIND` for events.jsonl, `.NAME.replicator.KIND` for any other log; of a name that would be
    too long for a file system, its beginning and its hash."""
    directory, name = os.path.split(log_path)
    own = "" if name == PLAIN_NAME else f".{_short(name)}"
    return os.path.join(os.path.realpath(directory or "."), f"{own}.replicator.{kind}")


def _short(name: str) -> str:
    encoded = os.fsencode(name)
    if len(encoded) <= _NAME_BYTES_MAX:
        return name
    return f"{os.fsdecode(encoded[: _NAME_BYTES_MAX // 2])}~{hashlib.sha256(encoded).hexdigest()[:32]}"
