"""Deletion, erasure and retention in the PostgreSQL store: see `store.port_deletion`.

Every step locks the brain's row first, as the writers do (`facts`), so nothing of it changes meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from gradata.cloud.domain.daily_counts import day_counts, recounted
from gradata.cloud.domain.requests import PROJECTED, Columns
from gradata.cloud.domain.tombstones import ERASED, EXPIRED
from gradata.cloud.store.postgres.connection import LONG_ANSWER_S, Connection
from gradata.cloud.store.postgres.facts import LOG_BITS
from gradata.cloud.store.postgres.monitoring import PostgresWatching
from gradata.cloud.store.values import BrainStanding, Erasure, EventMark, Holding

MARKS_A_READ = 1_000
LOCK_S = 8
Result = TypeVar("Result")

_BRAIN = """(SELECT brain_key FROM gradata.brains
             WHERE workspace = %(space)s AND brain_id = %(brain)s AND deleted_at IS NULL)"""
_LOCKED = """
SELECT brain_key, deleted_at IS NOT NULL, expired FROM gradata.brains
 WHERE workspace = %s AND brain_id = %s FOR NO KEY UPDATE
"""
_NULLED = ", ".join(f"{name} = NULL" for name in (*PROJECTED, "session_text") if name != "type")
_BLANK = f"gone = %s, type = '', {_NULLED}"
_STANDINGS = """
SELECT b.workspace, b.brain_id, b.created_at, b.events - b.gone, count(l.log_key),
       least(coalesce(sum(l."offset"), 0), 9e18)::bigint,
       max(l.stored_at), b.deleted_at, b.retain_us, b.expired
  FROM gradata.brains b LEFT JOIN gradata.logs l USING (brain_key)
 WHERE (%s::text IS NULL OR b.workspace = %s) AND (%s::text IS NULL OR b.brain_id = %s) AND b.created_at > 0
 GROUP BY b.brain_key ORDER BY b.brain_id
