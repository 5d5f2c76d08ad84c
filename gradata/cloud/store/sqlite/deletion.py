"""Deletion, erasure and retention in the SQLite store: see `store.port_deletion`."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gradata.cloud.domain.daily_counts import day_counts, recounted
from gradata.cloud.domain.requests import PROJECTED, Columns
from gradata.cloud.domain.tombstones import ERASED, EXPIRED
from gradata.cloud.store.sqlite.facts import NUMBER_BITS
from gradata.cloud.store.sqlite.monitoring import Watching
from gradata.cloud.store.values import BrainStanding, Erasure, EventMark, Holding

MARKS_A_READ = 1_000
_MASK = (1 << NUMBER_BITS) - 1
_NULLED = ", ".join(f"{name} = NULL" for name in PROJECTED if name != "type")
_BLANK = f"gone = ?, type = '', {_NULLED}"
_STANDINGS = """
SELECT b.workspace, b.brain_id, b.created_at, b.events - b.gone, count(l.log_key),
       CAST(min(total(l."offset"), 9e18) AS INTEGER),
       max(l.stored_at), b.deleted_at, b.retain_us, b.expired
  FROM brains b LEFT JOIN logs l USING (brain_key)
 WHERE (? IS NULL OR b.workspace = ?) AND (? IS NULL OR b.brain_id = ?) GROUP BY b.brain_key ORDER BY b.brain_id
