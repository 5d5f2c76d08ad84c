"""Follow what a host says: keep what its agent writes, find what a person made of it, and record that.

Before a tool, at a prompt, at the end of a turn and when a host tells of a changed file, the agent's files are
compared with what the agent left in them. What changed, and not by a tool, is a person's. After a tool that writes,
what it left is kept. While a tool runs whose writes nobody can foretell (a shell), nothing is decided about files that
it may change. Partners: `person_edits` decides, `written_files` keeps, `recording` appends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gradata.config import brain_dir
from gradata.config.settings import Settings
from gradata.hooks import written_files
from gradata.hooks.file_text import FileText, comparable, head_moved_at, mark_of, read_text, true_path
from gradata.hooks.host_call import CallNotUnderstood, CapturedEdit, Edit, FileWrite, HostCall, SourceKind
from gradata.hooks.person_edits import (
    AT_ONCE_S,
    FileChange,
    FileVerdict,
    WrittenFile,
    after_other_tool,
    after_write,
    applied,
    decide,
    digest_of,
    regions,
    undone,
    with_earlier,
)
from gradata.hooks.sensitive_files import holds_private_key, is_sensitive
from gradata.hooks.written_files import KeptState, RunningCall, WrittenFilesError

EDITS_MAX = 100
SAME_S = 2.0
"""The same call told twice within this long is one: some hosts run hooks under an old and a new name."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What a call came to: the ids of the events it made, any trouble, and by reason how often something was ever left
    out of what this agent's files became."""

    event_ids: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    trouble: str | None = None


def capture(settings: Settings, agent: str, call: HostCall | CallNotUnderstood) -> Captured:
    """Act on one call of a hook. Raises what `Brain.correct` raises."""
    brain = brain_dir.find(settings.brain_dir)
    if isinstance(call, HostCall) and call.moment == "other":
        return Captured()
    wanted = isinstance(call, HostCall) and (call.writes or call.moment == "begin")
    if not wanted and written_files.is_empty(settings.home, brain.path):
        return Captured()
    try:
        with written_files.locked(settings.home, brain.path) as kept:
            following = _Following(settings, agent, kept)
            following.follow(call)
            return Captured(_record(brain, kept, following.found), dict(kept.left_out.get(agent, {})))
    except (WrittenFilesError, OSError) as error:
        if not isinstance(call, HostCall) or (call.moment == "after_tool" and call.may_write):
            written_files.abandon(settings.home, brain.path)
        if not isinstance(error, WrittenFilesError):
            raise
        return Captured(trouble=f"{error}; {error.hint}")


def _record(brain: brain_dir.Directory, kept: KeptState, found: Sequence[CapturedEdit]) -> tuple[str, ...]:
    """Append what was found, and what a process that died left: each line is durable in `kept` before it is in the log,
    and leaves it after, so that none is lost. Appending is idempotent, so that none is there twice."""
    if not found and not kept.pending:
        return ()
    from gradata.hooks import recording  # analysis and redaction, which most calls do not need

    made = list(recording.lines_for(brain, found))
    lines = [*(line.encode() for line in kept.pending), *made]
    kept.pending = [line.decode() for line in lines]
    kept.save(durable=True)
    event_ids = recording.append(brain.log, lines)
    kept.pending = []
    kept.save(durable=True)
    return tuple(event_ids[len(lines) - len(made) :])


