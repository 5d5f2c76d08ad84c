"""When each installed hook last ran, and what it could not use: a small file of its own, without any texts.

A hook that never fires looks exactly like one with nothing to do, unless its running is written down. One file an
entry (`~/.gradata/hooks/<hash>.json`, 0600), replaced whole: hooks of one agent may run at the same time, and the last
one wins. Nothing here may fail a hook: what cannot be written is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import time
from typing import Any

from gradata.config.private_directories import make_private, writable_by_others

BYTES_MAX = 64 * 1024


def directory_of(home: str) -> str:
    """Where the records are."""
    return os.path.join(home, ".gradata", "hooks")


def path_of(home: str, entry: str, kind: str) -> str:
    """The record of one entry's hook."""
    digest = hashlib.sha256(f"{kind} {entry}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return os.path.join(directory_of(home), f"{digest}.json")


def last(home: str, entry: str, kind: str) -> dict[str, Any]:
    """What was written down; empty if nothing was, or it cannot be read."""
    try:
        descriptor = os.open(path_of(home, entry, kind), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            said = json.loads(file.read(BYTES_MAX))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def why_not_believed(home: str, entry: str, kind: str) -> str | None:
    """Why a command that the record names is not run: somebody else may have written it. None: nobody may have."""
    other = writable_by_others(home, path_of(home, entry, kind))
    return None if other is None else f"{other} can be written by others; run: chmod go-w {shlex.quote(other)}"


def note(home: str, entry: str, kind: str, **facts: Any) -> bool:
    """Write down that it ran now, with these facts; what was known and is not named stays. False if it cannot be."""
    known = last(home, entry, kind)
    said = {**known, "entry": entry, "kind": kind, "fired_at": time.time(), "count": _count(known) + 1, **facts}
    return write(home, entry, kind, said)


def write(home: str, entry: str, kind: str, said: dict[str, Any]) -> bool:
    """Replace the record; False if that cannot be. Never raises OSError."""
    path = path_of(home, entry, kind)
    draft = f"{path}.{os.getpid()}"
    try:
        make_private(os.path.dirname(path))
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            os.write(descriptor, json.dumps(said).encode())
        finally:
            os.close(descriptor)
        os.replace(draft, path)
    except OSError:
        return False  # a full or read-only home must not fail the host
    return True


def left_out(home: str, entry: str) -> dict[str, int]:
    """How many changes of the agent's files were not taken for a person's, by reason, since its first hook ran.

    The reasons: `many_files`, `version_control`, `reverted`, `whole_file`, `formatting`, `too_large`, and `unclear`: a
    tool may have made the change.
    """
    newest = max((last(home, entry, kind) for kind in ("capture", "recall")), key=lambda said: said.get("fired_at", 0))
    counts = newest.get("left_out")
    return {str(k): v for k, v in counts.items() if isinstance(v, int)} if isinstance(counts, dict) else {}


def _count(known: dict[str, Any]) -> int:
    count = known.get("count", 0)
    return count if isinstance(count, int) else 0
