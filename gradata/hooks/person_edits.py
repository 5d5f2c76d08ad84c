"""Decide what a person corrected: from what an agent wrote and what its files hold now.

Pure: takes values, returns values; reading files and keeping what the agent wrote is the work of `capture` and
`written_files`. A change is a person's correction if it touches lines that the agent wrote, no tool made it, and it
does not look like a formatter's or a version control system's. What is left out for such a look is counted by reason.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from gradata.hooks.host_call import Edit, FileWrite
from gradata.hooks.line_diff import Hunk, hunks, merged

FILES_AT_ONCE = 3
"""So many files that changed within AT_ONCE_S are a formatter's, a checkout's or a bulk replacement's."""
AT_ONCE_S = 2.0
GAP_LINES = 1
"""Hunks with so few equal lines between them are one correction."""
SHORT_CHARACTERS = 2_000
"""Texts up to here have a common region if they share SHARED_PIECES_MIN of their pieces of three characters; longer
ones if they share SHARED_LINES_MIN of their lines."""
SHARED_PIECES_MIN = 0.2
SHARED_LINES_MIN = 0.1
RECORDED_MAX = 200
EARLIER_MAX = 50

LeftOutReason = Literal["many_files", "version_control", "reverted", "whole_file", "formatting"]

_WORD = re.compile(r"[^\W_]{3,}")
_LOOSE = re.compile(r"\s+|,(?=\s*[)\]}])|;(?=\s*$)", re.MULTILINE)
_PROSE = frozenset({"", ".txt", ".md", ".rst", ".adoc", ".tex"})


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file as the agent left it. `owned` says for each line whether the agent wrote it.

    `earlier`: digests of what the file held before the agent's writes. `recorded`: digests of the corrections of this
    text that are recorded or counted already. The rest is for the event.
    """

    path: str
    text: str
    owned: tuple[bool, ...]
    earlier: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    agent: str = ""
    tool: str = ""
    session: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        assert len(self.owned) == len(lines_of(self.text))


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that holds something else than the agent left. `head_moved`: its repository's HEAD moved with it."""

    written: WrittenFile
    text: str
    changed_at: float
    head_moved: bool = False


@dataclass(frozen=True, slots=True)
class FileVerdict:
    """What a change came to. `written`: the file with what was decided now among its `recorded`."""

    written: WrittenFile
    corrections: tuple[Edit, ...] = ()
    left_out: tuple[LeftOutReason, ...] = field(default=())


def lines_of(text: str) -> list[str]:
    """The lines of a text without their ends; a last newline ends its line and begins none."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def digest_of(*texts: str) -> str:
    """A short name for texts."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def decide(changes: Sequence[FileChange]) -> list[FileVerdict]:
    """The person's corrections in files that were looked at together, in their order."""
    return [_decide_file(change, _neighbours(change, changes)) for change in changes]


def _neighbours(change: FileChange, changes: Sequence[FileChange]) -> int:
    """How many files changed when this one did, itself included."""
    return sum(abs(each.changed_at - change.changed_at) <= AT_ONCE_S for each in changes)


def _decide_file(change: FileChange, at_once: int) -> FileVerdict:
    written = change.written
    if digest_of(change.text) in written.recorded:
        return FileVerdict(written)
    reason = _not_a_persons(change, at_once)
    if reason is not None:
        return FileVerdict(_rebased(change), left_out=(reason,))
    before, after = lines_of(written.text), lines_of(change.text)
    found = [part for hunk in hunks(before, after) for part in _agents_part(hunk, written.owned)]
    kept = [hunk for hunk in found if not _is_formatting(before, after, hunk, loose=_is_code(written.path))]
    edits = [_edit(before, after, hunk) for hunk in merged(kept, GAP_LINES)]
    corrections = [edit for edit in edits if edit.draft.strip() and edit.draft != edit.final]
    fresh = tuple(edit for edit in corrections if digest_of(*edit[:2]) not in written.recorded)
    marks = [digest_of(*edit[:2]) for edit in fresh]
    return FileVerdict(
        _remembering(written, digest_of(change.text), *marks), fresh, ("formatting",) if len(found) > len(kept) else ()
    )


