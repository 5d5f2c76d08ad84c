"""The protocol between a replicator and the cloud, in both directions, for both sides (docs/protocol.md).

Pure: values to bytes, and back. `client` builds requests and turns any answer into an outcome; `server` parses requests
and builds answers; `common` is shared. `replicator.sink` and `gradata.cloud` transport the bytes; `progress` decides
what a head means.

Golden requests and answers are in `fixtures/wire/`; the tests pin both sides to them.
"""

from replicator.wire.client import (
    Request,
    batch_request,
    heartbeat_request,
    logs_request,
    read_ack,
    read_heartbeat,
    read_logs,
    retry_after_s,
)
from replicator.wire.common import (
    ANSWER_BYTES_MAX,
    BATCH_TYPE,
    ENVELOPE_BYTES_MAX,
    INTEGER_MAX,
    JSON_TYPE,
    LOOSE_TYPE,
    PROBLEM_TYPE,
    SCHEMA,
    SCHEMAS,
    Report,
    is_name,
    plain,
    title_of,
)
from replicator.wire.server import (
    BatchRequest,
    CorrectionRequest,
    Envelope,
    HeartbeatRequest,
    LogEntry,
    RecordPlace,
    ack_body,
    correction_body,
    heartbeat_body,
    logs_body,
    parse_batch,
    parse_correction,
    parse_heartbeat,
    plain_ack_body,
    problem_body,
)

__all__ = [
    "ANSWER_BYTES_MAX",
    "BATCH_TYPE",
    "ENVELOPE_BYTES_MAX",
    "INTEGER_MAX",
    "JSON_TYPE",
    "LOOSE_TYPE",
    "PROBLEM_TYPE",
    "SCHEMA",
    "SCHEMAS",
    "BatchRequest",
    "CorrectionRequest",
    "Envelope",
    "HeartbeatRequest",
    "LogEntry",
    "RecordPlace",
    "Report",
    "Request",
    "ack_body",
    "batch_request",
    "correction_body",
    "heartbeat_body",
    "heartbeat_request",
    "is_name",
    "logs_body",
    "logs_request",
    "parse_batch",
    "parse_correction",
    "parse_heartbeat",
    "plain",
    "plain_ack_body",
    "problem_body",
    "read_ack",
    "read_heartbeat",
    "read_logs",
    "retry_after_s",
    "title_of",
]
