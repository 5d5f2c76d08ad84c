"""The parts of /openapi.json that the framework cannot derive: routes with raw bodies, errors, and what holds for every
route.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

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
    schema = {
        "type": "object",
        "required": ["brain_id", "device_id", "log_id", "size", "root"],
        "properties": {
            "brain_id": {"type": "string", "minLength": 1, "maxLength": 128},
            "device_id": {"type": "string", "minLength": 1, "maxLength": 128},
            "log_id": {"type": "string", "pattern": _UUID},
            "cloud_id": {"type": ["string", "null"]},
            "size": {"type": "integer", "minimum": 0, "maximum": 2**53},
            "root": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        },
    }
    content = {JSON_TYPE: {"schema": schema}}
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


_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
OPEN = ("/health", "/ready")
"""Routes that need no key."""


def complete(app: FastAPI) -> None:
    """Have the document say what holds for every route: who may ask, and what any answer may be."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        _complete(document)
        return document

    app.openapi = _once(openapi)  # type: ignore[method-assign]  # FastAPI's own way to change it


def _once(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def get() -> dict[str, Any]:
        if not found:
            found.append(make())
        return found[0]

    return get


def _complete(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            # 400: no HTTP, or a NUL in the address; 503: too many requests at work, or the store is away; 429: too
            # many keys that do not work came from this address.
            answers |= {status: answers.get(status, answer) for status, answer in problems(400, 503).items()}
            if not path.endswith(OPEN):
                operation["security"] = [{"key": []}]
                answers |= {status: answers.get(status, answer) for status, answer in problems(429).items()}
            for answer in answers.values():
                content = answer.get("content", {})
                if len(content) > 1 and content.get(JSON_TYPE) in ({}, {"schema": {}}):
                    del content[JSON_TYPE]  # put there by the framework, beside what the route says itself


def binary(media_type: str, what: str) -> dict[int | str, Any]:
    """The 200 of a route that answers with bytes of its own type."""
    return {"200": {"description": what, "content": {media_type: {"schema": {"type": "string"}}}}}
