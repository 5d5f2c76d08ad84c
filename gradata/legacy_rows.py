"""Rows without an event_id, as the SDK before 0.7 wrote them: the two ids that one of them is known by.

Pure. The log's readers know such a row by its bytes (`replicator.framing.event_id_of`); the SDK from 0.7 on gives and
pushes it a hash of what it says (`legacy_id`). Partners: `brain.events`, `cloud.protocol.legacy`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from replicator.framing import event_id_of

_DEFAULTS: dict[str, object] = {"ts": "", "session": None, "type": "", "source": "", "data": {}, "tags": []}
_LEGACY_ID = re.compile(r"[0-9a-f]{32}")


def canonical(value: object) -> bytes:
    """The canonical JSON that hashes are taken of. Total: what JSON lacks is shown by `str`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return text.encode("utf-8", "surrogatepass")


def legacy_id(event: Mapping[str, Any]) -> str:
    """The id (32 hex) that old versions gave a row without event_id. Different rows can share one."""
    return hashlib.sha256(canonical({name: event.get(name, other) for name, other in _DEFAULTS.items()})).hexdigest()[
        :32
    ]


def id_in_the_log(event: Mapping[str, Any]) -> str | None:
    """The id by which the log's readers know a row that is pushed under its legacy id.

    None unless the event is a row as 0.6.0 wrote it: eight keys in their order, Python's separators. Rows of other
    writers cannot be told from what is pushed of them.
    """
    event_id = event.get("event_id")
    if not isinstance(event_id, str) or _LEGACY_ID.fullmatch(event_id) is None:
        return None
    row = {"ts": event.get("ts", event.get("created_at")), **{name: event.get(name) for name in list(_DEFAULTS)[1:]}}
    written = isinstance(row["ts"], str) and bool(row["source"]) and isinstance(row["data"], dict)
    if not written or legacy_id(row) != event_id:
        return None
    row |= {"valid_from": event.get("valid_from") or row["ts"], "valid_until": event.get("valid_until")}
    return event_id_of(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
