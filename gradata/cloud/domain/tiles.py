"""The tiles that a commit adds to: the cloud writes what `replicator.tiles` reads. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from replicator.proof import HASH_BYTES, TILE_HASHES, TILE_HEIGHT
from replicator.tiles import Tile, TileLostError, hashes_of, leaves_at, tree_at

__all__ = [
    "Tile",
    "TileLostError",
    "TilePart",
    "hashes_of",
    "leaves_at",
    "tail_parts",
    "tile_parts",
    "tree_at",
    "with_tail",
]

TAIL_HASHES = 32
"""Number of hashes that are written to a tile at once."""


class TilePart(NamedTuple):
    """Hashes to put into tile `number` of a level, from `slot` on."""

    level: int
    number: int
    slot: int
    hashes: bytes


def tile_parts(size: int, completed: Sequence[Sequence[bytes]]) -> list[TilePart]:
    """The hashes to add to tiles: those of every eighth level, cut at the tiles' ends."""
    if len(completed) in range(1, TILE_HEIGHT + 1) and len(completed[0]) == 1:  # one leaf: most often
        return [TilePart(0, *divmod(size, TILE_HASHES), completed[0][0])]
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


def tail_parts(size: int, tail: bytes, parts: Sequence[TilePart]) -> tuple[bytes, list[TilePart]]:
    """The tail of a log and the hashes for tiles, when `parts` are added to a log of this size.

    The tail is the end of the last tile of leaves, fewer than TAIL_HASHES hashes, that is not written to the tile yet.
    """
    leaves = [part for part in parts if not part.level]
    upper = [part for part in parts if part.level] if len(leaves) < len(parts) else []
    pending = tail + b"".join(part.hashes for part in leaves)
    first = size - len(tail) // HASH_BYTES
    end = first + len(pending) // HASH_BYTES
    if end - first < TAIL_HASHES and end // TILE_HASHES == first // TILE_HASHES:
        return pending, upper
    return b"", tile_parts(first, [hashes_of(pending)]) + upper


def with_tail(hashes: bytes, tail: bytes, size: int, number: int) -> bytes:
    """The tile `number` of leaves: the stored part, and the log's tail if it belongs to it.

    A tile that has lost hashes is not extended: the tail would be in the wrong place.
    """
    slot = size - len(tail) // HASH_BYTES - number * TILE_HASHES
    if not tail or not 0 <= slot < TILE_HASHES or len(hashes) < slot * HASH_BYTES:
        return hashes
    return hashes[: slot * HASH_BYTES] + tail