"""
_MARK = "SELECT e.cursor, e.stored_at, e.event_id, e.content, e.gone FROM gradata.events e"


class PostgresRemoving(PostgresWatching):
    """The deletion part of PostgresStore, which provides the connections."""

    def _write(self, work: Callable[[Connection], Result]) -> Result:
        raise NotImplementedError

    def standings(self, workspace: str | None, brain_id: str | None = None) -> list[BrainStanding]:
        """See `store.port_deletion.Removing`."""
        return [BrainStanding(*row) for row in self._fetch(_STANDINGS, (workspace, workspace, brain_id, brain_id))]

    def workspaces(self) -> list[str]:
        """See `store.port_deletion.Removing`."""
        rows = self._fetch("SELECT DISTINCT workspace FROM gradata.brains WHERE created_at > 0 ORDER BY 1")
        return [row[0] for row in rows]

    def delete_brain(self, workspace: str, brain_id: str, *, now: int) -> bool:
        """See `store.port_deletion.Removing`."""

        def work(connection: Connection, key: int, _: int) -> bool:
            connection.execute(
                "UPDATE gradata.brains SET deleted_at = coalesce(deleted_at, %s), retain_us = NULL"
                " WHERE brain_key = %s",
                (now, key),
            )
            connection.execute("UPDATE gradata.logs SET status = NULL, event_id = NULL WHERE brain_key = %s", (key,))
            connection.execute("DELETE FROM gradata.refusals WHERE brain_id = %s", (brain_id,))
            return True

        done = self._locked(workspace, brain_id, work, False, deleted=None)
        self._listening.tell({brain_id})
        return done

    def purge(self, workspace: str, brain_id: str, limit: int, *, readmit: bool = False) -> int:
        """See `store.port_deletion.Removing`."""

        def work(connection: Connection, key: int, _: int) -> int:
            removed = 0
            for table, name in (("events", "cursor"), ("records", "log_key, number")):
                removed += connection.execute(
                    f"DELETE FROM gradata.{table} WHERE brain_key = %s AND ({name}) IN"
                    f" (SELECT {name} FROM gradata.{table} WHERE brain_key = %s LIMIT %s)",
                    (key, key, limit),
                ).rowcount
            for table in ("loose", "days", "erased", "tiles"):
                removed += connection.execute(f"DELETE FROM gradata.{table} WHERE brain_key = %s", (key,)).rowcount
            if removed:
                return removed
            if readmit:
                connection.execute("DELETE FROM gradata.logs WHERE brain_key = %s", (key,))
                connection.execute("DELETE FROM gradata.brains WHERE brain_key = %s", (key,))
                return 0
            connection.execute(
                "UPDATE gradata.logs SET size = 0, \"offset\" = 0, nodes = '' WHERE brain_key = %s", (key,)
            )
            connection.execute(
                "UPDATE gradata.brains SET events = 0, gone = 0, erased = 0 WHERE brain_key = %s", (key,)
            )
            return 0

        return self._locked(workspace, brain_id, work, 0, deleted=True)

    def erase(self, workspace: str, brain_id: str, erasure: Erasure, *, now: int) -> int:
        """See `store.port_deletion.Removing`."""

        def work(connection: Connection, key: int, _: int) -> int:
            erased = _erase_event(connection, key, erasure, now)
            for log_key, numbers in erasure.places.items():
                erased += connection.execute(
                    "UPDATE gradata.records SET record = NULL, flag = %s WHERE brain_key = %s AND log_key = %s"
                    " AND number = ANY(%b::bigint[]) AND record IS NOT NULL",
                    (ERASED, key, log_key, list(numbers)),
                ).rowcount
            return erased

        def drop(connection: Connection, key: int, _: int) -> int:
            return connection.execute(
                "DELETE FROM gradata.loose WHERE brain_key = %s AND content = ANY(%b::bytea[])",
                (key, sorted(erasure.loose)),
            ).rowcount

        erased = self._locked(workspace, brain_id, work, 0, deleted=False)
        if erasure.loose:
            erased += self._locked(workspace, brain_id, drop, 0, deleted=None)
        self._listening.tell({brain_id})
        return erased

    def holding(self, workspace: str, brain_id: str, needle: bytes, log_key: int | None = None) -> list[Holding]:
        """See `store.port_deletion.Removing`."""
        if log_key is None:
            query = (
                "SELECT NULL::bigint, content, record FROM gradata.loose WHERE brain_key ="
                " (SELECT brain_key FROM gradata.brains WHERE workspace = %(space)s AND brain_id = %(brain)s)"
                " AND position(%(needle)s in record) > 0"
            )
        else:
            query = (
                "SELECT number, NULL::bytea, record FROM gradata.records"
                " WHERE brain_key = %(key)s AND log_key = %(log)s AND position(%(needle)s in record) > 0"
                " ORDER BY number"
            )
        key = 0 if log_key is None else log_key >> LOG_BITS
        wanted = {"space": workspace, "brain": brain_id, "needle": needle, "key": key, "log": log_key}
        return [Holding(*row) for row in self._fetch(query, wanted, LONG_ANSWER_S)]

    def retain(self, workspace: str, brain_id: str, retain_us: int | None) -> bool:
        """See `store.port_deletion.Removing`."""

        def work(connection: Connection, key: int, _: int) -> bool:
            connection.execute("UPDATE gradata.brains SET retain_us = %s WHERE brain_key = %s", (retain_us, key))
            return True

        return self._locked(workspace, brain_id, work, False, deleted=False)

    def expire(self, workspace: str, brain_id: str, before: int, limit: int) -> int:
        """See `store.port_deletion.Removing`."""

        def work(connection: Connection, key: int, expired: int) -> int:
            done = _expire_events(connection, key, expired, before, limit)
            done += connection.execute(
                "DELETE FROM gradata.loose WHERE brain_key = %s AND content IN"
                " (SELECT content FROM gradata.loose WHERE brain_key = %s AND stored_at < %s AND flag IS NOT NULL"
                " LIMIT %s)",
                (key, key, before, limit),
            ).rowcount
            return done or _expire_tails(connection, key, before, limit)

        return self._locked(workspace, brain_id, work, 0, deleted=False)

    def recount(self, workspace: str, brain_id: str) -> None:
        """See `store.port_deletion.Removing`."""

        def work(connection: Connection, key: int, _: int) -> None:
            rows: list[Any] = connection.execute(
                "SELECT stored_at, type, category, severity, ts FROM gradata.events"
                " WHERE brain_key = %s AND gone IS NULL",
                (key,),
            ).fetchall()
            connection.execute("DELETE FROM gradata.days WHERE brain_key = %s", (key,))
            connection.cursor().executemany(
                "INSERT INTO gradata.days VALUES (%s, %s, %s, %s, %s, %s)",
                [(key, *kind, count) for kind, count in recounted(rows).items()],
            )
            connection.execute("UPDATE gradata.brains SET gone = events - %s WHERE brain_key = %s", (len(rows), key))

        self._locked(workspace, brain_id, work, None, deleted=False)

    def marks(
        self, workspace: str, brain_id: str, after: int = 0, *, backwards: bool = False, event_id: str | None = None
    ) -> Iterator[EventMark]:
        """See `store.port.StoredLogs`."""
        if "\0" in (event_id or ""):  # which no text here can hold
            return
        way, order = ("<", "DESC") if backwards else (">", "ASC")
        place = f"e.cursor {way} %(after)s" if event_id is None else "e.event_id = %(event)s"
        query = f"{_MARK} WHERE e.brain_key = {_BRAIN} AND {place} ORDER BY e.cursor {order} LIMIT {MARKS_A_READ}"
        while True:
            rows = self._fetch(query, {"space": workspace, "brain": brain_id, "after": after, "event": event_id})
            for row in rows:
                yield EventMark(*row)
            if len(rows) < MARKS_A_READ:
                return
            after = rows[-1][0]

    def _locked(
        self,
        workspace: str,
        brain_id: str,
        work: Callable[[Connection, int, int], Result],
        nothing: Result,
        *,
        deleted: bool | None,
    ) -> Result:
        """`work(connection, brain_key, expired)` under the brain's lock; `nothing` if there is no such brain."""

        def do(connection: Connection) -> Result:
            connection.execute("BEGIN")
            connection.execute(f"SELECT set_config('lock_timeout', '{LOCK_S}s', true)")
            row = connection.execute(_LOCKED, (workspace, brain_id)).fetchone()
            if row is None or (deleted is not None and row[1] is not deleted):
                return nothing
            with connection.patient():
                return work(connection, row[0], row[2])

        return self._write(do)


