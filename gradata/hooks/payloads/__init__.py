"""One reader of stdin for each host, by what that host was seen to say, or by its documents where a module says so.

Pure. A reader knows the events and tools of its host by their exact names. A tool that it does not know may change
files; an edit whose texts it does not find is not understood.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from gradata.hooks.host_call import CallNotUnderstood, HostCall

BYTES_MAX = 16 * 1024 * 1024

_HOSTS = {
    "claude-code": "claude",
    "codex": "codex",
    "cursor": "cursor",
    "gemini": "gemini",
    "hermes": "hermes",
    "opencode": "opencode",
}


def read(agent: str, raw: bytes) -> HostCall | CallNotUnderstood:
    """What the host said on stdin."""
    if agent not in _HOSTS:
        return CallNotUnderstood(f"there is no reader for {agent[:40]!r}: name the host with --agent")
    if not raw.strip():
        return CallNotUnderstood("nothing on stdin")
    if len(raw) > BYTES_MAX:
        return CallNotUnderstood(f"more than {BYTES_MAX:,} bytes on stdin")
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        return CallNotUnderstood("stdin is no JSON")
    if not isinstance(said, dict):
        return CallNotUnderstood("stdin is no JSON object")
    return _reader(agent)(said)


def _reader(agent: str) -> Callable[[Mapping[str, Any]], HostCall | CallNotUnderstood]:
    """A hook is for one host: the other readers are not imported."""
    from importlib import import_module

    read_host: Callable[[Mapping[str, Any]], HostCall | CallNotUnderstood]
    read_host = import_module(f"{__name__}.{_HOSTS[agent]}").read
    return read_host
