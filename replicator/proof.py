"""The Merkle tree over a log's records, as in RFC 9162, section 2.1.

Pure. Client and cloud each keep a `CompactRange` over the bytes that they hold and compare its root; neither relies on
the other's computation. The state is at most 64 hashes (20 for a million records), does not depend on how records were
batched, and can be extended but never changed.

`leaf = SHA-256(0x00 || record)`, including the record's newline; `node = SHA-256(0x01 || left || right)`; the root of
an empty log is SHA-256 of nothing. Full tiles of 256 hashes (C2SP tlog-tiles, height 8) let two sides find differences
with a few small reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import ClassVar

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_HASHES = 1 << TILE_HEIGHT
EMPTY_ROOT = hashlib.sha256().digest()

_sha256 = hashlib.sha256
_LEAF = _sha256(b"\x00")
_NODE = _sha256(b"\x01")


def leaf_hash(record: bytes) -> bytes:
    """The leaf of one record; `record` includes its newline. 32 bytes."""
    leaf = _LEAF.copy()
    leaf.update(record)
    return leaf.digest()


def leaf_hashes(records: Iterable[bytes | memoryview]) -> list[bytes]:
    """The leaves of records, in their order.

    Copying a hasher that has the prefix in it costs less than making one and joining prefix and record:
    1.1 instead of 1.5 µs for a record of 1.2 kB.
    """
    begin = _LEAF.copy
    leaves: list[bytes] = []
    append = leaves.append
    for record in records:
        leaf = begin()
        leaf.update(record)
        append(leaf.digest())
    return leaves


def leaf_hasher() -> hashlib._Hash:
    """For a record too long to hold in memory: feed it in pieces, then `digest()` is its leaf."""
    return _LEAF.copy()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The node above two nodes."""
    node = _NODE.copy()
    node.update(left + right)
    return node.digest()


@dataclass(frozen=True, slots=True)
class CompactRange:
    """The roots of the perfect subtrees that cover records [0, size), largest first.

    Invariant: one node for each bit set in `size`. Equal ranges mean equal records, byte for byte.
    """

    size: int
    nodes: tuple[bytes, ...]
    _root: bytes | None = field(default=None, init=False, repr=False, compare=False)

    EMPTY: ClassVar[CompactRange]

    def __post_init__(self) -> None:
        assert self.size >= 0
        assert len(self.nodes) == self.size.bit_count()
        assert all(map(HASH_BYTES.__eq__, map(len, self.nodes)))

    @property
    def root(self) -> bytes:
        """The Merkle tree hash of the records, 32 bytes. Computed once: a batch is compared with it, and answered."""
        if self._root is None:
            root = self.nodes[-1] if self.nodes else EMPTY_ROOT
            for left in self.nodes[-2::-1]:
                root = node_hash(left, root)
            object.__setattr__(self, "_root", root)
            return root
        return self._root

    def extended(self, leaves: Sequence[bytes]) -> CompactRange:
        """The range with `leaves` appended."""
        return extend(self, leaves)[0]


CompactRange.EMPTY = CompactRange(0, ())


def extend(before: CompactRange, leaves: Sequence[bytes]) -> tuple[CompactRange, list[list[bytes]]]:
    """Append leaves; also name each node that this completes.

    Returns the new range and `completed`, where `completed[k]` are the hashes of the nodes completed at level k
    (`completed[0]` are the leaves), left to right; `completed[8]` are the roots of the tiles that became full.
    Cost: one hash a leaf, however the leaves are cut into batches.
    """
    if len(leaves) == 1:
        return _extend_by_one(before, leaves[0])
    standing = _by_level(before)
    completed: list[list[bytes]] = []
    fresh = list(leaves)
    level = 0
    while fresh:
        completed.append(fresh)
        left = standing.pop(level, None)
        row = fresh if left is None else [left, *fresh]
        if len(row) % 2:
            standing[level] = row[-1]
        fresh = _nodes(row)
        level += 1
    nodes = tuple(standing[level] for level in sorted(standing, reverse=True))
    return CompactRange(before.size + len(leaves), nodes), completed


def _extend_by_one(before: CompactRange, leaf: bytes) -> tuple[CompactRange, list[list[bytes]]]:
    """As `extend`, for one record, which is the usual batch of a log in use."""
    nodes = list(before.nodes)
    completed = [[leaf]]
    node, size = leaf, before.size
    while size & 1:
        node = node_hash(nodes.pop(), node)
        completed.append([node])
        size >>= 1
    nodes.append(node)
    return CompactRange(before.size + 1, tuple(nodes)), completed


def _nodes(row: Sequence[bytes]) -> list[bytes]:
    """The nodes above the pairs of `row`; an odd last one has none yet.

    A copied hasher again: 0.39 instead of 0.46 µs a node.
    """
    begin = _NODE.copy
    nodes: list[bytes] = []
    append = nodes.append
    pairs = iter(row)
    for both in map(add, pairs, pairs):
        node = begin()
        node.update(both)
        append(node.digest())
    return nodes


def _by_level(compact: CompactRange) -> dict[int, bytes]:
    nodes = iter(compact.nodes)
    return {level: next(nodes) for level in reversed(range(compact.size.bit_length())) if compact.size >> level & 1}