class _Following:
    """One call of a hook, under the lock: `found` is what is to be recorded."""

    def __init__(self, settings: Settings, agent: str, kept: KeptState) -> None:
        self._settings = settings
        self._agent = agent
        self._kept = kept
        self._now = time.time()
        self.found: list[CapturedEdit] = []

    def follow(self, call: HostCall | CallNotUnderstood) -> None:
        """Act on it."""
        self._kept.make_room(self._now)
        for running in self._kept.expired(self._now):
            self._ended(running)
        if isinstance(call, CallNotUnderstood):
            self._taken_for_a_tools(list(self._kept.files), counted=True)
            return
        match call.moment:
            case "before_tool":
                self._look()
                began = self._begun(call)
                if began.writes or (call.may_write and not call.writes):
                    self._kept.begin(began)
            case "after_tool":
                self._after_tool(call)
            case "turn":
                self._end_calls(call)
                self._look()
            case "begin" | "look":
                self._look()
            case "other":
                pass

    # ------------------------------------------------------------ what a person did

    def _look(self, without: Sequence[str] = ()) -> None:
        """Compare the agent's files with what they hold now."""
        running = self._kept.running()
        changes, marks = [], {}
        for path in [path for path in self._kept.files if path not in without]:
            mark = mark_of(path)
            if mark is not None and mark == self._kept.mark(path):
                continue
            if any(self._may_change(each, path) for each in running if not each.writes):
                continue
            written, held = self._kept.file(path), None if mark is None else read_text(path)
            if written is None or held is None or holds_private_key(held.text):
                self._kept.forget(path)  # moved, removed, or no text to keep any more
            elif held.text == written.text:
                self._kept.keep(written, held.mark, self._now)
            elif not any(_is_being_written(each, path, held.text) for each in running):
                changes.append(_change(written, held, self._kept.files[path].at))
                marks[path] = held.mark
        for verdict in decide(changes):
            self._take(verdict)
            self._kept.keep(verdict.written, marks[verdict.written.path], self._now)

    def _take(self, verdict: FileVerdict) -> None:
        written = verdict.written
        for edit in verdict.corrections:
            self._add(CapturedEdit(edit, "user_edit", written.agent, written.tool, written.file, written.session))
        for reason in verdict.left_out:
            self._kept.count(written.agent, reason)

    # ------------------------------------------------------------ what a tool did

    def _begun(self, call: HostCall) -> RunningCall:
        """The call, with what its files hold before it."""
        writes = []
        for write in call.writes:
            path = self._place(write, call)
            if path is not None:
                held = read_text(path)
                if _holds_key(write, held):
                    continue
                before = held.text if held is not None else None if os.path.lexists(path) else ""
                content = None if write.content is None else comparable(path, write.content)
                writes.append((write._replace(path=path, content=content), before))
        return RunningCall(_key(call), call.session, call.tool or "", call.cwd, self._now, tuple(writes))

    def _after_tool(self, call: HostCall) -> None:
        key = _key(call)
        said_before = 0 <= self._now - self._kept.followed.get(key, -SAME_S) < SAME_S
        running = self._kept.end(key, self._now)
        if not call.writes:
            if call.may_write:
                ran = RunningCall(key, call.session, call.tool or "", call.cwd, self._now)
                self._taken_for_a_tools([p for p in self._kept.files if self._may_change(ran, p)], counted=False)
            self._look()
            return
        if said_before:
            return
        began = {} if running is None else {write.path: (write, before) for write, before in running.writes}
        paths = []
        for write in call.writes:
            path = self._place(write, call)
            if path is None:
                continue
            paths.append(path)
            proposed, before = began.get(path, (None, None))
            if call.outcome == "done" and not write.removed:
                self._wrote(call, _with_persons_part(call, write, proposed)._replace(path=path), before, proposed)
            elif call.outcome == "failed":
                self._taken_for_a_tools([path], counted=False)
            else:
                self._kept.forget(path)
        self._look(without=paths)

    def _wrote(self, call: HostCall, write: FileWrite, seen_before: str | None, proposed: FileWrite | None) -> None:
        """A tool of the agent wrote this file; `proposed`: what it was about to write before it ran."""
        held = read_text(write.path)
        if _holds_key(write, held):
            self._kept.forget(write.path)
            return
        if write.by_person is not None:
            self._found(call, write, [*regions(*write.by_person[:2])], "user_edit")
        elif self._settings.capture == "all":
            self._found(call, write, _agents_edits(write, seen_before), "agent_edit")
        if held is None:
            self._kept.forget(write.path)
            return
        before = None if write.before is None else comparable(write.path, write.before)
        known = self._kept.file(write.path)
        if before is None:
            before = seen_before if seen_before is not None else undone(held.text, write)
        if known is not None and before is not None and before not in (known.text, seen_before):
            (verdict,) = decide([FileChange(known, before, self._now)])
            self._take(verdict)
            known = verdict.written
        known = known or WrittenFile(write.path, "", ())
        known = replace(
            known,
            earlier=with_earlier(known, before),
            agent=self._agent,
            tool=call.tool or "",
            session=call.session,
            file=_short(write.path, call.cwd),
        )
        agents = None if write.by_person is None else _agents_file(write, before, proposed)
        self._kept.keep(after_write(known, before, held.text, write, agents), held.mark, self._now)

    def _found(self, call: HostCall, write: FileWrite, edits: Sequence[Edit], kind: SourceKind) -> None:
        file = _short(write.path, call.cwd)
        for edit in edits:
            self._add(CapturedEdit(edit, kind, self._agent, call.tool or "", file, call.session))

    def _add(self, captured: CapturedEdit) -> None:
        from gradata.hooks import recording

        if len(self.found) < EDITS_MAX and recording.fits(captured.edit):
            self.found.append(captured)
        else:
            self._kept.count(captured.agent, "too_large")

    def _taken_for_a_tools(self, paths: Sequence[str], *, counted: bool) -> None:
        """What changed in these files is a tool's, or may be."""
        for path in paths:
            mark = mark_of(path)
            if mark is not None and mark == self._kept.mark(path):
                continue
            written, held = self._kept.file(path), None if mark is None else read_text(path)
            if written is None or held is None:
                self._kept.forget(path)
            elif held.text != written.text:
                if counted:
                    self._kept.count(written.agent, "unclear")
                after = after_other_tool(written, held.text, agents_own=not counted)
                self._kept.keep(after, held.mark, self._now)

    def _end_calls(self, call: HostCall) -> None:
        """A turn is over, and with it each call of its session."""
        for running in self._kept.running():
            if running.session == call.session:
                self._kept.end(running.key, self._now)
                self._ended(running)

    def _ended(self, running: RunningCall) -> None:
        """A call that nothing followed: it was refused, it failed, or its end is not told of."""
        if not running.writes:
            self._taken_for_a_tools([p for p in self._kept.files if self._may_change(running, p)], counted=True)
        for write, before in running.writes:
            held = read_text(write.path)
            if held is None or held.text == before:
                continue
            after = None if before is None else applied(before, write)
            if after is None or after == held.text:
                self._taken_for_a_tools([write.path], counted=after is None)

    def _may_change(self, running: RunningCall, path: str) -> bool:
        """Whether a tool whose writes are not known may change a file: one of its session, or below its directory."""
        return self._kept.files[path].session == running.session or path.startswith(_base_of(running.cwd))

    def _place(self, write: FileWrite, call: HostCall) -> str | None:
        """The file's true path; None for what is never captured: secrets, our own files, a path that cannot be told."""
        if not os.path.isabs(write.path) and not call.cwd:
            return None
        path = true_path(os.path.join(call.cwd or "", write.path))
        if path is None or is_sensitive(write.path) or is_sensitive(path):
            return None
        ours = (self._settings.brain_dir, os.path.join(self._settings.home, ".gradata"))
        return None if any(path.startswith(_base_of(own)) for own in ours) else path


