"""OpenCode: a plugin file below ~/.config/opencode. Seen with 1.2.4, 1.15.13, 1.17.0, 1.18.3 and 1.18.33.

There are no hooks in its configuration: an unknown key ends the start of versions up to 1.18.3, so none is ever
written there, and what an older version left is taken out. XDG_CONFIG_HOME and OPENCODE_CONFIG_DIR move the folder,
OPENCODE_CONFIG names one more configuration.
"""

from __future__ import annotations

import hashlib
import os

from gradata.agents.model import Agent, AgentFile, AgentPlace, Hook

_NAMES = ("config.json", "opencode.json", "opencode.jsonc")
_HOOKS = (Hook("recall", ("plugin",), {}), Hook("capture", ("plugin",), {}))
_CLOSE = Hook("session-close", ("plugin",), {})
PLUGINS_MAX = 100


def _folder(place: AgentPlace) -> str:
    base = place.environ.get("XDG_CONFIG_HOME")
    default = os.path.join(base, "opencode") if base else os.path.join(place.home, ".config", "opencode")
    return os.path.abspath(place.own or default)


def _files(place: AgentPlace, brain: str | None) -> tuple[AgentFile, ...]:
    """The plugin of `brain` (None: those of all brains), and the configurations that must hold nothing of ours."""
    folder = _folder(place)
    plugins = os.path.join(folder, "plugins")
    names = _ours(plugins) if brain is None else [f"gradata-{hashlib.sha256(brain.encode()).hexdigest()[:8]}.js"]
    written = [AgentFile(os.path.join(plugins, name), "plugin", _HOOKS, _CLOSE) for name in names]
    folders = dict.fromkeys([folder, *filter(None, [place.environ.get("OPENCODE_CONFIG_DIR")])])
    configs = [os.path.join(each, name) for each in folders for name in _NAMES]
    if place.own is None and place.environ.get("OPENCODE_CONFIG"):
        configs.append(os.path.abspath(place.environ["OPENCODE_CONFIG"]))
    return (*written, *(AgentFile(path, "json", keep_clear=True) for path in dict.fromkeys(configs)))


def _ours(plugins: str) -> list[str]:
    try:
        names = sorted(os.listdir(plugins))
    except OSError:
        return []
    return [name for name in names if name.startswith("gradata-") and name.endswith(".js")][:PLUGINS_MAX]


OPENCODE = Agent(
    "opencode",
    "OpenCode",
    _folder,
    (".config", "opencode"),
    _files,
    session_end=("sessionEnd",),
    unknown_events=("preTool", "postTool", "sessionEnd"),
    consent="OpenCode fetches its own plugin package at its first start with any plugin: that start needs the network",
)
