"""proof: the Merkle tree, against the definition in RFC 9162, section 2.1.1. Pure."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.proof import (
    EMPTY_ROOT,
    TILE_HASHES,
    TILE_HEIGHT,
    CompactRange,
    extend,
    leaf_hash,
    leaf_hasher,
    leaf_hashes,
    node_hash,
)

RECORDS = st.lists(st.binary(max_size=6), max_size=70)

# The vectors of the reference implementation of certificate transparency (merkle_tree_test.cc).
VECTOR_INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
VECTOR_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def tree_hash(records: list[bytes]) -> bytes:
    """MTH, as the RFC writes it."""
    if not records:
        return hashlib.sha256().digest()
    if len(records) == 1:
        return hashlib.sha256(b"\x00" + records[0]).digest()
    k = 1
    while k * 2 < len(records):
        k *= 2
    return hashlib.sha256(b"\x01" + tree_hash(records[:k]) + tree_hash(records[k:])).digest()


def in_batches(records: list[bytes], cuts: list[int]) -> CompactRange:
    tree = CompactRange.EMPTY
    places = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
    for start, end in pairwise(places):
        tree = tree.extended(leaf_hashes(records[start:end]))
    return tree


@pytest.mark.parametrize("size", range(len(VECTOR_ROOTS)))
def test_the_published_vectors_hold(size: int) -> None:
    """The roots over the first n inputs are those that certificate transparency publishes."""
    leaves = leaf_hashes(bytes.fromhex(text) for text in VECTOR_INPUTS[:size])
    assert CompactRange.EMPTY.extended(leaves).root.hex() == VECTOR_ROOTS[size]


@given(RECORDS, st.lists(st.integers(0, 70), max_size=6))
def test_the_root_is_that_of_the_rfc_however_records_were_batched(records: list[bytes], cuts: list[int]) -> None:
    """Any cutting into batches, empty ones included, gives the recursive definition's root and size."""
    tree = in_batches(records, cuts)
    assert (tree.size, tree.root) == (len(records), tree_hash(records))


@given(RECORDS)
def test_the_nodes_are_the_roots_of_perfect_subtrees(records: list[bytes]) -> None:
    """One node for each bit of the size, largest first, each the tree hash of its own records."""
    expected = []
    start = 0
    for level in reversed(range(len(records).bit_length())):
        if len(records) >> level & 1:
            expected.append(tree_hash(records[start : start + (1 << level)]))
            start += 1 << level
    assert in_batches(records, []).nodes == tuple(expected)


@given(RECORDS, RECORDS)
def test_extend_names_each_node_that_becomes_complete(before: list[bytes], fresh: list[bytes]) -> None:
    """`completed[k]` are the perfect subtrees of 2^k records that end within the new ones, left to right."""
    records = before + fresh
    _, completed = extend(in_batches(before, []), leaf_hashes(fresh))
    for level, hashes in enumerate(completed):
        width = 1 << level
        ends = range(width, len(records) + 1, width)
        assert hashes == [tree_hash(records[end - width : end]) for end in ends if end > len(before)]
    higher = 1 << len(completed)
    assert len(records) // higher == len(before) // higher


def test_a_tile_is_full_with_its_last_record() -> None:
    """Level 8 is completed exactly by record 256 of a tile, and names the tile's root."""
    records = [b"%d\n" % number for number in range(2 * TILE_HASHES)]
    tree = in_batches(records[: TILE_HASHES - 1], [])
    tree, completed = extend(tree, leaf_hashes(records[TILE_HASHES - 1 : TILE_HASHES]))
    assert completed[TILE_HEIGHT] == [tree_hash(records[:TILE_HASHES])] == [tree.root]
    _, completed = extend(tree, leaf_hashes(records[TILE_HASHES:]))
    assert completed[TILE_HEIGHT] == [tree_hash(records[TILE_HASHES:])]
    assert completed[TILE_HEIGHT + 1] == [tree_hash(records)]


@given(RECORDS.filter(bool), st.data())
def test_f10_one_changed_bit_changes_the_root(records: list[bytes], data: st.DataObject) -> None:
    """A record edited, dropped or doubled anywhere gives another root, at the same size or not."""
    place = data.draw(st.integers(0, len(records) - 1))
    root = in_batches(records, []).root
    edited = [*records[:place], records[place] + b"!", *records[place + 1 :]]
    assert in_batches(edited, []).root != root
    assert in_batches(records[:place] + records[place + 1 :], []).root != root
    assert in_batches([*records[:place], records[place], *records[place:]], []).root != root


def test_a_record_of_two_hashes_is_no_node() -> None:
    """Leaves and nodes are told apart: 64 bytes that look like two children hash to something else."""
    left, right = leaf_hash(b"a\n"), leaf_hash(b"b\n")
    assert leaf_hash(left + right) != node_hash(left, right)


@given(st.lists(st.binary(max_size=3000), max_size=5))
def test_f15_a_leaf_fed_in_pieces_is_the_leaf(pieces: list[bytes]) -> None:
    """A record too long to hold has the same leaf when it is hashed step by step; and hashers are independent."""
    leaf = leaf_hasher()
    for piece in pieces:
        leaf.update(piece)
    assert leaf.digest() == leaf_hash(b"".join(pieces)) == hashlib.sha256(b"\x00" + b"".join(pieces)).digest()


def test_nothing_has_the_empty_root() -> None:
    """The root of no records is SHA-256 of nothing, and adding nothing completes nothing."""
    assert CompactRange.EMPTY.root == EMPTY_ROOT == hashlib.sha256().digest()
    assert extend(CompactRange.EMPTY, []) == (CompactRange.EMPTY, [])


@pytest.mark.parametrize(
    ("size", "nodes"), [(-1, ()), (1, ()), (0, (b"x" * 32,)), (1, (b"x" * 31,)), (3, (b"x" * 32,))]
)
def test_a_range_that_cannot_be_is_refused(size: int, nodes: tuple[bytes, ...]) -> None:
    """Sizes and nodes that do not fit together are a programmer's error."""
    with pytest.raises(AssertionError):
        CompactRange(size, nodes)
