"""Recognise gradata's entries in a configuration: this version's, and those of every older one.

Pure: takes the parsed tree, returns entries. Recognised by id, module or command; an entry that names no brain
belongs to whichever brain asks. Nothing that is not gradata's is ever returned.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from gradata.agents.command import kind_in
from gradata.agents.model import Agent, Entry, Path

SDK_ALONE = (
    "only the SDK has graduation of lessons and rules, search, export, its MCP server and its daemon; to keep them, "
    "leave it installed beside this program: docs/migrating.md"
)
"""Said wherever entries of the SDK are replaced, so that nobody misses them later."""

DEPTH_MAX = 40

_GRADATA = re.compile(
    r"\bgradata\.(?:hooks|mcp\w*|cloud|daemon|sync|cli)\b|\bgradata:[a-z-]+:|-m\s+gradata\b"
    r"|(?:^|[\s/\\'\"])gradata(?:\.exe)?['\"]?\s+(?:hook|replicate|sync|push|mcp|cloud|daemon|session)"
)
_SYNC = re.compile(
    r"\bgradata\.hooks\.session_close\b|\bgradata\.(?:cloud|sync)\b"
    r"|gradata(?:\.exe)?['\"]?\s+(?:sync|push|cloud|session)\b|cloud[_-]sync"
)
_MODULE = re.compile(r"\bgradata\.hooks\.(\w+)")
_CAPTURING = frozenset({"auto_correct", "claude_code"})
"""Those of the SDK's hook modules (0.6.0 has 20) that record an edit as a correction; `session_close` is what syncs."""
_OURS = re.compile(r"--entry['\",\s=]+gradata:")
_ID = re.compile(r"gradata:([a-z-]+):(.+)")
_SUFFIX = re.compile(r":[A-Za-z_]+:[A-Za-z_][\w.]*$")
_BRAIN_OPTIONS = ("--brain", "--brain-dir", "--brain_dir")
_BRAIN_NAMES = ("BRAIN_DIR", "GRADATA_BRAIN_DIR", "GRADATA_BRAIN", *_BRAIN_OPTIONS)


def entries(agent: Agent, tree: Any) -> list[Entry]:
    """All of gradata's entries in a file's tree, in the file's order."""
    return list(_walk(agent, tree, (), DEPTH_MAX)) if isinstance(tree, Mapping) else []


def module_in(command: str) -> str | None:
    """Which of the SDK's hook modules a command runs: `secret_scan` of `gradata.hooks.secret_scan`."""
    found = _MODULE.search(command)
    return found.group(1) if found else None


def _walk(agent: Agent, node: Any, path: Path, depth: int) -> Iterator[Entry]:
    if depth == 0:
        return
    if isinstance(node, Mapping):
        if (found := _entry(agent, node, path)) is not None:
            yield found
            return
        for key, value in node.items():
            yield from _walk(agent, value, (*path, str(key)), depth - 1)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            if isinstance(value, str):  # a list of bare commands
                yield from filter(None, [_entry(agent, {"command": value}, (*path, index))])
            else:
                yield from _walk(agent, value, (*path, index), depth - 1)


def _entry(agent: Agent, node: Mapping[Any, Any], path: Path) -> Entry | None:
    """One entry: a mapping that says what to run. A group of several hooks is none itself."""
    if len(path) < 2 or not ({"command", "args", "id", "url"} & set(node)):
        return None
    said = " ".join(_words(node))
    event = next((str(key) for key in path[1:] if isinstance(key, str)), "")
    named = path[0] == "mcpServers" and str(path[-1]).startswith("gradata")
    if not (_GRADATA.search(said) or named) or "hooks" in node:
        return None
    ours = _OURS.search(said) is not None
    module = module_in(said)
    sync = _SYNC.search(said) is not None or (module is None and event in agent.session_end)
    captures = module in _CAPTURING or named
    command = " ".join(_words({"command": node.get("command", ""), "args": node.get("args", [])})) or said
    return Entry(
        path, event, command, ours, sync and not ours, _brain(node), kind_in(command) if ours else None,
        ignored=event in agent.unknown_events, captures=captures and not ours,
    )  # fmt: skip


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            if isinstance(each, str) and str(name).isupper():  # an environment: `BRAIN_DIR` and its value
                yield f"{name}={each}"
            else:
                yield from _words(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _words(each)


def _brain(node: Mapping[Any, Any]) -> str | None:
    """The brain's path, from the id or the command; None if neither names one."""
    tokens = [token for word in _words(node) for token in _tokens(word)]
    for index, token in enumerate(tokens):
        if found := _ID.match(token.removeprefix("--entry=")):
            return os.path.normpath(_SUFFIX.sub("", found.group(2)))
        name, equals, value = token.partition("=")
        if equals and value and name in _BRAIN_NAMES:
            return os.path.normpath(value)
        if token in _BRAIN_OPTIONS and index + 1 < len(tokens):
            return os.path.normpath(tokens[index + 1])
    return None


def _tokens(word: str) -> list[str]:
    """A command's words; a text that no shell would take as it is."""
    try:
        return [word] if word.startswith("gradata:") else shlex.split(word)
    except ValueError:
        return word.split()
