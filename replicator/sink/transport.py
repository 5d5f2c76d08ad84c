"""How every request of ours reaches an address: the proxy and the certificate authorities that the environment names.

One factory for the sink, the reader and whatever else a program asks over HTTP, so that what works for one works for
all. A variable that cannot work is a ConfigurationError with its name, never its value: a proxy's address may hold a
password.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from replicator.errors import ConfigurationError
from replicator.sink.endpoint import environment_proxy

if TYPE_CHECKING:
    from replicator.sink.http_library import httpx

KEEP_ALIVE_S = 30.0
"""Below the 75 s that the server keeps a connection, so that it is we who close it: no race at reuse."""
CERT_FILE, CERT_DIR, KEY_LOG = "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"
"""The variables that OpenSSL's programs know."""
_PROXIES = ("HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY")

log = logging.getLogger("replicator")


class Transports:
    """Makes transports to one address. ConfigurationError if its proxy or its certificate authorities cannot work.

    `proxy_for` names the proxy for an address, None: go directly. The authorities are read once, which takes a quarter
    of a second, and again when their file has changed (`stale`).
    """

    def __init__(self, url: str, *, proxy_for: Callable[[str], str | None] = environment_proxy) -> None:
        self._secure = urlsplit(url).scheme == "https"
        self._proxy = proxy_for(url)
        self._authorities = authorities() if self._secure else Authorities()
        self._seen = self._authorities.seen()
        self._context = self._new_context()
        self.open().close()  # what cannot work is said now, not at the first request

    def open(self) -> httpx.BaseTransport:
        """A bare transport, not a client: no redirects, cookies or unpacking to switch off, no address logged."""
        from replicator.sink.http_library import httpx

        if self.stale():
            self._seen = self._authorities.seen()
            self._context = self._new_context()
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)
        try:
            return httpx.HTTPTransport(
                verify=self._context, trust_env=False, http1=True, http2=False, limits=limits, proxy=self._proxy,
                retries=0,
            )  # fmt: skip
        except (ValueError, ImportError, httpx.InvalidURL):
            raise ConfigurationError(
                f"the proxy that {_variable_of_proxy()} names cannot be used",
                hint="set HTTPS_PROXY to an address such as http://proxy.example:3128, or NO_PROXY to the cloud's host",
                code="proxy_unusable",
            ) from None

    def stale(self) -> bool:
        """Whether the file of the certificate authorities is another one than the one that was read."""
        return self._authorities.seen() != self._seen

    def _new_context(self) -> ssl.SSLContext:
        if not self._secure:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and is not used
        return tls_context(self._authorities)


@dataclass(frozen=True, slots=True)
class Authorities:
    """Where the certificate authorities are: a file, a directory, or both. `named_by`: the variables that say so."""

    file: str | None = None
    directory: str | None = None
    named_by: str = ""

    def seen(self) -> tuple[int, ...] | None:
        """What a replaced or edited file differs in. None: there is no file to look at."""
        try:
            found = None if self.file is None else os.stat(self.file)
        except OSError:
            return None
        return found and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def authorities() -> Authorities:
    """Those of SSL_CERT_FILE and SSL_CERT_DIR, or else of the package certifi, which comes with the HTTP library."""
    file, directory = os.environ.get(CERT_FILE) or None, os.environ.get(CERT_DIR) or None
    if file or directory:
        names = [name for name, value in ((CERT_FILE, file), (CERT_DIR, directory)) if value]
        return Authorities(file, directory, " and ".join(names))
    import certifi

    return Authorities(certifi.where(), None, "the package certifi")


def tls_context(found: Authorities) -> ssl.SSLContext:
    """Checks certificates and host names against these authorities. ConfigurationError if they cannot be read.

    A key log (SSLKEYLOGFILE) that cannot be written is left out: it is for debugging.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=found.file, capath=found.directory)
    except OSError:  # ssl.SSLError is one
        raise ConfigurationError(
            f"the certificate authorities that {found.named_by} names cannot be read",
            hint=f"check {CERT_FILE} and {CERT_DIR}",
            code="authorities_unreadable",
        ) from None
    if key_log := os.environ.get(KEY_LOG):
        try:
            context.keylog_filename = key_log
        except OSError:
            log.warning("%s names a file that cannot be written; TLS keys are not logged", KEY_LOG)
    return context


def _variable_of_proxy() -> str:
    """The variable of the environment to look at, in either case; on macOS and Windows it may be the system's."""
    for name in _PROXIES:
        for variable in (name, name.lower()):
            if os.environ.get(variable):
                return variable
    return "the system"
