"""Pin both sides of the protocol to the golden requests and answers in fixtures/wire, in both directions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import orjson
import pytest

from replicator import wire
from replicator.actions import (
    Acked,
    Beat,
    Denied,
    Gone,
    Heard,
    Misconfigured,
    Mismatch,
    Recalled,
    Refused,
    Send,
    Throttled,
    TooLarge,
    TooOld,
    Unavailable,
)
from replicator.model import Anchor, Batch, Cursor, Head, Hole, Identity, Limits, Refusal
from replicator.proof import EMPTY_ROOT, CompactRange, leaf_hash, leaf_hashes

FIXTURES = Path(__file__).parents[4] / "fixtures" / "wire"

IDENTITY = Identity("3f0a1c52-5a60-4d0e-9a0a-6b8f0f3f2c11", "dev_0123456789abcdef0123456789abcdef")
LOG = "9b2d7c1e-0f4a-4c53-8d5e-2a6b7c8d9e0f"
PARENT = "1c1c1c1c-2d2d-4e4e-8f8f-909090909090"
CLOUD = "c0ffee00-1111-4222-8333-444455556666"
RECORDS = (
    b'{"ts": "2026-11-23T10:00:00+00:00", "type": "CORRECTION", "event_id": "01KAR0000000000000000000A1"}\n',
    '{"type": "NOTE", "text": "raw \u2028 separator"}\n'.encode(),
    b"\x00\x00 not json \xff\r\n",
)
TWO = b"".join(RECORDS[:2])
END_OF_TWO = len(TWO)
TREE_OF_TWO = CompactRange.EMPTY.extended(leaf_hashes(RECORDS[:2]))
TREE_OF_THREE = TREE_OF_TWO.extended([leaf_hash(RECORDS[2])])
LIMITS = Limits(encodings=("zstd", "gzip"))
LIVE = wire.Report("live", 893301, 0, "2026-11-23T10:00:00Z", 0, "1.0.0")
PAUSED = wire.Report("paused", 893301, 1200, None, 2, "1.0.0", "the server refused the key", "2026-11-23T09:14:00Z")

START = Cursor(LOG)
AFTER_TWO = Cursor(LOG, END_OF_TWO, TREE_OF_TWO, None, Anchor.of(RECORDS[1]), PARENT)
FIRST = Batch(0, 0, TWO, (len(RECORDS[0]), END_OF_TWO))
NEXT = Batch(2, END_OF_TWO, RECORDS[2], (len(RECORDS[2]),))
ALL = Batch(0, 0, b"".join(RECORDS), tuple(accumulate(map(len, RECORDS))), tuple(leaf_hashes(RECORDS)), holes=(0, 2))
HOLE = Hole(2, END_OF_TWO, len(RECORDS[2]), leaf_hash(RECORDS[2]), Anchor.of(RECORDS[2]))
HEAD = Head(LOG, 3, TREE_OF_THREE.root, END_OF_TWO + len(RECORDS[2]), "01KAR0000000000000000000A1")
NO_HEAD = Head(LOG, 0, EMPTY_ROOT)
ACKED = Acked(CLOUD, HEAD, accepted=1, limits=LIMITS)
ACKED_ODD = Acked(
    CLOUD,
    HEAD,
    accepted=1,
    duplicates=2,
    flagged=(Refusal(2, "not_utf8", "byte 12"),),
    refused=(Refusal(1, "record_too_large", "3000544 bytes; the limit is 1048576"),),
    limits=Limits(requests_per_minute=None),
    flagged_count=1,
    refused_count=1,
)

REQUESTS = {
    "v2/ingest-first.request": wire.batch_request(IDENTITY, Send(START, FIRST, TREE_OF_TWO), LIVE),
    "v2/ingest-next.request": wire.batch_request(IDENTITY, Send(AFTER_TWO, NEXT, TREE_OF_THREE, CLOUD), PAUSED),
    "v2/ingest-hole.request": wire.batch_request(IDENTITY, Send(AFTER_TWO, HOLE, TREE_OF_THREE, CLOUD), LIVE),
    "v2/ingest-holes.request": wire.batch_request(IDENTITY, Send(START, ALL, TREE_OF_THREE), LIVE),
    "v2/heartbeat.request.json": wire.heartbeat_request(IDENTITY, Beat(AFTER_TWO, CLOUD), PAUSED),
}

ANSWERS = {
    "v2/ack.json": wire.ack_body(ACKED),
    "v2/ack-flagged.json": wire.ack_body(ACKED_ODD),
    "v2/heartbeat.answer.json": wire.heartbeat_body(Heard(CLOUD, HEAD)),
    "v2/logs.answer.json": wire.logs_body(
        [
            wire.LogEntry(HEAD, IDENTITY.device_id, PARENT, "2026-11-23T10:00:00Z", "2026-11-23T10:00:01Z", 1),
            wire.LogEntry(NO_HEAD, IDENTITY.device_id),
        ]
    ),
    "v2/409-gap.json": wire.problem_body(
        409, "gap", "the log is unknown here", head=NO_HEAD, record=None, cloud_id=CLOUD
    ),
    "v2/409-diverged.json": wire.problem_body(409, "diverged", "record 1 differs", head=HEAD, record=1, cloud_id=CLOUD),
    "v2/413-body-too-large.json": wire.problem_body(413, "body_too_large", "too large", limits=LIMITS),
    "v2/401-key-unknown.json": wire.problem_body(401, "key_unknown", "the key is unknown or revoked"),
    "v2/403-brain-forbidden.json": wire.problem_body(403, "brain_forbidden", "not a brain of this key"),
    "v2/410-brain-deleted.json": wire.problem_body(410, "brain_deleted", "deleted on 2026-11-20"),
    "v2/415-media-type.json": wire.problem_body(
        415, "media_type", "not this one", accepted=["application/vnd.gradata.batch"]
    ),
    "v2/426-schema-unsupported.json": wire.problem_body(
        426, "schema_unsupported", "this server speaks 1", supported=[1]
    ),
    "v2/400-malformed.json": wire.problem_body(400, "malformed", "count is not the number of records", record=7),
    "v2/429-throttled.json": wire.problem_body(429, "throttled", "600 requests a minute"),
    "v2/503-store-away.json": wire.problem_body(503, "store_away", "the store is away"),
    "v1/accepted.answer.json": wire.correction_body("01KAR0000000000000000000A1", duplicate=False),
    "v1/duplicate.answer.json": wire.correction_body("01KAR0000000000000000000A1", duplicate=True),
    "v1/422-invalid-field.json": wire.problem_body(422, "invalid_field", "brain_id must be a string"),
}

READ_AS: dict[str, tuple[Callable[..., object], int, object]] = {
    "v2/ack.json": (wire.read_ack, 200, ACKED),
    "v2/ack-flagged.json": (wire.read_ack, 200, ACKED_ODD),
    "v2/ack-later-version.json": (wire.read_ack, 200, ACKED),
    "v2/heartbeat.answer.json": (wire.read_heartbeat, 200, Heard(CLOUD, HEAD)),
    "v2/logs.answer.json": (wire.read_logs, 200, Recalled((HEAD, NO_HEAD))),
    "v2/409-gap.json": (wire.read_ack, 409, Mismatch(NO_HEAD, None, CLOUD)),
    "v2/409-diverged.json": (wire.read_heartbeat, 409, Mismatch(HEAD, 1, CLOUD)),
    "v2/413-body-too-large.json": (wire.read_ack, 413, TooLarge(LIMITS)),
    "v2/401-key-unknown.json": (
        wire.read_ack,
        401,
        Denied(401, "key_unknown", "401 (application/problem+json): key_unknown: the key is unknown or revoked"),
    ),
    "v2/403-brain-forbidden.json": (
        wire.read_logs,
        403,
        Denied(403, "brain_forbidden", "403 (application/problem+json): brain_forbidden: not a brain of this key"),
    ),
    "v2/410-brain-deleted.json": (
        wire.read_ack,
        410,
        Gone("410 (application/problem+json): brain_deleted: deleted on 2026-11-20"),
    ),
    "v2/415-media-type.json": (
        wire.read_ack,
        415,
        Misconfigured(415, "415 (application/problem+json): media_type: not this one"),
    ),
    "v2/426-schema-unsupported.json": (
        wire.read_ack,
        426,
        TooOld("the cloud is too old: it speaks schema 1 at most, this client 2"),
    ),
    "v2/400-malformed.json": (
        wire.read_ack,
        400,
        Refused(400, "400 (application/problem+json): malformed: count is not the number of records", 7),
    ),
    "v2/429-throttled.json": (wire.read_ack, 429, Throttled(7.0)),
    "v2/503-store-away.json": (
        wire.read_ack,
        503,
        Unavailable("503 (application/problem+json): store_away: the store is away", 7.0),
    ),
}


def golden(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_are_made_as_the_golden_ones(name: str) -> None:
    """A request is, byte for byte, the one that the first release sent."""
    request = REQUESTS[name]
    assert golden(name) == request.head + request.data


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_made_as_the_golden_ones(name: str) -> None:
    """An answer is, byte for byte, the one that the first release gave."""
    assert golden(name) == ANSWERS[name]


@pytest.mark.parametrize("name", READ_AS)
def test_golden_answers_are_read(name: str) -> None:
    """Each golden answer is read as the outcome that it was written for."""
    read, status, expected = READ_AS[name]
    headers = {"Content-Type": "application/json" if status == 200 else "application/problem+json", "Retry-After": "7"}
    assert expected == read(status, headers, golden(name), now_wall=0.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v2/ingest-first.request", (0, 0, EMPTY_ROOT, None, None, LIVE, FIRST)),
        ("v2/ingest-later-version.request", (0, 0, EMPTY_ROOT, None, None, LIVE, FIRST)),
        ("v2/ingest-next.request", (2, END_OF_TWO, TREE_OF_TWO.root, CLOUD, PARENT, PAUSED, NEXT)),
        (
            "v2/ingest-hole.request",
            (
                2,
                END_OF_TWO,
                TREE_OF_TWO.root,
                CLOUD,
                PARENT,
                LIVE,
                wire.RecordPlace(2, END_OF_TWO, len(RECORDS[2]), leaf_hash(RECORDS[2])),
            ),
        ),
    ],
)
def test_f40_golden_batches_are_taken_apart(name: str, expected: tuple[object, ...]) -> None:
    """Each golden batch gives its envelope and the exact records; what a later version adds is ignored."""
    first, offset, root, cloud_id, parent, status, load = expected
    got = wire.parse_batch(golden(name), LIMITS)
    assert load == got.load
    assert (
        wire.Envelope(
            schema=2,
            brain_id=IDENTITY.brain_id,
            device_id=IDENTITY.device_id,
            log_id=LOG,
            cloud_id=cloud_id,  # type: ignore[arg-type]
            first=first,  # type: ignore[arg-type]
            offset=offset,  # type: ignore[arg-type]
            root=root,  # type: ignore[arg-type]
            count=got.envelope.count,
            parent=parent,  # type: ignore[arg-type]
            status=status,  # type: ignore[arg-type]
        )
        == got.envelope
    )


def test_f35_a_golden_batch_with_holes_is_taken_apart() -> None:
    """The record whose bytes are there, and the places of the others, each at its offset."""
    got = wire.parse_batch(golden("v2/ingest-holes.request"), LIMITS)
    assert Batch(0, 0, RECORDS[1], (len(RECORDS[1]),)) == got.load
    assert (
        wire.RecordPlace(0, 0, len(RECORDS[0]), leaf_hash(RECORDS[0])),
        wire.RecordPlace(2, END_OF_TWO, len(RECORDS[2]), leaf_hash(RECORDS[2])),
    ) == got.holes


def test_golden_heartbeat_is_taken_apart() -> None:
    """The golden heartbeat gives the cursor that made it."""
    expected = wire.HeartbeatRequest(IDENTITY.brain_id, IDENTITY.device_id, LOG, CLOUD, 2, TREE_OF_TWO.root, PAUSED)
    assert expected == wire.parse_heartbeat(golden("v2/heartbeat.request.json"))


@pytest.mark.parametrize(
    ("name", "event_id"),
    [("v1/correction.request.json", "01KAR0000000000000000000A1"), ("v1/correction-without-id.request.json", None)],
)
def test_f40_golden_corrections_of_old_clients_are_taken_apart(name: str, event_id: str | None) -> None:
    """A request of schema 1 gives its brain, its id and the correction with every field that it had."""
    document = orjson.loads(golden(name))
    got = wire.parse_correction(golden(name))
    assert (IDENTITY.brain_id, event_id) == (got.brain_id, got.event_id)
    assert document["correction"] == got.correction
    assert document == got.fields


def test_every_golden_file_is_pinned_and_described() -> None:
    """No golden file is without a test, and each has its row in the README beside it."""
    inputs_alone = {
        "v2/ingest-later-version.request",
        "v1/correction.request.json",
        "v1/correction-without-id.request.json",
    }
    files = {str(path.relative_to(FIXTURES)) for path in FIXTURES.glob("v*/*")}
    assert set(REQUESTS) | set(ANSWERS) | set(READ_AS) | inputs_alone == files
    readme = (FIXTURES / "README.md").read_text()
    undescribed = {name for name in files if f"| `{name}` |" not in readme}
    assert not undescribed
