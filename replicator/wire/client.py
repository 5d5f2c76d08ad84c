"""The client's half of the protocol: requests from actions, outcomes from answers.

Each `read_…` is total: for any status and bytes it returns an outcome and raises nothing. An outcome says what was
answered; `progress` decides whether a head is the expected one. Texts of the server are cut and cleaned before they
enter an outcome, because outcomes end up in logs and terminals. `server` is the other half.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from replicator.actions import (
    Acked,
    Beat,
    BeatOutcome,
    Denied,
    Failure,
    Garbled,
    Gone,
    Heard,
    Misconfigured,
    Mismatch,
    Recalled,
    RecallOutcome,
    Refused,
    Send,
    SendOutcome,
    Throttled,
    TooLarge,
    TooOld,
    Unavailable,
)
from replicator.errors import WireError
from replicator.model import Batch, Hole, Identity, Limits
from replicator.wire.common import (
    ANSWER_BYTES_MAX,
    BATCH_TYPE,
    INTEGER_MAX,
    JSON_TYPE,
    PROBLEM_TYPE,
    REFUSAL_CODES,
    SCHEMA,
    Fields,
    Report,
    plain,
    read_head,
    read_limits,
    read_refusal,
    report_json,
)

RETRY_AFTER_S_MAX = 86_400.0
_SECONDS = re.compile(r"[+-]?\d{1,100}(\.\d{0,100})?", re.ASCII)
_POLICY = re.compile(r";\s*([qw])=(\d{1,9})(?=\s*(?:[;,]|$))", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `path` is relative to the endpoint, the body is `head`, then `data`."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    head: bytes = b""
    data: bytes | memoryview = field(default=b"", repr=False)

    @property
    def body_bytes(self) -> int:
        """Length of the body in bytes."""
        return len(self.head) + len(self.data)


def batch_request(identity: Identity, action: Send, report: Report) -> Request:
    """`POST /ingest`: the envelope, then the records as they are in the log; none for a hole."""
    cursor, load = action.cursor, action.load
    assert (load.first, load.offset) == (cursor.size, cursor.offset)
    envelope: dict[str, Any] = {
        "schema": SCHEMA,
        "brain_id": identity.brain_id,
        "device_id": identity.device_id,
        "log_id": cursor.log_id,
        "cloud_id": action.cloud_id,
        "first": load.first,
        "offset": load.offset,
        "root": cursor.root.hex(),
        "count": load.count,
    }
    if cursor.parent is not None:
        envelope["parent"] = cursor.parent
    if isinstance(load, Hole):
        envelope["hole"] = {"length": load.length, "leaf": load.leaf.hex()}
    elif load.holes:
        envelope["holes"] = [_hole(load, number) for number in load.holes]
    envelope["status"] = report_json(report)
    data = b"" if isinstance(load, Hole) else b"".join(load.sent()) if load.holes else load.data
    return Request("POST", "/ingest", {"Content-Type": BATCH_TYPE}, orjson.dumps(envelope) + b"\n", data)


def _hole(load: Batch, number: int) -> dict[str, Any]:
    assert load.hashed is not None
    return {"record": number, "length": load.length_of(number), "leaf": load.hashed[number - load.first].hex()}


def heartbeat_request(identity: Identity, action: Beat, report: Report) -> Request:
    """POST /heartbeat: where the cursor stands."""
    body = {
        "brain_id": identity.brain_id,
        "device_id": identity.device_id,
        "log_id": action.cursor.log_id,
        "cloud_id": action.cloud_id,
        "size": action.cursor.size,
        "root": action.cursor.root.hex(),
        "status": report_json(report),
    }
    return Request("POST", "/heartbeat", {"Content-Type": JSON_TYPE}, orjson.dumps(body))


def logs_request(identity: Identity, *, of_all_devices: bool = False) -> Request:
    """GET /logs of this device, or of all that the brain ever had."""
    device = "" if of_all_devices else f"&device={quote(identity.device_id, '')}"
    return Request("GET", f"/logs?brain={quote(identity.brain_id, '')}{device}")


def read_ack(status: int, headers: Mapping[str, str], body: bytes, *, now_wall: float) -> SendOutcome:
    """The outcome of an answer to a batch. `now_wall`: seconds since 1970, for a Retry-After that is a date."""
    answer = _Answer.of(status, headers, body)
    try:
        if status == 200:
            return _acked(Fields.of(answer.body), answer)
        if status == 409:
            return _mismatch(Fields.of(answer.body))
    except WireError as error:
        return Garbled(answer.said(str(error)))
    return _failure(answer, now_wall)


def read_heartbeat(status: int, headers: Mapping[str, str], body: bytes, *, now_wall: float) -> BeatOutcome:
    """The outcome of an answer to a heartbeat."""
    answer = _Answer.of(status, headers, body)
    try:
        if status == 200:
            fields = Fields.of(answer.body)
            return Heard(fields.name("cloud_id"), read_head(fields.inner("head")))
        if status == 409:
            return _mismatch(Fields.of(answer.body))
    except WireError as error:
        return Garbled(answer.said(str(error)))
    return _failure(answer, now_wall)


def read_logs(
    status: int, headers: Mapping[str, str], body: bytes, *, now_wall: float, silent_s_min: int = 0
) -> RecallOutcome:
    """The outcome of an answer to `logs_request`, limited to logs that were silent for at least `silent_s`."""
    answer = _Answer.of(status, headers, body)
    if status != 200:
        return _failure(answer, now_wall)
    try:
        entries = Fields.of(answer.body).objects("logs")
        silent = [each for each in entries if (each.number_or_none("silent_s") or 0) >= silent_s_min]
        return Recalled(tuple(map(read_head, silent)))
    except WireError as error:
        return Garbled(answer.said(str(error)))


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer whose body is available only if it may be read: not encoded, and not over the limit."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes) -> _Answer:
        lowered = {name.lower(): value for name, value in headers.items()}
        encoded = lowered.get("content-encoding", "identity").strip().lower() not in ("", "identity")
        return cls(status, lowered, b"" if encoded or len(body) > ANSWER_BYTES_MAX else body)

    def said(self, what: str) -> str:
        """`what`, with status and media type before it, which tell a captive portal from a broken release."""
        media_type = plain(self.headers.get("content-type", "no media type"), 80)
        return f"{self.status} ({media_type}): {what}"

    def problem(self) -> dict[str, Any]:
        """The problem+json of an error; empty if the body is none, as with a proxy's page."""
        try:
            return dict(Fields.of(self.body).values)
        except WireError:
            return {}

    def refuses(self, problem: dict[str, Any]) -> bool:
        """Whether it is a refusal in the protocol's own words, and not one of a hop on the way."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return media_type == PROBLEM_TYPE and problem.get("code") in REFUSAL_CODES


def _acked(fields: Fields, answer: _Answer) -> Acked:
    limits = fields.inner_or_none("limits")
    flagged = tuple(read_refusal(item) for item in fields.objects("flagged"))
    refused = tuple(read_refusal(item) for item in fields.objects("refused"))
    return Acked(
        cloud_id=fields.name("cloud_id"),
        head=read_head(fields.inner("head")),
        accepted=fields.number("accepted"),
        duplicates=fields.number("duplicates"),
        flagged=flagged,
        refused=refused,
        limits=None if limits is None else _lowered(read_limits(limits), answer),
        flagged_count=_count(fields, "flagged_count", len(flagged)),
        refused_count=_count(fields, "refused_count", len(refused)),
    )


def _count(fields: Fields, name: str, named: int) -> int:
    count = fields.number_or_none(name)
    if count is None:
        return named
    if count < named:
        raise fields.wrong(name, "at least the length of its list")
    return count


def _lowered(limits: Limits, answer: _Answer) -> Limits:
    """The limits, with the rate of the RateLimit-Policy header if that is lower."""
    parts = dict(_POLICY.findall(answer.headers.get("ratelimit-policy", "")))
    quota, window_s = int(parts.get("q", 0)), int(parts.get("w", 0))
    if not quota or not window_s:
        return limits
    per_minute = max(1, quota * 60 // window_s)
    return replace(limits, requests_per_minute=min(per_minute, limits.requests_per_minute or per_minute))


def _mismatch(fields: Fields) -> Mismatch:
    return Mismatch(
        head=read_head(fields.inner("head")),
        record=fields.number_or_none("record"),
        cloud_id=fields.name_or_none("cloud_id"),
    )


def _failure(answer: _Answer, now_wall: float) -> Failure:
    """By status first: a proxy's page keeps the class of its status (docs/failures.md, F33 to F37)."""
    status, problem = answer.status, answer.problem()
    detail = _detail(answer, problem)
    match status:
        case 401 | 403:
            return Denied(status, _code(problem), detail)
        case 400 | 422:
            return Refused(status, detail, _record(problem), ours=answer.refuses(problem))
        case 413:
            return TooLarge(_limits(problem), ours=answer.refuses(problem))
        case 426:
            return TooOld(_too_old(problem, detail))
        case 429:
            return Throttled(_retry_after(answer, now_wall))
        case 410 if problem.get("code") == "brain_deleted":
            return Gone(detail)
        case 408:
            return Unavailable(detail, _retry_after(answer, now_wall), cut=True)
        case _:
            pass
    if 500 <= status <= 599:
        return Unavailable(detail, _retry_after(answer, now_wall), cut=status == 504)
    if 200 <= status <= 299:
        return Garbled(answer.said("not a status of the protocol"))
    return Misconfigured(status, detail)