def _change(written: WrittenFile, held: FileText, seen_at: float) -> FileChange:
    """The change, and whether HEAD moved with it since the file was seen last."""
    changed_at = held.mark.mtime_ns / 1e9
    moved_at = head_moved_at(written.path) or 0.0
    return FileChange(written, held.text, changed_at, moved_at > seen_at and abs(moved_at - changed_at) <= AT_ONCE_S)


def _is_being_written(running: RunningCall, path: str, text: str) -> bool:
    """Whether a running edit of this file may have made this text."""
    for write, before in running.writes:
        if write.path == path:
            after = None if before is None else applied(before, write)
            if after is None or after == text:
                return True
    return False


def _with_persons_part(call: HostCall, write: FileWrite, proposed: FileWrite | None) -> FileWrite:
    """A call that a person changed before accepting it: the agent's text is that of the call before the tool ran."""
    if not call.accepted_with_changes or write.by_person is not None:
        return write
    draft, final = ("" if proposed is None else _put_in(proposed)), _put_in(write)
    return write._replace(by_person=Edit(draft, final))


def _holds_key(write: FileWrite, held: FileText | None) -> bool:
    """Whether a private key stands in the file, or in what the host says of it."""
    edits = [*write.edits, *([] if write.by_person is None else [write.by_person])]
    texts = [write.content, write.before, None if held is None else held.text, *(text for e in edits for text in e[:2])]
    return any(text is not None and holds_private_key(text) for text in texts)


def _agents_file(write: FileWrite, before: str | None, proposed: FileWrite | None) -> str | None:
    """The file as the agent would have left it, had no person changed its call; None if that cannot be told."""
    if write.content is not None and not write.edits and write.by_person is not None:
        return write.by_person.draft
    return None if proposed is None or before is None else applied(before, proposed)


def _put_in(write: FileWrite) -> str:
    """What a call puts into its file."""
    return write.content if write.content is not None else "\n".join(edit.final for edit in write.edits)


def _agents_edits(write: FileWrite, seen_before: str | None) -> list[Edit]:
    """The agent's own edits, where it replaced a text by another."""
    before = write.before if write.before is not None else seen_before
    whole = [] if before is None or write.content is None else [Edit(before, write.content)]
    return [edit for edit in write.edits or whole if edit.draft.strip() and edit.draft != edit.final]


def _key(call: HostCall) -> str:
    """The name of a tool call, by the host's name for it, else by what it writes."""
    return digest_of(repr((call.session, call.call or (call.tool, call.writes))))


def _short(path: str, cwd: str | None) -> str:
    """A file's path below where the agent works, else its name alone: no path of the machine leaves it."""
    base = _base_of(cwd)
    return path[len(base) :] if base and path.startswith(base) else os.path.basename(path)


def _base_of(directory: str | None) -> str:
    """What the paths below a directory begin with; "" if there is no such directory."""
    path = true_path(directory) if directory else None
    return "" if path is None else os.path.join(path, "")
