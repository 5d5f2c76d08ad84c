"""The tombstones of a brain in the PostgreSQL store: see `domain.tombstones`.

Read only for brains that have any, under the lock that `facts` took.
"""

from __future__ import annotations

from collections.abc import Collection

from gradata.cloud.domain.tombstones import Barred
from gradata.cloud.store.postgres.connection import Connection

_GONE = """
SELECT w.event_id, e.gone FROM unnest(%b::text[]) AS w(event_id)
 CROSS JOIN LATERAL (
     SELECT gone FROM gradata.events x
      WHERE x.brain_key = %b::bigint AND x.event_id = w.event_id LIMIT 1) e
 WHERE e.gone IS NOT NULL
"""


def barred_of(connection: Connection, brain_key: int, known: Collection[str], *, gone: int, erased: int) -> Barred:
    """`known`: the event ids in question that are stored; `gone`, `erased`: how many the brain has of each."""
    events: dict[str, str] = {}
    if gone and known:
        ids = sorted(known)
        events = dict(connection.execute(_GONE, (ids, brain_key), binary=True).fetchall())
    contents: frozenset[bytes] = frozenset()
    if erased:
        query = "SELECT content FROM gradata.erased WHERE brain_key = %s"
        contents = frozenset(row[0] for row in connection.execute(query, (brain_key,), binary=True))
    return Barred(events, contents)