def _erase_event(connection: Connection, key: int, erasure: Erasure, now: int) -> int:
    """Keep event and contents away from now on; whether the event was in the projection."""
    connection.execute(
        "INSERT INTO gradata.erased SELECT %s, c, %s FROM unnest(%b::bytea[]) AS u(c) ON CONFLICT DO NOTHING",
        (key, now, sorted(erasure.contents)),
    )
    row = connection.execute(
        "SELECT cursor, gone, stored_at, type, category, severity, ts FROM gradata.events"
        " WHERE brain_key = %s AND event_id = %s",
        (key, erasure.event_id),
    ).fetchone()
    was_there = row is not None and row[1] is None
    if row is not None:
        connection.execute(
            f"UPDATE gradata.events SET {_BLANK} WHERE brain_key = %s AND cursor = %s", (ERASED, key, row[0])
        )
        if row[1] is None:
            _uncount(connection, key, row[2:])
    connection.execute(
        "UPDATE gradata.brains SET gone = gone + %s,"
        " erased = (SELECT count(*) FROM gradata.erased WHERE brain_key = %s) WHERE brain_key = %s",
        (int(was_there), key, key),
    )
    return int(was_there)


def _uncount(connection: Connection, key: int, event: Sequence[Any]) -> None:
    """Take an event — stored_at, type, category, severity, ts — out of the day's counts."""
    stored_at, kind, category, severity, ts = event
    for day in day_counts(Columns((kind,), (category,), (severity,), (None,), (ts,)), stored_at):
        connection.execute(
            "UPDATE gradata.days SET events = events - 1 WHERE brain_key = %s AND day = %s AND type = %s"
            " AND category = %s AND severity = %s",
            (key, *day),
        )
    connection.execute("DELETE FROM gradata.days WHERE brain_key = %s AND events <= 0", (key,))


def _expire_events(connection: Connection, key: int, expired: int, before: int, limit: int) -> int:
    """Events of the brain behind `expired`, as long as they are old, and the records up to theirs in each log."""
    ends: defaultdict[int, int] = defaultdict(int)
    old: list[int] = []
    rows = connection.execute(
        "SELECT cursor, stored_at, log_key, number, loose FROM gradata.events WHERE brain_key = %s AND cursor > %s"
        " ORDER BY cursor LIMIT %s",
        (key, expired, limit),
    )
    loose: list[bytes] = []
    for cursor, stored_at, log_key, number, content in rows.fetchall():
        if stored_at >= before:
            break
        old.append(cursor)
        if log_key is not None:
            ends[log_key] = max(ends[log_key], number + 1)
        if content is not None:
            loose.append(content)
    if not old:
        return 0
    gone = connection.execute(
        f"UPDATE gradata.events SET {_BLANK} WHERE brain_key = %s AND cursor BETWEEN %s AND %s AND gone IS NULL",
        (EXPIRED, key, old[0], old[-1]),
    ).rowcount
    connection.execute("DELETE FROM gradata.loose WHERE brain_key = %s AND content = ANY(%b::bytea[])", (key, loose))
    for log_key, end in ends.items():
        _expire_rows(connection, key, log_key, end)
    connection.execute(
        "UPDATE gradata.brains SET expired = %s, gone = gone + %s WHERE brain_key = %s", (old[-1], gone, key)
    )
    return len(old)


def _expire_tails(connection: Connection, key: int, before: int, limit: int) -> int:
    """Records behind the last event of logs to which nothing was added since."""
    rows = connection.execute(
        "SELECT log_key, expired, size FROM gradata.logs WHERE brain_key = %s AND stored_at < %s AND expired < size"
        " LIMIT 1",
        (key, before),
    ).fetchall()
    for log_key, expired, size in rows:
        _expire_rows(connection, key, log_key, min(size, expired + limit))
    return len(rows)


def _expire_rows(connection: Connection, key: int, log_key: int, end: int) -> None:
    connection.execute(
        "UPDATE gradata.records SET record = NULL, flag = %s WHERE record IS NOT NULL AND brain_key = %s"
        " AND log_key = %s AND number < %s AND number >= (SELECT expired FROM gradata.logs"
        " WHERE brain_key = %s AND log_key = %s)",
        (EXPIRED, key, log_key, end, key, log_key),
    )
    connection.execute(
        "UPDATE gradata.logs SET expired = greatest(expired, %s) WHERE brain_key = %s AND log_key = %s",
        (end, key, log_key),
    )
