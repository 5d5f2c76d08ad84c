"""Write gradata into agents' files, and take it out again.

All that is decided is pure (`agents.editing`); here files are read, compared, backed up and replaced: whole or not at
all, the mode kept, a symlink followed to the file that it names. A file that changes in between is left alone. What
an edit found is remembered (`install_record`), so that uninstalling gives the bytes of before.
"""

from __future__ import annotations

import difflib
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gradata.agents import editing, files, fired, install_record
from gradata.agents.catalog import AGENTS
from gradata.agents.command import entry_id
from gradata.agents.known import entries, module_in
from gradata.agents.model import Agent, AgentFile, AgentPlace, Edited, Entry, UnsureError

InstallAction = Literal["changed", "unchanged", "absent", "refused"]
KINDS = ("capture", "recall", "session-close", "mcp")
LEFT_SHOWN_MAX = 24
"""More than the SDK's strict profile writes."""


@dataclass(frozen=True, slots=True)
class InstallOutcome:
    """What came of one file of an agent. `absent`: this agent is not on the machine.

    `removed` and `left` name what older versions wrote: taken out, and left as it is. `said`: sentences for people.
    """

    agent: str
    file: str
    action: InstallAction
    diff: str = ""
    backup: str | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """One file as it is, and as it is to be; `write` does it. `outcome` says what is, or would be, done."""

    outcome: InstallOutcome
    agent: Agent
    place: AgentPlace
    file: AgentFile
    brain: str
    before: bytes | None = None
    edited: Edited | None = None
    installing: bool = True


def program() -> list[str]:
    """How a host starts this very installation: the script beside the interpreter, else the module."""
    name = "gradata.exe" if os.name == "nt" else "gradata"
    script = os.path.join(os.path.dirname(os.path.abspath(sys.executable)), name)
    return [script] if os.access(script, os.X_OK) else [os.path.abspath(sys.executable), "-m", "gradata"]


def chosen_agents(name: str) -> list[Agent]:
    """The agents that `--agent` selects: the named one, or every known one for `all`."""
    return list(AGENTS.values()) if name == "all" else [AGENTS[name]]


def plan_install(
    place: AgentPlace, agent: Agent, brain: str, *, argv: Sequence[str], asked: bool, session_close: bool = False
) -> list[InstallPlan]:
    """What installing for `brain` would do, file by file.

    Where the agent was not `asked` for by name and is not there: nothing.
    """
    found = agent.files(place, brain)
    if not asked and not os.path.isdir(agent.folder(place)):
        first = found[0]
        outcome = InstallOutcome(agent.name, first.path, "absent", said=(f"{agent.title} is not here: {first.path}",))
        return [InstallPlan(outcome, agent, place, first, brain)]

    def edit(file: AgentFile, text: str | None) -> Edited:
        return editing.install(
            agent, file, text, brain=brain, program=argv, made=install_record.made_in(place.home, file.path),
            is_gone=_gone(agent, file, text), session_close=session_close,
        )  # fmt: skip

    plans = [_plan(agent, place, file, brain, edit, installing=True) for file in found]
    wanted = [plan for plan in plans if plan.file.hooks or plan.outcome.action != "unchanged"]
    return _with_advice(agent, place, wanted)


def plan_uninstall(place: AgentPlace, agent: Agent, brain: str) -> list[InstallPlan]:
    """What uninstalling for `brain` would do, in every home where the agent was installed."""

    def edit(file: AgentFile, text: str | None) -> Edited:
        if text is None:
            return Edited(None, {})
        made = install_record.made_in(place.home, file.path)
        return editing.uninstall(agent, file, text, brain=brain, made=made)

    plans: dict[str, InstallPlan] = {}
    for each in install_record.places(place.home, agent, place.environ, place.own):
        for file in agent.files(each, brain):
            if file.path not in plans:
                plans[file.path] = _plan(agent, each, file, brain, edit, installing=False)
    changing = [plan for plan in plans.values() if plan.outcome.action != "unchanged"]
    return changing or [next(plan for plan in plans.values() if plan.file.hooks)]


def write(plan: InstallPlan) -> InstallOutcome:
    """Do it. A file that is not what the plan saw any more is left alone (`refused`)."""
    outcome, edited, home = plan.outcome, plan.edited, plan.place.home
    if edited is None or outcome.action in ("absent", "refused"):
        return outcome
    real = os.path.realpath(outcome.file)
    backup: str | None = None
    try:
        if outcome.action == "changed" and files.read_bytes(real) != plan.before:
            raise UnsureError(f"{real} was changed by someone else meanwhile", hint="run it again")
        _remember(plan, edited)
        if outcome.action == "changed":
            only_ours = plan.file.format == "plugin" or edited.text is None
            backup = None if only_ours else files.back_up(real, plan.before)
            files.replace(real, edited.text)
        if plan.installing and plan.file.hooks:
            _note_installed(home, plan, edited)
    except UnsureError as error:
        return _refused(plan.agent, outcome.file, str(error), error.hint)
    except OSError as error:
        return _refused(plan.agent, outcome.file, f"{outcome.file}: {error.strerror}", "check the permissions")
    return replace(outcome, backup=backup)


# ------------------------------------------------------------------------------ plan


