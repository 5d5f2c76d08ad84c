"""The session cookie: a signed value that names a key, so that any process of the cloud can check it.

The cookie has the key's prefix, an expiry and an id of its own. The key is looked up for each request, so revoking it
ends its sessions. A sign-out is stored under the session's id until the session would have expired. The signing secret
is in the store, the same for all processes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

COOKIE = "gradata_session"
SESSION_S = 12 * 3600
_TOKEN = re.compile(r"(gk_live_[0-9a-zA-Z]{8})\.([0-9a-f]{32})\.(\d{10,12})\.([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Session:
    """Which key signed in, the session's own name, and when it ends, in seconds since 1970."""

    prefix: str
    name: str
    ends_s: int


def make_session(prefix: str, secret: bytes, *, now_s: int) -> str:
    """The cookie's value for a key."""
    name, ends = secrets.token_hex(16), str(now_s + SESSION_S)
    return f"{prefix}.{name}.{ends}.{_signature(prefix, name, ends, secret)}"


def read_session(token: str, secret: bytes, *, now_s: int) -> Session | None:
    """The session; None for whatever is none, or no longer one. Whether it was signed out is the store's to say."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    prefix, name, ends, signature = match.groups()
    if not hmac.compare_digest(signature, _signature(prefix, name, ends, secret)) or int(ends) <= now_s:
        return None
    return Session(prefix, name, int(ends))


def _signature(prefix: str, name: str, ends: str, secret: bytes) -> str:
    return hmac.new(secret, f"session\n{prefix}\n{name}\n{ends}".encode(), hashlib.sha256).hexdigest()
