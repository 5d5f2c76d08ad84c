"""What installing remembers of each file: what it found or made there, and which home of which host the file is in.

One file for each in `~/.gradata/agents/` (0600). With it uninstalling gives the bytes of before, and `doctor` finds a
home that a variable or `--home` named when the entries were written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from gradata.agents.files import FILE_BYTES_MAX, fill
from gradata.agents.model import Agent, AgentPlace, Made
from gradata.config.private_directories import make_private

RECORDS_MAX = 1_000


def made_in(home: str, file: str) -> dict[str, str | None]:
    """What the edits before found or made in this file; empty if nothing is known."""
    made = _read(_path(home, file)).get("made")
    return {str(k): v for k, v in made.items() if isinstance(v, str | None)} if isinstance(made, dict) else {}


def keep(home: str, agent: Agent, file: str, made: Made, folder: str) -> None:
    """Remember it, durably. Raises OSError."""
    path = _path(home, file)
    said = {"file": file, "agent": agent.name, "folder": folder, "made": dict(made)}
    if _read(path) == said:
        return
    make_private(os.path.dirname(path))
    draft = f"{path}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    fill(descriptor, json.dumps(said).encode(), 0o600)
    os.replace(draft, path)


def forget(home: str, file: str) -> None:
    """Nothing of ours is left in the file. Raises OSError."""
    path = _path(home, file)
    if os.path.exists(path):
        os.unlink(path)


def places(home: str, agent: Agent, environ: Mapping[str, str], own: str | None = None) -> list[AgentPlace]:
    """Where a host may have a home: as the environment says, as usual, and as remembered. `own` stands alone."""
    if own is not None:
        return [AgentPlace(home, environ, own)]
    found = [AgentPlace(home, environ), AgentPlace(home)]
    found += [AgentPlace(home, {}, folder) for folder in _folders(home, agent.name)]
    return list({agent.folder(place): place for place in reversed(found)}.values())[::-1]


def _folders(home: str, agent: str) -> list[str]:
    directory = os.path.join(home, ".gradata", "agents")
    try:
        names = sorted(os.listdir(directory))[:RECORDS_MAX]
    except OSError:
        return []
    said = [_read(os.path.join(directory, name)) for name in names if name.endswith(".json")]
    return [each["folder"] for each in said if each.get("agent") == agent and isinstance(each.get("folder"), str)]


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as opened:
            said: Any = json.loads(opened.read(FILE_BYTES_MAX))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _path(home: str, file: str) -> str:
    digest = hashlib.sha256(os.path.realpath(file).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return os.path.join(home, ".gradata", "agents", f"{digest}.json")
