"""What a home's agents have of gradata: plain facts for `doctor`. Reads files, changes none, raises nothing.

Older cloud-sync entries that are still there; entries under names that the host ignores; our hooks, and when each
last ran. What could not be read is a fact too: silence must never look like health.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from gradata.agents import editing, fired
from gradata.agents.hosts import AGENTS, entry_id
from gradata.agents.known import entries
from gradata.agents.model import Agent, Kind, UnsureError

FILE_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class OldFact:
    """An entry of an older version. `sync`: it syncs with the cloud. `ignored`: its host never runs it.

    `words` say what and where, `command` what to run.
    """

    agent: str
    file: str
    event: str
    brain: str | None
    sync: bool
    ignored: bool
    words: str
    command: str


@dataclass(frozen=True, slots=True)
class HookFact:
    """One of our entries. Times in seconds since the epoch; `last_fired_at` None: it never ran since it was installed.

    `trouble`: what it could not do when it ran last, in words; None: nothing. `unknown_forms`: how often the host's
    words were not understood. `command` writes the entries anew.
    """

    agent: str
    file: str
    event: str
    kind: Kind
    brain: str
    installed_at: float | None
    last_fired_at: float | None
    trouble: str | None
    unknown_forms: int
    command: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that could not be looked at, and why."""

    agent: str
    file: str
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """All of it."""

    old: tuple[OldFact, ...] = ()
    hooks: tuple[HookFact, ...] = ()
    unread: tuple[Unread, ...] = ()


def findings(home: str, brain: str | None = None) -> Found:
    """The facts of every agent below `home`; with `brain` (absolute), entries of other brains are left out.

    An older entry that names no brain is everybody's. Takes some milliseconds; a YAML file of normal size 20 ms.
    """
    old: list[OldFact] = []
    hooks: list[HookFact] = []
    unread: list[Unread] = []
    for agent in AGENTS.values():
        file = os.path.join(home, *agent.file)
        try:
            text = read_text(file)
            if text is None or "gradata" not in text:
                continue
            tree = editing.read(agent, text, file).tree
        except (UnsureError, OSError) as error:
            unread.append(Unread(agent.name, file, str(error)))
            continue
        for entry in entries(agent, tree):
            if brain is not None and entry.brain not in (None, brain):
                continue
            command = f"gradata install --agent {agent.name} --brain {entry.brain or brain or 'DIR'}"
            if entry.ours and entry.kind is not None and entry.brain is not None:
                hooks.append(_hook(home, agent, file, entry.event, entry.kind, entry.brain))
            elif not entry.ours:
                why = "syncs with the cloud" if entry.sync else "is of an older version"
                if entry.ignored:
                    why = f"{agent.title} does not know this event and never runs it"
                old.append(
                    OldFact(
                        agent.name, file, entry.event, entry.brain, entry.sync, entry.ignored,
                        f"{entry.what} in {file} {why}", command,
                    )
                )  # fmt: skip
    return Found(tuple(old), tuple(hooks), tuple(unread))


def read_text(file: str) -> str | None:
    """The file's text; None if there is none. UnsureError for what is no text; OSError as it comes."""
    try:
        with open(file, "rb") as opened:
            held = opened.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    if len(held) > FILE_BYTES_MAX:
        raise UnsureError(f"{file} is larger than {FILE_BYTES_MAX:,} bytes", hint="add the entry yourself")
    try:
        return held.decode("utf-8")
    except UnicodeDecodeError as error:
        line = held.count(b"\n", 0, error.start) + 1
        raise UnsureError(f"{file}, line {line}: it is no UTF-8 text", hint="mend it") from error


def _hook(home: str, agent: Agent, file: str, event: str, kind: Kind, brain: str) -> HookFact:
    said = fired.last(home, entry_id(agent.name, brain), kind)
    unknown, trouble = said.get("unknown_forms", 0), said.get("trouble")
    return HookFact(
        agent=agent.name,
        file=file,
        event=event,
        kind=kind,
        brain=brain,
        installed_at=_seconds(said.get("installed_at")),
        last_fired_at=_seconds(said.get("fired_at")),
        trouble=trouble if isinstance(trouble, str) else None,
        unknown_forms=unknown if isinstance(unknown, int) else 0,
        command=f"gradata install --agent {agent.name} --brain {brain}",
    )


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
