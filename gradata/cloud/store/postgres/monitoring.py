"""Monitoring reads of the PostgreSQL store: see `store.port_monitoring`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from itertools import groupby

from gradata.cloud.domain.daily_counts import DayKind
from gradata.cloud.store.postgres.connection import Connection
from gradata.cloud.store.postgres.notifications import Listening
from gradata.cloud.store.postgres.reads import EVENT_COLUMNS, EVENT_JOINS, LOG, PostgresReads, stored_events, stored_log
from gradata.cloud.store.values import (
    FRESH_EVENTS_MAX,
    FRESH_RECORD_BYTES_MAX,
    SESSION_US_MAX,
    ChangeListener,
    EventQuery,
    StoredAlert,
    StoredBrain,
    StoredEvent,
    StoredNotice,
)

SECRET_BYTES = 32
_TAKE = """
UPDATE gradata.notices SET due_at = %s, attempts = attempts + 1 WHERE number IN (
    SELECT number FROM gradata.notices n
     WHERE due_at <= %s AND NOT EXISTS (
         SELECT FROM gradata.notices o WHERE o.alert = n.alert AND o.number < n.number)
     ORDER BY number LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING number, alert, attempts, created_at, body
"""
_FRESH = f"""
SELECT w.place, coalesce(octet_length(coalesce(r.record, x.record)) > %s, false), {EVENT_COLUMNS}
  FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[]) WITH ORDINALITY
       AS w(space, brain_id, after, kind, place)
 CROSS JOIN LATERAL (
     SELECT e.* FROM gradata.events e
      WHERE e.brain_key = (SELECT brain_key FROM gradata.brains b
                            WHERE b.brain_id = w.brain_id AND b.workspace = w.space AND b.deleted_at IS NULL)
        AND e.cursor > w.after AND e.gone IS NULL AND (w.kind IS NULL OR e.type = w.kind)
      ORDER BY e.cursor LIMIT %s) e
{EVENT_JOINS}
 ORDER BY w.place, e.cursor
