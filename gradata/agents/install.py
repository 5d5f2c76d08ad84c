"""Write gradata into agents' configuration files, and take it out again.

All that is decided is pure (`agents.editing`); here files are read, compared, backed up and replaced: whole or not at
all, the mode kept, a symlink followed to the file that it names. A file that changes in between is left alone. What
an edit found is kept in `~/.gradata/agents/`, so that uninstalling gives the bytes of before.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gradata.agents import editing, fired
from gradata.agents.found import FILE_BYTES_MAX, read_text
from gradata.agents.hosts import AGENTS, entry_id
from gradata.agents.known import entries
from gradata.agents.model import Agent, Edited, UnsureError

Action = Literal["changed", "unchanged", "absent", "refused"]
KINDS = ("capture", "recall", "session-close", "mcp")
BACKUPS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one agent's file. `absent`: this agent is not on the machine. `said`: sentences for people."""

    agent: str
    file: str
    action: Action
    diff: str = ""
    backup: str | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One agent's file as it is, and as it is to be; `write` does it. `outcome` says what is, or would be, done."""

    outcome: Outcome
    agent: Agent
    brain: str
    before: bytes | None = None
    edited: Edited | None = None
    installing: bool = True
    fresh: bool = field(default=False)


def program() -> list[str]:
    """How a host starts this very installation: the script beside the interpreter, else the module."""
    name = "gradata.exe" if os.name == "nt" else "gradata"
    script = os.path.join(os.path.dirname(os.path.abspath(sys.executable)), name)
    return [script] if os.access(script, os.X_OK) else [os.path.abspath(sys.executable), "-m", "gradata"]


def plan_install(
    home: str, agent: Agent, brain: str, *, argv: Sequence[str], asked: bool, session_close: bool = False
) -> Plan:
    """What installing for `brain` would do. Where the agent was not `asked` for by name and is not there: nothing."""
    file = os.path.join(home, *agent.file)

    def edit(text: str | None) -> Edited:
        return editing.install(
            agent, text, brain=brain, program=argv, name=file, made=_made(home, file),
            is_gone=_gone(agent, text, file), session_close=session_close,
        )  # fmt: skip

    if not asked and not os.path.isdir(os.path.dirname(file)):
        return Plan(Outcome(agent.name, file, "absent", said=(f"{agent.title} is not here: {file}",)), agent, brain)
    return _plan(agent, brain, file, edit, installing=True)


def plan_uninstall(home: str, agent: Agent, brain: str) -> Plan:
    """What uninstalling for `brain` would do."""
    file = os.path.join(home, *agent.file)

    def edit(text: str | None) -> Edited:
        if text is None:
            return Edited(None, {})
        return editing.uninstall(agent, text, brain=brain, name=file, made=_made(home, file))

    return _plan(agent, brain, file, edit, installing=False)


def write(home: str, plan: Plan) -> Outcome:
    """Do it. A file that is not what the plan saw any more is left alone (`refused`)."""
    outcome, edited = plan.outcome, plan.edited
    if edited is None or outcome.action in ("absent", "refused"):
        return outcome
    real = os.path.realpath(outcome.file)
    backup: str | None = None
    try:
        if outcome.action == "changed":
            if _bytes(real) != plan.before:
                raise UnsureError(f"{real} was changed by someone else meanwhile", hint="run it again")
            _keep_made(home, outcome.file, edited)
            backup = _back_up(real, plan.before)
            _replace(real, edited.text)
        if plan.installing:
            _note_installed(home, plan, edited)
    except UnsureError as error:
        return _refused(plan.agent, outcome.file, str(error), error.hint)
    except OSError as error:
        return _refused(plan.agent, outcome.file, f"{outcome.file}: {error.strerror}", "check the permissions")
    return Outcome(
        outcome.agent, outcome.file, outcome.action, outcome.diff, backup, outcome.added, outcome.removed, outcome.said
    )


# ------------------------------------------------------------------------------ plan


def _plan(agent: Agent, brain: str, file: str, edit: Callable[[str | None], Edited], *, installing: bool) -> Plan:
    try:
        before = _bytes(os.path.realpath(file))
        text = read_text(os.path.realpath(file))
        edited = edit(text)
    except UnsureError as error:
        return Plan(_refused(agent, file, str(error), error.hint), agent, brain)
    except OSError as error:
        return Plan(_refused(agent, file, f"{file}: {error.strerror}", "check the permissions"), agent, brain)
    said = _said(agent, edited, brain)
    if edited.text == text:
        return Plan(Outcome(agent.name, file, "unchanged", said=said), agent, brain, before, edited, installing)
    diff = "".join(
        difflib.unified_diff(
            (text or "").splitlines(keepends=True), (edited.text or "").splitlines(keepends=True),
            file if text is not None else os.devnull, file if edited.text is not None else os.devnull,
        )
    )  # fmt: skip
    removed = tuple(entry.what for entry in edited.removed)
    outcome = Outcome(agent.name, file, "changed", diff, None, edited.added, removed, said)
    return Plan(outcome, agent, brain, before, edited, installing)


