"""Tiles: the stored hashes of a log's tree, and what can be computed from them (C2SP tlog-tiles, height 8).

Pure: `tile` functions, which read one, are passed in. Level L of tiles holds tree level 8 * L; a tile has up to 256
hashes, the last of a level fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from replicator.proof import HASH_BYTES, TILE_HASHES, TILE_HEIGHT, CompactRange, node_hash

Tile = Callable[[int, int], bytes]
"""`tile(level, index)` is the stored tile: up to 256 hashes, one behind the other; empty if there is none."""


class TileLostError(Exception):
    """A tile that the tree's size calls for is not stored: the store is damaged."""


class TilePart(NamedTuple):
    """Hashes to put into tile `number` of a level, from `slot` on."""

    level: int
    number: int
    slot: int
    hashes: bytes


def tile_parts(size: int, completed: Sequence[Sequence[bytes]]) -> list[TilePart]:
    """The hashes to add to tiles: those of every eighth level, cut at the tiles' ends."""
    parts = []
    for level in range(0, len(completed), TILE_HEIGHT):
        start = size >> level
        hashes = b"".join(completed[level])
        done = 0
        while done < len(completed[level]):
            index, slot = divmod(start + done, TILE_HASHES)
            taken = min(TILE_HASHES - slot, len(completed[level]) - done)
            part = hashes[done * HASH_BYTES : (done + taken) * HASH_BYTES]
            parts.append(TilePart(level // TILE_HEIGHT, index, slot, part))
            done += taken
    return parts


def tree_at(size: int, tile: Tile) -> CompactRange:
    """The tree as it was at an earlier size, from tiles: at most one read for each level of tiles and size bit."""
    nodes = []
    end = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            nodes.append(_node(level, end >> level, tile))
            end += 1 << level
    return CompactRange(size, tuple(nodes))


def _node(level: int, index: int, tile: Tile) -> bytes:
    tile_level, height = divmod(level, TILE_HEIGHT)
    count = 1 << height
    tile_index, slot = divmod(index << height, TILE_HASHES)
    row = hashes_of(tile(tile_level, tile_index))[slot : slot + count]
    if len(row) < count:
        raise TileLostError(f"tile {tile_index} of level {tile_level} is not whole")
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def leaves_at(first: int, end: int, tile: Tile) -> list[bytes]:
    """The stored leaves of records [first, end)."""
    leaves: list[bytes] = []
    for index in range(first // TILE_HASHES, -(-end // TILE_HASHES)):
        base = index * TILE_HASHES
        leaves += hashes_of(tile(0, index))[max(first - base, 0) : end - base]
    if len(leaves) != max(end - first, 0):
        raise TileLostError(f"leaves of records {first} to {end} are not whole")
    return leaves


def hashes_of(tile: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [tile[i : i + HASH_BYTES] for i in range(0, len(tile), HASH_BYTES)]
