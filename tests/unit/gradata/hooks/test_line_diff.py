"""Which lines differ: a longest common subsequence, in bounded time."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gradata.hooks.line_diff import Hunk, hunks, merged

LINES = st.lists(st.sampled_from("abc"), max_size=12)


@given(LINES, LINES)
def test_the_hunks_make_one_text_of_the_other(before: list[str], after: list[str]) -> None:
    """What lies between them is equal, and no two of them touch."""
    found = hunks(before, after)
    made, at = [], 0
    for hunk in found:
        made += before[at : hunk.start] + after[hunk.now_start : hunk.now_end]
        at = hunk.end
    assert made + before[at:] == after
    for one, other in pairwise(found):
        assert one.end < other.start
        assert one.now_end < other.now_start


@given(LINES, LINES)
def test_no_more_changes_than_must(before: list[str], after: list[str]) -> None:
    """As many lines stay as a longest common subsequence has."""
    table = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for i, one in enumerate(before):
        for j, other in enumerate(after):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
    assert len(before) - sum(hunk.end - hunk.start for hunk in hunks(before, after)) == table[-1][-1]


def test_beyond_the_budget_it_is_one_hunk() -> None:
    """What both texts begin and end with is still left out."""
    before = ["same", *(f"old {n}" for n in range(5_000)), "end"]
    after = ["same", *(f"new {n}" for n in range(5_000)), "end"]
    assert hunks(before, after) == [Hunk(1, 5_001, 1, 5_001)]


def test_hunks_that_are_near_become_one() -> None:
    """With what lies between them."""
    found = [Hunk(0, 1, 0, 1), Hunk(2, 3, 2, 4), Hunk(8, 9, 9, 9)]
    assert merged(found, 1) == [Hunk(0, 3, 0, 4), Hunk(8, 9, 9, 9)]
    assert merged(found, 0) == found
