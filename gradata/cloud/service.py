"""Between the wire and the store: bodies become requests, decisions become answers.

Pure: whoever reads bodies and awaits commits (`app`, or a simulation without sockets) calls these. What is malformed
raises `WireError`, which names the status; what a key may not do raises `DeniedError`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import orjson

from gradata.cloud.auth import Principal
from gradata.cloud.envelope import quick_envelope
from gradata.cloud.ingest import Decision, Deleted, Diverged, Done, Forbidden, Gap, LogFacts, Malformed
from gradata.cloud.meaning import correction_line, read_lines, with_holes
from gradata.cloud.requests import Append, Beat, Claim, Lines, Loose
from replicator.actions import Acked, Heard
from replicator.errors import WireError
from replicator.fast_dataclass import value
from replicator.framing import split
from replicator.model import Batch, Head, Limits
from replicator.wire import (
    JSON_TYPE,
    PROBLEM_TYPE,
    SCHEMAS,
    Place,
    Report,
    ack_body,
    correction_body,
    heartbeat_body,
    is_name,
    parse_batch,
    parse_correction,
    parse_heartbeat,
    plain_ack_body,
    problem_body,
)
from replicator.wire.common import ENVELOPE_BYTES_MAX, report_json


@value
class Answer:
    """Status, body and media type of a response, with headers of its own."""

    status: int
    body: bytes = field(repr=False)
    media_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


BRAIN_DELETED = "this brain was deleted on purpose; nothing of it is taken or given"


class AnswerError(Exception):
    """Ends a request with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"answered {answer.status}")
        self.answer = answer


class DeniedError(Exception):
    """403: the key may not do this. Says nothing of whether the brain exists."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


# ---------------------------------------------------------------- bodies become requests


def read_batch(principal: Principal, body: bytes, limits: Limits) -> Append:
    """A batch of schema 2."""
    quick = _read_plain_batch(principal, body, limits)
    if quick is not None:
        return quick
    parsed = parse_batch(body, limits)
    envelope, load = parsed.envelope, parsed.load
    require_brain(principal, envelope.brain_id)
    return Append(
        workspace=principal.workspace,
        brain_id=envelope.brain_id,
        device_id=envelope.device_id,
        log_id=envelope.log_id,
        parent=envelope.parent,
        first=envelope.first,
        offset=envelope.offset,
        root=envelope.root,
        load=_lines(load, parsed.holes) if isinstance(load, Batch) else Claim(load.length, load.leaf),
        status=_status(envelope.status),
    )


def _lines(batch: Batch, holes: Sequence[Place]) -> Lines:
    lines = read_lines(bytes(batch.data), batch.ends)
    return with_holes(lines, [(hole.first - batch.first, hole.length, hole.leaf) for hole in holes]) if holes else lines


def _read_plain_batch(principal: Principal, body: bytes, limits: Limits) -> Append | None:
    """A batch of records whose envelope has nothing special; None if `parse_batch` must look at it."""
    end = body.find(b"\n", 0, ENVELOPE_BYTES_MAX)
    said = quick_envelope(body[:end]) if end > 0 else None
    if said is None or len(body) > limits.body_bytes or said.count > limits.records:
        return None
    data, root = body[end + 1 :], said.root_bytes()
    if root is None or not _is_lines(data, said.count):
        return None
    require_brain(principal, said.brain_id)
    return Append(
        principal.workspace,
        said.brain_id,
        said.device_id,
        said.log_id,
        said.parent,
        said.first,
        said.offset,
        root,
        read_lines(data, split(data) if said.count > 1 else (len(data),)),
        said.report(),
    )


def _is_lines(data: bytes, count: int) -> bool:
    """Whether these are so many lines, each with its newline."""
    if count == 1:
        return 0 < len(data) == data.find(b"\n") + 1
    return data.endswith(b"\n") and data.count(b"\n") == count


def read_beat(principal: Principal, body: bytes) -> Beat:
    """A heartbeat."""
    parsed = parse_heartbeat(body)
    require_brain(principal, parsed.brain_id)
    return Beat(principal.workspace, parsed.brain_id, parsed.device_id, parsed.log_id, _status(parsed.status))


def read_loose(principal: Principal, brain_id: str | None, body: bytes, limits: Limits) -> Loose:
    """Loose events: lines without envelope. The last one need not have a newline."""
    if brain_id is None and len(principal.brains) == 1:
        (brain_id,) = principal.brains
    if brain_id is None or not is_name(brain_id):
        raise WireError("name the brain: ?brain=… (1 to 128 printable characters)")
    require_brain(principal, brain_id)
    if body and not body.endswith(b"\n"):
        body += b"\n"
    if body.count(b"\n") > limits.records:
        raise WireError(f"more than {limits.records} lines", status=413, code="body_too_large")
    return Loose(principal.workspace, brain_id, read_lines(body, split(body)))


def read_correction(principal: Principal, body: bytes) -> Loose:
    """One correction of schema 1, as an event of its own. Its line is the whole document in one canonical form."""
    parsed = parse_correction(body)
    require_brain(principal, parsed.brain_id)
    event_id = parsed.event_id or "sha256:" + hashlib.sha256(_canonical(parsed.correction)).hexdigest()[:32]
    line = correction_line(_canonical(parsed.fields) + b"\n", event_id, parsed.correction)
    return Loose(principal.workspace, parsed.brain_id, line)


def require_brain(principal: Principal, brain_id: str) -> None:
    """Raises DeniedError if the key is bound to other brains."""
    if not principal.reaches(brain_id):
        raise brain_forbidden()


def brain_forbidden() -> DeniedError:
    """The same for a brain that is another's and one that does not exist."""
    return DeniedError("brain_forbidden", "this key does not reach this brain")


