"""Who looks at the pages: a signed cookie that names a key, so that any process of the cloud knows its bearer.

Pure. The cookie says which key signed in and until when; nothing is kept at the server, and the key is looked up anew
with each request: revoking it ends its sessions. The signing secret is the store's, the same for all processes.
"""

from __future__ import annotations

import hashlib
import hmac
import re

COOKIE = "gradata_session"
SESSION_S = 12 * 3600
_TOKEN = re.compile(r"(gk_live_[0-9a-zA-Z]{8})\.(\d{10,12})\.([0-9a-f]{64})", re.ASCII)


def make_session(prefix: str, secret: bytes, *, now_s: int) -> str:
    """The cookie's value for a key."""
    ends = str(now_s + SESSION_S)
    return f"{prefix}.{ends}.{_signature(prefix, ends, secret)}"


def read_session(token: str, secret: bytes, *, now_s: int) -> str | None:
    """The prefix of the key that signed in; None for whatever is no session, or no longer one."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    prefix, ends, signature = match.groups()
    if not hmac.compare_digest(signature, _signature(prefix, ends, secret)) or int(ends) <= now_s:
        return None
    return prefix


def _signature(prefix: str, ends: str, secret: bytes) -> str:
    return hmac.new(secret, f"session\n{prefix}\n{ends}".encode(), hashlib.sha256).hexdigest()
