"""The state that a leader saves in the sidecar for others: its status, its cursor, how its thread crashed.

For processes that do not lead: a follower, a drain in another process, a command. Reading never creates a file and
never waits for a writer; what cannot be read now is unknown, not an error. Partner: `loop`, whose thread writes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from replicator import status as st
from replicator.errors import ReplicatorError, SidecarError
from replicator.sidecar import Sidecar, read_only, sidecar_path

logger = logging.getLogger("replicator")


def saved_status(log_path: str) -> st.Status | None:
    """The status that the leader last saved; None if it cannot be read."""
    try:
        view = read_only(sidecar_path(log_path))
        if view is None:
            return None
        try:
            saved = view.status()
        finally:
            view.close()
    except SidecarError:
        return None
    return None if saved is None else st.from_json(saved)


def saved_offset(log_path: str) -> int:
    """The durable cursor's offset; 0 if unknown."""
    try:
        view = read_only(sidecar_path(log_path))
        if view is None:
            return 0
        try:
            standing = view.load()
        finally:
            view.close()
    except SidecarError:
        return 0
    return 0 if standing is None else standing.cursor.offset


def crash_notice(error: Exception, hints: Mapping[str, str] = st.HINTS) -> st.Notice:
    """A notice with the type and location of an unexpected exception, never its text, which could contain anything."""
    traceback = error.__traceback__
    place = "?"
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{os.path.basename(code.co_filename)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    if isinstance(error, ReplicatorError):
        return st.Notice("crashed", f"{error}; it starts again", hints.get(error.code, error.hint), grave=True)
    text = f"unexpected {type(error).__name__} at {place}; the thread starts again, nothing is lost"
    return st.Notice("crashed", text, "please report it", grave=True)


def record_crash(
    error: Exception,
    hints: Mapping[str, str],
    *,
    tell: Callable[[st.Notice], None],
    save: Callable[[str], None],
) -> None:
    """Tell of a crash, and save it for others. What fails in here is logged, and stops nothing: the thread goes on."""
    notice = crash_notice(error, hints)
    records: tuple[Callable[[], None], ...] = (lambda: tell(notice), lambda: save(notice.text))
    for record in records:
        try:
            record()
        except Exception as second:  # noqa: BLE001 - a host's own `on_notice`, or a disk in any state
            logger.error("a crash cannot be recorded: %s", crash_notice(second).text)


def save_crash(log_path: str, endpoint: str, now: str, text: str) -> None:
    """Save the crash, so that every process can report it."""
    known = saved_status(log_path) or st.Status("starting", now, endpoint)
    sidecar = Sidecar(sidecar_path(log_path), may_set_aside=False)
    try:
        sidecar.save_status(st.to_json(replace(known, crash=f"{text} (since {now})", updated_at=now)))
    except SidecarError:
        return  # it was logged, and the next engine says what is wrong with the sidecar
    finally:
        sidecar.close()
