"""What a home's agents have of gradata: plain facts for `doctor`. Reads files, changes none, raises nothing.

For each host that is on this machine: whether our hooks are all there, whether the host runs them as far as its files
show, and when they last ran, recorded and recalled. Older entries that sync, capture twice or never run are facts too,
and so is what could not be read: silence must never look like health.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gradata.agents import editing, fired, install_record
from gradata.agents.catalog import AGENTS
from gradata.agents.command import entry_id
from gradata.agents.files import read_text
from gradata.agents.known import entries
from gradata.agents.model import Agent, AgentFile, AgentPlace, AgentTrust, Entry, UnsureError

NOT_KNOWN = AgentTrust("unknown")


@dataclass(frozen=True, slots=True)
class OldFact:
    """An entry of an older version. `sync`: it syncs with the cloud. `ignored`: its host never runs it.

    `stays`: installing leaves it there, since it neither syncs nor records edits. `words` say what and where,
    `command` what to do.
    """

    agent: str
    file: str
    event: str
    brain: str | None
    sync: bool
    ignored: bool
    words: str
    command: str
    stays: bool = False


@dataclass(frozen=True, slots=True)
class AgentFact:
    """One host on this machine, for one brain. Times in seconds since the epoch; None: never, or not known.

    `missing`: events that have no entry of ours, with their file. `never_fired`: which of our hooks (`capture`,
    `recall`, `mcp`) the host has not run since they were installed. `trouble`: what a hook could not do when it ran
    last. `unknown_forms`: how often the host's words were not understood. `left_out`: by reason, how many changes of
    the agent's files were not taken for a person's. `command` writes the entries anew.
    """

    agent: str
    title: str
    brain: str
    files: tuple[str, ...]
    installed: Literal["yes", "partly", "no"]
    missing: tuple[str, ...] = ()
    trust: AgentTrust = NOT_KNOWN
    installed_at: float | None = None
    last_fired_at: float | None = None
    last_capture_at: float | None = None
    last_recall_at: float | None = None
    never_fired: tuple[str, ...] = ()
    trouble: str | None = None
    unknown_forms: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that could not be looked at, and why."""

    agent: str
    file: str
    why: str


@dataclass(frozen=True, slots=True)
class AgentsFound:
    """What was found: entries of older versions, and one fact per agent."""

    old: tuple[OldFact, ...] = ()
    agents: tuple[AgentFact, ...] = ()
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True, slots=True)
class _Looked:
    """One file and what stands in it."""

    place: AgentPlace
    file: AgentFile
    tree: Any
    entries: tuple[Entry, ...]


def findings(home: str, brain: str | None = None, *, environ: Mapping[str, str] | None = None) -> AgentsFound:
    """The facts of every agent below `home`; with `brain` (absolute), entries of other brains are left out.

    Homes that `environ` moves are looked at beside the usual ones, and those that were named when installing. An older
    entry that names no brain is everybody's. Takes some milliseconds; a YAML file of normal size 20 ms.
    """
    old: list[OldFact] = []
    facts: list[AgentFact] = []
    unread: list[Unread] = []
    for agent in AGENTS.values():
        held: list[_Looked] = []
        for each in _look(agent, home, environ or {}, brain):
            if isinstance(each, _Looked):
                held.append(each)
            else:
                unread.append(each)
        old += [fact for looked in held for fact in _old(agent, looked, brain)]
        brains = [brain] if brain is not None else _brains(held)
        facts += [_fact(home, agent, name, held) for name in brains if held]
    return AgentsFound(tuple(old), tuple(facts), tuple(unread))


def _look(agent: Agent, home: str, environ: Mapping[str, str], brain: str | None) -> Iterator[_Looked | Unread]:
    """The files of a host, wherever it has a home. Nothing where the host is not on this machine."""
    seen: set[str] = set()
    for place in install_record.places(home, agent, environ):
        if not os.path.isdir(agent.folder(place)):
            continue
        for file in agent.files(place, brain):
            if file.path in seen:
                continue
            seen.add(file.path)
            try:
                text = read_text(file.path)
                tree = editing.read(file, text).tree if text is not None and "gradata" in text else {}
            except (UnsureError, OSError) as error:
                yield Unread(agent.name, file.path, str(error))
                continue
            yield _Looked(place, file, tree, tuple(entries(agent, tree)))


