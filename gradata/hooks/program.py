"""Around every hook: what was asked for, stdin, the record that it ran, and an exit code that never fails the host.

`quick` is the way in for hosts: it understands the one form that `gradata install` writes, without argparse; all else
goes through `gradata.cli.hook`. Both end in `run`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gradata.agents import fired
from gradata.config.settings import Settings
from gradata.hints import hint_of
from replicator.errors import ReplicatorError

if TYPE_CHECKING:
    from gradata.hooks.host_call import CallNotUnderstood, HostCall

KINDS = ("capture", "recall", "session-close", "mcp")
REPLICATION = "replication"
"""The record of what could not be sent yet, beside those of the hooks."""
SESSIONS_MAX = 20
FORMS_MAX = 20
NAME_CHARACTERS_MAX = 128
"""What is remembered of a host's names for its events and sessions."""


class HookRequest(NamedTuple):
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
    return None if named is None else run(HookRequest(arguments[0], *named), environ)


def entry_of(text: str) -> tuple[str, str] | None:
    """Agent and brain of an entry's id; None if it is none."""
    mark, _, rest = text.partition(":")
    agent, _, brain = rest.partition(":")
    return (agent, brain) if mark == "gradata" and agent and brain else None


def run(asked: HookRequest, environ: Mapping[str, str] = os.environ) -> int:
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
    from gradata.hooks.payloads import BYTES_MAX

    return BYTES_MAX + 1


def _run(asked: HookRequest, settings: Settings, raw: bytes, environ: Mapping[str, str]) -> int:
    home = settings.home
    entry = f"gradata:{asked.agent}:{settings.brain_dir}"
    known = fired.last(home, entry, asked.kind)
    said: dict[str, Any] = {"trouble": None}
    try:
        said |= _HOOKS[asked.kind](asked, settings, raw, known, environ)
    except (ReplicatorError, ValueError, OSError) as error:
        hint = f"; {hint_of(error)}" if isinstance(error, ReplicatorError) and error.hint else ""
        said["trouble"] = f"{error}{hint}"
    output, begins = said.pop("output", None), said.pop("begins", False)
    noted = fired.note(home, entry, asked.kind, **{name: value for name, value in said.items() if name != "event_ids"})
    if begins and not noted and said["trouble"] is not None:  # nobody else will tell, and this is once a session
        print(f"gradata: {said['trouble']}", file=sys.stderr)
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
    asked: HookRequest, settings: Settings, raw: bytes, known: Mapping[str, Any], _: Mapping[str, str]
) -> dict[str, Any]:
    from gradata.hooks import payloads

    return _follow(asked, settings, payloads.read(asked.agent, raw), known)


def _follow(
    asked: HookRequest, settings: Settings, call: HostCall | CallNotUnderstood, known: Mapping[str, Any]
) -> dict[str, Any]:
    """Act on a call; what to remember of it."""
    from gradata.hooks import capture

    done = capture.capture(settings, asked.agent, call)
    said = {**_forms(call, known), "trouble": done.trouble}
    if done.left_out:
        said["left_out"] = done.left_out
    if done.event_ids:
        said |= {"event_ids": list(done.event_ids), "captured_at": time.time(), "skipped": None}
    else:
        said["skipped"] = None if said["unknown"] else "no person's edit of what the agent wrote was found"
    return said | _replicate(asked, settings, recorded=bool(done.event_ids))


def _replicate(asked: HookRequest, settings: Settings, *, recorded: bool) -> dict[str, Any]:
    """Send what was recorded now, or by an earlier hook that could not: all hooks of an agent share that record."""
    entry = f"gradata:{asked.agent}:{settings.brain_dir}"
    waits = fired.last(settings.home, entry, REPLICATION)
    if not recorded and waits.get("drain_again_at") is None:
        return {}
    from gradata.hooks import recording

    said = recording.replicate(settings, waits)
    again_at = said.pop("drain_again_at", waits.get("drain_again_at"))
    if again_at != waits.get("drain_again_at"):
        record = {"entry": entry, "kind": REPLICATION, "drain_again_at": again_at}
        fired.write(settings.home, entry, REPLICATION, record)
    return said


def _forms(call: HostCall | CallNotUnderstood, known: Mapping[str, Any]) -> dict[str, Any]:
    """Which events of the host are not understood; an event is struck out when it is understood again."""
    from gradata.hooks.host_call import CallNotUnderstood

    held = known.get("unknown_events")
    forms = {event: count for event, count in held.items() if isinstance(count, int)} if isinstance(held, dict) else {}
    if not isinstance(call, CallNotUnderstood):
        understood = (call.event[:NAME_CHARACTERS_MAX], "")
        forms = {event: count for event, count in forms.items() if event not in understood}
        unknown, shape = (known.get("unknown"), known.get("shape")) if forms else (None, None)
    else:
        event = call.event[:NAME_CHARACTERS_MAX]
        event = event if event in forms or len(forms) < FORMS_MAX else ""
        forms[event] = forms.get(event, 0) + 1
        unknown, shape = call.why, list(call.shape)
    return {"unknown_events": forms, "unknown_forms": sum(forms.values()), "unknown": unknown, "shape": shape}


def _recall(
    asked: HookRequest, settings: Settings, raw: bytes, known: Mapping[str, Any], _: Mapping[str, str]
) -> dict[str, Any]:
    """Look for a person's edits first: what was just corrected is recalled at once."""
    from gradata.hooks import payloads, recall
    from gradata.hooks.host_call import CallNotUnderstood

    call = payloads.read(asked.agent, raw)
    said = _follow(asked, settings, call, known)
    if isinstance(call, CallNotUnderstood):
        return said
    begins = call.moment == "begin"
    text, newest = recall.context(settings.brain_dir)
    output = recall.answer(asked.agent, call.event, text)
    held = known.get("recalled")
    recalled = dict(held) if isinstance(held, dict) else {}
    session = None if call.session is None else call.session[:NAME_CHARACTERS_MAX]
    told = session is not None and not begins and recalled.get(session) == newest
    if not text or output is None or (told and recall.stays_in_context(asked.agent)):
        return said | {"begins": begins, "skipped": "nothing new to tell"}
    if session is not None:
        recalled = {**{k: v for k, v in recalled.items() if k != session}, session: newest}
    last = dict(list(recalled.items())[-SESSIONS_MAX:])
    return said | {"begins": begins, "output": output, "recalled": last, "recalled_at": time.time(), "skipped": None}


def _session_close(
    asked: HookRequest, settings: Settings, raw: bytes, known: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, Any]:
    from gradata.hooks import session_close

    command = known.get("graduation")
    trouble = None
    if isinstance(command, str):
        entry = f"gradata:{asked.agent}:{settings.brain_dir}"
        why = fired.why_not_believed(settings.home, entry, asked.kind)
        trouble = f"lessons are not graduated: {why}" if why else session_close.graduate(command, raw, environ)
    return {**session_close.replicate(settings), "trouble": trouble}


_HOOKS = {"capture": _capture, "recall": _recall, "session-close": _session_close}
