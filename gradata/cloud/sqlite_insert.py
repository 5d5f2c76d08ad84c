"""Many rows by few statements.

A statement for each row costs more in Python and in SQLite's set-up than the insert itself, and gives the interpreter
lock away and takes it again each time, for which it waits whenever another thread computes. With 64 rows a statement,
a record costs 2.0 instead of 3.3 µs and an event 1.8 instead of 3.3.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any

ROWS_A_STATEMENT = 64


def insert_rows(
    connection: sqlite3.Connection,
    insert: str,
    rows: Iterable[Sequence[Any]],
    *,
    width: int,
    constants: Sequence[Any] = (),
) -> None:
    """Insert `rows` of `width` values each.

    `insert` is an INSERT … SELECT that has them as column1, column2, …, and `constants` as ?1, ?2, ….
    """
    rows = iter(rows)
    while True:
        taken = list(islice(rows, ROWS_A_STATEMENT))
        if len(taken) < ROWS_A_STATEMENT:
            break
        connection.execute(_statement(insert, width, ROWS_A_STATEMENT), [*constants, *chain.from_iterable(taken)])
    connection.executemany(_statement(insert, width, 1), [(*constants, *row) for row in taken])


@lru_cache(maxsize=16)
def _statement(insert: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"{insert} FROM (VALUES {', '.join([row] * count)})"