def _code(problem: dict[str, Any]) -> str:
    code = problem.get("code")
    return plain(code, 64) if isinstance(code, str) else "unknown"


def _record(problem: dict[str, Any]) -> int | None:
    record = problem.get("record")
    return record if type(record) is int and 0 <= record <= INTEGER_MAX else None


def _limits(problem: dict[str, Any]) -> Limits | None:
    try:
        return read_limits(Fields(problem).inner("limits"))
    except WireError:
        return None


def _detail(answer: _Answer, problem: dict[str, Any]) -> str:
    if 300 <= answer.status <= 399:
        return answer.said(f"redirected{_target(answer)}; redirects are not followed")
    for name in ("detail", "title"):
        if isinstance(problem.get(name), str):
            return answer.said(plain(f"{_code(problem)}: {problem[name]}"))
    return answer.said("not an answer of the protocol")


def _target(answer: _Answer) -> str:
    """The host that a redirect leads to; the rest of a URL can contain what must not be logged."""
    try:
        host = urlsplit(answer.headers.get("location", "")).hostname
    except ValueError:
        host = None
    return f" to {plain(host, 100)}" if host else ""


def _too_old(problem: dict[str, Any], detail: str) -> str:
    supported = problem.get("supported")
    if not isinstance(supported, list) or not supported or not all(type(item) is int for item in supported):
        return detail
    if max(supported) < SCHEMA:
        return f"the cloud is too old: it speaks schema {max(supported)} at most, this client {SCHEMA}"
    if min(supported) > SCHEMA:
        return f"this client is too old: it speaks schema {SCHEMA}, the cloud {min(supported)} at least"
    return detail


def _retry_after(answer: _Answer, now_wall: float) -> float | None:
    value = answer.headers.get("retry-after")
    return None if value is None else retry_after_s(value, now_wall=now_wall)


def retry_after_s(value: str, *, now_wall: float) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3), clamped to [0, 86400]; None if unreadable.

    `now_wall` is in seconds since 1970.
    """
    text = value.strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        # Imported here: a date is rare, and email.utils is a tenth of what `import gradata` may cost.
        from email.utils import parsedate_to_datetime

        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_wall
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)
