"""Columns as PostgreSQL arrays in its binary form, made in one go.

A statement takes one array for each column, whatever the number of rows. psycopg's own lists are dumped value by
value in Python, and as text cost four times as much again. Partner: the statements in `facts` and
`commit`, which unnest them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any, ClassVar

from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BIGINT, _INT, _TEXT, _BYTEA = 20, 23, 25, 17
_NULL = b"\xff\xff\xff\xff"
_length = struct.Struct(">i").pack
_bigint = struct.Struct(">q").pack
_head = struct.Struct(">iiiii").pack
_read_length = struct.Struct(">i").unpack_from
_read_bigint = struct.Struct(">q").unpack_from
_read_head = struct.Struct(">iiiii").unpack_from
_EIGHT = _length(8)
_HEAD_BYTES = 20


class Parameter:
    """A value ready for the wire. `oid`: PostgreSQL's number of its type."""

    __slots__ = ("wire",)
    oid: ClassVar[int]

    def __init__(self, wire: bytes) -> None:
        self.wire = wire


class Bigint(Parameter):
    """bigint."""

    __slots__ = ()
    oid = _BIGINT

    def __init__(self, value: int) -> None:
        super().__init__(_bigint(value))


class Int(Parameter):
    """int."""

    __slots__ = ()
    oid = _INT

    def __init__(self, value: int) -> None:
        super().__init__(_length(value))


class Text(Parameter):
    """text, as those of `Texts`."""

    __slots__ = ()
    oid = _TEXT

    def __init__(self, value: str) -> None:
        super().__init__(value.encode())


class Bigints(Parameter):
    """bigint[]."""

    __slots__ = ()
    oid = 1016

    def __init__(self, values: Sequence[int | None]) -> None:
        if None in values:
            parts = [_NULL if value is None else _EIGHT + _bigint(value) for value in values]
            super().__init__(_of_parts(_BIGINT, parts))
        else:
            flat = chain.from_iterable(zip(repeat(8), values, strict=False))
            super().__init__(_head(1, 0, _BIGINT, len(values), 1) + struct.pack(">" + "iq" * len(values), *flat))


class Ints(Parameter):
    """int[]."""

    __slots__ = ()
    oid = 1007

    def __init__(self, values: Sequence[int]) -> None:
        flat = chain.from_iterable(zip(repeat(4), values, strict=False))
        super().__init__(_head(1, 0, _INT, len(values), 1) + struct.pack(">" + "ii" * len(values), *flat))


class Texts(Parameter):
    """text[]. The texts hold no NUL and no lone surrogates."""

    __slots__ = ()
    oid = 1009

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


class Byteas(Parameter):
    """bytea[]."""

    __slots__ = ()
    oid = 1001

    def __init__(self, values: Sequence[bytes | None]) -> None:
        parts = [_head(1, 1, _BYTEA, len(values), 1)]
        for value in values:
            parts += (_NULL,) if value is None else (_length(len(value)), value)
        super().__init__(b"".join(parts))


def bigints_of(wire: bytes | None) -> Sequence[Any]:
    """The values of a bigint[] in binary form, NULL as None; no values of a NULL."""
    if wire is None or len(wire) < _HEAD_BYTES:
        return ()
    _, nulls, _, count, _ = _read_head(wire)
    if nulls:
        return [None if part is None else _read_bigint(part)[0] for part in _parts_of(wire)]
    return struct.unpack_from(">" + "iq" * count, wire, _HEAD_BYTES)[1::2]


def texts_of(wire: bytes | None) -> list[Any]:
    """As `bigints_of`, of a text[]."""
    return [None if part is None else part.decode() for part in _parts_of(wire)]


def byteas_of(wire: bytes | None) -> list[Any]:
    """As `bigints_of`, of a bytea[]."""
    return list(_parts_of(wire))


def _parts_of(wire: bytes | None) -> Iterator[bytes | None]:
    if wire is None or len(wire) < _HEAD_BYTES:  # an empty one is only three numbers
        return
    place = _HEAD_BYTES
    while place < len(wire):
        (length,) = _read_length(wire, place)
        place += 4
        if length < 0:
            yield None
        else:
            yield wire[place : place + length]
            place += length


def _of_parts(element: int, parts: Sequence[bytes]) -> bytes:
    return b"".join((_head(1, 1, element, len(parts), 1), *parts))


class _WireDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Parameter) -> bytes:
        return obj.wire


def register(context: AdaptContext) -> None:
    """Teach a connection these kinds, for statements that go through psycopg's own way."""
    for kind in (Bigint, Int, Text, Bigints, Ints, Texts, Byteas):
        dumper: Any = type(f"{kind.__name__}Dumper", (_WireDumper,), {"oid": kind.oid})
        context.adapters.register_dumper(kind, dumper)
