"""Batches for tests of the cloud: of a log given as a list of records, as requests of a store or as bodies of HTTP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from gradata.cloud.domain.plan import Decision, Done
from gradata.cloud.domain.requests import Append, Lines
from gradata.cloud.protocol.interpret import read_lines
from replicator.framing import split
from replicator.proof import CompactRange, leaf_hashes

LOG = "11111111-1111-4111-8111-111111111111"
OTHER_LOG = "22222222-2222-4222-8222-222222222222"
BATCH = "application/vnd.gradata.batch"


def event(name: str, text: str = "", kind: str = "CORRECTION") -> bytes:
    """A record that is an event."""
    data = {"category": "TONE", "severity": "minor", "text": text}
    return json.dumps({"event_id": name, "type": kind, "session": 3, "data": data}).encode() + b"\n"


def lines(*records: bytes) -> Lines:
    """Records as a store takes them."""
    data = b"".join(records)
    return read_lines(data, split(data))


def tree(records: Sequence[bytes]) -> CompactRange:
    """The tree over records."""
    return CompactRange.EMPTY.extended(leaf_hashes(records))


def append(log: Sequence[bytes], first: int = 0, end: int | None = None, **changes: object) -> Append:
    """The batch of records [first, end) of a log that holds `log`."""
    request = Append(
        workspace="default",
        brain_id="brain",
        device_id="device",
        log_id=LOG,
        parent=None,
        first=first,
        offset=sum(map(len, log[:first])),
        root=tree(log[:first]).root,
        load=lines(*log[first:end]),
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def body(log: Sequence[bytes], first: int = 0, end: int | None = None, **changes: object) -> bytes:
    """The same as a body of POST /ingest; `changes` are fields of the envelope, those that are None are left out."""
    part = log[first:end]
    envelope = {
        "schema": 2,
        "brain_id": "brain",
        "device_id": "device",
        "log_id": LOG,
        "cloud_id": None,
        "first": first,
        "offset": sum(map(len, log[:first])),
        "root": tree(log[:first]).root.hex(),
        "count": len(part),
    } | changes
    return json.dumps(envelope).encode() + b"\n" + b"".join(part)


def counted(decisions: Sequence[Decision]) -> list[tuple[int, int]]:
    """Accepted and duplicates of each, all of which must be done."""
    done = [decision for decision in decisions if isinstance(decision, Done)]
    assert len(done) == len(decisions), decisions
    return [(decision.accepted, decision.duplicates) for decision in done]