def _plan(
    agent: Agent,
    place: AgentPlace,
    file: AgentFile,
    brain: str,
    edit: Callable[[AgentFile, str | None], Edited],
    *,
    installing: bool,
) -> InstallPlan:
    try:
        before = files.read_bytes(os.path.realpath(file.path))
        text = files.read_text(os.path.realpath(file.path))
        edited = edit(file, text)
    except UnsureError as error:
        return InstallPlan(_refused(agent, file.path, str(error), error.hint), agent, place, file, brain)
    except OSError as error:
        why = f"{file.path}: {error.strerror}"
        return InstallPlan(_refused(agent, file.path, why, "check the permissions"), agent, place, file, brain)
    outcome = InstallOutcome(
        agent.name, file.path, "unchanged",
        removed=tuple(entry.what for entry in edited.removed if not entry.ours),
        left=tuple(entry.what for entry in edited.left),
        said=_said(agent, file, edited, brain),
    )  # fmt: skip
    if edited.text != text:
        diff = "".join(
            difflib.unified_diff(
                (text or "").splitlines(keepends=True), (edited.text or "").splitlines(keepends=True),
                file.path if text is not None else os.devnull, file.path if edited.text is not None else os.devnull,
            )
        )  # fmt: skip
        outcome = replace(outcome, action="changed", diff=diff, added=edited.added)
    return InstallPlan(outcome, agent, place, file, brain, before, edited, installing)


def _said(agent: Agent, file: AgentFile, edited: Edited, brain: str) -> tuple[str, ...]:
    said = [_why_removed(agent, file, entry) for entry in edited.removed if not entry.ours or file.keep_clear]
    said += [
        f"graduation goes on: gradata hook session-close runs `{command}` without its cloud-sync part"
        for command in (edited.graduation or {}).values()
    ]
    mine = [entry for entry in edited.left if entry.brain in (None, brain)]
    if mine:
        names = [module_in(entry.command) or entry.what for entry in mine]
        shown = ", ".join(dict.fromkeys(names[:LEFT_SHOWN_MAX]))
        more = f" and {len(names) - LEFT_SHOWN_MAX} more" if len(names) > LEFT_SHOWN_MAX else ""
        said.append(f"left as they are, since they neither sync nor record edits: {shown}{more}")
    if file.keep_clear and edited.text is not None and "hooks" in editing.read(file, edited.text).tree:
        said.append(
            f"`hooks` in {file.path} holds what is not ours: OpenCode up to 1.18.3 does not start with that key"
        )
    never = sorted({entry.event for entry in mine if entry.ignored})
    if never:
        said.append(f"{agent.title} never runs what stands under {', '.join(never)}: take it out yourself")
    others = sorted({entry.brain for entry in edited.left if entry.brain is not None and entry.brain != brain})
    said += [
        f"entries of another brain stay as they are; move it with: gradata install --agent {agent.name} --brain {other}"
        for other in others
    ]
    return tuple(said)


def _why_removed(agent: Agent, file: AgentFile, entry: Entry) -> str:
    if file.keep_clear:
        why = f"{agent.title} does not know this key, and some versions do not start with it"
    elif entry.ignored:
        why = f"{agent.title} does not know this event and never ran it"
    elif entry.sync:
        why = "the replicator sends what it sent"
    else:
        why = "this version's hooks record edits from now on"
    return f"removed the {'cloud-sync ' if entry.sync else ''}entry {entry.what}: {why}"


def _with_advice(agent: Agent, place: AgentPlace, plans: list[InstallPlan]) -> list[InstallPlan]:
    """What a person must know or do, said once for an agent: with the first file that gets something new."""
    advice: list[str] = []
    if agent.consent:
        advice.append(agent.consent)
    usual = os.path.join(place.home, *agent.default)
    if os.path.realpath(usual) != os.path.realpath(agent.folder(place)) and os.path.isdir(usual):
        command = f"gradata install --agent {agent.name} --home {usual}"
        advice.append(f"another home of {agent.title}, {usual}, is left as it is; for that one: {command}")
    for index, plan in enumerate(plans):
        if plan.outcome.added:
            outcome = replace(plan.outcome, said=(*plan.outcome.said, *advice))
            return [*plans[:index], replace(plan, outcome=outcome), *plans[index + 1 :]]
    return plans


def _gone(agent: Agent, file: AgentFile, text: str | None) -> frozenset[str]:
    """Brains that entries name and that do not exist any more: nothing of theirs can be lost."""
    named = {entry.brain for entry in entries(agent, editing.read(file, text).tree) if entry.brain is not None}
    return frozenset(brain for brain in named if not os.path.isdir(brain))


def _refused(agent: Agent, file: str, error: str, hint: str) -> InstallOutcome:
    return InstallOutcome(agent.name, file, "refused", error=error, hint=hint)


# ------------------------------------------------------------------------------ what is remembered


def _remember(plan: InstallPlan, edited: Edited) -> None:
    """Durable before the file is replaced; forgotten once nothing of ours is left in it."""
    home, path = plan.place.home, plan.outcome.file
    if edited.text is None or "gradata:" not in edited.text:
        install_record.forget(home, path)
    elif plan.file.hooks:
        install_record.keep(home, plan.agent, path, edited.made, plan.agent.folder(plan.place))


def _note_installed(home: str, plan: InstallPlan, edited: Edited) -> None:
    """When each hook was installed, so that one that never fires can be told; and what graduates."""
    entry = entry_id(plan.agent.name, plan.brain)
    tree = editing.read(plan.file, edited.text).tree
    present = {each.kind for each in entries(plan.agent, tree) if each.ours and each.brain == plan.brain}
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
