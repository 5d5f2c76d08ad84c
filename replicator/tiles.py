"""Tiles: the hashes of a log's tree in pages of 256, and what can be computed from them (C2SP tlog-tiles, height 8).

Pure: `Tile` functions, which read one tile, are passed in. Level L of tiles contains tree level 8 * L; a tile has up to
256 hashes, the last of a level fewer. The cloud keeps tiles in its store. A client computes them from its file to find
the records that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from replicator.proof import HASH_BYTES, TILE_HASHES, TILE_HEIGHT, CompactRange, node_hash

Tile = Callable[[int, int], bytes]
"""`tile(level, index)` returns the stored tile: up to 256 concatenated hashes; empty if there is none."""


class TileLostError(Exception):
    """A tile that the tree's size requires is not stored: the store is damaged."""


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


def different(size: int, mine: Tile, theirs: Tile) -> Iterator[int]:
    """The numbers of the records, among the first `size`, whose leaves differ between two trees, in order.

    Top down: a node that is equal on both sides is not descended into. Costs two tiles per level for each record that
    differs (8 KiB each), fewer if they are adjacent; nothing is read before the first `next`.
    """
    done = 0
    for level in reversed(range((max(size.bit_length() - 1, 0)) // TILE_HEIGHT + 1)):
        height = level * TILE_HEIGHT
        yield from _different(level, done >> height, size >> height, size, mine, theirs)
        done = size >> height << height


def _different(level: int, first: int, end: int, size: int, mine: Tile, theirs: Tile) -> Iterator[int]:
    """Below the nodes [first, end) of a level of tiles."""
    for index in range(first // TILE_HASHES, -(-end // TILE_HASHES)):
        base = index * TILE_HASHES
        start, stop = max(first - base, 0), min(end - base, TILE_HASHES)
        ours, other = (tile(level, index)[start * HASH_BYTES : stop * HASH_BYTES] for tile in (mine, theirs))
        if ours == other:
            continue
        if len(other) < len(ours):
            raise TileLostError(f"tile {index} of level {level} is not whole")
        for slot in range(start, stop):
            at = (slot - start) * HASH_BYTES
            if ours[at : at + HASH_BYTES] == other[at : at + HASH_BYTES]:
                continue
            node = base + slot
            if level == 0:
                yield node
            else:
                below = (level - 1) * TILE_HEIGHT
                yield from _different(
                    level - 1, node * TILE_HASHES, min((node + 1) * TILE_HASHES, size >> below), size, mine, theirs
                )
