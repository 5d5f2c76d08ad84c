"""Read an `apply_patch` text: which files it writes, and which texts become which.

Pure. The form is that of Codex (recorded) and of Hermes' V4A patches (by its documents): sections that begin with
`*** Update File:`, `*** Add File:` or `*** Delete File:`, the first with hunks after `@@` whose lines begin with a
space, `-` or `+`.
"""

from __future__ import annotations

from gradata.hooks.host_call import Edit, FileWrite

BEGIN = "*** Begin Patch"
_UPDATE, _ADD, _DELETE, _MOVE = "*** Update File: ", "*** Add File: ", "*** Delete File: ", "*** Move to: "


def writes(patch: str) -> tuple[FileWrite, ...]:
    """The files of a patch, in its order; none if it is no patch. A moved file is removed and written elsewhere."""
    if BEGIN not in patch:
        return ()
    found: list[FileWrite] = []
    lines = patch.split("\n")
    starts = [n for n, line in enumerate(lines) if line.startswith((_UPDATE, _ADD, _DELETE))]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        found.extend(_section(lines[start].rstrip("\r"), lines[start + 1 : end]))
    return tuple(found)


def _section(head: str, body: list[str]) -> list[FileWrite]:
    if head.startswith(_DELETE):
        return [FileWrite(head.removeprefix(_DELETE), removed=True)]
    if head.startswith(_ADD):
        added = [line[1:] for line in body if line.startswith("+")]
        return [FileWrite(head.removeprefix(_ADD), content="".join(f"{line}\n" for line in added))]
    path = head.removeprefix(_UPDATE)
    moved = next((line.removeprefix(_MOVE).rstrip("\r") for line in body if line.startswith(_MOVE)), None)
    edits = tuple(_hunks(body))
    if moved is not None:
        return [FileWrite(path, removed=True), FileWrite(moved, edits)]
    return [FileWrite(path, edits)]


def _hunks(body: list[str]) -> list[Edit]:
    """Context and `-` lines are the draft, context and `+` lines the final."""
    found: list[Edit] = []
    draft: list[str] = []
    final: list[str] = []
    for line in [*body, "@@"]:
        if line.startswith(("@@", "***")):
            if draft != final:
                found.append(Edit("\n".join(draft), "\n".join(final)))
            draft, final = [], []
        elif line.startswith("-"):
            draft.append(line[1:])
        elif line.startswith("+"):
            final.append(line[1:])
        elif line.startswith(" "):
            draft.append(line[1:])
            final.append(line[1:])
    return found