def _not_a_persons(change: FileChange, at_once: int) -> LeftOutReason | None:
    """Why the whole change is left out; None if it may be a person's."""
    if at_once >= FILES_AT_ONCE:
        return "many_files"
    if change.head_moved:
        return "version_control"
    if digest_of(change.text) in change.written.earlier:
        return "reverted"
    return None if _has_common_region(change.written.text, change.text) else "whole_file"


def _rebased(change: FileChange) -> WrittenFile:
    """The file as it is now, after what was no person's change: what comes next is compared with this.

    Lines that were only formatted stay the agent's; what replaced other lines is nobody's.
    """
    written, loose = change.written, _is_code(change.written.path)
    before, after = lines_of(written.text), lines_of(change.text)

    def still_the_agents(hunk: Hunk) -> bool:
        return _touches(hunk, written.owned) and _is_formatting(before, after, hunk, loose=loose)

    owned = _moved(written.owned, hunks(before, after), still_the_agents)
    return replace(written, text=change.text, owned=owned, recorded=())


def _is_code(path: str) -> bool:
    return os.path.splitext(path)[1].lower() not in _PROSE


def _has_common_region(before: str, after: str) -> bool:
    """Whether enough of a text stands in the other for a person to have edited the one into the other."""
    if len(before) <= SHORT_CHARACTERS and len(after) <= SHORT_CHARACTERS:
        old, new, share = _pieces(before), _pieces(after), SHARED_PIECES_MIN
    else:
        old = {line.strip() for line in before.split("\n") if _WORD.search(line)}
        new = {line.strip() for line in after.split("\n") if _WORD.search(line)}
        share = SHARED_LINES_MIN
    return not old or not new or len(old & new) >= share * min(len(old), len(new))


def _pieces(text: str) -> set[str]:
    """Pieces of three characters: words would not do, since not every language puts spaces between them."""
    plain = " ".join(text.lower().split())
    return {plain[at : at + 3] for at in range(len(plain) - 2)}


def _touches(hunk: Hunk, owned: Sequence[bool]) -> bool:
    """Whether a hunk changes the agent's lines, or adds lines between two of them or at an end of its text."""
    if hunk.start < hunk.end:
        return any(owned[hunk.start : hunk.end])
    around = owned[max(0, hunk.start - 1) : hunk.start + 1]
    return bool(around) and all(around)


def _agents_part(hunk: Hunk, owned: Sequence[bool]) -> list[Hunk]:
    """A hunk that touches the agent's lines; where each line became one, only the agent's."""
    start, end, now_start, now_end = hunk
    if end - start != now_end - now_start:
        return [hunk] if _touches(hunk, owned) else []
    lines = [Hunk(at, at + 1, at - start + now_start, at - start + now_start + 1) for at in range(start, end)]
    return merged([line for line in lines if owned[line.start]], 0)


def _is_formatting(before: list[str], after: list[str], hunk: Hunk, *, loose: bool) -> bool:
    """Whether both sides are the same but for white space and, in code, kinds of quotes and separators at an end."""
    old, new = "\n".join(before[hunk.start : hunk.end]), "\n".join(after[hunk.now_start : hunk.now_end])
    if not loose:
        return "".join(old.split()) == "".join(new.split())
    return _LOOSE.sub("", old.replace("'", '"')) == _LOOSE.sub("", new.replace("'", '"'))


def _edit(before: list[str], after: list[str], hunk: Hunk) -> Edit:
    """The texts of a hunk. Lines that were only added are shown between their neighbours."""
    start, end, now_start, now_end = hunk
    if start == end:
        head, tail = int(start > 0), int(end < len(before))
        start, end, now_start, now_end = start - head, end + tail, now_start - head, now_end + tail
    return Edit("\n".join(before[start:end]), "\n".join(after[now_start:now_end]))


def _remembering(written: WrittenFile, *digests: str) -> WrittenFile:
    fresh = [each for each in digests if each not in written.recorded]
    return replace(written, recorded=(*written.recorded, *fresh)[-RECORDED_MAX:])


# ------------------------------------------------------------------------ what the agent wrote, after its tool