def _status(report: Report | None) -> bytes | None:
    return None if report is None else orjson.dumps(report_json(report))


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


# ---------------------------------------------------------------- decisions become answers


def answer_batch(request: Append, decision: Decision, cloud_id: str, limits: Limits) -> Answer:
    """The answer to a batch."""
    if not isinstance(decision, Done):
        return not_done(request.log_id, decision, cloud_id)
    head = _head(request.log_id, decision)
    if not decision.flagged and not decision.refused:
        return Answer(200, plain_ack_body(head, decision.accepted, decision.duplicates, cloud_id, limits))
    return Answer(200, ack_body(_acked(head, decision, cloud_id, limits)))


def answer_beat(request: Beat, decision: Decision, cloud_id: str) -> Answer:
    """The answer to a heartbeat."""
    if not isinstance(decision, Done):
        return not_done(request.log_id, decision, cloud_id)
    return Answer(200, heartbeat_body(Heard(cloud_id, _head(request.log_id, decision))))


def answer_loose(_: Loose, decision: Decision, cloud_id: str, limits: Limits) -> Answer:
    """The answer to loose events: that of a batch, without a head."""
    if not isinstance(decision, Done):
        return not_done("", decision, cloud_id)
    nowhere = Head("00000000-0000-0000-0000-000000000000", 0, b"")
    body = orjson.loads(ack_body(_acked(nowhere, decision, cloud_id, limits)))
    return Answer(200, orjson.dumps(body | {"head": None}))


def answer_correction(request: Loose, decision: Decision, cloud_id: str, limits: Limits) -> Answer:
    """The answer to one correction of schema 1."""
    if not isinstance(decision, Done):
        return not_done("", decision, cloud_id)
    if decision.refused:
        return problem(413, "body_too_large", "the correction is too long to be kept", limits=limits)
    event_id = request.load.event_ids[0]
    assert event_id is not None
    return Answer(200, correction_body(event_id, duplicate=not decision.accepted))


def not_done(log_id: str, decision: Gap | Diverged | Forbidden | Deleted | Malformed, cloud_id: str) -> Answer:
    """The answer to a request of which nothing was written."""
    match decision:
        case Gap(head):
            detail = f"the next record of this log is number {head.tree.size}"
            return problem(409, "gap", detail, head=_head(log_id, head), cloud_id=cloud_id)
        case Diverged(head, record):
            detail = "this log is not the one that is stored under its name"
            return problem(409, "diverged", detail, head=_head(log_id, head), record=record, cloud_id=cloud_id)
        case Forbidden():
            denied = brain_forbidden()
            return problem(403, denied.code, str(denied))
        case Deleted():
            return problem(410, "brain_deleted", BRAIN_DELETED)
        case Malformed(detail, record):
            return problem(400, "malformed", detail, record=record)


def _acked(head: Head, done: Done, cloud_id: str, limits: Limits) -> Acked:
    return Acked(
        cloud_id=cloud_id,
        head=head,
        accepted=done.accepted,
        duplicates=done.duplicates,
        flagged=done.flagged,
        refused=done.refused,
        limits=limits,
        flagged_count=len(done.flagged),
        refused_count=len(done.refused),
    )


def _head(log_id: str, log: Done | LogFacts) -> Head:
    return Head(log_id, log.tree.size, log.tree.root, log.offset, log.event_id)


# ---------------------------------------------------------------- errors


def problem(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: object
) -> Answer:
    """An error in the form of RFC 9457."""
    return Answer(status, problem_body(status, code, detail, **extra), PROBLEM_TYPE, headers or {})


def wire_problem(error: WireError, limits: Limits) -> Answer:
    """The answer to a request that is not of the protocol."""
    extra: dict[str, object] = {"record": error.record}
    headers: dict[str, str] = {}
    match error.status:
        case 401:
            headers["WWW-Authenticate"] = "Bearer"
        case 413:
            extra["limits"] = limits
        case 415:
            extra["encodings"] = list(limits.encodings)
            headers["Accept-Encoding"] = ", ".join(limits.encodings)
        case 426:
            extra["supported"] = list(SCHEMAS)
        case 408:
            headers["Connection"] = "close"
        case _:
            pass
    return problem(error.status, error.code, str(error), headers=headers, **extra)
