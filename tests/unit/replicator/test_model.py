"""model: a batch is whole records, and says so of itself."""

from __future__ import annotations

import pytest

from replicator.model import Batch
from replicator.proof import leaf_hashes

RECORDS = [b"one\n", b"\n", b"three\n"]
ENDS = (4, 5, 11)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_batch_gives_back_its_records(count: int) -> None:
    """As bytes and as views, and the last of them; from the first byte to the last."""
    batch = Batch(7, 100, b"".join(RECORDS[:count]), ENDS[:count])
    assert list(batch.records()) == RECORDS[:count]
    assert [bytes(view) for view in batch.views()] == RECORDS[:count]
    assert (batch.last, batch.count, batch.end) == (RECORDS[count - 1], count, 100 + ENDS[count - 1])


def test_a_batch_whose_parts_do_not_fit_is_a_mistake_of_ours() -> None:
    """No record at all, bytes behind the last one, more or fewer leaves than records."""
    data = b"".join(RECORDS)
    leaves = tuple(leaf_hashes(RECORDS))
    assert Batch(0, 0, data, ENDS, leaves).hashed == leaves
    for ends, hashed in (((), None), (ENDS[:2], None), (ENDS, leaves[:2]), (ENDS, ())):
        with pytest.raises(AssertionError):
            Batch(0, 0, data, ends, hashed)


def test_f35_a_batch_of_holes_alone_is_a_mistake_of_ours() -> None:
    """One record travels at least, and who leaves one out knows the leaves."""
    data = b"".join(RECORDS)
    leaves = tuple(leaf_hashes(RECORDS))
    assert [bytes(view) for view in Batch(7, 0, data, ENDS, leaves, (7, 9)).sent()] == [RECORDS[1]]
    for hashed, holes in ((leaves, (7, 8, 9)), (None, (7,))):
        with pytest.raises(AssertionError):
            Batch(7, 0, data, ENDS, hashed, holes)
