"""What a test says to a running cloud: plain HTTP, so that nothing of ours stands between the test and the server."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.cloud_batches import BATCH, body
from tests.support.cloud_fixture import LiveCloud


@dataclass
class Agent:
    """One brain with one log at a cloud, with names of its own."""

    cloud: LiveCloud
    key: str = ""
    brain: str = field(default_factory=lambda: f"brain-{uuid.uuid4()}")
    log_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def ask(self, method: str, path: str, content: Any = None, *, kind: str = BATCH, **headers: str) -> httpx.Response:
        """One request; `path` is relative to the base. Header names with _ for -."""
        sent = {"Authorization": f"Bearer {self.key or self.cloud.key}"}
        if content is not None:
            sent["Content-Type"] = kind
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        # Nothing is verified on plain HTTP: loading the certificates would cost more than all the rest.
        with httpx.Client(trust_env=False, verify=False, timeout=60) as client:
            return client.request(method, self.cloud.url + path, content=content, headers=sent)

    def send(self, log: Sequence[bytes], first: int = 0, end: int | None = None, **envelope: object) -> httpx.Response:
        """POST the batch of records [first, end)."""
        return self.ask("POST", "/ingest", self.body(log, first, end, **envelope))

    def body(self, log: Sequence[bytes], first: int = 0, end: int | None = None, **envelope: object) -> bytes:
        """The body of that batch."""
        return body(log, first, end, **{"brain_id": self.brain, "log_id": self.log_id, **envelope})

    def replica(self, **headers: str) -> httpx.Response:
        """The log, read back."""
        return self.ask("GET", f"/logs/{self.log_id}/bytes", **headers)

    def events(self, **parameters: str) -> list[dict[str, Any]]:
        """The brain's events."""
        query = httpx.QueryParams({"brain": self.brain, "limit": "1000", **parameters})
        found = self.ask("GET", f"/events?{query}").json()["events"]
        assert isinstance(found, list)
        return found


def problem(response: httpx.Response) -> tuple[int, str]:
    """Status and code of an error, which must be problem+json with all its members."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document = response.json()
    assert {"type", "title", "status", "detail", "code"} <= set(document)
    assert document["status"] == response.status_code
    return response.status_code, document["code"]
