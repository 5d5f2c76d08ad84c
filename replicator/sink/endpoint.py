"""Checks URLs and keys before any of them reaches the HTTP client.

The client's own errors have many types, and some contain the key (a key with a newline). No message of this module
contains a key, or a URL that may contain one.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from replicator.errors import ConfigurationError
from replicator.wire import plain

DEFAULT_PATH = "/api/v1"
KEY_CHARACTERS_MAX = 512
USER_AGENT = "replicator"


def check_endpoint(url: str) -> str:
    """The URL in its canonical form: no trailing slash, `/api/v1` if it has no path.

    Raises ConfigurationError for anything but https, or http to loopback; for user names, queries and fragments, which
    would end up in logs; and for what is no URL.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise _no_endpoint("the endpoint has characters that no address has")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _no_endpoint("the endpoint cannot be read as an address") from None
    if parts.scheme not in ("http", "https"):
        raise _no_endpoint("the endpoint must begin with https://")
    if not host or not _is_host(host) or port == 0 or ("[" in parts.netloc and ":" not in host):
        raise _no_endpoint("the endpoint names no host")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            "the endpoint must hold no user name or password",
            hint="keep the key elsewhere, and take it out of the address",
            code="endpoint_holds_key",
        )
    if parts.query or parts.fragment:
        raise _no_endpoint("the endpoint must have no ? and no #")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(
            f"plain http is for this machine alone, and {plain(host, 100)} is not",
            hint="use https://, or put the cloud behind a proxy that speaks it",
        )
    return _joined(parts, host, port)


def _no_endpoint(message: str) -> ConfigurationError:
    return ConfigurationError(
        message, hint="set it to an address such as https://cloud.example/api/v1", code="endpoint_malformed"
    )


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            return ipaddress.ip_address(host).version == 6
        except ValueError:
            return False
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(0 < len(label) <= 63 for label in labels)


def _joined(parts: SplitResult, host: str, port: int | None) -> str:
    place = f"[{host}]" if ":" in host else host
    if port is not None:
        place = f"{place}:{port}"
    return f"{parts.scheme}://{place}{parts.path.rstrip('/') or DEFAULT_PATH}"


def is_loopback(host: str) -> bool:
    """Whether this host is loopback: `localhost`, 127.0.0.0/8, ::1."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_key(key: str) -> str:
    """The key, if it is valid in a header: printable ASCII, no space, at most 512 characters.

    Raises ConfigurationError, whose message never contains the key.
    """
    if not key or len(key) > KEY_CHARACTERS_MAX or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"the API key must be 1 to {KEY_CHARACTERS_MAX} printable ASCII characters without spaces",
            hint="give the key alone, without spaces or line ends",
            code="key_malformed",
        )
    return key


def environment_proxy(url: str) -> str | None:
    """The proxy that the environment (on macOS and Windows also the system) names for `url`; None: connect directly.

    Never one for loopback: a proxy would look for the cloud on its own machine.
    """
    # Imported here: urllib.request loads the whole of http.client, which `import replicator` must not.
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    return proxy or None
