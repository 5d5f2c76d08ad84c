"""One reader of stdin for each host, by what that host was seen to say, or by its documents where a module says so.

Pure. A reader knows the events and tools of its host by their exact names. A tool that it does not know may change
files; an edit whose texts it does not find is not understood.
"""

from __future__ import annotations

import json
from importlib import import_module
from types import ModuleType

from gradata.hooks.host_call import CallNotUnderstood, HostCall
from replicator.errors import ConfigurationError

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
    """What the host said on stdin. ConfigurationError if there is no such host."""
    if agent not in _HOSTS:
        raise ConfigurationError(f"there is no host {agent[:40]!r}", hint=f"--agent is one of {', '.join(_HOSTS)}")
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
    reader: ModuleType = import_module(f"{__name__}.{_HOSTS[agent]}")  # a hook is for one host: no other is imported
    call: HostCall | CallNotUnderstood = reader.FIELDS.read(said)
    if isinstance(call, HostCall) and call.moment in ("before_tool", "after_tool"):
        call = reader.read_tool(call, said)
    return call