"""


class SqliteRemoving(Watching):
    """The deletion part of SqliteStore, which provides the connections."""

    _traces = False
    """Bytes that were taken away may be in the WAL still."""

    def standings(self, workspace: str | None, brain_id: str | None = None) -> list[BrainStanding]:
        """See `store.port_deletion.Removing`."""
        with self._reading() as connection:
            rows = connection.execute(_STANDINGS, (workspace, workspace, brain_id, brain_id)).fetchall()
        return [BrainStanding(*row) for row in rows]

    def workspaces(self) -> list[str]:
        """See `store.port_deletion.Removing`."""
        with self._reading() as connection:
            rows = connection.execute("SELECT DISTINCT workspace FROM brains ORDER BY workspace").fetchall()
        return [row[0] for row in rows]

    def delete_brain(self, workspace: str, brain_id: str, *, now: int) -> bool:
        """See `store.port_deletion.Removing`."""
        with self._removing() as connection:
            key = _key(connection, workspace, brain_id, deleted=None)
            if key is None:
                return False
            connection.execute(
                "UPDATE brains SET deleted_at = coalesce(deleted_at, ?), retain_us = NULL WHERE brain_key = ?",
                (now, key),
            )
            connection.execute("UPDATE logs SET status = NULL, event_id = NULL WHERE brain_key = ?", (key,))
            connection.execute("DELETE FROM refusals WHERE brain_id = ?", (brain_id,))
        self._tell({brain_id})
        return True

    def purge(self, workspace: str, brain_id: str, limit: int, *, readmit: bool = False) -> int:
        """See `store.port_deletion.Removing`."""
        with self._removing() as connection:
            key = _key(connection, workspace, brain_id, deleted=True)
            if key is None:
                return 0
            low, high = key << NUMBER_BITS, (key + 1) << NUMBER_BITS
            removed = _delete(connection, "events", "cursor", f"cursor >= {low} AND cursor < {high}", limit)
            for table in ("loose", "days", "erased"):
                removed += connection.execute(f"DELETE FROM {table} WHERE brain_key = ?", (key,)).rowcount  # noqa: S608
            for (log,) in connection.execute("SELECT log_key FROM logs WHERE brain_key = ?", (key,)).fetchall():
                if removed < limit:
                    low, high = log << NUMBER_BITS, (log + 1) << NUMBER_BITS
                    removed += _delete(connection, "records", "place", f"place >= {low} AND place < {high}", limit)
                    removed += connection.execute("DELETE FROM tiles WHERE log_key = ?", (log,)).rowcount
            if removed:
                return removed
            if readmit:
                connection.execute("DELETE FROM logs WHERE brain_key = ?", (key,))
                connection.execute("DELETE FROM brains WHERE brain_key = ?", (key,))
                return 0
            connection.execute(
                "UPDATE logs SET size = 0, \"offset\" = 0, nodes = x'', tail = x'' WHERE brain_key = ?", (key,)
            )
            connection.execute("UPDATE brains SET events = 0, gone = 0, erased = 0 WHERE brain_key = ?", (key,))
            return 0

    def erase(self, workspace: str, brain_id: str, erasure: Erasure, *, now: int) -> int:
        """See `store.port_deletion.Removing`."""
        with self._removing() as connection:
            key = _key(connection, workspace, brain_id, deleted=None)
            loose = [(key, content) for content in erasure.loose]
            erased = _each(connection, "DELETE FROM loose WHERE brain_key = ? AND content = ?", loose)
            key = _key(connection, workspace, brain_id, deleted=False)
            if key is None:
                return erased
            erased += _erase_event(connection, key, erasure, now)
            for log_key, numbers in erasure.places.items():
                places = [(ERASED, (log_key << NUMBER_BITS) + number) for number in numbers]
                erased += _each(
                    connection,
                    "UPDATE records SET record = NULL, flag = ? WHERE place = ? AND record IS NOT NULL",
                    places,
                )
        self._tell({brain_id})
        return erased

    def holding(self, workspace: str, brain_id: str, needle: bytes, log_key: int | None = None) -> list[Holding]:
        """See `store.port_deletion.Removing`."""
        with self._reading() as connection:
            key = _key(connection, workspace, brain_id, deleted=None)
            if log_key is None:
                rows = connection.execute(
                    "SELECT NULL, content, record FROM loose WHERE brain_key = ? AND instr(record, ?) > 0",
                    (key, needle),
                ).fetchall()
            else:
                base = log_key << NUMBER_BITS
                rows = connection.execute(
                    "SELECT place - ?, NULL, CAST(record AS BLOB) FROM records"
                    " WHERE place >= ? AND place < ? AND instr(record, ?) > 0 ORDER BY place",
                    (base, base, base + _MASK, needle),
                ).fetchall()
        return [Holding(*row) for row in rows]

    def retain(self, workspace: str, brain_id: str, retain_us: int | None) -> bool:
        """See `store.port_deletion.Removing`."""
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE brains SET retain_us = ? WHERE workspace = ? AND brain_id = ? AND deleted_at IS NULL",
                (retain_us, workspace, brain_id),
            )
            return changed.rowcount == 1

    def expire(self, workspace: str, brain_id: str, before: int, limit: int) -> int:
        """See `store.port_deletion.Removing`."""
        with self._removing() as connection:
            row = connection.execute(
                "SELECT brain_key, expired FROM brains WHERE workspace = ? AND brain_id = ? AND deleted_at IS NULL",
                (workspace, brain_id),
            ).fetchone()
            if row is None:
                return 0
            key, expired = row
            done = _expire_events(connection, key, expired, before, limit)
            said_nothing = f"brain_key = {key} AND flag IS NOT NULL"  # events went with their rows in `events`
            done += _delete(connection, "loose", "loose", f"{said_nothing} AND stored_at < {before:d}", limit)
            return done or _expire_tails(connection, key, before, limit)

    def recount(self, workspace: str, brain_id: str) -> None:
        """See `store.port_deletion.Removing`."""
        with self._transaction() as connection:
            key = _key(connection, workspace, brain_id, deleted=False)
            if key is None:
                return
            low, high = key << NUMBER_BITS, (key + 1) << NUMBER_BITS
            rows = connection.execute(
                "SELECT stored_at, type, category, severity, ts FROM events"
                " WHERE cursor >= ? AND cursor < ? AND gone IS NULL",
                (low, high),
            ).fetchall()
            connection.execute("DELETE FROM days WHERE brain_key = ?", (key,))
            connection.executemany(
                "INSERT INTO days VALUES (?, ?, ?, ?, ?, ?)",
                [(key, *kind, count) for kind, count in recounted(rows).items()],
            )
            connection.execute("UPDATE brains SET gone = events - ? WHERE brain_key = ?", (len(rows), key))

    def marks(
        self, workspace: str, brain_id: str, after: int = 0, *, backwards: bool = False, event_id: str | None = None
    ) -> Iterator[EventMark]:
        """See `store.port.StoredLogs`."""
        way, order = ("<", "DESC") if backwards else (">", "ASC")
        query = (
            f"SELECT cursor & {_MASK}, stored_at, event_id, content, gone FROM events"  # noqa: S608 - constants
            f" WHERE cursor {way} ? AND cursor >= ? AND cursor < ? ORDER BY cursor {order} LIMIT {MARKS_A_READ}"
        )
        one = (
            f"SELECT cursor & {_MASK}, stored_at, event_id, content, gone FROM events"  # noqa: S608 - a constant
            " WHERE brain_key = ? AND event_id = ?"
        )
        while True:
            with self._reading() as connection:
                key = _key(connection, workspace, brain_id, deleted=False)
                if key is None:
                    return
                base = key << NUMBER_BITS
                if event_id is None:
                    rows = connection.execute(query, (base + after, base, base + _MASK)).fetchall()
                else:
                    rows = connection.execute(one, (key, event_id)).fetchall()
            for row in rows:
                yield EventMark(*row)
            if len(rows) < MARKS_A_READ:
                return
            after = rows[-1][0]

    @contextmanager
    def _removing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that overwrites what it frees in the file."""
        self._traces = True
        with self._transaction() as connection:
            connection.execute("PRAGMA secure_delete = ON").fetchall()
            try:
                yield connection
            finally:
                connection.execute("PRAGMA secure_delete = OFF").fetchall()


