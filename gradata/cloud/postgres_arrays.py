"""Columns as PostgreSQL arrays in its binary form, made in one go.

A statement takes one array for each column, whatever the number of rows. psycopg's own lists are dumped value by
value in Python, and as text cost four times as much again. Partner: the statements in `postgres_facts` and
`postgres_writes`, which unnest them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Any

from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BIGINT, _INT, _TEXT, _BYTEA = 20, 23, 25, 17
_BIGINT_ARRAY, _INT_ARRAY, _TEXT_ARRAY, _BYTEA_ARRAY = 1016, 1007, 1009, 1001
_NULL = b"\xff\xff\xff\xff"
_length = struct.Struct(">i").pack
_head = struct.Struct(">iiiii").pack


class _Array:
    """A one-dimensional array, ready for the wire."""

    __slots__ = ("wire",)

    def __init__(self, wire: bytes) -> None:
        self.wire = wire


class Bigints(_Array):
    """bigint[]."""

    __slots__ = ()

    def __init__(self, values: Sequence[int | None]) -> None:
        if None in values:
            parts = [_NULL if value is None else struct.pack(">iq", 8, value) for value in values]
            super().__init__(_of_parts(_BIGINT, parts))
        else:
            flat = chain.from_iterable(zip(repeat(8), values, strict=False))
            super().__init__(_head(1, 0, _BIGINT, len(values), 1) + struct.pack(">" + "iq" * len(values), *flat))


class Ints(_Array):
    """int[]."""

    __slots__ = ()

    def __init__(self, values: Sequence[int]) -> None:
        flat = chain.from_iterable(zip(repeat(4), values, strict=False))
        super().__init__(_head(1, 0, _INT, len(values), 1) + struct.pack(">" + "ii" * len(values), *flat))


class Texts(_Array):
    """text[]. The texts hold no NUL and no lone surrogates."""

    __slots__ = ()

    def __init__(self, values: Iterable[str | None]) -> None:
        made: dict[str | None, bytes] = {None: _NULL}  # types, categories, days: a few texts, again and again
        parts = []
        for value in values:
            part = made.get(value)
            if part is None:
                assert value is not None
                text = value.encode()
                part = made[value] = _length(len(text)) + text
            parts.append(part)
        super().__init__(_of_parts(_TEXT, parts))


class Byteas(_Array):
    """bytea[]."""

    __slots__ = ()

    def __init__(self, values: Sequence[bytes | None]) -> None:
        parts = [_head(1, 1, _BYTEA, len(values), 1)]
        for value in values:
            parts += (_NULL,) if value is None else (_length(len(value)), value)
        super().__init__(b"".join(parts))


def _of_parts(element: int, parts: Sequence[bytes]) -> bytes:
    return b"".join((_head(1, 1, element, len(parts), 1), *parts))


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Array) -> bytes:
        return obj.wire


def register(context: AdaptContext) -> None:
    """Teach a connection the four kinds."""
    kinds: tuple[tuple[type[_Array], int], ...] = (
        (Bigints, _BIGINT_ARRAY),
        (Ints, _INT_ARRAY),
        (Texts, _TEXT_ARRAY),
        (Byteas, _BYTEA_ARRAY),
    )
    for kind, oid in kinds:
        dumper: Any = type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": oid})
        context.adapters.register_dumper(kind, dumper)
