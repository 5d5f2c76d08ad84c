"""Append corrections to the log as `Brain.correct` does, in a process of some tens of milliseconds, and replicate them.

It is `Brain.correct` without what a Brain has for those that live longer: the projection (the next Brain brings it up
to the log) and the replicator. What was appended is replicated by whoever holds the lease; if nobody does, this
process replicates for at most DRAIN_S. Events name no session: sessions are counted in the projection.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from gradata.brain import correction_event, events
from gradata.brain.append_once import RecentCorrections, append_once
from gradata.brain.redaction.redaction import redact
from gradata.config import brain_dir
from gradata.config.settings import Settings, why_local
from gradata.hooks.host_call import CapturedEdit, Edit
from replicator.lease import Lease, lease_path
from replicator.log import LogWriter

DRAIN_S = 1.0
AGAIN_S = 30.0
LATE_AGAIN_S = 3.0
"""After a drain that did not get through, the hooks of this long do not try: each would cost the host DRAIN_S. The
shorter one: nothing was wrong but the time."""
CONTEXT_CHARACTERS = 400


def lines_for(brain: brain_dir.Directory, edits: Sequence[CapturedEdit]) -> Iterator[bytes]:
    """The line of each edit. One that changes nothing but a secret makes none."""
    brain_id, device_id = brain_dir.ids(brain)
    ulids = events.Ulids()
    for captured in edits:
        edit = bounded(captured.edit)
        if edit.draft == edit.final:
            continue
        event = events.signed(_event(captured, edit), brain_id=brain_id, device_id=device_id, event_id=ulids.next())
        yield events.line_of(event)


def _event(captured: CapturedEdit, edit: Edit) -> events.Event:
    correction_event.check_texts(edit.draft, edit.final)
    context = {
        "agent": captured.agent, "tool": captured.tool, "file": captured.file, "host_session": captured.session
    }  # fmt: skip
    said = correction_event.correction_data(
        edit.draft,
        edit.final,
        category=None,
        scope=None,
        applies_to=None,
        options={
            "context": {name: value for name, value in context.items() if value},
            "agent_type": captured.agent,
            "source_kind": captured.source_kind,
        },
    )
    tags = [f"category:{said['category']}", f"source_kind:{captured.source_kind}"]
    return events.build("CORRECTION", "brain.correct", said, tags=tags, session=None, now=events.utc_now())


def bounded(edit: Edit) -> Edit:
    """An edit that fits: what both texts share is cut to some characters around the change.

    Its secrets are taken out first: a cut may leave the half of one that no longer looks like it. Both texts empty:
    nothing changed but a secret.
    """
    from gradata.brain.correction_diff import TEXT_CHARACTERS_MAX, trim

    if len(edit.draft) + len(edit.final) <= TEXT_CHARACTERS_MAX:
        return edit
    edit = Edit(redact(edit.draft), redact(edit.final))
    if edit.draft == edit.final:
        return Edit("", "")
    cut, added = trim(edit.draft, edit.final)
    start = next(n for n, pair in enumerate(zip_longest(edit.draft, edit.final)) if pair[0] != pair[1])
    begin = max(0, start - CONTEXT_CHARACTERS)
    return Edit(
        edit.draft[begin : start + len(cut) + CONTEXT_CHARACTERS],
        edit.final[begin : start + len(added) + CONTEXT_CHARACTERS],
    )


def fits(edit: Edit) -> bool:
    """Whether an edit, cut to its change, is short enough to be recorded."""
    from gradata.brain.correction_diff import TEXT_CHARACTERS_MAX

    cut = bounded(edit)
    return len(cut.draft) + len(cut.final) <= TEXT_CHARACTERS_MAX


def append(log: str, lines: Sequence[bytes]) -> list[str]:
    """Append the lines to the log, but for what the log has already; the ids of their events, in their order.

    Raises AppendError if the log could not take one. Where the disk does not confirm a line, it is in the log all the
    same, and is replicated.
    """
    writer, recent = LogWriter(log), RecentCorrections()
    try:
        return [str(append_once(writer, recent, json.loads(line)).event["event_id"]) for line in lines]
    finally:
        writer.close()


def replicate(settings: Settings, known: Mapping[str, Any], *, drain_s: float = DRAIN_S) -> dict[str, Any]:
    """Leave it to the lease's holder, or replicate for `drain_s`; what to remember of it."""
    place = brain_dir.Directory(settings.brain_dir)
    if Lease.holder(lease_path(place.log)) is not None:
        return {"replication": "left to the replicator", "drain_again_at": None}
    if (forbidden := why_local(settings)) is not None:
        return {"replication": f"off: {forbidden.why}", "drain_again_at": None}
    again_at = known.get("drain_again_at")
    if isinstance(again_at, int | float) and 0 < again_at - time.time() < AGAIN_S:
        return {"replication": "waits: the cloud did not answer the hook before"}
    from gradata.replicate import once  # SQLite and more, only where nobody else replicates
    from replicator.sink import http_library  # noqa: F401  loaded before the drain's time begins

    result = once.drain(settings, place, timeout_s=drain_s)
    if result.reason == "caught_up":
        return {"replication": "acknowledged", "drain_again_at": None}
    wait_s = LATE_AGAIN_S if result.trouble is None else AGAIN_S
    return {"replication": f"waits: {result.reason}", "drain_again_at": time.time() + wait_s}