def _each(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> int:
    return connection.executemany(statement, rows).rowcount if rows else 0


def _erase_event(connection: sqlite3.Connection, key: int, erasure: Erasure, now: int) -> int:
    """Keep event and contents away from now on; whether the event was in the projection."""
    _each(
        connection,
        "INSERT OR IGNORE INTO erased VALUES (?, ?, ?)",
        [(key, content, now) for content in erasure.contents],
    )
    row = connection.execute(
        "SELECT cursor, gone, stored_at, type, category, severity, ts FROM events WHERE brain_key = ? AND event_id = ?",
        (key, erasure.event_id),
    ).fetchone()
    was_there = row is not None and row[1] is None
    if row is not None:
        connection.execute(f"UPDATE events SET {_BLANK} WHERE cursor = ?", (ERASED, row[0]))  # noqa: S608
    if was_there:
        _, _, stored_at, kind, category, severity, ts = row
        for day in day_counts(Columns((kind,), (category,), (severity,), (None,), (ts,)), stored_at):
            connection.execute(
                "UPDATE days SET events = events - 1 WHERE brain_key = ? AND day = ? AND type = ?"
                " AND category = ? AND severity = ?",
                (key, *day),
            )
        connection.execute("DELETE FROM days WHERE brain_key = ? AND events <= 0", (key,))
    connection.execute(
        "UPDATE brains SET gone = gone + ?,"
        " erased = (SELECT count(*) FROM erased e WHERE e.brain_key = brains.brain_key) WHERE brain_key = ?",
        (was_there, key),
    )
    return int(was_there)


def _key(connection: sqlite3.Connection, workspace: str, brain_id: str, *, deleted: bool | None) -> int | None:
    """The brain's key, if it is deleted, or not, or either."""
    row = connection.execute(
        "SELECT brain_key, deleted_at IS NOT NULL FROM brains WHERE workspace = ? AND brain_id = ?",
        (workspace, brain_id),
    ).fetchone()
    return None if row is None or (deleted is not None and bool(row[1]) is not deleted) else int(row[0])


def _delete(connection: sqlite3.Connection, table: str, key: str, where: str, limit: int) -> int:
    query = f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {where} LIMIT ?)"  # noqa: S608
    return connection.execute(query, (limit,)).rowcount


def _expire_events(connection: sqlite3.Connection, key: int, expired: int, before: int, limit: int) -> int:
    """Events of the brain behind `expired`, as long as they are old, and the records up to theirs in each log."""
    base = key << NUMBER_BITS
    ends: defaultdict[int, int] = defaultdict(int)
    old: list[int] = []
    rows = connection.execute(
        "SELECT cursor, stored_at, place, loose FROM events WHERE cursor > ? AND cursor <= ? ORDER BY cursor LIMIT ?",
        (base + expired, base + _MASK, limit),
    )
    loose: list[tuple[int]] = []
    for cursor, stored_at, place, row in rows:
        if stored_at >= before:
            break
        old.append(cursor)
        if place is not None:
            ends[place >> NUMBER_BITS] = max(ends[place >> NUMBER_BITS], (place & _MASK) + 1)
        if row is not None:
            loose.append((row,))
    if not old:
        return 0
    gone = connection.execute(
        f"UPDATE events SET {_BLANK} WHERE cursor BETWEEN ? AND ? AND gone IS NULL",  # noqa: S608 - a constant
        (EXPIRED, old[0], old[-1]),
    ).rowcount
    connection.executemany("DELETE FROM loose WHERE loose = ?", loose)
    for log_key, end in ends.items():
        _expire_rows(connection, log_key, end)
    connection.execute(
        "UPDATE brains SET expired = ?, gone = gone + ? WHERE brain_key = ?", (old[-1] & _MASK, gone, key)
    )
    return len(old)


def _expire_tails(connection: sqlite3.Connection, key: int, before: int, limit: int) -> int:
    """Records behind the last event of logs to which nothing was added since."""
    rows = connection.execute(
        "SELECT log_key, expired, size FROM logs WHERE brain_key = ? AND stored_at < ? AND expired < size LIMIT 1",
        (key, before),
    ).fetchall()
    for log_key, expired, size in rows:
        _expire_rows(connection, log_key, min(size, expired + limit))
    return len(rows)


def _expire_rows(connection: sqlite3.Connection, log_key: int, end: int) -> None:
    base = log_key << NUMBER_BITS
    connection.execute(
        "UPDATE records SET record = NULL, flag = ? WHERE record IS NOT NULL AND place < ?"
        " AND place >= ? + (SELECT expired FROM logs WHERE log_key = ?)",
        (EXPIRED, base + end, base, log_key),
    )
    connection.execute("UPDATE logs SET expired = max(expired, ?) WHERE log_key = ?", (end, log_key))
