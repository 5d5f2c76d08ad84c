"""Values to and from SQL: the schema, and the validation of each row.

The constructors of `model` only assert, so every row is checked here; an invalid one raises `Unusable`, and `store`
starts a new file. Transactions are the caller's.
"""

# ruff: noqa: S608  (the statements are put together from the constants of this module; values are parameters)

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NoReturn, cast

from replicator.actions import ResetOrder
from replicator.model import Anchor, Cursor, DeadLetter, Standing, TreeHead
from replicator.proof import HASH_BYTES, CompactRange
from replicator.sidecar.port import DEAD_LETTERS_READ_MAX, KeptDeadLetter, PendingOrders

SCHEMA_VERSION = 1

_PLACE = """log_id TEXT NOT NULL, "offset" INTEGER NOT NULL, size INTEGER NOT NULL, nodes BLOB NOT NULL,
    event_id TEXT, anchor_length INTEGER, anchor_sha256 BLOB, parent TEXT"""
SCHEMA = (
    f"""CREATE TABLE standing (id INTEGER PRIMARY KEY CHECK (id = 1), {_PLACE},
        cloud_id TEXT, endpoint TEXT, resend_size INTEGER, resend_root BLOB)""",
    """CREATE TABLE dead_letter (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, log_id TEXT NOT NULL,
        record INTEGER NOT NULL, "offset" INTEGER NOT NULL, length INTEGER NOT NULL, code TEXT NOT NULL,
        detail TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('dead', 'retry')), UNIQUE (log_id, record))""",
    "CREATE INDEX dead_letter_retry ON dead_letter (id) WHERE state = 'retry'",
    f"""CREATE TABLE reset (id INTEGER PRIMARY KEY AUTOINCREMENT, asked_at TEXT NOT NULL,
        confirmed INTEGER NOT NULL, {_PLACE})""",
    "CREATE TABLE status (id INTEGER PRIMARY KEY CHECK (id = 1), saved_at TEXT NOT NULL, json BLOB NOT NULL)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
PLACE_COLUMNS = 'log_id, "offset", size, nodes, event_id, anchor_length, anchor_sha256, parent'
LETTER_COLUMNS = 'log_id, record, "offset", length, code, detail'

Row = tuple[object, ...]


class Unusable(Exception):  # noqa: N818  (never leaves this module)
    """The file is no sidecar that this version can use; the text says why."""


def read_standing(connection: sqlite3.Connection) -> Standing | None:
    """Where replication stands; None before the first checkpoint."""
    row = connection.execute(
        f"SELECT {PLACE_COLUMNS}, cloud_id, endpoint, resend_size, resend_root FROM standing"
    ).fetchone()
    if row is None:
        return None
    resend = None if row[10] is None else TreeHead(integer(row[10]), _hash(row[11]))
    return Standing(_place(row[:8]), _text(row[8]), _text(row[9]), resend)


def write_standing(connection: sqlite3.Connection, standing: Standing) -> None:
    """Replace the one standing."""
    resend = standing.resend
    row = (
        *place_row(standing.cursor),
        _storable(standing.cloud_id),
        _storable(standing.endpoint),
        resend.size if resend else None,
        resend.root if resend else None,
    )
    connection.execute(
        f"INSERT OR REPLACE INTO standing (id, {PLACE_COLUMNS}, cloud_id, endpoint, resend_size, resend_root) "
        f"VALUES (1, {marks(row)})",
        row,
    )


def read_reset(connection: sqlite3.Connection) -> ResetOrder | None:
    """The newest order that waits; None if there is none."""
    row = connection.execute(f"SELECT id, confirmed, {PLACE_COLUMNS} FROM reset ORDER BY id DESC LIMIT 1").fetchone()
    return None if row is None else ResetOrder(_place(row[2:]), confirmed=bool(row[1]), id=integer(row[0]))


def write_reset(connection: sqlite3.Connection, at: str, reset: ResetOrder) -> int:
    """Leave an order; returns its id."""
    row = (at, int(reset.confirmed), *place_row(reset.cursor))
    done = connection.execute(f"INSERT INTO reset (asked_at, confirmed, {PLACE_COLUMNS}) VALUES ({marks(row)})", row)
    return cast(int, done.lastrowid)


def read_asked(connection: sqlite3.Connection) -> PendingOrders | None:
    """All that waits for the leader; None if nothing does."""
    reset = read_reset(connection)
    retries = tuple(read_letters(connection, "state = 'retry' AND id > ?", 0, DEAD_LETTERS_READ_MAX))
    return PendingOrders(reset, retries) if reset or retries else None


def read_letters(connection: sqlite3.Connection, where: str, after: int, limit: int) -> list[KeptDeadLetter]:
    """Dead letters for which `where` holds beyond the id `after`, oldest first, at most `limit`."""
    rows = connection.execute(
        f"SELECT id, at, state, {LETTER_COLUMNS} FROM dead_letter WHERE {where} ORDER BY id LIMIT ?", (after, limit)
    ).fetchall()
    return [_kept(row) for row in rows]


def _kept(row: Row) -> KeptDeadLetter:
    log_id, code, detail = (_text(row[i]) or "" for i in (3, 7, 8))
    letter = DeadLetter(log_id, integer(row[4]), integer(row[5]), integer(row[6]), code, detail)
    return KeptDeadLetter(integer(row[0]), _text(row[1]) or "", letter, "retry" if row[2] == "retry" else "dead")


def write_letters(connection: sqlite3.Connection, at: str, letters: Sequence[DeadLetter]) -> None:
    """Keep dead letters; one known already is written over and is `dead` again."""
    connection.executemany(
        f"INSERT INTO dead_letter (at, state, {LETTER_COLUMNS}) VALUES (?, 'dead', ?, ?, ?, ?, ?, ?) "
        'ON CONFLICT (log_id, record) DO UPDATE SET at = excluded.at, "offset" = excluded."offset", '
        "length = excluded.length, code = excluded.code, detail = excluded.detail, state = 'dead'",
        [(at, *letter_row(letter)) for letter in letters],
    )


def letter_row(letter: DeadLetter) -> Row:
    """A dead letter as its columns."""
    texts = (_storable(letter.code), _storable(letter.detail))
    return (_storable(letter.log_id), letter.record, letter.offset, letter.length, *texts)


def read_status(connection: sqlite3.Connection) -> bytes | None:
    """The status last saved, as it was given."""
    row = connection.execute("SELECT json FROM status").fetchone()
    return None if row is None else _bytes(row[0])


def write_status(connection: sqlite3.Connection, at: str, status: bytes) -> None:
    """Replace the one status."""
    connection.execute("INSERT OR REPLACE INTO status (id, saved_at, json) VALUES (1, ?, ?)", (at, status))


def place_row(cursor: Cursor) -> Row:
    """A cursor as the columns of a place."""
    anchor = (cursor.anchor.length, cursor.anchor.sha256) if cursor.anchor else (None, None)
    nodes = b"".join(cursor.tree.nodes)
    texts = [_storable(text) for text in (cursor.log_id, cursor.event_id, cursor.parent)]
    return (texts[0], cursor.offset, cursor.size, nodes, texts[1], *anchor, texts[2])


def _place(row: Row) -> Cursor:
    """The cursor of a row; checked in full, because the constructors only assert."""
    log_id, offset, size, nodes = _text(row[0]), integer(row[1]), integer(row[2]), _bytes(row[3])
    anchor = None if row[5] is None else Anchor(integer(row[5]), _hash(row[6]))
    empty = {offset == 0, size == 0, anchor is None}
    if not log_id or len(empty) != 1 or offset < size or len(nodes) != HASH_BYTES * size.bit_count():
        raise Unusable("the cursor in it contradicts itself")
    hashes = tuple(nodes[i : i + HASH_BYTES] for i in range(0, len(nodes), HASH_BYTES))
    return Cursor(log_id, offset, CompactRange(size, hashes), _text(row[4]), anchor, _text(row[7]))


def _storable(text: str | None) -> str | bytes | None:
    """Ids come from records, and JSON can write lone surrogates, which are no UTF-8: those go in as bytes."""
    if text is None:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    try:
        return _bytes(value).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise Unusable("a text in it is no UTF-8") from error


def integer(value: object) -> int:
    """The value, which the schema says is an integer."""
    if not isinstance(value, int) or value < 0:
        _wrong("number")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        _wrong("blob")
    return value


def _hash(value: object) -> bytes:
    if not isinstance(value, bytes) or len(value) != HASH_BYTES:
        _wrong("hash")
    return value


def _wrong(kind: str) -> NoReturn:
    raise Unusable(f"a {kind} in it is none")


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of this database; 0: it is new."""
    return integer(one_row(connection, "PRAGMA user_version")[0])


def one_row(connection: sqlite3.Connection, statement: str) -> Row:
    """The one row of a statement that always has one."""
    return cast(Row, connection.execute(statement).fetchone())


def marks(row: Row) -> str:
    """As many question marks as the row has columns."""
    return ", ".join("?" * len(row))
