"""tiles: which hashes of a commit go into tiles, which wait in the log's tail, and what a reader is shown. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gradata.cloud.domain.tiles import TAIL_HASHES, TilePart, hashes_of, tail_parts, tile_parts, with_tail
from replicator.proof import HASH_BYTES, TILE_HASHES

ROOT = TilePart(1, 0, 0, b"r" * HASH_BYTES)
"""A hash of a level above the leaves."""


def leaves(first: int, end: int) -> bytes:
    """The hashes of records [first, end), each of another value."""
    return b"".join(number.to_bytes(HASH_BYTES, "big") for number in range(first, end))


def test_each_eighth_level_is_cut_at_the_ends_of_its_tiles() -> None:
    """A level between two of tiles is not stored; a tile that just became full is the last part."""
    row = hashes_of(leaves(250, 512))
    between = [[b"x" * HASH_BYTES]] * 7
    above = hashes_of(leaves(900, 902))
    assert tile_parts(250, [row, *between, above]) == [
        TilePart(0, 0, 250, leaves(250, 256)),
        TilePart(0, 1, 0, leaves(256, 512)),
        TilePart(1, 0, 0, leaves(900, 902)),
    ]
    assert tile_parts(65_535, [row[:1], *between, row[:1]])[1] == TilePart(1, 0, 255, leaves(250, 251))


@pytest.mark.parametrize(
    ("first", "size", "end", "kept"),
    [
        (0, 0, 1, True),
        (64, 64, 95, True),
        (64, 90, 95, True),
        (64, 64, 96, False),
        (64, 95, 96, False),
        (1_000, 1_005, 1_023, True),
        (1_000, 1_005, 1_024, False),
        (1_000, 1_005, 1_030, False),
        (255, 255, 256, False),
        (256, 256, 257, True),
        (200, 210, 1_000, False),
    ],
)
def test_a_tail_is_kept_below_a_bound_and_within_one_tile(first: int, size: int, end: int, kept: bool) -> None:
    """32 hashes, or the end of their tile, are written at once with all that waited; other levels never wait."""
    tail = leaves(first, size)
    parts = [*tile_parts(size, [hashes_of(leaves(size, end))]), ROOT]
    waiting, written = tail_parts(size, tail, parts)
    assert waiting == (leaves(first, end) if kept else b"")
    assert written == ([] if kept else tile_parts(first, [hashes_of(leaves(first, end))])) + [ROOT]


@pytest.mark.parametrize(
    ("first", "size", "number", "stored", "shown"),
    [
        (300, 305, 1, leaves(256, 300), leaves(256, 305)),
        (300, 305, 0, leaves(0, 256), leaves(0, 256)),
        (300, 305, 2, b"", b""),
        (256, 260, 1, b"", leaves(256, 260)),
        (256, 260, 0, leaves(0, 256), leaves(0, 256)),
        (300, 300, 1, leaves(256, 300), leaves(256, 300)),
        (300, 305, 1, leaves(256, 299), leaves(256, 299)),
        (300, 305, 1, b"", b""),
        (300, 305, 1, leaves(256, 301), leaves(256, 305)),
    ],
)
def test_a_tile_is_shown_with_the_tail_that_belongs_to_it(
    first: int, size: int, number: int, stored: bytes, shown: bytes
) -> None:
    """Only that one; and a tile that lost hashes stays short, or every hash behind them stood in a wrong place."""
    assert with_tail(stored, leaves(first, size), size, number) == shown


@given(st.lists(st.integers(1, 300), min_size=1, max_size=12), st.integers(0, 300))
@example([10] * 3, 250)
def test_tiles_and_tail_hold_every_leaf_however_a_log_is_cut(cuts: list[int], old: int) -> None:
    """Read together they are the leaves at all times; the first `old` came before there was a tail."""
    row = hashes_of(leaves(0, old + sum(cuts)))
    stored: dict[int, bytes] = {}
    tail = keep(stored, tile_parts(0, [row[:old]])) if old else b""
    size = old
    for count in cuts:
        tail, parts = tail_parts(size, tail, tile_parts(size, [row[size : size + count]]))
        keep(stored, parts)
        size += count
        assert len(tail) < TAIL_HASHES * HASH_BYTES
        tiles = [
            with_tail(stored.get(number, b""), tail, size, number) for number in range(-(-size // TILE_HASHES) + 1)
        ]
        assert hashes_of(b"".join(tiles)) == row[:size]
        assert all(len(tile) == TILE_HASHES * HASH_BYTES for tile in tiles[: size // TILE_HASHES])


def keep(stored: dict[int, bytes], parts: Sequence[TilePart]) -> bytes:
    """Put parts of the tiles of leaves where they belong, as the store does."""
    for level, number, slot, hashes in parts:
        assert level == 0
        assert len(stored.get(number, b"")) == slot * HASH_BYTES
        stored[number] = stored.get(number, b"") + hashes
    return b""
