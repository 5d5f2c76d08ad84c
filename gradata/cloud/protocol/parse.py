"""Parses request bodies into domain values. Partner: `answers`.

Pure: called by the routes, or by a simulation without sockets. A malformed body raises `WireError` with the status; a
key's missing right raises `DeniedError`. The envelope has one parser, `replicator.wire.parse_batch`, field by field: 18
µs of CPU for a batch of one event in total. (A decoder of typed structs beside it took 8, and had begun to differ.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gradata.cloud.domain.principal import Principal
from gradata.cloud.domain.requests import Append, HeartbeatWrite, HoleClaim, Lines, Loose
from gradata.cloud.domain.timestamps import microseconds
from gradata.cloud.protocol.answers import require_brain
from gradata.cloud.protocol.interpret import correction_line, read_lines, with_holes
from replicator.errors import WireError
from replicator.framing import split
from replicator.model import Batch, Limits
from replicator.wire import (
    BatchRequest,
    RecordPlace,
    Report,
    is_name,
    parse_batch,
    parse_correction,
    parse_heartbeat,
)
from replicator.wire.common import report_json

HOLE_BYTES_MAX = 2**32
LOG_BYTES_MAX = 2**42


def read_batch(principal: Principal, body: bytes, limits: Limits) -> Append:
    """A batch of schema 2."""
    parsed = parse_batch(body, limits)
    envelope, load = parsed.envelope, parsed.load
    require_brain(principal, envelope.brain_id)
    _check_lengths(parsed)
    return Append(
        workspace=principal.workspace,
        brain_id=envelope.brain_id,
        device_id=envelope.device_id,
        log_id=envelope.log_id,
        parent=envelope.parent,
        first=envelope.first,
        offset=envelope.offset,
        root=envelope.root,
        load=_lines(load, parsed.holes) if isinstance(load, Batch) else HoleClaim(load.length, load.leaf),
        status=_status(envelope.status),
    )


def _check_lengths(parsed: BatchRequest) -> None:
    """Lengths that a client claims are bounded: they are summed, and lines of their length are served."""
    holes = (parsed.load,) if isinstance(parsed.load, RecordPlace) else parsed.holes
    if any(hole.length > HOLE_BYTES_MAX for hole in holes):
        raise WireError("the length of a place without bytes must be at most 2^32")
    sent = 0 if isinstance(parsed.load, RecordPlace) else len(parsed.load.data)
    if parsed.envelope.offset + sum(hole.length for hole in holes) + sent > LOG_BYTES_MAX:
        raise WireError("a log must have at most 2^42 bytes")


def _lines(batch: Batch, holes: Sequence[RecordPlace]) -> Lines:
    lines = read_lines(bytes(batch.data), batch.ends)
    return with_holes(lines, [(hole.first - batch.first, hole.length, hole.leaf) for hole in holes]) if holes else lines


def read_beat(principal: Principal, body: bytes) -> HeartbeatWrite:
    """A heartbeat."""
    parsed = parse_heartbeat(body)
    require_brain(principal, parsed.brain_id)
    return HeartbeatWrite(principal.workspace, parsed.brain_id, parsed.device_id, parsed.log_id, _status(parsed.status))


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


def _status(report: Report | None) -> bytes | None:
    """What is kept of a status. A time that is none counts as absent: a client's clock must not stop its records."""
    if report is None:
        return None
    said = report_json(report)
    for name in ("last_event_at", "last_ack_at"):
        if microseconds(said[name]) is None:
            said[name] = None
    return orjson.dumps(said)


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
