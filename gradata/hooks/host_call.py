"""One call of a hook in the words of this project, whichever host made it: frozen values, no I/O.

The readers in `payloads` make these of a host's JSON; `capture` acts on them. What a reader cannot make one of is a
`CallNotUnderstood`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

HookMoment = Literal["before_tool", "after_tool", "turn", "begin", "look", "other"]
"""`turn`: a prompt or the end of a turn, when no tool of the session runs. `begin`: a session begins, or its context
is emptied. `look`: a file may have changed."""
ToolOutcome = Literal["done", "failed", "staged"]
"""`staged`: the host holds the write back for review, so the file is not written yet."""

SourceKind = Literal["user_edit", "agent_edit"]


class Edit(NamedTuple):
    """One text that became another. `everywhere`: each occurrence of it in the file did."""

    draft: str
    final: str
    everywhere: bool = False


class CapturedEdit(NamedTuple):
    """An edit to record, and where it comes from. `file` is a path below the agent's working directory, or a name."""

    edit: Edit
    source_kind: SourceKind
    agent: str
    tool: str
    file: str | None
    session: str | None


class FileWrite(NamedTuple):
    """What one call writes to one file; `path` as the host said it.

    `edits`: the texts that it replaces. `content`: the whole file as the call leaves it. `before`: the whole file as
    the host found it. None: the host does not say. `by_person`: the agent's text and what a person made of it before
    accepting the call, where the host says both.
    """

    path: str
    edits: tuple[Edit, ...] = ()
    content: str | None = None
    before: str | None = None
    by_person: Edit | None = None
    removed: bool = False


class HostCall(NamedTuple):
    """One call of a hook. `event` is the host's own word; `call` names the tool call, the same before and after it.

    `may_write`: the tool may change files, `writes` says which where the host does. `accepted_with_changes`: a person
    changed the call's text before accepting it, and the agent's own text was in the call before the tool ran.
    """

    moment: HookMoment
    event: str
    session: str | None = None
    cwd: str | None = None
    tool: str | None = None
    call: str | None = None
    may_write: bool = False
    writes: tuple[FileWrite, ...] = ()
    outcome: ToolOutcome = "done"
    accepted_with_changes: bool = False


class CallNotUnderstood(NamedTuple):
    """Stdin that should be understood and is not. `shape`: names of keys, no values."""

    why: str
    event: str = ""
    shape: tuple[str, ...] = ()
