"""The tiles that a commit adds to: what `replicator.tiles` reads, the cloud writes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from replicator.proof import HASH_BYTES, TILE_HASHES, TILE_HEIGHT
from replicator.tiles import Tile, TileLostError, hashes_of, leaves_at, tree_at

__all__ = ["Tile", "TileLostError", "TilePart", "hashes_of", "leaves_at", "tile_parts", "tree_at"]


class TilePart(NamedTuple):
    """Hashes to put into tile `number` of a level, from `slot` on."""

    level: int
    number: int
    slot: int
    hashes: bytes


def tile_parts(size: int, completed: Sequence[Sequence[bytes]]) -> list[TilePart]:
    """The hashes to add to tiles: those of every eighth level, cut at the tiles' ends."""
    parts = []
    for level, hashes in enumerate(completed[::TILE_HEIGHT]):
        start = size >> level * TILE_HEIGHT
        joined = b"".join(hashes)
        done = 0
        while done < len(hashes):
            index, slot = divmod(start + done, TILE_HASHES)
            end = done + TILE_HASHES - slot
            parts.append(TilePart(level, index, slot, joined[done * HASH_BYTES : end * HASH_BYTES]))
            done = end
    return parts
