"""The text of our OpenCode plugin, and what is read back from it.

OpenCode has no hooks: a key for them in its configuration ends the start of versions up to 1.18.3. A plugin file is
loaded at each start; ours is one file for each brain and hands the host's calls to `gradata hook`. Partners:
`json_text`, `yaml_text`, `toml_text`, which change entries of other people's files.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from importlib import resources
from typing import Any

from gradata.agents.command import TIMEOUT_S, entry_id
from gradata.agents.model import EntryKind, UnsureError

_MARK = "// gradata plugin for OpenCode"
_VALUE = re.compile(r"^const (PROGRAM|ENTRY|KINDS) = (.*)$", re.MULTILINE)


def plugin_text(program: Sequence[str], agent: str, brain: str, kinds: Sequence[EntryKind]) -> str:
    """The whole file for one brain."""
    values = {
        "PROGRAM": [*program],
        "ENTRY": entry_id(agent, brain),
        "KINDS": [*kinds],
        "TIMEOUT_MS": TIMEOUT_S * 1000,
    }
    lines = [f"const {name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    body = resources.files(__package__).joinpath("opencode_plugin.js").read_text(encoding="utf-8")
    return "\n".join([_MARK, *lines, body])


class PluginText:
    """A plugin file of ours, as entries under `plugin`. UnsureError if it is somebody else's file."""

    def __init__(self, text: str, name: str) -> None:
        if text.strip() and not text.startswith(_MARK):
            raise UnsureError(f"{name}, line 1: it is not gradata's plugin", hint="give that file another name")
        self.text = text
        try:
            commands = _commands({key: json.loads(value) for key, value in _VALUE.findall(text)}) if text else []
        except (ValueError, KeyError, TypeError) as error:
            raise UnsureError(f"{name}: what `gradata install` wrote there was changed", hint="remove it") from error
        self.tree: dict[str, Any] = {"plugin": [{"command": command} for command in commands]} if commands else {}


def _commands(said: dict[str, Any]) -> list[str]:
    return [shlex.join([*said["PROGRAM"], "hook", kind, "--entry", said["ENTRY"]]) for kind in said["KINDS"]]
