"""What /openapi.json says of the routes that take raw bodies, and of errors."""

from __future__ import annotations

from typing import Any

from replicator.wire import BATCH_TYPE, JSON_TYPE, LOOSE_TYPE, PROBLEM_TYPE

BASE = "/api/v1"


def ingest_document() -> dict[str, Any]:
    """What POST /ingest takes, in its three forms, and answers."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return _documented(
        {
            "required": True,
            "content": {
                BATCH_TYPE: binary,
                LOOSE_TYPE: binary,
                JSON_TYPE: {
                    "schema": {
                        "type": "object",
                        "required": ["brain_id", "correction"],
                        "properties": {
                            "brain_id": {"type": "string", "minLength": 1, "maxLength": 128},
                            "event_id": {"type": ["string", "null"], "maxLength": 64},
                            "correction": {"type": "object"},
                        },
                    }
                },
            },
        },
        400, 401, 403, 408, 409, 410, 413, 415, 422, 426, 429, 503,
    )  # fmt: skip


def heartbeat_document() -> dict[str, Any]:
    """What POST /heartbeat takes and answers."""
    content = {JSON_TYPE: {"schema": {"type": "object"}}}
    return _documented({"required": True, "content": content}, 400, 401, 403, 408, 410, 413, 415, 429, 503)


def json_body(required: dict[str, Any], *statuses: int) -> dict[str, Any]:
    """What a route takes that reads one JSON object with these fields, and answers."""
    schema = {"type": "object", "required": sorted(required), "properties": required}
    return _documented({"required": True, "content": {JSON_TYPE: {"schema": schema}}}, *statuses)


def _documented(body: dict[str, Any], *statuses: int) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "200": {"description": "durable", "content": {JSON_TYPE: {"schema": {"type": "object"}}}}
    }
    return {"requestBody": body, "responses": answers | problems(*statuses)}


def problems(*statuses: int) -> dict[int | str, Any]:
    """The error answers of a route, for its document."""
    schema = {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {"status": {"type": "integer"}, "code": {"type": "string"}, "detail": {"type": "string"}},
    }
    content = {PROBLEM_TYPE: {"schema": schema}}
    return {str(status): {"description": "problem", "content": content} for status in statuses}
