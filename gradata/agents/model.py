"""What is said about an agent's configuration files and their entries: frozen values, no I/O.

An *entry* is one hook (or server) in such a file. A *path* leads to it from the root: keys and indexes. What an edit
had to make around it, or found empty there, is its `Made`: with it, taking the entry out gives the bytes of before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from replicator.errors import ReplicatorError

Format = Literal["json", "yaml", "toml", "plugin"]
EntryKind = Literal["capture", "recall", "session-close", "mcp"]
PathKey = str | int
Path = tuple[PathKey, ...]
Made = Mapping[str, str | None]
"""What stood at a place before us, by its name (`name_of`); None: nothing was there. `ROOT`: the whole file."""
ROOT = "<file>"


class UnsureError(ReplicatorError):
    """The file cannot be changed with certainty, so it is left as it is. The message names file and line."""


@dataclass(frozen=True, slots=True)
class Hook:
    """An entry that we write: where (the keys of its list, or of itself where `item` is a mapping's value), and how.

    `item` holds COMMAND where the command line goes, and PROGRAM and ARGUMENTS where its parts go alone.
    """

    kind: EntryKind
    place: tuple[str, ...]
    item: Mapping[str, Any]
    in_list: bool = True


@dataclass(frozen=True, slots=True)
class AgentFile:
    """One file of a host. `hooks` are written into it; without any it is only cleared of older entries.

    `blank`: what a file that we begin holds besides our entries, as text. `keep_clear`: the host refuses entries in
    this file, so those of every brain are taken out.
    """

    path: str
    format: Format
    hooks: tuple[Hook, ...] = ()
    session_close: Hook | None = None
    blank: str = ""
    keep_clear: bool = False


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """Where a host is looked for: the user's home, the environment, and `own`, the host's own folder if it was named.

    A named folder wins over the environment's variables, and those over the home.
    """

    home: str
    environ: Mapping[str, str] = field(default_factory=dict)
    own: str | None = None

    def folder(self, variable: str | None, *default: str) -> str:
        """The host's own folder: the one that was named, the variable's, or `default` below the home."""
        if self.own is not None:
            return os.path.abspath(self.own)
        said = self.environ.get(variable, "") if variable is not None else ""
        if said:
            return os.path.abspath(self.home + said[1:] if said == "~" or said.startswith("~/") else said)
        return os.path.join(self.home, *default)


@dataclass(frozen=True, slots=True)
class AgentTrust:
    """Whether the host will run our entries, as far as its files show it. `why` and `cure` for `doctor`."""

    state: Literal["trusted", "untrusted", "off", "unknown"]
    why: str = ""
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """One host: how its files are found, what it calls the end of a session, and what must be said to its user.

    `folder` is the host's own: without it the host is not on this machine. `files` looks at the disk. `default` is
    where the folder is if nothing moves it. `trust` is asked with a file that has entries of ours.
    """

    name: str
    title: str
    folder: Callable[[AgentPlace], str]
    default: tuple[str, ...]
    files: Callable[[AgentPlace, str | None], tuple[AgentFile, ...]]
    session_end: tuple[str, ...] = ()
    """Events at the end of a session: an older version's entry there is a cloud-sync entry."""
    unknown_events: tuple[str, ...] = ()
    """Events that older versions wrote and the host silently ignores."""
    consent: str = ""
    """What a person must do before the host runs a new entry."""
    trust: Callable[[AgentPlace, AgentFile, Any, Sequence[Entry]], AgentTrust] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One of gradata's entries, as found. `ours`: written by this version.

    Of older versions' entries, `sync`: it syncs with the cloud; `captures`: it records what ours records too;
    `ignored`: its host never runs it.
    """

    path: Path
    event: str
    command: str
    ours: bool
    sync: bool
    brain: str | None = None
    kind: EntryKind | None = None
    ignored: bool = False
    captures: bool = False

    @property
    def what(self) -> str:
        """For people: `hooks.Stop: python -m …`."""
        keys = [key for key in self.path if isinstance(key, str)]
        return f"{name_of(tuple(keys[:-1] if keys[2:] == ['hooks'] else keys))}: {self.command}"


@dataclass(frozen=True, slots=True)
class Edited:
    """A file after an edit. `text` None: it is to be removed, since only we made it."""

    text: str | None
    made: Made
    added: tuple[str, ...] = ()
    removed: tuple[Entry, ...] = ()
    left: tuple[Entry, ...] = ()
    """Older entries that stay: of other brains, or of this one, where they neither sync nor capture."""
    graduation: Mapping[str, str] | None = None
    """By brain: the older version's command that also graduates lessons, to be run by our session-close."""


def name_of(path: Path) -> str:
    """A path as text: `hooks.PostToolUse`; keys that hold a dot are quoted."""
    return ".".join(json.dumps(key) if isinstance(key, str) and "." in key else str(key) for key in path)


def line_at(text: str, offset: int) -> int:
    """The line that an offset is in, from 1."""
    return text.count("\n", 0, offset) + 1


def newline_of(text: str) -> str:
    """The line end that most lines of the text have."""
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"


def whole(tree: Any, path: Path, made: Made) -> Path:
    """What to take out so that nothing empty is left of an entry: the entry, or the containers that hold it alone.

    A group of hooks with a matcher holds its hooks alone. What was there, empty, before us stays.
    """
    while len(path) > 1 and made.get(name_of(path[:-1])) is None:
        parent = tree
        for key in path[:-1]:
            parent = parent[key]
        others = [value for key, value in parent.items() if key != path[-1]] if isinstance(parent, Mapping) else []
        group = path[-1] == "hooks" and len(path) > 2 and not any(isinstance(v, Mapping | list) for v in others)
        if len(parent) > 1 and not group:
            break
        path = path[:-1]
    return path
