"""Post one small document somewhere, as a webhook wants it: the same proxies, authorities and deadlines as the sink."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from replicator.sink.carrier import Carrier, HttpReply, Order
from replicator.sink.endpoint import environment_proxy
from replicator.sink.transport import Transports


class Poster:
    """Posts to `url`. ConfigurationError if its proxy or certificate authorities cannot work. One call at a time."""

    def __init__(self, url: str, *, proxy_for: Callable[[str], str | None] = environment_proxy) -> None:
        self._url = url
        self._carrier = Carrier(Transports(url, proxy_for=proxy_for))

    def post(self, body: bytes, headers: Mapping[str, str], total_s: float) -> bool:
        """Whether it was taken: a 2xx within `total_s` seconds. Redirects are not followed."""
        from replicator.sink.http_library import httpx

        steps = dict.fromkeys(("connect", "read", "write", "pool"), total_s)
        fields = [*headers.items(), ("Content-Length", str(len(body)))]
        order = Order("POST", httpx.URL(self._url), fields, (memoryview(body),), total_s, steps)
        reply = self._carrier.carry(order)
        return isinstance(reply, HttpReply) and 200 <= reply.status <= 299

    def close(self) -> None:
        """Let go of the connection and the thread."""
        self._carrier.close()
