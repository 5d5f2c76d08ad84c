"""The API's answers as values: status, headers, body. Partner: `parse`, for requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

import orjson

from gradata.cloud.domain.plan import BrainForbidden, Decision, Deleted, Diverged, Done, Gap, LogFacts, Malformed
from gradata.cloud.domain.principal import Principal
from gradata.cloud.domain.requests import Append, HeartbeatWrite, Loose
from replicator.actions import Acked, Heard
from replicator.errors import WireError
from replicator.fast_dataclass import value
from replicator.model import Head, Limits
from replicator.wire import (
    JSON_TYPE,
    PROBLEM_TYPE,
    SCHEMAS,
    ack_body,
    correction_body,
    heartbeat_body,
    plain_ack_body,
    problem_body,
)

BRAIN_DELETED = "this brain was deleted on purpose; nothing of it is taken or given"


@value
class Answer:
    """Status, body and media type of an answer, with its own headers."""

    status: int
    body: bytes = field(repr=False)
    media_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


class AnswerError(Exception):
    """Raised to end a request with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"answered {answer.status}")
        self.answer = answer


class DeniedError(Exception):
    """403: the key may not do this. Does not tell whether the brain exists."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def problem(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: object
) -> Answer:
    """An error in the form of RFC 9457."""
    return Answer(status, problem_body(status, code, detail, **extra), PROBLEM_TYPE, headers or {})


def wire_problem(error: WireError, limits: Limits) -> Answer:
    """The problem for a request that violates the protocol."""
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


def answer_batch(request: Append, decision: Decision, cloud_id: str, limits: Limits) -> Answer:
    """200 with counts, head and limits if the batch is stored, else the problem of `not_done`."""
    if not isinstance(decision, Done):
        return not_done(request.log_id, decision, cloud_id)
    head = _head(request.log_id, decision)
    if not decision.flagged and not decision.refused:
        return Answer(200, plain_ack_body(head, decision.accepted, decision.duplicates, cloud_id, limits))
    return Answer(200, ack_body(_acked(head, decision, cloud_id, limits)))


def answer_beat(request: HeartbeatWrite, decision: Decision, cloud_id: str) -> Answer:
    """200 with the cloud's head of the log, else the problem of `not_done`."""
    if not isinstance(decision, Done):
        return not_done(request.log_id, decision, cloud_id)
    return Answer(200, heartbeat_body(Heard(cloud_id, _head(request.log_id, decision))))


def answer_loose(_: Loose, decision: Decision, cloud_id: str, limits: Limits) -> Answer:
    """As `answer_batch`, with `head` null: loose events belong to no log."""
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


def not_done(log_id: str, decision: Gap | Diverged | BrainForbidden | Deleted | Malformed, cloud_id: str) -> Answer:
    """The problem for a request of which nothing was written: 400, 403, 409 (with the cloud's head) or 410."""
    match decision:
        case Gap(head):
            detail = f"the next record of this log is number {head.tree.size}"
            return problem(409, "gap", detail, head=_head(log_id, head), cloud_id=cloud_id)
        case Diverged(head, record):
            detail = "this log is not the one that is stored under its name"
            return problem(409, "diverged", detail, head=_head(log_id, head), record=record, cloud_id=cloud_id)
        case BrainForbidden():
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


def brain_forbidden() -> DeniedError:
    """403, the same for a foreign brain and for one that does not exist."""
    return DeniedError("brain_forbidden", "this key does not reach this brain")


def require_brain(principal: Principal, brain_id: str) -> None:
    """Raises DeniedError if the key is bound to other brains."""
    if not principal.reaches(brain_id):
        raise brain_forbidden()
