"""Comparing a log with its replica: every kind of difference is named, whatever else is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from replicator.errors import CloudError, CursorError
from replicator.model import Anchor, Cursor, Standing
from replicator.proof import CompactRange, leaf_hash, leaf_hashes
from replicator.recovery import local as local_module
from replicator.recovery.local import LocalTree
from replicator.recovery.verify import Comparison, ReplicaVerdict
from replicator.testing.replica import LOG_ID, MemoryReplica
from replicator.tiles import TileLostError, different, hashes_of, leaves_at, tree_at


def record(number: int, text: str = "") -> bytes:
    """A record with an event_id of its own."""
    return b'{"event_id": "e-%d", "text": "%s"}\n' % (number, text.encode())


def standing(records: list[bytes]) -> Standing:
    """A cursor behind these records."""
    if not records:
        return Standing(Cursor(LOG_ID))
    tree = CompactRange.EMPTY.extended(leaf_hashes(records))
    return Standing(Cursor(LOG_ID, sum(map(len, records)), tree, "e", Anchor.of(records[-1])), "cloud")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "events.jsonl"


def verdict(log: Path, replica: MemoryReplica, here: Standing | None, *, deep: bool = True) -> ReplicaVerdict:
    """What a comparison finds."""
    return Comparison(str(log), replica, deep=deep).verdict(here, brain_id="brain")


def named(found: ReplicaVerdict) -> dict[int, str]:
    """Each named record with what differs."""
    return {each.number: each.what for each in found.named}


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 600, 65_536 + 300])
def test_tiles_name_exactly_the_records_that_differ(size: int) -> None:
    """Against a plain comparison of all leaves, at sizes around the tiles' ends; one difference costs few tiles."""
    chance = random.Random(size)
    leaves = [leaf_hash(b"%d\n" % number) for number in range(size)]
    wrong = sorted(chance.sample(range(size), min(size, 5)))
    others = list(leaves)
    for number in wrong:
        others[number] = leaf_hash(b"other")
    mine, theirs = tiles_of(leaves), tiles_of(others)
    assert list(different(size, mine, theirs)) == wrong
    assert list(different(size, mine, mine)) == []
    assert tree_at(size, mine) == CompactRange.EMPTY.extended(leaves)
    assert leaves_at(size // 2, size, mine) == leaves[size // 2 :]
    read: list[tuple[int, int]] = []
    one = list(leaves)
    if size:
        one[wrong[0]] = leaf_hash(b"other")

        def counted(level: int, index: int) -> bytes:
            read.append((level, index))
            return tiles_of(one)(level, index)

        assert list(different(size, mine, counted)) == wrong[:1]
        assert len(read) <= 6


def test_a_tile_that_is_not_there_is_no_proof() -> None:
    """A short tile is said to be lost; nothing is called the same because of it."""
    leaves = [leaf_hash(b"%d\n" % number) for number in range(300)]
    mine = tiles_of(leaves)
    with pytest.raises(TileLostError):
        list(different(300, mine, lambda level, index: mine(level, index)[:-32]))


def tiles_of(leaves: list[bytes]) -> object:
    """The tiles of a tree over these leaves."""
    levels = [leaves]
    for _ in range(2):
        nodes = levels[-1]
        levels.append(
            [CompactRange.EMPTY.extended(nodes[at : at + 256]).root for at in range(0, len(nodes) // 256 * 256, 256)]
        )
    return lambda level, index: b"".join(levels[level][index * 256 : (index + 1) * 256])


@pytest.mark.parametrize("step", [3000, 1 << 20])
@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1025])
def test_the_own_log_as_a_tree_is_that_of_its_records(
    log: Path, size: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root, tiles, earlier trees, single records and cursors, from a file with a torn tail, however it is read."""
    monkeypatch.setattr(local_module, "HASH_STEP_BYTES", step)
    records = [record(number, "x" * (number % 40)) for number in range(size)]
    log.write_bytes(b"".join(records) + b"torn")
    local = LocalTree.of(str(log))
    tree = CompactRange.EMPTY.extended(leaf_hashes(records))
    assert (local.tree, local.end, local.behind) == (tree, sum(map(len, records)), 0)
    assert hashes_of(local.tile(0, 0)) == leaf_hashes(records[:256])
    for cut in {0, 1, size // 2, size}:
        if cut <= size:
            assert local.tree_at(cut) == CompactRange.EMPTY.extended(leaf_hashes(records[:cut]))
            cursor = local.cursor(LOG_ID, cut)
            assert (cursor.size, cursor.offset) == (cut, sum(map(len, records[:cut])))
            assert cursor.tree == local.tree_at(cut)
    part = LocalTree.of(str(log), size // 2)
    assert (part.size, part.behind) == (size // 2, size - size // 2)
    assert [each.event_id for each in local.records(size // 2, size)] == [f"e-{n}" for n in range(size // 2, size)]


@pytest.mark.parametrize("deep", [True, False])
def test_an_identical_copy_is_proven_and_what_is_written_since_only_waits(log: Path, deep: bool) -> None:
    """The log grows behind the cursor: the first records are compared, the others wait; no tile is read."""
    records = [record(number) for number in range(700)]
    replica = MemoryReplica(records[:600])
    log.write_bytes(b"".join(records))
    found = verdict(log, replica, standing(records[:600]), deep=deep)
    assert (found.state, found.size, found.waiting, found.deep) == ("identical", 600, 100, deep)
    assert (found.root, found.length) == (replica.head.root, replica.head.offset)
    assert "tile" not in replica.asked


def test_f41_every_kind_of_difference_is_named_at_once(log: Path) -> None:
    """Lost, damaged, edited here, edited here and lost there, a placeholder, and a tail that the cloud lost."""
    records = [record(number, "long enough to be told from others") for number in range(1000)]
    replica = MemoryReplica(records[:990])
    del replica.rows[5], replica.rows[300], replica.rows[301], replica.rows[8]
    replica.rows[0] = b"bad\n"
    replica.rows[7] = None
    here = list(records)
    here[8], here[700] = records[8].upper(), records[700].upper()
    here[9] = b'{"gradata_hole":{"record":9}' + b" " * (len(records[9]) - 30) + b"}\n"
    log.write_bytes(b"".join(here))
    found = verdict(log, replica, standing(records))
    missing = dict.fromkeys((5, 300, 301, *range(990, 1000)), "missing_at_cloud")
    assert named(found) == missing | {0: "damaged_at_cloud", 9: "placeholder_here"} | dict.fromkeys(
        (8, 700), "edited_here"
    )
    assert [each.number for each in found.named] == sorted(named(found))
    assert (found.state, found.holes, found.waiting) == ("diverged", 1, 0)
    assert found.counts == {
        "missing_at_cloud": 13, "damaged_at_cloud": 1, "edited_here": 2, "only_at_cloud": 0, "placeholder_here": 1,
    }  # fmt: skip
    offsets = {each.number: (each.offset, each.event_id) for each in found.named}
    assert offsets[300] == (sum(map(len, here[:300])), "e-300")


def test_a_scrub_that_comes_in_many_parts_is_put_together(log: Path) -> None:
    """Cut after two names a time, the answers give the same ranges."""
    records = [record(number) for number in range(100)]
    replica = MemoryReplica(records)
    replica.named_max = 2
    for number in (1, 2, 3, 4, 50, 99):
        del replica.rows[number]
    log.write_bytes(b"".join(records))
    found = verdict(log, replica, standing(records))
    assert found.missing == ((1, 5), (50, 51), (99, 100))
    assert replica.asked["scrub"] == 3


def test_f09_records_that_only_the_cloud_has_diverge(log: Path) -> None:
    """The log was cut by hand: the two records are at the cloud alone, and a person decides."""
    records = [record(number) for number in range(10)]
    log.write_bytes(b"".join(records[:8]))
    found = verdict(log, MemoryReplica(records), standing(records))
    assert (found.state, found.only_at_cloud, found.size) == ("diverged", 2, 8)
    assert named(found) == {8: "only_at_cloud", 9: "only_at_cloud"}


def test_f24_without_a_sidecar_the_brains_log_is_found_by_its_root(log: Path) -> None:
    """The cloud is asked which logs the brain has; the one that this file continues is compared."""
    records = [record(number) for number in range(10)]
    log.write_bytes(b"".join(records))
    assert verdict(log, MemoryReplica(records[:6]), None).size == 6
    with pytest.raises(CursorError, match="never replicated"):
        verdict(log, MemoryReplica([]), None)


def test_a_cloud_that_lost_the_whole_log_misses_all_that_was_acknowledged(log: Path) -> None:
    """404 for the log is head 0: everything before the cursor is missing, what follows waits."""
    records = [record(number) for number in range(10)]
    log.write_bytes(b"".join(records))
    found = verdict(log, MemoryReplica([], log_id="22222222-2222-4222-8222-222222222222"), standing(records[:7]))
    assert (found.missing, found.waiting, found.state) == (((0, 7),), 3, "differences")


def test_a_log_with_a_record_taken_out_is_told_without_reading_all_of_it(log: Path) -> None:
    """Everything behind it differs: a thousand are named, more are said, and few tiles are read."""
    records = [record(number) for number in range(5000)]
    log.write_bytes(b"".join(records[:10] + records[11:]))
    replica = MemoryReplica(records)
    found = verdict(log, replica, standing(records))
    assert (found.state, found.more, found.named[0].number) == ("diverged", True, 10)
    assert replica.asked["tile"] < 20


def test_tiles_that_are_not_those_of_the_head_are_not_believed(log: Path) -> None:
    """A cloud whose tiles have another root than its head is damaged; nothing is called edited because of that."""
    records = [record(number) for number in range(300)]
    log.write_bytes(b"".join([record(0, "edited"), *records[1:]]))
    replica = MemoryReplica(records)
    whole = replica.tile
    replica.tile = lambda log_id, level, index: bytes(32) + whole(log_id, level, index)[32:]  # type: ignore[method-assign]
    with pytest.raises(CloudError, match="tiles are damaged"):
        verdict(log, replica, standing(records))


def test_a_scrub_that_fails_is_told(log: Path) -> None:
    """What the other thread met is raised where the verdict was asked for."""
    records = [record(number) for number in range(3)]
    log.write_bytes(b"".join(records))
    replica = MemoryReplica(records)

    def away(*_: object) -> None:
        raise CloudError("the cloud cannot be reached")

    replica.scrub = away  # type: ignore[assignment, method-assign]
    with pytest.raises(CloudError, match="cannot be reached"):
        verdict(log, replica, standing(records))