def _said(agent: Agent, edited: Edited, brain: str) -> tuple[str, ...]:
    said = [
        f"removed the cloud-sync entry {entry.what}: the replicator sends what it sent"
        for entry in edited.removed
        if entry.sync
    ]
    said += [
        f"removed {entry.what}: {agent.title} does not know this event and never ran it"
        for entry in edited.removed
        if entry.ignored and not entry.sync
    ]
    said += [
        f"graduation goes on: gradata hook session-close runs `{command}` without its cloud-sync part"
        for command in (edited.graduation or {}).values()
    ]
    others = sorted({entry.brain for entry in edited.left if entry.brain is not None and entry.brain != brain})
    said += [
        f"entries of another brain stay as they are; move it with: gradata install --agent {agent.name} --brain {other}"
        for other in others
    ]
    if agent.name == "hermes" and edited.added:
        said.append(
            "Hermes asks for consent in a terminal before it runs a new hook: run hermes there once"
            " (a gateway without terminal never runs what nobody allowed)"
        )
    if any(entry.kind is None and not entry.sync and not entry.ours for entry in edited.removed):
        said.append("removed what an older version injected and captured: this version's hooks do it from now on")
    return tuple(said)


def _gone(agent: Agent, text: str | None, name: str) -> frozenset[str]:
    """Brains that entries name and that do not exist any more: nothing of theirs can be lost."""
    named = {entry.brain for entry in entries(agent, editing.read(agent, text, name).tree) if entry.brain is not None}
    return frozenset(brain for brain in named if not os.path.isdir(brain))


def _refused(agent: Agent, file: str, error: str, hint: str) -> Outcome:
    return Outcome(agent.name, file, "refused", error=error, hint=hint)


# ------------------------------------------------------------------------------ files


def _bytes(path: str) -> bytes | None:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnsureError(f"{path} is no regular file", hint="look at it yourself")
        with open(path, "rb") as file:
            return file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None


def _back_up(real: str, before: bytes | None) -> str | None:
    """A copy beside the file, with its mode; None if there was no file."""
    if before is None:
        return None
    mode = stat.S_IMODE(os.stat(real).st_mode)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for number in range(BACKUPS_MAX):
        path = f"{real}.before-gradata-{stamp}{f'-{number}' if number else ''}"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        _fill(descriptor, before, mode)
        return path
    raise UnsureError(f"{real} has more than {BACKUPS_MAX} backups of this second", hint="remove some")


def _replace(real: str, text: str | None) -> None:
    """The file's new content, durable, whole or not at all; None removes it."""
    folder = os.path.dirname(real)
    if text is None:
        os.unlink(real)
        return
    os.makedirs(folder, mode=0o700, exist_ok=True)
    try:
        there = os.stat(real)
    except FileNotFoundError:
        there = None
    if there is not None and not os.access(real, os.W_OK):
        raise UnsureError(f"{real} is read-only", hint="make it writable, or add the entry yourself")
    draft = f"{real}.gradata-{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if there is not None and hasattr(os, "fchown") and (there.st_uid, there.st_gid) != (os.getuid(), os.getgid()):
            os.fchown(descriptor, there.st_uid, there.st_gid)
        _fill(descriptor, text.encode(), 0o600 if there is None else stat.S_IMODE(there.st_mode))
        os.replace(draft, real)
    except OSError:
        if os.path.exists(draft):
            os.unlink(draft)
        raise
    _sync_directory(folder)


def _fill(descriptor: int, content: bytes, mode: int) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if hasattr(os, "fchmod"):
            os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _sync_directory(folder: str) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------------------ what is remembered


def _record(home: str, file: str) -> str:
    digest = hashlib.sha256(os.path.realpath(file).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return os.path.join(home, ".gradata", "agents", f"{digest}.json")


def _made(home: str, file: str) -> dict[str, str | None]:
    """What the edits before found or made in this file; empty if nothing is known."""
    try:
        with open(_record(home, file), "rb") as opened:
            said: Any = json.loads(opened.read(FILE_BYTES_MAX))
    except (OSError, ValueError):
        return {}
    made = said.get("made") if isinstance(said, dict) else None
    return (
        {str(key): value for key, value in made.items() if isinstance(value, str | None)}
        if isinstance(made, dict)
        else {}
    )


def _keep_made(home: str, file: str, edited: Edited) -> None:
    """Durable before the file is replaced; forgotten once nothing of ours is left in it."""
    path = _record(home, file)
    empty = edited.text is None or "gradata:" not in edited.text
    if empty:
        if os.path.exists(path):
            os.unlink(path)
        return
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    draft = f"{path}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    _fill(descriptor, json.dumps({"file": file, "made": dict(edited.made)}).encode(), 0o600)
    os.replace(draft, path)


def _note_installed(home: str, plan: Plan, edited: Edited) -> None:
    """When each hook was installed, so that one that never fires can be told; and what graduates."""
    entry = entry_id(plan.agent.name, plan.brain)
    present = {each.kind for each in _ours(plan, edited)}
    for kind in KINDS:
        if kind not in present:
            continue
        known = fired.last(home, entry, kind)
        said = {"entry": entry, "kind": kind, "installed_at": time.time(), **known}
        command = (edited.graduation or {}).get(plan.brain)
        if kind == "session-close" and command is not None:
            said["graduation"] = command
        if said != known:
            fired.write(home, entry, kind, said)


def _ours(plan: Plan, edited: Edited) -> list[Any]:
    tree = editing.read(plan.agent, edited.text, plan.outcome.file).tree
    return [entry for entry in entries(plan.agent, tree) if entry.ours and entry.brain == plan.brain]


def chosen_agents(name: str) -> list[Agent]:
    """The agents of `--agent`: one, or all."""
    return list(AGENTS.values()) if name == "all" else [AGENTS[name]]
