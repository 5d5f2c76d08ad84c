"""The tombstones of a brain in the SQLite store: see `domain.tombstones`.

Read only for brains that have any.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

from gradata.cloud.domain.tombstones import Barred

PROBE_IDS = 500


def barred_of(
    connection: sqlite3.Connection, brain_key: int, known: Collection[str], *, gone: int, erased: int
) -> Barred:
    """`known`: the event ids in question that are stored; `gone`, `erased`: how many the brain has of each."""
    events: dict[str, str] = {}
    wanted = sorted(known) if gone else []
    for start in range(0, len(wanted), PROBE_IDS):
        events.update(
            connection.execute(
                "SELECT event_id, gone FROM events WHERE brain_key = ? AND gone IS NOT NULL"
                " AND event_id IN (SELECT value FROM json_each(?))",
                (brain_key, json.dumps(wanted[start : start + PROBE_IDS])),
            )
        )
    contents: frozenset[bytes] = frozenset()
    if erased:
        rows = connection.execute("SELECT content FROM erased WHERE brain_key = ?", (brain_key,))
        contents = frozenset(row[0] for row in rows)
    return Barred(events, contents)
