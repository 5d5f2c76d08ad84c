"""The command line that stands in a host's configuration, and what is read back from it.

The entry's id (`gradata:<agent>:<brain>`) is an argument of the command: hosts drop or refuse keys that they do not
know, but none touches a command. It says whose entry it is, and to the hook itself which host and which brain.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from gradata.agents.model import EntryKind, Hook

COMMAND, PROGRAM, ARGUMENTS = "\0command", "\0program", "\0arguments"
"""Stand in an item for the whole command line, for the program alone, and for its arguments as a list."""
TIMEOUT_S = 10
"""What hosts are told to allow: the hook needs a fraction of a second, a busy machine more."""
SESSION_TIMEOUT_S = 60
"""At the end of a session: graduation took its time with older versions, too."""


def entry_id(agent: str, brain: str) -> str:
    """Whose an entry is: `gradata:<agent>:<absolute brain path>`."""
    return f"gradata:{agent}:{brain}"


def arguments(program: Sequence[str], kind: EntryKind, agent: str, brain: str) -> list[str]:
    """What is run: the program, then `hook KIND --entry ID`."""
    return [*program, "hook", kind, "--entry", entry_id(agent, brain)]


def filled(hook: Hook, program: Sequence[str], agent: str, brain: str) -> Any:
    """The item as it is written, for one brain."""
    argv = arguments(program, hook.kind, agent, brain)
    values = {COMMAND: shlex.join(argv), PROGRAM: argv[0], ARGUMENTS: argv[1:]}

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return values.get(value, value)
        if isinstance(value, Mapping):
            return {name: fill(each) for name, each in value.items()}
        return [fill(each) for each in value] if isinstance(value, list | tuple) else value

    return fill(hook.item)


def handlers(timeout: int, matcher: str | None = None, **more: Any) -> Mapping[str, Any]:
    """The group that Claude Code, Codex and Gemini share: `{matcher?, hooks: [{type, command, timeout}]}`.

    `timeout` is in the host's own unit; `more` stands in the handler before `type`.
    """
    handler = {**more, "type": "command", "command": COMMAND, "timeout": timeout}
    return {"hooks": [handler]} if matcher is None else {"matcher": matcher, "hooks": [handler]}


_KIND = re.compile(r"\bhook\s+(capture|recall|session-close|mcp)\b")


def kind_in(command: str) -> EntryKind | None:
    """Which of our hooks a command runs."""
    found = _KIND.search(command)
    return found.group(1) if found else None  # type: ignore[return-value]
