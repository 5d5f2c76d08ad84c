"""The state of a brain's replication, seen from outside: log, sidecar, lease and cloud.

Reads and asks, changes nothing, decides nothing. Each part is read on its own, so that one that is missing or broken
never hides the others. Works with the replicator dead, the cloud down or the sidecar lost. Partners: `doctor`, which
judges it, and the command line, which shows it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gradata.config.brain_dir import BRAIN_ID_NAME, DEVICE_ID_NAME, Directory, identify
from gradata.config.settings import Settings, refusal
from gradata.hints import hint_of
from gradata.replicate.wiring import http_reader, http_sink
from replicator.actions import Recalled
from replicator.errors import CloudError, LogError, ReplicatorError, SidecarError
from replicator.framing import interpret
from replicator.lease import Holder, Lease, lease_path
from replicator.log import LogReader
from replicator.model import MIB, Head, Standing
from replicator.proof import CompactRange
from replicator.sidecar import read_only, sidecar_path
from replicator.status import Shown, Status, from_json

CLOUD_TOTAL_S = 2.0
"""Seconds that the cloud may take to answer: a person is waiting."""
READ_BYTES = 4 * MIB


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is in the log and not acknowledged. `records` counts whole records; with `exact` False it is a lower bound.

    `first_ts` is the timestamp of the first one in seconds since the epoch, if it has one.
    """

    bytes: int = 0
    records: int = 0
    exact: bool = True
    first_ts: float | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """What this machine knows. `log_error`, `sidecar_error`, `lease_error`: why a part cannot be read."""

    log: str
    log_bytes: int = 0
    log_exists: bool = False
    written_at: float | None = None
    backlog: Backlog = Backlog()
    standing: Standing | None = None
    status: Status | None = None
    dead_letters: int = 0
    order: int | None = None
    """The number of a reset that is waiting for a replicator."""
    sidecar_exists: bool = False
    holder: Holder | None = None
    log_error: ReplicatorError | None = None
    sidecar_error: ReplicatorError | None = None
    lease_error: ReplicatorError | None = None

    @property
    def state(self) -> str:
        """`off` if no process replicates; else the leader's state, with the present log."""
        if self.holder is None:
            return "off"
        if self.status is None:
            return "starting"
        return "lagging" if self.status.state == "live" and self.backlog.records else self.status.state

    @property
    def trouble(self) -> Shown | None:
        """The trouble of the present or last leader."""
        return self.status.trouble if self.status is not None else None


@dataclass(frozen=True, slots=True)
class CloudSide:
    """The cloud's answer about this log. `in_step`: its root equals the local log's at that size.

    With `head` None, `reason` says why there is none, and `code` is the code of the outcome.
    """

    head: Head | None = None
    in_step: bool = False
    reason: str = ""
    code: str = ""
    parent: Head | None = None
    """The head of the generation before this one, if the cloud has it."""
    clock_off_s: float | None = None
    """Seconds by which this machine's clock is ahead of the cloud's; None if unknown."""


def local(directory: Directory, *, count_bytes_max: int | None = None) -> Local:
    """This machine's part. Never raises for what is missing or broken. `count_bytes_max` bounds the counting."""
    found = _beside(Local(directory.log))
    reader = LogReader(directory.log)
    try:
        log_bytes = reader.end()
        exists = os.path.lexists(directory.log)
        found = replace(found, log_bytes=log_bytes, log_exists=exists, written_at=reader.last_write())
        return replace(found, backlog=backlog(directory.log, _acknowledged(found), log_bytes, count_bytes_max))
    except LogError as error:
        return replace(found, log_error=error)


def _acknowledged(found: Local) -> int:
    """The cursor's offset; 0 if the log ends before it, because it is then another log and all of it waits."""
    offset = found.standing.cursor.offset if found.standing is not None else 0
    return offset if offset <= found.log_bytes else 0


def _beside(found: Local) -> Local:
    """Sidecar and lease."""
    path = sidecar_path(found.log)
    try:
        found = replace(found, holder=Lease.holder(lease_path(found.log)))
    except SidecarError as error:
        found = replace(found, lease_error=error)
    try:
        found = replace(found, sidecar_exists=os.path.lexists(path))
        view = read_only(path)
        if view is None:
            return found
        try:
            saved, asked = view.status(), view.pending()
            return replace(
                found,
                standing=view.load(),
                status=None if saved is None else from_json(saved),
                dead_letters=view.dead_letter_count(),
                order=asked.reset.id if asked is not None and asked.reset is not None else None,
            )
        finally:
            view.close()
    except SidecarError as error:
        return replace(found, sidecar_error=error)


def backlog(path: str, offset: int, end: int, bytes_max: int | None = None) -> Backlog:
    """The backlog between two offsets; at most `bytes_max` of it are read. LogError if it cannot be read."""
    if end <= offset:
        return Backlog()
    stop = end if bytes_max is None else min(end, offset + bytes_max)
    records, first = 0, b""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            at = offset
            while at < stop and (piece := file.read(min(READ_BYTES, stop - at))):
                if at == offset:
                    first = piece[: piece.find(b"\n") + 1]
                records += piece.count(b"\n")
                at += len(piece)
    except FileNotFoundError:
        return Backlog()
    except OSError as error:
        raise LogError(f"the log {path} cannot be read: {error.strerror}", hint=f"ls -l '{path}'") from error
    return Backlog(end - offset, records, stop == end, _ts_of(first))


