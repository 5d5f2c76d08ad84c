"""Around every hook: what was asked for, stdin, the record that it ran, and an exit code that never fails the host.

`quick` is the way in for hosts: it understands the one form that `gradata install` writes, without argparse; all else
goes through `gradata.cli.hook`. Both end in `run`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gradata.agents import fired
from gradata.config.settings import Settings
from gradata.hints import hint_of
from replicator.errors import ReplicatorError

KINDS = ("capture", "recall", "session-close", "mcp")


class Asked(NamedTuple):
    """Which hook, for whom. `tell`: say on stdout what was done, for a person who tries it."""

    kind: str
    agent: str
    brain: str | None
    tell: bool = False


def quick(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int | None:
    """Run `KIND --entry gradata:AGENT:BRAIN`; None if it is anything else."""
    if len(arguments) != 3 or arguments[0] not in KINDS or arguments[1] != "--entry":
        return None
    named = entry_of(arguments[2])
    return None if named is None else run(Asked(arguments[0], *named), environ)


def entry_of(text: str) -> tuple[str, str] | None:
    """Agent and brain of an entry's id; None if it is none."""
    mark, _, rest = text.partition(":")
    agent, _, brain = rest.partition(":")
    return (agent, brain) if mark == "gradata" and agent and brain else None


def run(asked: Asked, environ: Mapping[str, str] = os.environ) -> int:
    """Run one hook. Always 0: a hook that fails would stop, or worry, whoever runs the agent."""
    try:
        settings = Settings.resolve(asked.brain, environ=environ)
        if asked.kind == "mcp":
            from gradata.hooks import mcp

            return mcp.serve(settings, asked.agent, environ)
        raw = b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read(_stdin_bytes())
        return _run(asked, settings, raw, environ)
    except Exception as error:  # noqa: BLE001  the host's last line of defence: told on stderr, which hosts show to people at most
        print(f"gradata: the {asked.kind} hook failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 0


def _stdin_bytes() -> int:
    from gradata.hooks.reading import BYTES_MAX

    return BYTES_MAX + 1


def _run(asked: Asked, settings: Settings, raw: bytes, environ: Mapping[str, str]) -> int:
    home = settings.home
    entry = f"gradata:{asked.agent}:{settings.brain_dir}"
    known = fired.last(home, entry, asked.kind)
    said: dict[str, Any] = {"trouble": None}
    try:
        said |= _HOOKS[asked.kind](asked, settings, raw, known, environ)
    except (ReplicatorError, ValueError, OSError) as error:
        hint = f"; {hint_of(error)}" if isinstance(error, ReplicatorError) and error.hint else ""
        said["trouble"] = f"{error}{hint}"
    output = said.pop("output", None)
    fired.note(home, entry, asked.kind, **{name: value for name, value in said.items() if name != "event_ids"})
    if asked.tell:
        output = {
            "agent": asked.agent,
            "brain": settings.brain_dir,
            "hook": asked.kind,
            "output": output,
            **_shown(said),
        }
    if output is not None:
        sys.stdout.write(json.dumps(output) + "\n")
        sys.stdout.flush()
    return 0


def _shown(said: Mapping[str, Any]) -> dict[str, Any]:
    names = ("event_ids", "skipped", "unknown", "replication", "trouble")
    return {name: said.get(name) for name in names}


def _capture(
    asked: Asked, settings: Settings, raw: bytes, known: Mapping[str, Any], _: Mapping[str, str]
) -> dict[str, Any]:
    from gradata.hooks import reading

    told = reading.read(raw)
    if isinstance(told, reading.Skipped):
        return {"skipped": told.why, "unknown": None}
    if isinstance(told, reading.Unknown):
        count = known.get("unknown_forms", 0)
        times = count + 1 if isinstance(count, int) else 1
        return {"unknown": told.why, "shape": list(told.shape), "unknown_forms": times, "skipped": None}
    from gradata.hooks import capture

    same, remembered = capture.told_before(told, known)
    if same:
        return {"skipped": "the host said it twice", **remembered}
    ids = capture.record(settings, asked.agent, told)
    return {"event_ids": ids, "skipped": None, "unknown": None, **remembered, **capture.replicate(settings, known)}


def _recall(
    asked: Asked, settings: Settings, raw: bytes, known: Mapping[str, Any], _: Mapping[str, str]
) -> dict[str, Any]:
    from gradata.hooks import reading, recall

    session, event = reading.session_of(raw)
    text, newest = recall.context(settings.brain_dir)
    remembered = [session, newest]
    if not text or (session is not None and known.get("recalled") == remembered):
        return {"skipped": "nothing new to tell"}
    return {"output": recall.answer(asked.agent, event, text), "recalled": remembered, "skipped": None}


def _session_close(
    asked: Asked, settings: Settings, raw: bytes, known: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, Any]:
    from gradata.hooks import session_close

    del asked
    command = known.get("graduation")
    trouble = session_close.graduate(command, raw, environ) if isinstance(command, str) else None
    return {**session_close.replicate(settings), "trouble": trouble}


_HOOKS = {"capture": _capture, "recall": _recall, "session-close": _session_close}
