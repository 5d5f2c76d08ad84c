"""Record the edits of one call of a tool, as `Brain.correct` does, in a process of some tens of milliseconds.

It is `Brain.correct` without what a Brain has for those that live longer: the projection (the next Brain brings it up
to the log) and the replicator. What was appended is replicated by whoever holds the lease; if nobody does, this
process replicates for at most DRAIN_S. Events name no session: sessions are counted in the projection.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from gradata.brain import correction_event, events
from gradata.brain.redaction.redaction import redact
from gradata.config import brain_dir
from gradata.config.settings import Settings, why_local
from gradata.hooks.reading import Edit, Edits
from replicator.errors import NotDurableError
from replicator.lease import Lease, lease_path
from replicator.log import LogWriter

DRAIN_S = 1.0
AGAIN_S = 30.0
LATE_AGAIN_S = 3.0
"""After a drain that did not get through, the hooks of this long do not try: each would cost the host DRAIN_S. The
shorter one: nothing was wrong but the time."""
SAME_S = 2.0
"""The same edit told twice within this long is one: some hosts run hooks under an old and a new name."""
CONTEXT_CHARACTERS = 400


def record(settings: Settings, agent: str, told: Edits) -> list[str]:
    """Append the edits; the ids of their events. Raises what `Brain.correct` raises."""
    place = brain_dir.find(settings.brain_dir)
    brain_id, device_id = brain_dir.ids(place)
    ulids = events.Ulids()
    writer = LogWriter(place.log)
    made = []
    try:
        for edit in map(bounded, told.edits):
            if edit.draft == edit.final:
                continue
            event = events.signed(
                _event(agent, told, edit),
                brain_id=brain_id,
                device_id=device_id,
                event_id=ulids.next(),
            )
            with contextlib.suppress(NotDurableError):  # it is in the log all the same, and is replicated
                writer.append(events.line_of(event))
            made.append(str(event["event_id"]))
    finally:
        writer.close()
    return made


def _event(agent: str, told: Edits, edit: Edit) -> events.Event:
    correction_event.check_texts(edit.draft, edit.final)
    context = {"agent": agent, "tool": told.tool, "file": told.file, "host_session": told.session}
    said = correction_event.correction_data(
        edit.draft,
        edit.final,
        category=None,
        scope=None,
        applies_to=None,
        options={"context": {name: value for name, value in context.items() if value}, "agent_type": agent},
    )
    return events.build(
        "CORRECTION", "brain.correct", said, tags=[f"category:{said['category']}"], session=None, now=events.utc_now()
    )


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


def told_before(told: Edits, known: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Whether this very call was recorded just now, and what to remember of it: a digest, no text."""
    digest = hashlib.sha256(repr((told.call, told.session, told.edits)).encode("utf-8", "backslashreplace")).hexdigest()
    at = known.get("edit_at")
    same = known.get("edit") == digest and isinstance(at, int | float) and 0 <= time.time() - at < SAME_S
    return same, {"edit": digest, "edit_at": time.time()}


def replicate(settings: Settings, known: Mapping[str, Any], *, drain_s: float = DRAIN_S) -> dict[str, Any]:
    """Leave it to the lease's holder, or replicate for `drain_s`; what to remember of it."""
    place = brain_dir.Directory(settings.brain_dir)
    if Lease.holder(lease_path(place.log)) is not None:
        return {"replication": "left to the replicator"}
    if (forbidden := why_local(settings)) is not None:
        return {"replication": f"off: {forbidden.why}"}
    again_at = known.get("drain_again_at")
    if isinstance(again_at, int | float) and 0 < again_at - time.time() < AGAIN_S:
        return {"replication": "waits: the cloud did not answer the hook before"}
    import httpx  # noqa: F401  here, so that loading it is not taken from the drain's second

    from gradata.replicate import once  # SQLite and more, only where nobody else replicates

    result = once.drain(settings, place, timeout_s=drain_s)
    if result.reason == "caught_up":
        return {"replication": "acknowledged", "drain_again_at": None}
    wait_s = LATE_AGAIN_S if result.trouble is None else AGAIN_S
    return {"replication": f"waits: {result.reason}", "drain_again_at": time.time() + wait_s}