def _ts_of(record: bytes) -> float | None:
    found = interpret(record)
    ts = found.get("ts") if isinstance(found, dict) else None
    if isinstance(ts, int | float) and not isinstance(ts, bool):
        return float(ts)
    if not isinstance(ts, str):
        return None
    try:
        moment = datetime.fromisoformat(ts)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def cloud_side(settings: Settings, directory: Directory, here: Local, *, from_file: bool) -> CloudSide:
    """The cloud's part, within CLOUD_TOTAL_S seconds. Never raises for network errors.

    `from_file`: compare with the whole log, which takes seconds for gigabytes; otherwise with the root that the cursor
    remembers, if the sizes are equal. Nothing is asked without the user's consent.
    """
    if (refused := refusal(settings)) is not None:
        return CloudSide(reason=refused.why, code="no_consent")
    if not all(os.path.lexists(os.path.join(directory.path, name)) for name in (BRAIN_ID_NAME, DEVICE_ID_NAME)):
        return CloudSide(reason="nothing was ever replicated: the brain has no ids yet", code="no_ids")
    if settings.read_key() is None:
        return CloudSide(reason="there is no API key to ask with", code="no_key")
    from replicator.sink import Timeouts  # here: httpx costs more than all else that a status needs

    within = Timeouts(CLOUD_TOTAL_S, CLOUD_TOTAL_S, CLOUD_TOTAL_S, CLOUD_TOTAL_S, CLOUD_TOTAL_S)
    try:
        identity = identify(directory)
        sink = http_sink(settings.endpoint, settings.read_key, identity, timeouts=within)
    except ReplicatorError as error:  # an endpoint that cannot work, ids that cannot be read
        return CloudSide(reason=f"{error}; {hint_of(error)}", code="misconfigured")
    deadline = time.monotonic() + CLOUD_TOTAL_S
    try:
        answer = sink.recall()
        off_s = _clock_off_s(sink.said_date)
    finally:
        sink.close()
    if isinstance(answer, Recalled):
        answer = _with_own(answer, here, settings, max(0.2, deadline - time.monotonic()))
    if not isinstance(answer, Recalled):
        code = type(answer).__name__.lower()
        reason = getattr(answer, "detail", "") or "too many requests: asked later"
        return CloudSide(reason=reason, code=code, clock_off_s=off_s)
    return replace(_compared(answer.heads, here, from_file), clock_off_s=off_s)


def _clock_off_s(date: str | None) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return None if date is None else time.time() - parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _with_own(answer: Recalled, here: Local, settings: Settings, within_s: float) -> Recalled:
    """Adds the log of the cursor and its parent, which another device may have started or may continue now."""
    cursor = here.standing.cursor if here.standing is not None else None
    known = {head.log_id for head in answer.heads}
    unknown = [name for name in (cursor.log_id, cursor.parent) if name not in known] if cursor is not None else []
    if not any(unknown):
        return answer
    reader = http_reader(settings.endpoint, settings.read_key, read_s=within_s)
    heads = list(answer.heads)
    try:
        for name in unknown:
            if name is not None:
                heads.append(reader.log(name)[1].head)  # noqa: PERF401 - those before a failure count
    except CloudError:  # the cloud has no such log
        return Recalled(tuple(heads))
    finally:
        reader.close()
    return Recalled(tuple(heads))


def _compared(heads: tuple[Head, ...], here: Local, from_file: bool) -> CloudSide:
    cursor = here.standing.cursor if here.standing is not None else None
    if cursor is None:
        found = LogReader(here.log).compare(heads)
        best = getattr(found, "cursor", None)
        if best is None:
            return CloudSide(reason="the cloud has no log of this brain and device that continues in this one")
        return CloudSide(Head(best.log_id, best.size, best.root, best.offset, best.event_id), True)
    parent = next((head for head in heads if head.log_id == cursor.parent), None)
    head = next((head for head in heads if head.log_id == cursor.log_id), None)
    if head is None:
        head = Head(cursor.log_id, 0, CompactRange.EMPTY.root)
    if not from_file and (head.size, head.root) == (cursor.size, cursor.root):
        return CloudSide(head, True, parent=parent)
    same = getattr(LogReader(here.log).compare((head,)), "cursor", None) is not None
    return CloudSide(head, same, parent=parent)


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601, UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def status_json(here: Local, cloud: CloudSide | None) -> dict[str, object]:
    """The documented form of `gradata status --json`: sizes in bytes, times ISO 8601 UTC."""
    standing, trouble = here.standing, here.trouble
    cursor = standing.cursor if standing is not None else None
    return {
        "state": here.state,
        "trouble": None
        if trouble is None
        else {"code": trouble.code, "detail": trouble.detail, "since": trouble.since, "hint": trouble.hint},
        "log_bytes": here.log_bytes,
        "offset": cursor.offset if cursor is not None else 0,
        "size": cursor.size if cursor is not None else 0,
        "backlog_bytes": here.backlog.bytes,
        "backlog_records": here.backlog.records,
        "last_event_at": iso(here.written_at) if here.log_bytes else None,
        "last_ack_at": here.status.last_ack_at if here.status is not None else None,
        "dead_letters": here.dead_letters,
        "cloud": None
        if cloud is None or cloud.head is None
        else {
            "size": cloud.head.size,
            "root": cloud.head.root.hex(),
            "in_step": cloud.in_step,
            "offset": cloud.head.offset,
            "log_id": cloud.head.log_id,
        },
        "cloud_reason": cloud.reason if cloud is not None and cloud.head is None else None,
        "log_id": cursor.log_id if cursor is not None else None,
        "root": cursor.root.hex() if cursor is not None else None,
        "endpoint": standing.endpoint if standing is not None else None,
        "log": here.log,
        "leader": None
        if here.holder is None
        else {"pid": here.holder.pid, "host": here.holder.host, "since": here.holder.since},
        "errors": [str(error) for error in (here.log_error, here.sidecar_error, here.lease_error) if error is not None],
    }
