"""Which lines of two texts differ, in bounded time: the longest common subsequence of their lines.

Pure. `difflib` is quadratic on texts with many equal lines and takes 10 ms to import, which a hook would pay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

PAIRS_MAX = 16_000_000
"""Budget: lines of one text times lines of the other, after what both begin and end with. About 10 ms and 2 MB."""


class Hunk(NamedTuple):
    """Lines `[start, end)` of one text became lines `[now_start, now_end)` of the other."""

    start: int
    end: int
    now_start: int
    now_end: int


def hunks(before: Sequence[str], after: Sequence[str]) -> list[Hunk]:
    """What changed, in order; hunks neither touch nor overlap. Beyond the budget it is one hunk."""
    head = _shared_head(before, after)
    tail = _shared_head(before[head:][::-1], after[head:][::-1])
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    if not old and not new:
        return []
    if not old or not new or len(old) * len(new) > PAIRS_MAX:
        return [Hunk(head, head + len(old), head, head + len(new))]
    return [
        Hunk(head + start, head + end, head + now_start, head + now_end)
        for start, end, now_start, now_end in _between(_matches(old, new), len(old), len(new))
    ]


def merged(found: Sequence[Hunk], gap_lines: int) -> list[Hunk]:
    """Hunks with at most `gap_lines` equal lines between them are one."""
    together: list[Hunk] = []
    for hunk in found:
        if together and hunk.start - together[-1].end <= gap_lines:
            last = together.pop()
            together.append(Hunk(last.start, hunk.end, last.now_start, hunk.now_end))
        else:
            together.append(hunk)
    return together


def _shared_head(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _matches(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of equal lines of a longest common subsequence, in order (Hyyrö, 2004: a row is an integer)."""
    places: dict[str, int] = {}
    for index, line in enumerate(old):
        places[line] = places.get(line, 0) | 1 << index
    everywhere = (1 << len(old)) - 1
    row, rows = everywhere, []
    for line in new:
        met = row & places.get(line, 0)
        row = (row + met | row - met) & everywhere
        rows.append(row)
    found = []
    column, line_number = len(old), len(new)
    while column and line_number:
        here = 1 << (column - 1)
        if rows[line_number - 1] & here:
            column -= 1
        elif line_number > 1 and not rows[line_number - 2] & here:
            line_number -= 1
        else:
            column, line_number = column - 1, line_number - 1
            found.append((column, line_number))
    return found[::-1]


def _between(matches: list[tuple[int, int]], old_lines: int, new_lines: int) -> list[Hunk]:
    found = []
    start = now_start = 0
    for index, now_index in [*matches, (old_lines, new_lines)]:
        if index > start or now_index > now_start:
            found.append(Hunk(start, index, now_start, now_index))
        start, now_start = index + 1, now_index + 1
    return found