"""
"""The next few events of several feeds; place: of the feed, from 1."""


class PostgresWatching(PostgresReads):
    """The monitoring part of PostgresStore, which provides the connections."""

    def __init__(self, url: str) -> None:
        self._listening = Listening(url)

    def fleet(self, workspace: str, brain_id: str | None = None) -> list[StoredBrain]:
        """See `store.port_monitoring.Watched`."""
        wanted = (workspace, brain_id, brain_id)
        with self._reading() as connection:
            brains = connection.execute(
                "SELECT b.brain_id, b.created_at, b.events - b.gone, e.stored_at FROM gradata.brains b"
                " LEFT JOIN LATERAL (SELECT stored_at FROM gradata.events e"
                "   WHERE e.brain_key = b.brain_key AND e.cursor = b.events LIMIT 1) e ON true"
                " WHERE b.deleted_at IS NULL AND b.workspace = %s AND (%s::text IS NULL OR b.brain_id = %s)"
                " ORDER BY b.brain_id",
                wanted,
            ).fetchall()
            rows = connection.execute(
                f"{LOG} WHERE b.workspace = %s AND (%s::text IS NULL OR b.brain_id = %s)"
                " ORDER BY b.brain_id, l.created_at DESC, l.log_key DESC",
                wanted,
                binary=True,
            ).fetchall()
        logs = {name: tuple(map(stored_log, found)) for name, found in groupby(rows, key=lambda row: str(row[2]))}
        return [
            StoredBrain(name, created, events, stored, logs.get(name, ())) for name, created, events, stored in brains
        ]

    def days(self, workspace: str, first: str, brain_id: str | None = None) -> list[tuple[str, DayKind, int]]:
        """See `store.port_monitoring.Watched`."""
        rows = self._fetch(
            "SELECT b.brain_id, d.day, d.type, d.category, d.severity, d.events"
            " FROM gradata.brains b JOIN gradata.days d USING (brain_key)"
            " WHERE b.workspace = %s AND (%s::text IS NULL OR b.brain_id = %s) AND d.day >= %s AND b.deleted_at IS NULL"
            " ORDER BY 1, 2, 3, 4, 5",
            (workspace, brain_id, brain_id, first),
        )
        return [(name, DayKind(*kind), count) for name, *kind, count in rows]

    def fresh(self, wanted: Sequence[tuple[str, EventQuery]]) -> list[list[StoredEvent] | None]:
        """See `store.port_monitoring.Watched`."""
        spaces = [workspace for workspace, _ in wanted]
        names, afters, kinds = zip(*((query.brain_id, query.after, query.type) for _, query in wanted), strict=True)
        bounds = (FRESH_RECORD_BYTES_MAX, spaces, list(names), list(afters), list(kinds), FRESH_EVENTS_MAX + 1)
        rows = self._fetch(_FRESH, bounds)
        found: list[list[StoredEvent] | None] = [[] for _ in wanted]
        for place, group in groupby(rows, key=lambda row: int(row[0])):
            events = list(group)
            few = len(events) <= FRESH_EVENTS_MAX and not any(row[1] for row in events)
            found[place - 1] = stored_events(row[2:] for row in events) if few else None
        return found

    def secret(self, name: str) -> bytes:
        """See `store.port_monitoring.Watched`."""
        row = ("secret." + name, secrets.token_hex(SECRET_BYTES))
        with self._reading() as connection:
            connection.execute("INSERT INTO gradata.meta VALUES (%s, %s) ON CONFLICT DO NOTHING", row)
            found = connection.execute("SELECT value FROM gradata.meta WHERE name = %s", row[:1]).fetchone()
        assert found is not None
        return bytes.fromhex(found[0])

    def session_ended(self, name: str, *, until: int | None = None) -> bool:
        """See `store.port_monitoring.Watched`."""
        with self._reading() as connection:
            if until is None:
                query = "SELECT 1 FROM gradata.meta WHERE name = %s"
                return connection.execute(query, (f"ended.{name}",)).fetchone() is not None
            connection.execute(
                "DELETE FROM gradata.meta WHERE CASE WHEN name LIKE 'ended.%%' THEN value::bigint < %s END",
                (until - SESSION_US_MAX,),
            )
            connection.execute(
                "INSERT INTO gradata.meta VALUES (%s, %s) ON CONFLICT DO NOTHING", (f"ended.{name}", str(until))
            )
        return True

    def listen(self, told: ChangeListener) -> Callable[[], None]:
        """See `store.port_monitoring.Watched`: of this process's commits at once, of others' by NOTIFY."""
        return self._listening.add(told)

    def alerts(self) -> list[StoredAlert]:
        """See `store.port_monitoring.Watched`."""
        rows = self._fetch("SELECT name, state, opened_at, subject FROM gradata.alerts ORDER BY opened_at, name")
        return [StoredAlert(*row) for row in rows]

    def set_alert(self, name: str, state: str | None, *, body: bytes, now: int, subject: bytes = b"") -> bool:
        """See `store.port_monitoring.Watched`."""
        with self._reading() as connection, connection.transaction():
            if state is None:
                changed = connection.execute("DELETE FROM gradata.alerts WHERE name = %s", (name,)).rowcount
            else:
                changed = connection.execute(
                    "INSERT INTO gradata.alerts AS a VALUES (%s, %s, %s, %s) ON CONFLICT (name) DO UPDATE"
                    " SET state = excluded.state, subject = excluded.subject WHERE a.state <> excluded.state",
                    (name, state, now, subject),
                ).rowcount
            return _with_notice(connection, changed, name, body, now)

    def take_notices(self, *, now: int, until: int, limit: int = 20) -> list[StoredNotice]:
        """See `store.port_monitoring.Watched`."""
        rows = self._fetch(_TAKE, (until, now, limit))
        return sorted((StoredNotice(*row) for row in rows), key=lambda notice: notice.number)

    def settle_notice(self, number: int, *, retry_at: int | None) -> None:
        """See `store.port_monitoring.Watched`."""
        with self._reading() as connection:
            if retry_at is None:
                connection.execute("DELETE FROM gradata.notices WHERE number = %s", (number,))
            else:
                connection.execute("UPDATE gradata.notices SET due_at = %s WHERE number = %s", (retry_at, number))


def _with_notice(connection: Connection, changed: int, name: str, body: bytes, now: int) -> bool:
    if changed:
        connection.execute(
            "INSERT INTO gradata.notices (alert, created_at, due_at, body) VALUES (%s, %s, %s, %s)",
            (name, now, now, body),
        )
    return bool(changed)