def after_write(
    written: WrittenFile, before: str | None, now: str, write: FileWrite, agents: str | None = None
) -> WrittenFile:
    """The file after a tool of the agent wrote to it; `written.text` is what was known of it, "" if nothing.

    `before`: the file as the tool found it. Where nobody knows, the agent's lines are those of the texts that it put
    in. Of a text that a person changed before accepting it, the lines are the agent's that stand in `agents`, too: the
    file as the agent would have left it. None: nobody knows.
    """
    if agents is not None:
        proposed = after_write(written, before, agents, write._replace(by_person=None))
        owned = _moved(proposed.owned, hunks(lines_of(agents), lines_of(now)), lambda _: False)
        return replace(proposed, text=now, owned=owned)
    lines, owned = lines_of(written.text), written.owned
    if before is not None:
        found = lines_of(before)
        lines, owned = found, _moved(owned, hunks(lines, found), lambda _: False)
    theirs = write.by_person is None
    if before is None and not lines:
        owned = _placed(now, write) if theirs else (False,) * len(lines_of(now))
    else:
        owned = _moved(owned, hunks(lines, lines_of(now)), lambda _: theirs)
    return replace(written, text=now, owned=owned, recorded=())


def with_earlier(written: WrittenFile, before: str | None) -> tuple[str, ...]:
    """What the file held earlier, and `before`: to bring that back (an undo, a rewind, a checkout) is no writing."""
    digests = [*written.earlier, *([] if before is None else [digest_of(before)])]
    return tuple(dict.fromkeys(digests))[-EARLIER_MAX:]


def after_other_tool(written: WrittenFile, now: str, *, agents_own: bool = True) -> WrittenFile:
    """The file after a tool that is no edit, such as a shell, changed it: whose a line is stays as it was.

    `agents_own` False: nobody knows whether it was a tool, so the changed lines are nobody's.
    """
    changed = hunks(lines_of(written.text), lines_of(now))
    owned = _moved(written.owned, changed, lambda hunk: agents_own and _touches(hunk, written.owned))
    return replace(written, text=now, owned=owned, recorded=())


def _moved(owned: Sequence[bool], changed: list[Hunk], theirs: Callable[[Hunk], bool]) -> tuple[bool, ...]:
    """Whose lines they are after a change; `theirs` says of each changed place whether it is the agent's now."""
    moved: list[bool] = []
    at = 0
    for hunk in changed:
        moved += owned[at : hunk.start]
        moved += [theirs(hunk)] * (hunk.now_end - hunk.now_start)
        at = hunk.end
    return (*moved, *owned[at:])


def _placed(now: str, write: FileWrite) -> tuple[bool, ...]:
    """The lines that hold a text which the agent put in."""
    count = len(lines_of(now))
    if write.content is not None:
        return (True,) * count
    owned = [False] * count
    for edit in write.edits:
        at = now.find(edit.final) if edit.final else -1
        while at >= 0:
            first = now.count("\n", 0, at)
            last = first + edit.final.rstrip("\n").count("\n")
            owned[first : last + 1] = [True] * (last + 1 - first)
            at = now.find(edit.final, at + len(edit.final)) if edit.everywhere else -1
    return tuple(owned[:count])


def applied(before: str, write: FileWrite) -> str | None:
    """The file that a call leaves, from the file that it found; None if that cannot be told."""
    if write.content is not None:
        return write.content
    return _replaced(before, write.edits)


def undone(now: str, write: FileWrite) -> str | None:
    """The file that a call found, from the file that it left; None if that cannot be told."""
    if not write.edits or write.content is not None:
        return None
    return _replaced(now, tuple(Edit(each.final, each.draft, each.everywhere) for each in reversed(write.edits)))


def _replaced(text: str, edits: Sequence[Edit]) -> str | None:
    for draft, final, everywhere in edits:
        if not draft or (text.count(draft) != 1 and not (everywhere and draft in text)):
            return None
        text = text.replace(draft, final)
    return text if edits else None


def regions(draft: str, final: str) -> tuple[Edit, ...]:
    """What a person changed in a text that the agent proposed: both texts, or their hunks if they are long."""
    if draft == final or not draft.strip():
        return ()
    if max(len(draft), len(final)) <= SHORT_CHARACTERS:
        return (Edit(draft, final),)
    before, after = lines_of(draft), lines_of(final)
    edits = [_edit(before, after, hunk) for hunk in merged(hunks(before, after), GAP_LINES)]
    return tuple(each for each in edits if each.draft.strip() and each.draft != each.final)
