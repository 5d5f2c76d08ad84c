"""A proxy before the cloud that answers by itself where a test says so: what gateways, portals and old releases do.

It knows HTTP, unlike `replicator.testing.chaos`. What no rule answers goes to the cloud and comes back as it is.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.scripted import Scripted, Seen, answer

Rule = Callable[[Seen], bytes | None]
"""Gives the raw answer to one request; PASS sends it on to the cloud, None closes the connection."""
PASS = b"pass"
KEPT = ("Content-Type", "Retry-After", "RateLimit", "RateLimit-Policy")


class Front:
    """Stands before the cloud at `upstream`. `seen` are the requests with the time of their arrival, monotonic."""

    def __init__(self, upstream: str) -> None:
        self.rule: Rule = lambda _: PASS
        self.seen: list[tuple[float, Seen]] = []
        self._upstream = urlsplit(upstream).netloc
        self._server = Scripted(self._answer)
        self.url = f"{self._server.url}/api/v1"

    def count(self, path: str = "/ingest") -> int:
        """How many requests to this path came."""
        return sum(seen.path.startswith(f"/api/v1{path}") for _, seen in self.seen)

    def always(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        """Answer everything like this from now on."""
        raw = answer(status, body, **headers)
        self.rule = lambda _: raw

    def heal(self) -> None:
        """Send everything on from now on."""
        self.rule = lambda _: PASS

    def _answer(self, seen: Seen) -> bytes | None:
        self.seen.append((time.monotonic(), seen))
        raw = self.rule(seen)
        return self.forward(seen) if raw == PASS else raw

    def forward(self, seen: Seen) -> bytes:
        """The cloud's own answer."""
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        try:
            connection.request(seen.method, seen.path, seen.body or None, seen.headers)
            response = connection.getresponse()
            kept = {name.replace("-", "_"): response.headers[name] for name in KEPT if name in response.headers}
            return answer(response.status, response.read(), **kept)
        except OSError:
            return answer(502, b"no cloud")
        finally:
            connection.close()

    def __enter__(self) -> Front:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