def _brains(held: Iterable[_Looked]) -> list[str]:
    found = {entry.brain for each in held for entry in each.entries if entry.ours and entry.brain is not None}
    return sorted(found)


def _old(agent: Agent, looked: _Looked, brain: str | None) -> Iterator[OldFact]:
    for entry in looked.entries:
        stops = looked.file.keep_clear and entry.path[0] == "hooks"
        if brain is not None and entry.brain not in (None, brain) and not stops:
            continue
        if entry.ours and not stops:
            continue
        if not (stops or entry.sync or entry.captures or entry.ignored):
            continue  # what else an older version wrote does its work beside ours
        command = f"run: gradata install --agent {agent.name} --brain {entry.brain or brain or 'DIR'}"
        why = "syncs with the cloud" if entry.sync else "records what ours records too"
        if entry.ignored:
            why = f"{agent.title} does not know this event and never runs it"
            command = command if entry.sync or entry.captures else f"take it out of {looked.file.path}"
        if stops:
            why = f"{agent.title} does not know this key, and some versions do not start with it"
        yield OldFact(
            agent.name, looked.file.path, entry.event, entry.brain, entry.sync, entry.ignored,
            f"{entry.what} in {looked.file.path} {why}", command,
            stays=not (stops or entry.sync or entry.captures),
        )  # fmt: skip


def _fact(home: str, agent: Agent, brain: str, looked: list[_Looked]) -> AgentFact:
    written = [each for each in looked if each.file.hooks]
    homes = {agent.folder(each.place) for each in written if any(_is_mine(entry, brain) for entry in each.entries)}
    if homes:  # another home of the host, where nothing was installed, is not half an installation
        written = [each for each in written if agent.folder(each.place) in homes]
    missing: list[str] = []
    trust = NOT_KNOWN
    present = 0
    for each in written:
        mine = [entry for entry in each.entries if _is_mine(entry, brain)]
        present += len(mine)
        missing += _missing(each.file, mine)
        if mine and agent.trust is not None:
            said = agent.trust(each.place, each.file, each.tree, mine)
            trust = said if trust.state in ("unknown", "trusted") else trust
    entry = entry_id(agent.name, brain)
    said_of = {kind: fired.last(home, entry, kind) for kind in ("capture", "recall", "mcp")}
    troubles = [said.get("trouble") for said in said_of.values()]
    unknown = [said.get("unknown_forms", 0) for said in said_of.values()]
    return AgentFact(
        agent=agent.name,
        title=agent.title,
        brain=brain,
        files=tuple(each.file.path for each in written),
        installed="no" if not present else "partly" if missing else "yes",
        missing=tuple(missing),
        trust=trust,
        installed_at=_latest(said_of.values(), "installed_at"),
        last_fired_at=_latest(said_of.values(), "fired_at"),
        last_capture_at=_latest(said_of.values(), "captured_at"),
        last_recall_at=_latest(said_of.values(), "recalled_at"),
        trouble=next((trouble for trouble in troubles if isinstance(trouble, str)), None),
        never_fired=tuple(k for k, said in said_of.items() if "installed_at" in said and "fired_at" not in said),
        unknown_forms=sum(count for count in unknown if isinstance(count, int)),
        left_out=fired.left_out(home, entry),
        command=f"gradata install --agent {agent.name} --brain {brain}",
    )


def _is_mine(entry: Entry, brain: str) -> bool:
    return entry.ours and entry.brain == brain


def _missing(file: AgentFile, mine: list[Entry]) -> list[str]:
    """The entries that a release of today writes and that are not there."""
    there = {(entry.kind, editing.place_of(entry)) for entry in mine}
    kinds = {entry.kind for entry in mine}
    return [
        f"{hook.place[-1]} in {file.path}"
        for hook in file.hooks
        if ((hook.kind, hook.place) not in there if hook.in_list else hook.kind not in kinds)
    ]


def _latest(records: Iterable[Mapping[str, Any]], name: str) -> float | None:
    values = [said.get(name) for said in records]
    times = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return max(times, default=None)
