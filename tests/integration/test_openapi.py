"""The cloud answers as its own document says: the short form of `python -m tests.campaigns openapi --cases 2000`."""

from __future__ import annotations

import json
import subprocess
import sys

from gradata.cloud.store.open import open_store
from tests.support.cloud_app import open_app

PROBLEM = "application/problem+json"


def test_no_answer_that_is_not_in_the_document() -> None:
    """100 requests made of the document: no 5xx, no other status, no other media type, no other form."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns", "openapi", "--cases", "100"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


ALIASES = {("post", "/api/v1/v1/telemetry/metrics")}
"""Where clients of 0.4 to 0.6 look for a route that is in the document under its own path."""


def test_the_document_is_whole() -> None:
    """Every route but the pages' is in it; every error is a problem; every keyed route says so, and its refusals."""
    with open_app(open_store("sqlite::memory:")) as app:
        document = app.ask("GET", "/openapi.json", key=None).json()
        routes = {
            (method.lower(), route.path)
            for route in app.app.routes
            for method in getattr(route, "methods", None) or ()
            if route.path.startswith("/api/v1/") and not route.path.endswith("/openapi.json")
        }
    operations = {(method, path): found for path, part in document["paths"].items() for method, found in part.items()}
    assert set(operations) == routes - ALIASES
    for (_, path), operation in operations.items():
        answers = operation["responses"]
        errors = {status: answer for status, answer in answers.items() if status >= "400"}
        assert all(list(answer["content"]) == [PROBLEM] for answer in errors.values()), path
        assert {"400", "503"} <= set(errors)
        if "security" in operation:
            assert {"401", "403", "429"} <= set(errors), path
        assert ("security" in operation) == (not path.endswith(("/health", "/ready")))
        assert operation["description"], path
        assert ("requestBody" in operation) <= ({"413", "415", "408"} <= set(errors)), path
    assert json.dumps(document)
